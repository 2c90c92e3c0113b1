#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::clock::{BootTime, ClockState, WallTime};
use crate::config::model::Severity;
use crate::event::samples::{self, Load};
use crate::event::{
    AlarmData, AlarmState, Change, ConditionKind, Episode, EventData, EventsLost, GatewayStarted, Limit, Sample,
    SourceChange,
};
use crate::reading::{TimeSource, Value};

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

/// Bytes an event in compressed frames of 64, as the store writes them.
fn bytes_an_event(load: Load) -> f64 {
    let events = samples::load(load, 6_400);
    // The first events have little context yet.
    let frames = events[3_200..].chunks(64);
    let packed: usize = frames.map(|frame| zstd::bulk::compress(&encode_events(frame), 3).unwrap().len()).sum();
    packed as f64 / 3_200.0
}

#[test]
fn an_event_takes_few_bytes_in_a_compressed_frame() {
    for (name, load, most) in [
        ("raise and clear in turn, stamped on arrival (ns)", BENCH, 66.0),
        ("raise and clear in turn, stamped by the sensor (us)", Load { nanos: false, ..BENCH }, 57.0),
        ("a crossing in 50 readings", Load { between: 50, nanos: false, ..BENCH }, 57.0),
        ("a slow quantity", Load { between: 50, nanos: false, slow: true, rate: 100, ..BENCH }, 61.0),
        ("few sensors, so that context repeats", Load { sensors: 5, ..BENCH }, 38.0),
        ("an event a reading", Load { level: true, ..BENCH }, 46.0),
    ] {
        let bytes = bytes_an_event(load);
        println!("{name}: {bytes:.1} bytes an event");
        assert!(bytes < most, "{name}: {bytes:.1} bytes an event, {most} expected at most");
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    // An array of two: version 2 and whatever it may hold.
    assert_eq!(decode_events(&[0x82, 0x02, 0x00]), Err(Error::UnknownVersion(2)));
    assert_eq!(decode_records(&[0x82, 0x18, 0x63, 0x00]), Err(Error::UnknownVersion(99)));
    assert!(matches!(decode_events(&[]), Err(Error::Damaged(_))));
    assert!(matches!(decode_events(&encode_records(&[])), Err(Error::Damaged(_))));
}

#[test]
fn a_length_that_cannot_be_is_refused_without_asking_for_the_memory() {
    let huge = u64::MAX.to_be_bytes();
    // A column, an array of columns and a context that claim 2^64 - 1 items.
    let mut column = vec![0x83, 0x01, 0x5b];
    column.extend(huge);
    assert!(decode_records(&column).is_err());
    let mut array = vec![0x9b];
    array.extend(huge);
    assert!(decode_events(&array).is_err());
    let mut events = samples::load(BENCH, 1);
    let EventData::Alarm(alarm) = &mut events[0].data else { panic!("the load is of alarms") };
    alarm.limit = Limit::Values(vec![Value::Bool(true); 2]);
    let mut bytes = encode_events(&events);
    let list = bytes.windows(3).position(|bytes| bytes == [0x82, 0xf5, 0xf5]).unwrap();
    bytes[list] = 0x97;
    assert!(matches!(decode_events(&bytes), Err(Error::Damaged(_))));
}

fn v7(ms: u64, tail: u8) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(ms, &[tail; 10]).into_uuid()
}

