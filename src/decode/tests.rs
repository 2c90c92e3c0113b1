//! What the formats make of payloads as devices send them. JSON has a file of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod any_bytes;
mod device_tests;
mod json_tests;
mod packed_tests;
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
    Field {
        quantity: quantity.into(),
        path: quantity.to_owned(),
        unit: (!unit.is_empty()).then(|| unit.into()),
        unit_path: None,
        bytes: None,
        scale: 1.0,
        offset: 0.0,
        valid_range: None,
        ignore_values: Vec::new(),
        map: Vec::new(),
        text: false,
    }
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

// ---- number ----

#[test]
fn a_plain_number_is_a_reading_and_all_else_is_refused() {
    let mut decode = decode(number(), vec![field("temp", "\u{b0}C")]);
    decode.device = level(1);
    let mut bench = Bench::new(decode);
    for (payload, value) in
        [("21.5", "21.5"), ("  21.5\r\n", "21.5"), ("+21.5", "21.5"), ("2.15e1", "21.5"), (".5", "0.5"), ("-0", "0")]
    {
        assert_eq!(bench.readings("plant/hall1/temp", payload), [format!("src/hall1/temp={value} \u{b0}C")]);
    }
    for payload in
        ["21,5", "1.234,5", "NaN", "inf", "1e999", "ON", "0x15", "21.5 \u{b0}C", "21.5.3", "null", "\"21.5\"", "true"]
    {
        assert_eq!(bench.rejects(payload), [Reject::NotANumber], "{payload}");
        assert!(bench.out.readings.is_empty());
    }
    assert_eq!(bench.rejects(""), [Reject::Empty]);
    assert_eq!(bench.rejects(b"\xff\xfe2"), [Reject::NotUtf8]);
    let (_, what) = bench.message("plant/hall1/temp", "ON", false).rejects[0].clone();
    assert_eq!(what, "temp: \"ON\" is no finite decimal number");
}

#[test]
fn a_number_with_a_decimal_comma_is_read_only_when_configured() {
    let mut decode = decode(number(), vec![field("temp", "")]);
    decode.decimal_comma = true;
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("t", "1.234,5"), ["src/temp=1234.5"]);
    assert_eq!(bench.rejects("21.5"), [Reject::NotANumber]);
}

#[test]
fn the_quantity_of_a_number_can_be_a_level_of_the_topic() {
    let mut decode = decode(Format::Number { quantity: level(3) }, vec![]);
    decode.device = level(1);
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("shellies/ht-1/sensor/temperature", "21.38"), ["src/ht-1/temperature=21.38"]);
    assert_eq!(bench.readings("shellies/ht-1/sensor/humidity", "48.5"), ["src/ht-1/humidity=48.5"]);
    assert_eq!(bench.readings("shellies/ht-1/sensor/temperature", "21.4"), ["src/ht-1/temperature=21.4"]);
    assert!(bench.readings("shellies/announce", "1").is_empty());
    assert_eq!(bench.out.rejects[0].0, Reject::BadName);
}

