//! Messages through the decoder of one of several sources, which the input's first byte chooses.

use tidegate::clock::WallTime;
use tidegate::decode::{Decoded, Decoder, Message, READINGS_PER_MESSAGE_MAX};

use crate::{AFTER_TOPIC, BETWEEN, split};

/// When everything arrives.
pub const ARRIVAL: WallTime = WallTime(1_772_366_460_000_000_000);

/// What one message may at most be refused for, times the readings one may have.
const REJECTS_MAX: usize = 2 * READINGS_PER_MESSAGE_MAX;

/// The first byte is the source, of the second the lowest bit says that the broker had kept the messages; then
/// messages with their topics.
pub fn messages(input: &[u8], table: &[&str]) {
    let [source, flags, rest @ ..] = input else { return };
    let Some(source) = table.get(usize::from(*source)) else { return };
    let mut decoder = Decoder::new(&crate::sources::load(source)).expect("the tables' sources are valid");
    for message in split(rest, &BETWEEN) {
        let mut parts = message.windows(2).position(|pair| pair == AFTER_TOPIC).map(|at| message.split_at(at));
        let (topic, payload) = parts.take().map_or((&[][..], message), |(topic, rest)| (topic, &rest[2..]));
        let Ok(topic) = std::str::from_utf8(topic) else { continue };
        decode(&mut decoder, Some(topic), payload, flags & 1 == 1);
    }
}

/// Decodes one message and looks at what comes out.
pub fn decode(decoder: &mut Decoder, topic: Option<&str>, payload: &[u8], retained: bool) {
    let mut out = Decoded::default();
    decoder.decode(&Message { topic, payload, retained, arrival: ARRIVAL }, &mut out);
    check(&out);
}

/// What holds of readings, whatever came.
pub fn check(out: &Decoded) {
    assert!(out.readings.len() <= READINGS_PER_MESSAGE_MAX, "{} readings", out.readings.len());
    assert!(out.rejects.len() <= REJECTS_MAX, "{} refusals", out.rejects.len());
    for reading in &out.readings {
        assert!(reading.value.as_f64().is_none_or(f64::is_finite), "{reading:?}");
    }
}
