//! How an event looks in a terminal: one line, or a line a field.
//!
//! Owns the words. Pure: takes CloudEvents in JSON, gives text.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::ops::trail;

/// An event as the gateway gave it.
pub(super) fn parsed(event: &RawValue) -> Value {
    serde_json::from_str(event.get()).unwrap_or_default()
}

/// Its sequence number.
pub(super) fn sequence(event: &Value) -> u64 {
    event["sequence"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

/// A value as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One event in one line.
pub(super) fn line(event: &Value) -> String {
    let data = &event["data"];
    let name = trail::short_type(text(event, "type"));
    let what = match name {
        "gateway.started" => {
            format!("version {}, after a stop: {}", plain(&data["version"]), text(data, "previous_stop"))
        }
        "events.lost" => format!(
            "{} events {}: {} to {}",
            data["count"],
            text(data, "reason"),
            data["first_sequence"],
            data["last_sequence"]
        ),
        "source.lost" | "source.restored" => text(data, "reason").to_owned(),
        _ => {
            let value = if data["value"].is_null() { "no value".to_owned() } else { plain(&data["value"]) };
            let unit = text(data, "unit");
            format!(
                "{}: {value}{}{unit} (limit {})",
                text(data, "alarm"),
                if unit.is_empty() { "" } else { " " },
                plain(&data["limit"])
            )
        }
    };
    format!(
        "{:>8}  {}  {:<9}  {:<8}  {:<18} {}  {what}",
        sequence(event),
        to_the_second(text(event, "time")),
        text(event, "delivery"),
        text(event, "severity"),
        name,
        text(event, "subject"),
    )
}

/// A time without its decimals.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// All of one event, a line a field.
pub(super) fn whole(event: &Value) -> String {
    let mut out = String::new();
    for name in
        ["sequence", "id", "delivery", "type", "time", "clock", "severity", "subject", "source", "correlationid"]
    {
        match (name, &event[name]) {
            (_, Value::Null) => {}
            ("sequence", _) => out.push_str(&format!("{name:<15} {}\n", sequence(event))),
            (_, value) => out.push_str(&format!("{name:<15} {}\n", plain(value))),
        }
    }
    fields("", &event["data"], &mut out);
    out
}

fn fields(prefix: &str, value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            fields(&name, value, out);
        }),
        Value::Array(items) if items.iter().any(Value::is_object) => items.iter().for_each(|item| {
            let parts: Vec<String> = match item {
                Value::Object(map) => map.values().map(plain).collect(),
                other => vec![plain(other)],
            };
            out.push_str(&format!("{prefix:<15} {}\n", parts.join("  ")));
        }),
        other => out.push_str(&format!("{prefix:<15} {}\n", plain(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_in_words() {
        let event = serde_json::json!({
            "id": "x", "sequence": "00000000000000001204", "time": "2026-01-31T07:00:00.123Z", "delivery": "waiting",
            "severity": "high", "type": "tidegate.threshold.exceeded.v1", "subject": "plant/oven/value",
            "data": {"alarm": "too-warm", "value": 80.5, "unit": "°C", "limit": 75.0, "state": {"before": "normal"},
                "context": [{"time": "t1", "value": 1}, {"time": "t2", "value": 2}]},
        });
        assert_eq!(
            line(&event),
            "    1204  2026-01-31T07:00:00Z  waiting    high      threshold.exceeded plant/oven/value  \
             too-warm: 80.5 °C (limit 75.0)"
        );
        let whole = whole(&event);
        for part in
            ["sequence        1204", "delivery        waiting", "state.before    normal", "context         t2  2"]
        {
            assert!(whole.contains(part), "{whole}");
        }
    }
}
