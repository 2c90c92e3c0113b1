#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use proptest::prelude::*;

use super::*;
use crate::event::samples::{self, Load};

/// Equal to the last bit: `==` takes 0.0 and -0.0 for the same, their texts differ.
fn assert_identical(a: &[Event], b: &[Event]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
    assert_eq!(a, b);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_gives_back_every_event_bit_for_bit(events in samples::any_events()) {
        assert_identical(&decode_events(&encode_events(&events)).unwrap(), &events);
    }

    #[test]
    fn a_damaged_byte_never_panics_and_a_cut_is_always_noticed(
        events in samples::any_events(), at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let mut bytes = encode_events(&events);
        let at = at.index(bytes.len());
        prop_assert!(decode_events(&bytes[..at]).is_err());
        bytes[at] ^= flip;
        let _ = decode_events(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_events(&bytes);
        let _ = decode_records(&bytes);
    }

    #[test]
    fn decoding_gives_back_every_record(
        records in proptest::collection::vec(
            ("[a-z-]{1,9}", "\\PC{0,20}", proptest::collection::vec(any::<u8>(), 0..30)), 0..9,
        ),
    ) {
        let records: Vec<_> = records
            .into_iter()
            .map(|(alarm, sensor, state)| AlarmRecord { alarm: alarm.into(), sensor: sensor.into(), state })
            .collect();
        let bytes = encode_records(&records);
        prop_assert_eq!(decode_records(&bytes).unwrap(), records);
        prop_assert!(decode_records(&bytes[..bytes.len() - 1]).is_err());
    }
}

const BENCH: Load = Load { sensors: 100, rate: 10_000, between: 1, nanos: true, slow: false, level: false };

/// Bytes an event in frames of 64, as the store writes them.
fn bytes_an_event(load: Load) -> (f64, f64) {
    let events = samples::load(load, 6_400);
    let (mut plain, mut packed) = (0, 0);
    // The first frames know no context yet.
    for frame in events[3_200..].chunks(64) {
        let bytes = encode_events(frame);
        plain += bytes.len();
        packed += zstd::bulk::compress(&bytes, 3).unwrap().len();
    }
    (plain as f64 / 3_200.0, packed as f64 / 3_200.0)
}

#[test]
fn measure() {
    for (name, load) in [
        ("edge ns", BENCH),
        ("edge us", Load { nanos: false, ..BENCH }),
        ("1 in 50 ns", Load { between: 50, ..BENCH }),
        ("1 in 50 us", Load { between: 50, nanos: false, ..BENCH }),
        ("slow 1 in 50 us", Load { between: 50, nanos: false, slow: true, rate: 100, ..BENCH }),
        ("5 sensors edge ns", Load { sensors: 5, ..BENCH }),
        ("level ns", Load { level: true, ..BENCH }),
        ("level us", Load { level: true, nanos: false, ..BENCH }),
    ] {
        let (plain, packed) = bytes_an_event(load);
        println!("{name}: {plain:.1} plain, {packed:.1} packed");
        let events = samples::load(load, 6_400);
        let start = std::time::Instant::now();
        let frames: Vec<_> = events.chunks(64).map(encode_events).collect();
        let encoded = start.elapsed();
        let start = std::time::Instant::now();
        let decoded: usize = frames.iter().map(|frame| decode_events(frame).unwrap().len()).sum();
        println!("   encode {:?} decode {:?}", encoded / 6_400, start.elapsed() / decoded as u32);
    }
}
#[test]
fn columns_measure() {
    let events = samples::load(BENCH, 6_400);
    let mut sums = [(0usize, 0usize); columns::COLUMNS];
    for frame in events[3_200..].chunks(64) {
        let bytes = encode_events(frame);
        let cols = decode::begin::<{ columns::COLUMNS }>(&bytes).unwrap();
        for (i, mut c) in cols.into_iter().enumerate() {
            let l = c.len();
            let b = c.take(l).unwrap();
            sums[i].0 += b.len();
            sums[i].1 += zstd::bulk::compress(b, 3).unwrap().len() - 9;
        }
    }
    for (i, s) in sums.iter().enumerate() {
        println!("{i}: {:.2} {:.2}", s.0 as f64 / 3200.0, s.1 as f64 / 3200.0);
    }
}
