//! JSON payloads of the decoding benches, and the structs of just their members that serde_json alone reads them into.

use std::hint::black_box;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One value, a number and a time.
#[derive(Deserialize)]
pub struct Small {
    value: f64,
    seq: u64,
    ts: u64,
}

impl Small {
    /// Parses and throws away.
    pub fn parse(text: &[u8]) {
        let Self { value, seq, ts } = parsed(text);
        black_box((value, seq, ts));
    }
}

/// What a door contact with a thermometer says of itself.
#[derive(Deserialize)]
pub struct Zigbee {
    battery: f64,
    contact: bool,
    humidity: f64,
    last_seen: String,
    linkquality: f64,
    temperature: f64,
    voltage: f64,
}

impl Zigbee {
    /// Parses and throws away.
    pub fn parse(text: &[u8]) {
        let Self { battery, contact, humidity, last_seen, linkquality, temperature, voltage } = parsed(text);
        black_box((battery, contact, humidity, last_seen, linkquality, temperature, voltage));
    }
}

/// Three values.
#[derive(Deserialize)]
pub struct Climate {
    t: f64,
    h: f64,
    p: f64,
}

impl Climate {
    /// Parses and throws away.
    pub fn parse(text: &[u8]) {
        let Self { t, h, p } = parsed(text);
        black_box((t, h, p));
    }
}

/// Five phases of four values.
#[derive(Deserialize)]
pub struct Meter {
    phases: Vec<Phase>,
}

#[derive(Deserialize)]
struct Phase {
    u: f64,
    i: f64,
    p: f64,
    q: f64,
}

impl Meter {
    /// Parses and throws away.
    pub fn parse(text: &[u8]) {
        let Self { phases } = parsed(text);
        for Phase { u, i, p, q } in phases {
            black_box((u, i, p, q));
        }
    }
}

/// The value that a text stands for.
pub fn parsed<T: DeserializeOwned>(text: &[u8]) -> T {
    serde_json::from_slice(text).unwrap()
}

/// Tenths as a decimal number.
pub fn decimal(tenths: u32) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A [`Small`].
pub fn small(tenths: u32) -> String {
    format!(r#"{{"value":{},"seq":{},"ts":1767225600{tenths:06}}}"#, decimal(tenths), tenths * 300)
}

/// A [`Zigbee`].
pub fn zigbee(tenths: u32) -> String {
    let (third, second, first) = (tenths / 10, decimal(tenths - 105), decimal(tenths));
    let head = format!(
        r#"{{"battery":{third},"contact":true,"humidity":{second},"last_seen":"2026-01-01T00:00:00.{tenths:03}Z","#
    );
    format!(r#"{head}"linkquality":134,"temperature":{first},"voltage":2995}}"#)
}

/// A [`Climate`].
pub fn climate(tenths: u32) -> String {
    format!(r#"{{"t":{},"h":{},"p":1013.2}}"#, decimal(tenths), tenths / 10)
}

/// A [`Meter`].
pub fn meter(tenths: u32) -> String {
    let phase = |at: u32| {
        let value = |add: u32| decimal(tenths + 100 * at + add);
        format!(r#"{{"u":{},"i":{},"p":{},"q":{}}}"#, value(1), value(2), value(3), value(4))
    };
    let phases: Vec<String> = (0..5).map(phase).collect();
    format!(r#"{{"phases":[{}]}}"#, phases.join(","))
}
