//! What came out beside what was expected.

use std::collections::BTreeMap;

use tidegate::clock::WallTime;
use tidegate::counters::Reject;
use tidegate::reading::{Reading, Value};

use super::file::{Case, Expected};
use super::run::Seen;

/// Numbers may differ by this part of their size.
const TOLERANCE: f64 = 1e-6;

/// Above this magnitude whole numbers are compared exactly.
const EXACT_MAX: u64 = 1 << 53;

/// A case's word for a refusal, and what the gateway may call it.
const REASONS: &[(&str, &[Reject])] = &[
    ("finite", &[Reject::NotANumber, Reject::Empty, Reject::Malformed]),
    ("number", &[Reject::NotANumber, Reject::Empty, Reject::Malformed]),
    ("null", &[Reject::NotANumber, Reject::Empty, Reject::MissingField]),
    ("range", &[Reject::OutOfRange]),
    ("sentinel", &[Reject::OutOfRange, Reject::NotANumber]),
    ("partial", &[Reject::Partial, Reject::Malformed, Reject::TooLong]),
    ("checksum", &[Reject::Checksum]),
    ("crc", &[Reject::Checksum]),
    ("status", &[Reject::NotValid, Reject::Malformed, Reject::NotANumber, Reject::MissingField, Reject::OutOfRange]),
    ("column", &[Reject::Malformed]),
    ("long", &[Reject::TooLong, Reject::Malformed, Reject::TooManyReadings]),
    ("large", &[Reject::TooLong, Reject::Malformed, Reject::TooManyReadings]),
    ("utf", &[Reject::NotUtf8, Reject::Malformed]),
    ("missing", &[Reject::MissingField, Reject::Malformed]),
    ("alias", &[Reject::MissingField, Reject::Malformed]),
    ("birth", &[Reject::MissingField, Reject::Malformed]),
    ("name", &[Reject::BadName]),
    ("empty", &[Reject::Empty, Reject::MissingField]),
];

/// Compares; the error says what differed.
pub fn compare(case: &Case, seen: &Seen) -> Result<(), String> {
    let mut faults = Vec::new();
    let mut wanted: BTreeMap<&str, Vec<&Expected>> = BTreeMap::new();
    for expected in &case.expected {
        wanted.entry(&expected.sensor).or_default().push(expected);
    }
    let mut found: BTreeMap<&str, Vec<&Reading>> = BTreeMap::new();
    for reading in &seen.readings {
        let name = reading.sensor.as_str();
        found.entry(name.split_once('/').map_or(name, |(_, rest)| rest)).or_default().push(reading);
    }
    for (sensor, list) in &wanted {
        let got = found.get(sensor).map_or(&[][..], Vec::as_slice);
        for (place, expected) in list.iter().enumerate() {
            match got.get(place) {
                Some(reading) => one(sensor, expected, reading, &mut faults),
                None => faults.push(format!("{sensor}: {} is missing", expected.value)),
            }
        }
        for more in got.iter().skip(list.len()) {
            faults.push(format!("{sensor}: {} was not expected", more.value));
        }
    }
    for (sensor, list) in &found {
        if !wanted.contains_key(sensor) {
            faults.push(format!("{sensor} = {} was not expected", list[0].value));
        }
    }
    for (reason, least) in &case.rejected {
        let count = rejected(reason, seen);
        if count < *least {
            faults.push(format!("`{reason}` counted {count} times, at least {least} expected"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    faults.push(format!("refused: {:?}", seen.rejects));
    Err(faults.join("; "))
}

fn rejected(reason: &str, seen: &Seen) -> u64 {
    let labels = REASONS.iter().find(|(word, _)| reason.to_lowercase().contains(word)).map(|(_, labels)| *labels);
    let counted = seen.rejects.iter().filter(|(label, _)| labels.is_none_or(|labels| labels.contains(label))).count();
    // What is passed over on request (a sentinel, the first part of a stream) is counted there.
    counted as u64 + seen.ignored
}

fn one(sensor: &str, expected: &Expected, reading: &Reading, faults: &mut Vec<String>) {
    if !same_value(&expected.value, &reading.value) {
        faults.push(format!("{sensor}: {} instead of {}", reading.value, expected.value));
    }
    if let Some(unit) = &expected.unit {
        let found = reading.unit.as_deref().map(spelling);
        if found != unit.as_deref().map(spelling) {
            faults.push(format!("{sensor}: unit {:?} instead of {unit:?}", reading.unit));
        }
    }
    if reading.time != WallTime(expected.time) {
        faults.push(format!("{sensor}: at {} instead of {}", reading.time, WallTime(expected.time)));
    }
    if expected.historical && reading.fresh {
        faults.push(format!("{sensor}: of the past, but passed on as fresh"));
    }
}

fn same_value(expected: &serde_json::Value, found: &Value) -> bool {
    use serde_json::Value as Json;
    match (expected, found) {
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::String(a), Value::Text(b)) => **a == **b,
        (Json::Number(a), b) if !matches!(b, Value::Bool(_)) => {
            let exact = a.as_i64().is_some_and(|whole| whole.unsigned_abs() > EXACT_MAX);
            match (exact, b, a.as_f64(), b.as_f64()) {
                (true, Value::Integer(b), ..) => a.as_i64() == Some(*b),
                (true, ..) => false,
                (_, _, Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
                _ => false,
            }
        }
        _ => false,
    }
}

/// One spelling for units that have several.
fn spelling(unit: &str) -> &str {
    match unit {
        "C" | "Cel" | "degC" | "°C" => "°C",
        "F" | "degF" | "°F" => "°F",
        "m3" | "m³" => "m³",
        other => other,
    }
}