/// What is in `tests/fixtures/stored-v1.bin`: each kind of event, limit and value. It must never change.
fn fixture_events() -> Vec<Event> {
    const START_MS: i64 = 1_767_225_600_000;
    let at = |ms: i64| WallTime::from_millis(START_MS + ms);
    let attributes = Arc::new(vec![
        (Arc::from("seq"), serde_json::json!(7)),
        (Arc::from("ts"), serde_json::json!(1_795_219_574_393_487_u64)),
        (Arc::from("more"), serde_json::json!({"a": [1.5, null, "x", -3], "b": u64::MAX})),
    ]);
    let alarm = AlarmData {
        alarm: "too-warm".into(),
        description: Some("Kühlraum".into()),
        condition: ConditionKind::High,
        change: Change::Raised,
        value: Some(Value::Number(82.5)),
        measured: None,
        unit: Some("°C".into()),
        limit: Limit::Number(8.0),
        deadband: 0.5,
        on_delay_ms: 300_000,
        off_delay_ms: 10,
        before: AlarmState::Pending,
        after: AlarmState::Active,
        episode: Episode { start: at(0), peak: Some(Value::Number(82.5)), duration_ms: 0, count: 3 },
        value_time: Some(WallTime(at(0).0 - 4_999)),
        time_source: TimeSource::Payload,
        context: (1..=10)
            .map(|n| Sample { time: at(n * 1_000 - 11_000), value: Value::Number(7.5 + n as f64 / 10.0) })
            .collect(),
        attributes: Some(Arc::clone(&attributes)),
    };
    let cleared = AlarmData {
        change: Change::Cleared,
        value: Some(Value::Number(7.0)),
        before: AlarmState::Clearing,
        after: AlarmState::Normal,
        episode: Episode { start: at(0), peak: Some(Value::Number(1.0 / 3.0)), duration_ms: 60_001, count: 61 },
        value_time: Some(at(60_001)),
        time_source: TimeSource::Arrival,
        context: Vec::new(),
        attributes: None,
        ..alarm.clone()
    };
    let outside = AlarmData {
        condition: ConditionKind::Outside,
        limit: Limit::Range([-1.25, 40.0]),
        value: Some(Value::Integer(9_007_199_254_740_993)),
        measured: Some(0.1 + 0.2),
        ..alarm.clone()
    };
    let equals = AlarmData {
        condition: ConditionKind::Equals,
        description: None,
        unit: None,
        limit: Limit::Values(vec![Value::Text("open".into()), Value::Bool(true), Value::Number(-0.0)]),
        value: Some(Value::Text("open".into())),
        time_source: TimeSource::Doubtful,
        ..alarm.clone()
    };
    let stale = AlarmData {
        condition: ConditionKind::Stale,
        change: Change::Repeated,
        value: None,
        measured: Some(120.003),
        limit: Limit::Number(120.0),
        episode: Episode { start: at(-5), peak: None, duration_ms: 0, count: 0 },
        value_time: None,
        ..cleared.clone()
    };
    let change = SourceChange { source: "boiler".into(), reason: "unplugged".into(), away_ms: 0 };
    let started = GatewayStarted { version: "0.1.0".into(), previous_stop: "unclean".into(), waiting: 3 };
    let lost =
        EventsLost { reason: "evicted".into(), count: 64, first_sequence: 1, last_sequence: 64, whole_range: true };
    let all = [
        ("gateway", EventData::GatewayStarted(started)),
        ("zigbee/cold-store/temperature", EventData::Alarm(Box::new(alarm))),
        ("zigbee/cold-store/temperature", EventData::Alarm(Box::new(cleared))),
        ("boiler/flow/pressure", EventData::Alarm(Box::new(outside))),
        ("zigbee/door/contact", EventData::Alarm(Box::new(equals))),
        ("zigbee/door/battery", EventData::Alarm(Box::new(stale))),
        ("gateway", EventData::EventsLost(lost)),
        ("source/boiler", EventData::SourceLost(change.clone())),
        ("source/boiler", EventData::SourceRestored(SourceChange { away_ms: 61_000, ..change })),
    ];
    let clocks = [ClockState::Unsynchronized, ClockState::Estimated, ClockState::Synchronized];
    let events = all.into_iter().enumerate().map(|(index, (subject, data))| {
        let n = index as u64;
        Event {
            sequence: if n < 6 { 100 + n } else { 1_000 + n },
            id: v7(START_MS as u64 + n * 7_001, n as u8),
            subject: subject.into(),
            time: at(n as i64 * 7_000),
            boot: BootTime(5_000_000_000 + n * 7_000_000_123),
            boot_id: Uuid::from_u128(if n < 8 { 0xb007 } else { 0xb008 }),
            clock: clocks[index % 3],
            severity: Severity::ALL[index % 5],
            correlation: match index {
                1 => Some(v7(START_MS as u64 + 7_001, 1)),
                2 => Some(v7(START_MS as u64 + 7_001, 1)),
                3 => Some(v7(START_MS as u64, 77)),
                4 => Some(Uuid::from_u128(4)),
                _ => None,
            },
            data,
        }
    });
    events.collect()
}

#[test]
fn events_stored_in_version_1_are_still_read() {
    let bytes = include_bytes!("../../../tests/fixtures/stored-v1.bin");
    assert_identical(&decode_events(bytes).unwrap(), &fixture_events());
}

#[test]
fn records_stored_in_version_1_are_still_read() {
    let record = |sensor: &str, state: &[u8]| AlarmRecord {
        alarm: "too-warm".into(),
        sensor: sensor.into(),
        state: state.to_vec(),
    };
    let bytes = include_bytes!("../../../tests/fixtures/stored-records-v1.bin");
    let records = [record("zigbee/cold-store/temperature", &[1, 2, 3]), record("zigbee/cold-room/temperature", &[])];
    assert_eq!(decode_records(bytes).unwrap(), records);
}
