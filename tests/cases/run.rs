//! A case through the gateway's own loader, framing and decoder.

use std::time::Duration;

use tidegate::clock::WallTime;
use tidegate::config::load_text;
use tidegate::config::model::{Framing, SerialSource, Source, SourceKind};
use tidegate::config::pattern;
use tidegate::counters::Reject;
use tidegate::decode::framing::{Frame, Framer};
use tidegate::decode::{Decoded, Decoder, Message};
use tidegate::reading::Reading;

use super::file::{Case, Step};

/// What came out of a case.
#[derive(Debug, Default)]
pub struct Seen {
    pub readings: Vec<Reading>,
    pub rejects: Vec<(Reject, String)>,
    pub ignored: u64,
}

/// The sources of a configuration. What a case leaves out because it does not matter here is filled in.
pub fn sources(text: &str, case: &Case) -> Result<Vec<Source>, String> {
    let mut full = String::new();
    for (number, block) in text.split("[[source]]").enumerate() {
        if number == 0 {
            full.push_str(block);
            continue;
        }
        full.push_str("[[source]]\n");
        // The source's own keys: what stands before the next heading.
        let own = block.split("\n[").next().unwrap_or_default();
        let has = |key: &str| own.lines().any(|line| line.trim_start().split(['=', ' ']).next() == Some(key));
        let (kind, place) = match case.mqtt {
            true => ("mqtt", ("url", "mqtt://127.0.0.1".to_owned())),
            false => ("serial", ("port", format!("/dev/serial/by-id/{number}"))),
        };
        for (key, value) in [("name", format!("s{number}")), ("type", kind.to_owned()), place] {
            if !has(key) {
                full.push_str(&format!("{key} = \"{value}\"\n"));
            }
        }
        full.push_str(block);
    }
    let loaded = load_text("case.toml".as_ref(), &full, &|_| None).map_err(|report| format!("{report}"))?;
    match loaded.config.sources.is_empty() {
        true => Err("the configuration has no [[source]]".to_owned()),
        false => Ok(loaded.config.sources),
    }
}

/// Sends everything and gathers what comes out.
pub fn run(case: &Case, sources: Vec<Source>) -> Result<Seen, String> {
    if case.steps.iter().any(|step| matches!(step, Step::Request(_) | Step::Answer(_))) {
        return exchange(case, &sources);
    }
    let mut running = Vec::new();
    for source in sources {
        running.push((Decoder::new(&source)?, source));
    }
    let mut seen = Seen::default();
    let mut port = None;
    for step in &case.steps {
        match step {
            Step::Bytes { topic: Some(topic), retained, bytes } if case.mqtt => {
                for (decoder, source) in &mut running {
                    if subscribes(source, topic) {
                        decode(decoder, case, Some(topic), *retained, bytes, &mut seen);
                    }
                }
            }
            Step::Bytes { bytes, .. } => {
                let (decoder, source) = &mut running[0];
                let SourceKind::Serial(serial) = &source.kind else {
                    return Err("a serial case needs a serial source".to_owned());
                };
                let framer = port.get_or_insert_with(|| Port::new(serial));
                for frame in framer.frames(bytes, &mut seen) {
                    decode(decoder, case, None, false, &frame, &mut seen);
                }
            }
            Step::Event => port = None,
            Step::Request(_) | Step::Answer(_) => unreachable!("exchanges were sorted out above"),
        }
    }
    Ok(seen)
}

fn subscribes(source: &Source, topic: &str) -> bool {
    match &source.kind {
        SourceKind::Mqtt(mqtt) => {
            mqtt.topics.iter().any(|filter| pattern::matches(pattern::without_share(filter), topic))
        }
        _ => false,
    }
}

fn decode(decoder: &mut Decoder, case: &Case, topic: Option<&str>, retained: bool, payload: &[u8], seen: &mut Seen) {
    let mut out = Decoded::default();
    let arrival = WallTime(case.received_at);
    decoder.decode(&Message { topic, payload, retained, arrival }, &mut out);
    seen.readings.append(&mut out.readings);
    seen.rejects.append(&mut out.rejects);
    seen.ignored += out.ignored;
}

/// The pause before every chunk where pauses divide messages: the chunks of such a case say where the device paused.
const PAUSE: Duration = Duration::from_secs(60);

/// What cuts a port's bytes into messages.
struct Port {
    framer: Framer,
    pauses: bool,
    now: Duration,
}

impl Port {
    fn new(serial: &SerialSource) -> Self {
        let pauses = matches!(serial.framing, Framing::Gap { .. });
        Self { framer: Framer::new(&serial.framing), pauses, now: Duration::ZERO }
    }

    /// The frames that the next bytes complete, and those that end because nothing follows.
    fn frames(&mut self, bytes: &[u8], seen: &mut Seen) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut each = |frame: Frame<'_>| match frame {
            Frame::Message(message) => frames.push(message.to_vec()),
            Frame::Refused(reject, what) => seen.rejects.push((reject, what)),
        };
        if self.pauses {
            self.now += PAUSE;
        }
        self.framer.push(bytes, self.now, &mut each);
        if self.pauses
            && let Some(deadline) = self.framer.deadline()
        {
            self.now = deadline;
            self.framer.on_deadline(deadline, &mut each);
        }
        frames
    }
}

/// A master and what it is answered: for sources that ask.
fn exchange(case: &Case, sources: &[Source]) -> Result<Seen, String> {
    super::exchange::run(case, sources)
}
