//! What decoding costs: readings per second and allocations per reading, for every format.
//!
//! ```text
//! cargo bench --bench decode [-- NAME-PART ..]
//! ```
//!
//! Beside the JSON of one, four and twenty values runs serde_json into a struct of just those members: less work, as
//! it knows beforehand what comes and makes no readings. Both run in turns; medians of the rounds are printed.
//! `cargo test --bench decode` only looks whether every payload still gives its readings.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

mod support;

use std::hint::black_box;

use allocation_counter::measure;
use ciborium::cbor;
use support::json::{Meter, Small, Zigbee, decimal, meter, small, zigbee};
use support::load::{self, GATEWAY};
use support::machine;
use support::stats::{alone, beside, grouped};
use tidegate::decode::{Decoded, Decoder, Message};

const ROUNDS: usize = 7;

/// Different payloads of each format, so that nothing is learned by heart. Sparkplug's series of 256 closes.
const PAYLOADS: u32 = 256;

/// How much longer than serde_json the JSON path may take.
const RATIO_MAX: f64 = 1.5;

/// A format, its settings and its payloads.
struct Case {
    name: &'static str,
    decode: &'static str,
    /// The topic of every payload; `{}` is the number of a device.
    topic: &'static str,
    /// Readings in each.
    readings: usize,
    /// What comes once before.
    first: Option<(&'static str, Vec<u8>)>,
    payload: fn(u32) -> Vec<u8>,
    /// The same payload into a struct.
    parse: Option<fn(&[u8])>,
}

/// The settings that take [`meter`] by twenty plain paths.
const METER: &str = concat!(
    r#"format = "json", device = "{topic[1]}", fields = { "#,
    r#"u0 = { path = "phases[0].u" }, i0 = { path = "phases[0].i" }, p0 = { path = "phases[0].p" }, q0 = { path = "phases[0].q" }, "#,
    r#"u1 = { path = "phases[1].u" }, i1 = { path = "phases[1].i" }, p1 = { path = "phases[1].p" }, q1 = { path = "phases[1].q" }, "#,
    r#"u2 = { path = "phases[2].u" }, i2 = { path = "phases[2].i" }, p2 = { path = "phases[2].p" }, q2 = { path = "phases[2].q" }, "#,
    r#"u3 = { path = "phases[3].u" }, i3 = { path = "phases[3].i" }, p3 = { path = "phases[3].p" }, q3 = { path = "phases[3].q" }, "#,
    r#"u4 = { path = "phases[4].u" }, i4 = { path = "phases[4].i" }, p4 = { path = "phases[4].p" }, q4 = { path = "phases[4].q" } }"#
);

fn packed(value: &ciborium::Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

fn binary(tenths: u32) -> Vec<u8> {
    let mut out = vec![7];
    out.extend_from_slice(&u16::try_from(tenths).unwrap().to_le_bytes());
    out.extend_from_slice(&(tenths * 1_000).to_le_bytes());
    out
}

/// A sentence with its checksum.
fn sentence(tenths: u32) -> Vec<u8> {
    let body = format!("WIMWV,{},R,{},N,A", decimal(tenths), decimal(tenths / 10));
    let sum = body.bytes().fold(0, |all, byte| all ^ byte);
    format!("${body}*{sum:02X}").into()
}

fn telegram(tenths: u32) -> Vec<u8> {
    let kilo = format!("{:06}.{:03}", tenths, tenths % 1_000);
    let head = format!(
        "/KFM5KAIFA-METER\r\n\r\n0-0:1.0.0(260101010005W)\r\n1-0:1.8.1({kilo}*kWh)\r\n1-0:2.8.1({kilo}*kWh)\r\n"
    );
    format!("{head}0-0:96.13.0()\r\n1-0:1.7.0(02.{tenths:03}*kW)\r\n1-0:32.7.0(0231.{}*V)\r\n", tenths % 10).into()
}

/// A number as protobuf writes it.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

/// A Sparkplug metric with a double; its birth has the name.
fn metric(name: Option<&str>, alias: u8, value: f64, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    if let Some(name) = name {
        inner.extend_from_slice(&[0x0a, u8::try_from(name.len()).unwrap()]);
        inner.extend_from_slice(name.as_bytes());
    }
    inner.extend_from_slice(&[0x10, alias, 0x20, 10, 0x69]);
    inner.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&[0x12, u8::try_from(inner.len()).unwrap()]);
    out.extend_from_slice(&inner);
}

/// A Sparkplug payload of two metrics.
fn sparkplug(names: [Option<&str>; 2], value: f64, sequence: u8) -> Vec<u8> {
    let mut out = vec![0x08];
    varint(1_767_225_600_000, &mut out);
    for (alias, name) in names.into_iter().enumerate() {
        metric(name, u8::try_from(alias).unwrap(), value, &mut out);
    }
    out.push(0x18);
    varint(sequence.into(), &mut out);
    out
}

/// The tenths of the payload with this number; each number has its own.
fn tenths(index: u32) -> u32 {
    600 + index
}

fn cases() -> Vec<Case> {
    let case = |name, decode, readings, payload| Case {
        name,
        decode,
        topic: "site/s{}",
        readings,
        first: None,
        payload,
        parse: None,
    };
    let climate = r#"device = "{topic[1]}", fields = { t = "°C", h = "%", p = "hPa" }"#;
    let with = |format: &str| -> &'static str { format!("{format}, {climate}").leak() };
    vec![
        Case {
            parse: Some(Small::parse),
            ..case(
                "json, 1 value",
                r#"format = "json", device = "{topic[1]}", fields = { value = "°C" }"#,
                1,
                |tenths| small(tenths).into(),
            )
        },
        Case {
            parse: Some(Zigbee::parse),
            ..case(
                "json, 4 values and a time",
                concat!(
                    r#"format = "json", device = "{topic[1]}", ts_field = "last_seen", fields = { temperature = "°C", "#,
                    r#"humidity = "%", battery = "%", contact = { map = { true = 1, false = 0 } } }"#
                ),
                4,
                |tenths| zigbee(tenths).into(),
            )
        },
        Case { parse: Some(Meter::parse), ..case("json, 20 values", METER, 20, |tenths| meter(tenths).into()) },
        case(
            "json, 2 values carried",
            r#"format = "json", device = "{topic[1]}", fields = { value = "°C" }, carry = ["seq", "ts"]"#,
            1,
            |tenths| small(tenths).into(),
        ),
        case(
            "json, wildcards",
            r#"format = "json", fields = { "{match[0]}-{match[1]}" = { path = "phases[*].*" } }"#,
            20,
            |tenths| meter(tenths).into(),
        ),
        case(
            "jq",
            r#"format = "jq", expression = '.phases as $all | range(5) | {device: "p\(.)", quantity: "u", value: $all[.].u}'"#,
            5,
            |tenths| meter(tenths).into(),
        ),
        case("number", r#"format = "number", device = "{topic[1]}""#, 1, |tenths| decimal(tenths).into()),
        case("key-value", with(r#"format = "key-value""#), 3, |tenths| {
            format!("t={}C h={}% p=1013.2", decimal(tenths), tenths / 10).into()
        }),
        case("csv", with(r#"format = "csv", columns = ["t", "h", "p"]"#), 3, |tenths| {
            format!("{},{},1013.2", decimal(tenths), tenths / 10).into()
        }),
        case("cbor", with(r#"format = "cbor""#), 3, |tenths| {
            packed(&cbor!({ "t" => f64::from(tenths) / 10.0, "h" => tenths / 10, "p" => 1013.2 }).unwrap())
        }),
        case("senml, JSON", r#"format = "senml""#, 2, |tenths| {
            let (first, second) = (decimal(tenths), tenths / 10);
            format!(
                r#"[{{"bn":"dev1/","bt":1767225600,"n":"t","u":"Cel","v":{first}}},{{"n":"h","u":"%RH","v":{second}}}]"#
            )
            .into()
        }),
        case("senml, CBOR", r#"format = "senml""#, 2, |tenths| {
            packed(
                &cbor!([
                    { -2 => "dev1/", -3 => 1_767_225_600, 0 => "t", 1 => "Cel", 2 => f64::from(tenths) / 10.0 },
                    { 0 => "h", 1 => "%RH", 2 => tenths / 10 },
                ])
                .unwrap(),
            )
        }),
        Case {
            topic: "spBv1.0/g/NDATA/n",
            first: Some(("spBv1.0/g/NBIRTH/n", sparkplug([Some("Tank/Level"), Some("Tank/Flow")], 1.0, 0))),
            ..case("sparkplug-b", r#"format = "sparkplug-b""#, 2, |tenths| {
                let sequence = u8::try_from((tenths - self::tenths(0) + 1) % 256).unwrap();
                sparkplug([None, None], f64::from(tenths) / 10.0, sequence)
            })
        },
        Case {
            topic: "homie/d{}/sensor/temperature",
            ..case("homie", r#"format = "homie""#, 1, |tenths| decimal(tenths).into())
        },
        case(
            "binary",
            r#"format = "binary", device = "{payload.0:u8}", fields = { t = { path = "1:u16le", scale = 0.1 }, p = { path = "3:u32le" } }"#,
            2,
            binary,
        ),
        case(
            "nmea",
            r#"format = "nmea", fields = { angle = { path = "MWV.angle" }, speed = { path = "MWV.speed" } }"#,
            2,
            sentence,
        ),
        case(
            "p1",
            r#"format = "p1", fields = { "1-0:1.8.1" = "kWh", "1-0:2.8.1" = "kWh", "1-0:1.7.0" = "kW", "1-0:32.7.0" = "V" }"#,
            4,
            telegram,
        ),
        case(
            "vedirect",
            r#"format = "vedirect", fields = { V = { scale = 0.001, unit = "V" }, I = { scale = 0.001, unit = "A" }, PPV = "W" }"#,
            3,
            |tenths| {
                format!("PID\t0xA053\r\nFW\t159\r\nV\t{}\r\nI\t-{tenths}\r\nPPV\t{}\r\nCS\t3", tenths * 20, tenths / 5)
                    .into()
            },
        ),
        case("scale", r#"format = "scale""#, 2, |tenths| format!("S S   {:>7} g", decimal(tenths)).into()),
    ]
}

fn main() {
    let bench = machine::is_bench();
    if bench {
        machine::announce("decode");
        println!("\nmedians of {ROUNDS} rounds; allocations once all sensors are known");
        println!(
            "{:<26} {:>6} {:>8} | {:>12} {:>10} {:>11} | {:>10} {:>6}",
            "format", "bytes", "readings", "readings/s", "ns/message", "allocations", "serde_json", "ratio"
        );
        println!("{:<26} {:>6} {:>8} | {:>12} {:>10} {:>11} |", "", "", "", "", "", "per reading");
    }
    let mut beyond = Vec::new();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |case: &Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str()));
    for case in cases().into_iter().filter(is_wanted) {
        let mut run = Run::new(&case);
        run.all();
        if bench && run.measure(&case).is_some_and(|ratio| ratio > RATIO_MAX) {
            beyond.push(case.name);
        }
    }
    if bench {
        println!("\nload at the end: {}", machine::load());
        match beyond.is_empty() {
            true => println!("JSON within {RATIO_MAX} times serde_json into a struct"),
            false => println!("beyond {RATIO_MAX} times serde_json into a struct: {}", beyond.join("; ")),
        }
    }
}

