//! What every event must be, whatever it is about: the one place through which all that arrives upstream passes.

use serde_json::Value;

/// Checks an event as it came from the upstream broker: the CloudEvents envelope (CloudEvents 1.0, JSON event format)
/// and our extensions.
pub fn validate(event: &Value) -> Result<(), String> {
    let text = |name: &str| {
        event.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing or no text: {event}"))
    };
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {event}")) };
    check(text("specversion")? == "1.0", "`specversion` is not 1.0")?;
    let id = uuid::Uuid::parse_str(text("id")?).map_err(|error| format!("`id`: {error}: {event}"))?;
    check(id.get_version_num() == 7, "`id` is no UUIDv7")?;
    let source = text("source")?;
    check(
        source.starts_with("/tidegate/") && source.len() > "/tidegate/".len(),
        "`source` is not /tidegate/<gateway>",
    )?;
    let kind = text("type")?;
    check(kind.starts_with("tidegate.") && kind.ends_with(".v1"), "`type` is not tidegate.<...>.v1")?;
    check(!text("subject")?.is_empty(), "`subject` is empty")?;
    check(text("partitionkey")? == text("subject")?, "`partitionkey` is not the subject")?;
    text("time")?.parse::<jiff::Timestamp>().map_err(|error| format!("`time`: {error}: {event}"))?;
    text("dataschema")?;
    let sequence = text("sequence")?.parse::<u64>().map_err(|error| format!("`sequence`: {error}: {event}"))?;
    check(sequence > 0, "`sequence` is 0")?;
    let severity = text("severity")?;
    check(["info", "low", "medium", "high", "critical"].contains(&severity), "`severity` is unknown")?;
    let clock = text("clock")?;
    check(["synchronized", "estimated", "unsynchronized"].contains(&clock), "`clock` is unknown")?;
    check(event.get("data").is_some_and(Value::is_object), "`data` is no object")
}

/// Checks a status message: birth, farewell or last will.
pub fn validate_status(status: &Value) -> Result<(), String> {
    match status.get("state").and_then(Value::as_str) {
        Some("online" | "offline") => Ok(()),
        _ => Err(format!("`state` is neither online nor offline: {status}")),
    }
}
