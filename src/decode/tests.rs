//! What the formats make of payloads as devices send them. Here is what
//! all share; most formats have a file of their own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod any_bytes;
mod device_tests;
mod json_tests;
mod line_tests;
mod number_tests;
mod packed_tests;
mod plain_json_tests;
mod sparkplug_tests;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::model::{
    BrokerUrl, Credentials, Decode, Field, FlowControl, Format, Framing, MqttSource, Parity, SerialSource, Source,
    TsUnit,
};
use crate::reading::{SENSOR_BYTES_MAX, TimeSource, Value};

/// 2026-03-01T12:01:00Z
const ARRIVAL: WallTime = WallTime(1_772_366_460_000_000_000);
const NOON: i64 = 1_772_366_400_000_000_000;

fn field(quantity: &str, unit: &str) -> Field {
    Field { unit: (!unit.is_empty()).then(|| unit.into()), ..Field::plain(quantity) }
}

fn text(text: &str) -> TemplatePart {
    TemplatePart::Text(text.into())
}

fn payload(path: &str) -> Template {
    Template(vec![TemplatePart::Payload(path.to_owned())])
}

fn level(level: usize) -> Template {
    Template(vec![TemplatePart::TopicLevel(level)])
}

fn decode(format: Format, fields: Vec<Field>) -> Decode {
    Decode {
        format,
        device: Template::default(),
        fields,
        ts_field: None,
        ts_unit: TsUnit::Iso8601,
        time_zone: "Europe/Berlin".to_owned(),
        max_future_skew: Duration::from_secs(3_600),
        max_age: Duration::from_secs(30 * 86_400),
        carry: Vec::new(),
        decimal_comma: false,
        reach: crate::config::model::Reach::default(),
    }
}

fn mqtt(decode: Decode) -> Source {
    let kind = SourceKind::Mqtt(MqttSource {
        url: BrokerUrl { tls: false, host: "localhost".to_owned(), port: 1883 },
        client_id: "tidegate-test".to_owned(),
        topics: vec!["#".to_owned()],
        qos: 1,
        credentials: Credentials::default(),
        keep_alive: Duration::from_secs(30),
        inflight_max: 1_000,
        packet_bytes_max: 256 * 1024,
        retained_max_age: Duration::from_secs(3_600),
    });
    Source { name: "src".into(), kind, decode, further: Vec::new() }
}

fn serial(decode: Decode) -> Source {
    let kind = SourceKind::Serial(SerialSource {
        port: "/dev/null".into(),
        baud: 9_600,
        data_bits: 8,
        parity: Parity::None,
        stop_bits: 1,
        flow_control: FlowControl::None,
        framing: Framing::Line { max_bytes: 12 * 1024, keep_first: false },
        silence_after: None,
        ask: None,
        dtr: None,
        rts: None,
    });
    Source { name: "src".into(), kind, decode, further: Vec::new() }
}

struct Bench {
    decoder: Decoder,
    out: Decoded,
}

impl Bench {
    fn new(decode: Decode) -> Self {
        Self { decoder: Decoder::new(&mqtt(decode)).unwrap(), out: Decoded::default() }
    }

    fn message(&mut self, topic: &str, payload: impl AsRef<[u8]>, retained: bool) -> &Decoded {
        self.out.clear();
        let message = Message { topic: Some(topic), payload: payload.as_ref(), retained, arrival: ARRIVAL };
        self.decoder.decode(&message, &mut self.out);
        &self.out
    }