/// A format at work.
struct Run {
    decoder: Decoder,
    topics: Vec<String>,
    payloads: Vec<Vec<u8>>,
    decoded: Decoded,
    name: &'static str,
    readings: usize,
}

impl Run {
    fn new(case: &Case) -> Self {
        let text = format!(
            "gateway.id = \"{GATEWAY}\"\n[[source]]\nname = \"site\"\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\n\
             topics = [\"#\"]\ndecode = {{ {} }}\n",
            case.decode
        );
        let mut run = Self {
            decoder: Decoder::new(&load::configuration(&text).sources[0]).unwrap(),
            topics: (0..PAYLOADS).map(|index| case.topic.replace("{}", &format!("{:02}", index % 100))).collect(),
            payloads: (0..PAYLOADS).map(|index| (case.payload)(tenths(index))).collect(),
            decoded: Decoded::default(),
            name: case.name,
            readings: case.readings,
        };
        if let Some((topic, payload)) = &case.first {
            run.decode(topic, payload);
        }
        run
    }

    fn decode(&mut self, topic: &str, payload: &[u8]) {
        self.decoded.clear();
        let arrival = load::at(1_000_000_000).wall;
        self.decoder.decode(&Message { topic: Some(topic), payload, retained: false, arrival }, &mut self.decoded);
        let Decoded { readings, rejects, .. } = black_box(&self.decoded);
        assert!(rejects.is_empty(), "{}: {rejects:?}", self.name);
        assert_eq!(readings.len(), self.readings, "{}: {:?}", self.name, String::from_utf8_lossy(payload));
    }

