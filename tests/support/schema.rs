//! Checks messages against the published schemas in `config/schema/`, for any test that receives some.
//!
//! Stricter than a consumer should be: a consumer takes fields it does not know, here they are an error.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::sync::LazyLock;

use jsonschema::{Registry, Validator};
use serde_json::{Map, Value};

/// The schema files.
const FILES: [&str; 13] = [
    include_str!("../../config/schema/alarm.v1.json"),
    include_str!("../../config/schema/envelope.v1.json"),
    include_str!("../../config/schema/events.lost.v1.json"),
    include_str!("../../config/schema/gateway.started.v1.json"),
    include_str!("../../config/schema/sensor.recovered.v1.json"),
    include_str!("../../config/schema/sensor.stale.v1.json"),
    include_str!("../../config/schema/source.lost.v1.json"),
    include_str!("../../config/schema/source.restored.v1.json"),
    include_str!("../../config/schema/source.v1.json"),
    include_str!("../../config/schema/status.v1.json"),
    include_str!("../../config/schema/threshold.cleared.v1.json"),
    include_str!("../../config/schema/threshold.exceeded.v1.json"),
    include_str!("../../config/schema/threshold.repeated.v1.json"),
];

static EVENT: LazyLock<Validator> = LazyLock::new(|| validator("urn:tidegate:schema:envelope.v1"));
static STATUS: LazyLock<Validator> = LazyLock::new(|| validator("urn:tidegate:schema:status.v1"));

/// All schemas as they are published.
pub fn published() -> Vec<Value> {
    FILES.iter().map(|text| serde_json::from_str(text).expect("a schema file is JSON")).collect()
}

/// What is wrong with a received event, given as JSON; empty when nothing is.
pub fn event_errors(event: &Value) -> Vec<String> {
    errors(&EVENT, event)
}

/// What is wrong with a received status message.
pub fn status_errors(status: &Value) -> Vec<String> {
    errors(&STATUS, status)
}

/// A CBOR event as JSON.
pub fn json_of_cbor(bytes: &[u8]) -> Value {
    let value: ciborium::Value = ciborium::from_reader(bytes).expect("an event is CBOR");
    json(value)
}

fn json(value: ciborium::Value) -> Value {
    match value {
        ciborium::Value::Null => Value::Null,
        ciborium::Value::Bool(state) => state.into(),
        ciborium::Value::Text(text) => text.into(),
        ciborium::Value::Float(number) => number.into(),
        ciborium::Value::Integer(whole) => match (i64::try_from(whole), u64::try_from(whole)) {
            (Ok(whole), _) => whole.into(),
            (_, Ok(whole)) => whole.into(),
            _ => panic!("{whole:?} is beyond what JSON consumers read"),
        },
        ciborium::Value::Array(items) => items.into_iter().map(json).collect(),
        ciborium::Value::Map(entries) => {
            let entries =
                entries.into_iter().map(|(key, value)| (key.into_text().expect("keys are texts"), json(value)));
            Value::Object(entries.collect())
        }
        other => panic!("{other:?} has no place in an event"),
    }
}

fn errors(validator: &Validator, instance: &Value) -> Vec<String> {
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn validator(id: &str) -> Validator {
    let mut registry = Registry::new();
    let mut root = None;
    for mut schema in published() {
        close(&mut schema);
        let its_id = schema["$id"].as_str().expect("a schema has an id").to_owned();
        if its_id == id {
            root = Some(schema.clone());
        }
        registry = registry.add(&its_id, schema).expect("the id is a URI");
    }
    let registry = registry.prepare().expect("every reference leads somewhere");
    let root = root.expect("the id is one of ours");
    jsonschema::options()
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&root)
        .expect("a schema file is a schema")
}

/// Lets nothing through that a schema with named properties does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            let named = entries.contains_key("properties") || entries.contains_key("$ref");
            if named && entries.get("type").is_none_or(|kind| kind == "object") && !is_value_reference(entries) {
                entries.entry("unevaluatedProperties").or_insert(Value::Bool(false));
            }
            for (key, inner) in entries {
                // A condition must not become stricter than what it asks.
                if !matches!(key.as_str(), "if" | "then" | "else") {
                    close(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// References inside a file are to plain values.
fn is_value_reference(entries: &Map<String, Value>) -> bool {
    entries.get("$ref").and_then(Value::as_str).is_some_and(|target| target.starts_with('#'))
}