#[test]
fn in_band_error_values_are_refused_or_ignored() {
    let mut ranged = field("temperature", "");
    ranged.valid_range = Some((-40.0, 85.0));
    ranged.ignore_values = vec![999.0];
    let mut bench = Bench::new(decode(number(), vec![ranged]));
    assert_eq!(bench.rejects("-99.5"), [Reject::OutOfRange]);
    assert_eq!(bench.rejects("999.00"), []);
    assert_eq!((bench.out.ignored, bench.out.readings.len()), (1, 0));
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

// ---- key-value ----

#[test]
fn key_value_lines_are_read_as_devices_print_them() {
    let mut decode = decode(key_value(), vec![field("t", "\u{b0}C"), field("h", "")]);
    decode.device = payload("node");
    let mut bench = Bench::new(decode);
    let line = "OK node=7 t=21.5 h=48% batt=2.97 rssi=-61";
    assert_eq!(bench.readings("t", line), ["src/7/t=21.5 \u{b0}C", "src/7/h=48 %"]);
    assert_eq!(bench.readings("t", "OK node=8 t= h=50"), ["src/8/h=50"]);
    assert_eq!(bench.readings("t", "OK node=9 t=21.5C t2=-7"), ["src/9/t=21.5 \u{b0}C"]);
    assert_eq!(bench.readings("t", "node:9,t:1;h:2"), ["src/9/t=1 \u{b0}C", "src/9/h=2"]);
    assert_eq!(bench.readings("t", "node: 9 t = 1.5 h =2 %"), ["src/9/t=1.5 \u{b0}C", "src/9/h=2"]);
    assert_eq!(bench.rejects("node=9 t=open h=2"), [Reject::NotANumber]);
    assert_eq!(bench.rejects("booting, please wait"), [Reject::Malformed]);
    assert_eq!(bench.rejects("node=9 x=1"), [Reject::MissingField]);
}

#[test]
fn key_value_without_fields_takes_every_number() {
    let mut every = decode(key_value(), vec![]);
    every.carry = vec!["seq".into(), "fw".into()];
    let mut bench = Bench::new(every);
    let readings = bench.readings("t", "a=1 mode=auto seq=12 fw=007 b=-2.5kPa a=3");
    assert_eq!(readings, ["src/a=3", "src/b=-2.5 kPa"]);
    let attributes = bench.out.readings[0].attributes.clone().unwrap();
    assert_eq!(*attributes, [(Arc::from("seq"), json!(12)), (Arc::from("fw"), json!("007"))]);
    let format = Format::KeyValue { separator: Some('|'), assign: Some('>'), strip_unit: false };
    let mut bench = Bench::new(decode(format, vec![]));
    assert_eq!(bench.readings("t", "a x>1|b>2C|c > 3"), ["src/a x=1", "src/c=3"]);
}

#[test]
fn a_comma_separates_pairs_unless_it_is_the_decimal_point() {
    let mut comma = decode(key_value(), vec![]);
    comma.decimal_comma = true;
    assert_eq!(Bench::new(comma).readings("t", "t=21,5C;h=48"), ["src/t=21.5 C", "src/h=48"]);
    assert_eq!(Bench::new(decode(key_value(), vec![])).readings("t", "t=21,h=48"), ["src/t=21", "src/h=48"]);
}

// ---- CSV ----

#[test]
fn csv_columns_are_strict_and_an_empty_cell_is_no_value() {
    let mut decode = decode(
        csv(&["id", "temp", "hum", "batt"]),
        vec![field("temp", "\u{b0}C"), field("hum", "%"), field("batt", "V")],
    );
    decode.device = payload("id");
    let mut bench = Bench::new(decode);
    let seven = ["src/7/temp=21.5 \u{b0}C", "src/7/hum=48 %", "src/7/batt=2.97 V"];
    assert_eq!(bench.readings("t", "7,21.50,48,2.97"), seven);
    assert_eq!(bench.readings("t", "8, -3.25 ,,3.01"), ["src/8/temp=-3.25 \u{b0}C", "src/8/batt=3.01 V"]);
    assert_eq!(bench.rejects("7,21.75,48,2.97,"), [Reject::Malformed]);
    assert_eq!(bench.out.rejects[0].1, "5 columns, expected 4");
    assert_eq!(bench.rejects("7,21.75"), [Reject::Malformed]);
    for comment in ["# debug: wifi lost", "  # indented", "#"] {
        assert_eq!(bench.rejects(comment), []);
        assert!(bench.out.readings.is_empty());
    }
    let several = bench.readings("t", "7,1,2,3\r\n# note\n8,4,5,6\n");
    assert_eq!(several.len(), 6);
    assert_eq!(bench.readings("t", "\"7\",\"21.50\",48,2.97"), seven);
}

#[test]
fn csv_with_semicolons_and_decimal_commas() {
    let columns = ["a", "b"].map(str::to_owned).to_vec();
    let mut decode = decode(Format::Csv { delimiter: b';', columns, header: false, comment: None }, vec![]);
    decode.decimal_comma = true;
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("t", "21,5;1.234,5"), ["src/a=21.5", "src/b=1234.5"]);
    assert_eq!(bench.readings("t", "21,5;ok"), ["src/a=21.5"]);
}

#[test]
fn csv_columns_can_be_named_by_the_first_line_and_named_again() {
    let format = || Format::Csv { delimiter: b',', columns: vec![], header: true, comment: None };
    let mut bench = Bench::new(decode(format(), vec![field("temp", "")]));
    assert_eq!(bench.rejects("7,21.5"), [Reject::Malformed]);
    assert_eq!(bench.rejects("id,temp"), []);
    assert_eq!(bench.readings("t", "7,21.5"), ["src/temp=21.5"]);
    assert_eq!(bench.rejects("id,temp"), [], "a device that starts anew repeats its header");
    assert_eq!(bench.readings("t", "temp,id\n22.5,7"), ["src/temp=22.5"]);
    let mut all = Bench::new(decode(format(), vec![]));
    assert_eq!(all.readings("t", "a,b\n1,2\n3,4"), ["src/a=1", "src/b=2", "src/a=3", "src/b=4"]);
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
