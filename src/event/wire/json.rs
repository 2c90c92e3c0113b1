//! The JSON form, written straight into the buffer.
//!
//! Names stand here as they leave; texts, floats and carried fields go through serde_json, which knows how to escape
//! and to write the shortest number that reads back the same.

use serde::Serialize;
use uuid::Uuid;

use super::{Marks, SCHEMA_PREFIX, SOURCE_PREFIX, padded, schema_name};
use crate::clock::WallTime;
use crate::event::rfc3339;
use crate::event::{AlarmData, Event, EventData, Limit, Sample};
use crate::reading::{Attributes, Value};

/// Appends the event.
pub(super) fn write(event: &Event, gateway: &str, marks: Marks, out: &mut Vec<u8>) {
    let event_type = event.data.event_type();
    raw(r#"{"specversion":"1.0","id":""#, out);
    id(event.id, out);
    raw(r#"","source":"#, out);
    text(SOURCE_PREFIX, gateway, out);
    raw(r#","type":"#, out);
    text("", event_type, out);
    raw(r#","subject":"#, out);
    text("", &event.subject, out);
    raw(r#","time":"#, out);
    stamp(event.time, out);
    raw(r#","datacontenttype":"application/json","dataschema":"#, out);
    text(SCHEMA_PREFIX, schema_name(event_type), out);
    raw(r#","sequence":""#, out);
    raw(padded(event.sequence, &mut [0; 20]), out);
    raw(r#"","partitionkey":"#, out);
    text("", &event.subject, out);
    if let Some(correlation) = event.correlation {
        raw(r#","correlationid":""#, out);
        id(correlation, out);
        raw(r#"""#, out);
    }
    raw(r#","severity":"#, out);
    any(&event.severity, out);
    raw(r#","clock":"#, out);
    any(&event.clock, out);
    raw(r#","backlog":"#, out);
    any(&marks.backlog, out);
    if marks.replayed {
        raw(r#","replayed":true"#, out);
    }
    raw(r#","data":"#, out);
    data(event, out);
    raw("}", out);
}

/// Appends the data alone.
pub(super) fn data(event: &Event, out: &mut Vec<u8>) {
    match &event.data {
        EventData::Alarm(data) => alarm(data, out),
        EventData::GatewayStarted(started) => any(started, out),
        EventData::EventsLost(lost) => any(lost, out),
        EventData::SourceLost(change) | EventData::SourceRestored(change) => any(change, out),
    }
}

fn alarm(alarm: &AlarmData, out: &mut Vec<u8>) {
    raw(r#"{"alarm":"#, out);
    text("", &alarm.alarm, out);
    if let Some(description) = &alarm.description {
        raw(r#","description":"#, out);
        text("", description, out);
    }
    raw(r#","condition":"#, out);
    any(&alarm.condition, out);
    raw(r#","change":"#, out);
    any(&alarm.change, out);
    if let Some(shown) = &alarm.value {
        raw(r#","value":"#, out);
        value(shown, out);
    }
    if let Some(measured) = alarm.measured {
        raw(r#","measured":"#, out);
        any(&measured, out);
    }
    if let Some(unit) = &alarm.unit {
        raw(r#","unit":"#, out);
        text("", unit, out);
    }
    raw(r#","limit":"#, out);
    limit(&alarm.limit, out);
    raw(r#","deadband":"#, out);
    any(&alarm.deadband, out);
    raw(r#","on_delay_ms":"#, out);
    any(&alarm.on_delay_ms, out);
    raw(r#","off_delay_ms":"#, out);
    any(&alarm.off_delay_ms, out);
    raw(r#","state":{"before":"#, out);
    any(&alarm.before, out);
    raw(r#","after":"#, out);
    any(&alarm.after, out);
    raw(r#"},"episode":{"start":"#, out);
    stamp(alarm.episode.start, out);
    if let Some(peak) = &alarm.episode.peak {
        raw(r#","peak":"#, out);
        value(peak, out);
    }
    raw(r#","duration_ms":"#, out);
    any(&alarm.episode.duration_ms, out);
    raw(r#","count":"#, out);
    any(&alarm.episode.count, out);
    raw("}", out);
    if let Some(time) = alarm.value_time {
        raw(r#","reading":{"time":"#, out);
        stamp(time, out);
        raw(r#","time_source":"#, out);
        any(&alarm.time_source, out);
        raw("}", out);
    }
    if !alarm.context.is_empty() {
        raw(r#","context":["#, out);
        separated(&alarm.context, sample, out);
        raw("]", out);
    }
    if let Some(carried) = &alarm.attributes {
        raw(r#","attributes":{"#, out);
        attributes(carried, out);
        raw("}", out);
    }
    raw("}", out);
}

fn sample(sample: &Sample, out: &mut Vec<u8>) {
    raw(r#"{"time":"#, out);
    stamp(sample.time, out);
    raw(r#","value":"#, out);
    value(&sample.value, out);
    raw("}", out);
}

fn limit(limit: &Limit, out: &mut Vec<u8>) {
    match limit {
        Limit::Number(limit) => any(limit, out),
        Limit::Range(range) => any(range, out),
        Limit::Values(values) => {
            raw("[", out);
            separated(values, value, out);
            raw("]", out);
        }
    }
}

/// The carried fields, in the order in which they were carried.
fn attributes(attributes: &Attributes, out: &mut Vec<u8>) {
    separated(
        attributes,
        |(key, carried), out| {
            text("", key, out);
            raw(":", out);
            any(carried, out);
        },
        out,
    );
}

fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(state) => any(state, out),
        Value::Integer(whole) => any(whole, out),
        Value::Number(number) => any(number, out),
        Value::Text(state) => text("", state, out),
    }
}

fn separated<T>(items: &[T], write: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            raw(",", out);
        }
        write(item, out);
    }
}

fn raw(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

/// A text after a prefix of ours that needs no escapes.
fn text(prefix: &str, text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        raw("\"", out);
        raw(prefix, out);
        raw(text, out);
        raw("\"", out);
    } else {
        let start = out.len();
        any(&text, out);
        // The prefix comes after the opening quote.
        out.splice(start + 1..start + 1, prefix.bytes());
    }
}

fn id(id: Uuid, out: &mut Vec<u8>) {
    raw(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()), out);
}

fn stamp(time: WallTime, out: &mut Vec<u8>) {
    raw("\"", out);
    raw(rfc3339::format(time, &mut [0; rfc3339::TEXT_BYTES_MAX]), out);
    raw("\"", out);
}

fn any<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a Vec takes every byte, and every key of an event is a text");
}