    /// Every payload once.
    fn all(&mut self) {
        let (topics, payloads) = (std::mem::take(&mut self.topics), std::mem::take(&mut self.payloads));
        for (topic, payload) in topics.iter().zip(&payloads) {
            self.decode(topic, payload);
        }
        (self.topics, self.payloads) = (topics, payloads);
    }

    /// Prints the line; the ratio to serde_json where there is one.
    fn measure(&mut self, case: &Case) -> Option<f64> {
        let allocations = measure(|| self.all()).count_total as f64 / (self.payloads.len() * case.readings) as f64;
        let bytes = self.payloads.iter().map(Vec::len).sum::<usize>() / self.payloads.len();
        let items = self.payloads.len();
        let (ours, serde) = match case.parse {
            None => (alone(ROUNDS, items, || self.all()), None),
            Some(parse) => {
                let parsed = self.payloads.clone();
                let (ours, serde) = beside(ROUNDS, items, || self.all(), || parsed.iter().for_each(|text| parse(text)));
                (ours, Some(serde))
            }
        };
        let per_second = grouped(case.readings as f64 * 1e9 / ours);
        let (theirs, ratio) = match serde {
            Some(serde) => (format!("{serde:.0}"), format!("{:.2}", ours / serde)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!(
            "{:<26} {bytes:>6} {:>8} | {per_second:>12} {ours:>10.0} {allocations:>11.2} | {theirs:>10} {ratio:>6}",
            case.name, case.readings
        );
        serde.map(|serde| ours / serde)
    }
}
