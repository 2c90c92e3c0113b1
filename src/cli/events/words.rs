//! How an event looks in a terminal: one line, or a line a field.
//!
//! Owns the words. Pure: takes CloudEvents in JSON, gives text.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::cli::top::text::duration;
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
            let blank = if unit.is_empty() { "" } else { " " };
            let (alarm, limit) = (text(data, "alarm"), &data["limit"]);
            match (name, limit.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())) {
                // What it said is long ago, and its limit a time.
                ("sensor.stale", Some(after)) => {
                    format!("{alarm}: silent for more than {}, last {value}{blank}{unit}", in_words(after))
                }
                ("sensor.recovered", Some(after)) => {
                    format!("{alarm}: {value}{blank}{unit}, silent for more than {} before", in_words(after))
                }
                _ => format!("{alarm}: {value}{blank}{unit} (limit {})", plain(limit)),
            }
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

fn in_words(time: Duration) -> String {
    duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
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
    fn silence_is_told_as_a_time_and_not_as_a_limit() {
        let told = |name: &str, value: serde_json::Value, limit: serde_json::Value| {
            line(&serde_json::json!({
                "type": format!("tidegate.{name}.v1"),
                "data": {"alarm": "silent", "value": value, "unit": "V", "limit": limit},
            }))
        };
        for (name, value, limit, words) in [
            ("sensor.stale", 230.0.into(), 90.0.into(), "silent: silent for more than 1 min 30 s, last 230.0 V"),
            ("sensor.recovered", 231.5.into(), 1.0.into(), "silent: 231.5 V, silent for more than 1 s before"),
            ("sensor.stale", 230.0.into(), (-1.0).into(), "silent: 230.0 V (limit -1.0)"),
            ("threshold.exceeded", 230.0.into(), 90.0.into(), "silent: 230.0 V (limit 90.0)"),
        ] {
            assert!(told(name, value, limit).ends_with(words), "{words}");
        }
        let nothing = told("sensor.stale", Value::Null, 60.0.into());
        assert!(nothing.ends_with("silent for more than 1 min, last no value V"), "{nothing}");
    }

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