    /// "sensor=value unit" of each reading.
    fn readings(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Vec<String> {
        let unit = |reading: &Reading| reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let out = self.message(topic, payload, false);
        out.readings.iter().map(|reading| format!("{}={}{}", reading.sensor, reading.value, unit(reading))).collect()
    }

    fn rejects(&mut self, payload: impl AsRef<[u8]>) -> Vec<Reject> {
        self.message("a/b/c", payload, false).rejects.iter().map(|(reject, _)| *reject).collect()
    }
}

fn number() -> Format {
    Format::Number { quantity: Template(vec![text("value")]) }
}

fn key_value() -> Format {
    Format::KeyValue { separator: None, assign: None, strip_unit: true }
}

fn csv(columns: &[&str]) -> Format {
    let columns = columns.iter().map(|&column| column.to_owned()).collect();
    Format::Csv { delimiter: b',', columns, header: false, comment: Some(b'#') }
}

// ---- time ----

#[test]
fn the_payloads_time_is_taken_in_its_unit_and_doubted_when_implausible() {
    let time = |unit, ts: &str| {
        let mut decode = decode(Format::Json, vec![field("v", "")]);
        decode.ts_field = Some("ts".to_owned());
        decode.ts_unit = unit;
        let mut bench = Bench::new(decode);
        let reading = bench.message("t", format!(r#"{{"v":1,"ts":{ts}}}"#), false).readings[0].clone();
        (reading.time.0, reading.time_source)
    };
    assert_eq!(time(TsUnit::Seconds, "1772366400"), (NOON, TimeSource::Payload));
    assert_eq!(time(TsUnit::Millis, "1772366400123"), (NOON + 123_000_000, TimeSource::Payload));
    assert_eq!(time(TsUnit::Micros, "1772366400123456"), (NOON + 123_456_000, TimeSource::Payload));
    assert_eq!(time(TsUnit::Nanos, "1772366400123456789"), (NOON + 123_456_789, TimeSource::Payload));
    assert_eq!(time(TsUnit::Iso8601, r#""2026-03-01T13:30:00+01:30""#), (NOON, TimeSource::Payload));
    assert_eq!(time(TsUnit::Iso8601, r#""2026-03-01 12:00:00z""#), (NOON, TimeSource::Payload));
    assert_eq!(time(TsUnit::Seconds, "4102444800"), (ARRIVAL.0, TimeSource::Doubtful));
    assert_eq!(time(TsUnit::Iso8601, r#""2016-12-31T23:59:60Z""#), (ARRIVAL.0, TimeSource::Doubtful));
    assert_eq!(time(TsUnit::Iso8601, r#""soon""#), (ARRIVAL.0, TimeSource::Doubtful));
    assert_eq!(time(TsUnit::Iso8601, "null"), (ARRIVAL.0, TimeSource::Arrival));
}

#[test]
fn a_retained_message_is_fresh_only_by_a_young_time_of_its_own() {
    let fresh = |ts: &str, retained| {
        let mut decode = decode(Format::Json, vec![field("v", "")]);
        decode.ts_field = Some("ts".to_owned());
        let mut bench = Bench::new(decode);
        bench.message("t", format!(r#"{{"v":1,"ts":{ts}}}"#), retained).readings[0].fresh
    };
    assert!(fresh("null", false));
    assert!(!fresh("null", true));
    assert!(fresh(r#""2026-03-01T12:00:00Z""#, true));
    assert!(!fresh(r#""2026-03-01T11:00:59Z""#, true));
    assert!(!fresh(r#""2099-01-01T00:00:00Z""#, true));
}

// ---- settings that cannot work ----

#[test]
fn settings_that_cannot_work_are_refused_with_the_reason() {
    let reason = |source: &Source| Decoder::new(source).unwrap_err();
    let two = decode(number(), vec![field("a", ""), field("b", "")]);
    assert!(reason(&mqtt(two)).contains("2 fields"));
    let mut path = decode(Format::Json, vec![field("a", "")]);
    path.carry = vec!["a[".into()];
    assert!(reason(&mqtt(path)).contains("never closed"));
    assert!(reason(&mqtt(decode(csv(&["a"]), vec![field("b", "")]))).contains("`b` is not one of the csv columns"));
    let mut topic = decode(Format::Json, vec![]);
    topic.device = level(1);
    assert!(reason(&serial(topic)).contains("MQTT topic"));
    let mut zone = decode(Format::Json, vec![]);
    zone.time_zone = "Europe/Atlantis".to_owned();
    assert!(reason(&mqtt(zone)).contains("Atlantis"));
}

// ---- anything at all ----

fn formats() -> Vec<Decode> {
    let mut decodes = vec![
        decode(Format::Json, vec![]),
        decode(number(), vec![]),
        decode(key_value(), vec![]),
        decode(csv(&["a", "b"]), vec![]),
        decode(Format::Csv { delimiter: b';', columns: vec![], header: true, comment: None }, vec![]),
    ];
    let entries = |format| {
        let value = Field { path: "01".to_owned(), bytes: Some("0:u16be".to_owned()), ..field("a", "") };
        let mut listed = decode(format, vec![value]);
        let kind = |name, size| model::EntryKind::new(name, size).unwrap();
        let kinds =
            vec![kind("01", model::EntrySize::Bytes(2)), kind("??", model::EntrySize::Counted { bytes: 1, big: true })];
        listed.reach.entries = Some(model::Entries::new(kinds, 0));
        listed.reach.unpack =
            vec![("a".to_owned(), model::Packing::Entries { hex: true }), ("b".to_owned(), model::Packing::List(';'))];
        listed
    };
    decodes.extend([entries(Format::Binary), entries(Format::Json)]);
    for format in [Format::Json, key_value(), csv(&["a", "b", "ts"])] {
        let mut full =
            decode(format, vec![Field { scale: 1e300, ..field("a", "") }, Field { text: true, ..field("b", "") }]);
        full.ts_field = Some("ts".to_owned());
        full.ts_unit = TsUnit::Seconds;
        full.carry = vec!["b".into()];
        full.device = payload("a");
        decodes.push(full.clone());
        full.decimal_comma = true;
        full.ts_unit = TsUnit::Iso8601;
        decodes.push(full);
    }
    decodes
}

fn check_anything(payloads: &[Vec<u8>]) {
    for decode in formats() {
        let mut bench = Bench::new(decode);
        for payload in payloads {
            let out = bench.message("a/b", payload, false);
            assert!(out.readings.len() <= READINGS_PER_MESSAGE_MAX);
            for reading in &out.readings {
                assert!(reading.value.as_f64().is_none_or(f64::is_finite), "{reading:?}");
                assert!(reading.sensor.as_str().len() <= SENSOR_BYTES_MAX);
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_make_a_number_that_is_not_finite(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4),
    ) {
        check_anything(&payloads);
    }

    #[test]
    fn texts_that_look_like_payloads_never_panic_either(
        payloads in prop::collection::vec(
            r#"[{}\[\]",:;=. abts0-9eE+\-\n\\#\u{e9}\u{b0}%C]{0,60}|\{"a":[0-9eE+\-.]{1,8},"b":"[a-z0-9]{0,5}","ts":[0-9.]{1,20}\}"#,
            1..4,
        ),
    ) {
        let payloads: Vec<Vec<u8>> = payloads.into_iter().map(String::into_bytes).collect();
        check_anything(&payloads);
    }
}
