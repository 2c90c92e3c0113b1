//! A case's file: what is sent, and what is expected of it.

use std::path::Path;

use serde_json::Value;

/// One thing that happens.
#[derive(Debug)]
pub enum Step {
    /// A message, or bytes as one read of a port returns them.
    Bytes {
        /// Of an MQTT message.
        topic: Option<String>,
        /// Whether the broker had kept it.
        retained: bool,
        bytes: Vec<u8>,
    },
    /// What the master of a bus sends.
    Request(Vec<u8>),
    /// What it is answered.
    Answer(Vec<u8>),
    /// Something happens to the port: it is gone and comes back.
    Event,
}

/// A reading that must come out.
#[derive(Debug)]
pub struct Expected {
    /// Without the source.
    pub sensor: String,
    pub value: Value,
    /// `None`: not compared. `Some(None)`: must have none.
    pub unit: Option<Option<String>>,
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub historical: bool,
}

/// A case.
#[derive(Debug)]
pub struct Case {
    pub mqtt: bool,
    /// When everything arrives, nanoseconds since the epoch.
    pub received_at: i64,
    pub steps: Vec<Step>,
    pub expected: Vec<Expected>,
    /// The reason in the case's own words, and the least count.
    pub rejected: Vec<(String, u64)>,
    /// The whole file, for settings that a transport needs.
    pub facts: Value,
}

/// Reads a case; the error says what is wrong with the file.
pub fn read(path: &Path) -> Result<Case, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let facts: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mqtt = facts["transport"] == "mqtt";
    let received_at = time(&facts["received_at"])?;
    let topic = facts["topic"].as_str();
    let mut steps = Vec::new();
    match &facts["payload"] {
        Value::Array(list) => {
            for item in list {
                step(item, topic, &mut steps)?;
            }
        }
        item => step(item, topic, &mut steps)?,
    }
    let list = |name: &str| facts[name].as_array().cloned().unwrap_or_default();
    let expected = list("expected").iter().map(|item| expected(item, received_at)).collect::<Result<_, _>>()?;
    let rejected = list("rejected")
        .iter()
        .map(|item| (item["reason"].as_str().unwrap_or_default().to_owned(), item["count"].as_u64().unwrap_or(1)))
        .collect();
    Ok(Case { mqtt, received_at, steps, expected, rejected, facts })
}

fn step(item: &Value, topic: Option<&str>, steps: &mut Vec<Step>) -> Result<(), String> {
    if !item["event"].is_null() {
        steps.push(Step::Event);
        return Ok(());
    }
    let mut exchange = false;
    for (name, make) in [("tx", Step::Request as fn(Vec<u8>) -> Step), ("rx", Step::Answer)] {
        match &item[name] {
            Value::Null => {}
            Value::String(text) => {
                steps.push(make(hex(text)?));
                exchange = true;
            }
            inner => {
                steps.push(make(bytes(inner)?));
                exchange = true;
            }
        }
    }
    if exchange {
        return Ok(());
    }
    let topic = item["topic"].as_str().or(topic).map(str::to_owned);
    let retained = item["retained"].as_bool().unwrap_or(false);
    steps.push(Step::Bytes { topic, retained, bytes: bytes(item)? });
    Ok(())
}

/// The bytes of a payload.
fn bytes(item: &Value) -> Result<Vec<u8>, String> {
    if let Some(text) = item["utf8"].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(text) = item["hex"].as_str() {
        return hex(text);
    }
    match &item["repeat"] {
        Value::Null => Err(format!("a payload without utf8, hex or repeat: {item}")),
        repeat => {
            let count = repeat["count"].as_u64().or(item["count"].as_u64()).unwrap_or(1);
            Ok(bytes(repeat)?.repeat(usize::try_from(count).map_err(|error| error.to_string())?))
        }
    }
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>().ok_or("no hex")?;
    if digits.len() % 2 == 1 {
        return Err("an odd number of hex digits".to_owned());
    }
    Ok(digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default()).collect())
}

fn time(value: &Value) -> Result<i64, String> {
    let text = value.as_str().ok_or_else(|| format!("{value} is no time"))?;
    let stamp: jiff::Timestamp = text.parse().map_err(|error| format!("{text}: {error}"))?;
    i64::try_from(stamp.as_nanosecond()).map_err(|error| error.to_string())
}

fn expected(item: &Value, received_at: i64) -> Result<Expected, String> {
    let unit = match item.get("unit") {
        None => None,
        Some(Value::String(unit)) => Some(Some(unit.clone())),
        Some(_) => Some(None),
    };
    Ok(Expected {
        sensor: item["sensor"].as_str().unwrap_or_default().to_owned(),
        value: item["value"].clone(),
        unit,
        time: if item["ts"].is_null() { received_at } else { time(&item["ts"])? },
        historical: item["historical"].as_bool().unwrap_or(false),
    })
}
