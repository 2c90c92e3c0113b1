//! Every event we emit is what `config/schema/` says, in JSON and in CBOR, and what is not such an event is refused.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "support/schema.rs"]
mod schema;

/// The library's own generators. They expect around them the names that `event.rs` has.
#[allow(dead_code, reason = "the load is for the library's tests")]
#[path = "../src/event/samples.rs"]
mod samples;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tidegate::clock::{BootTime, ClockState, WallTime};
use tidegate::config::model::{Encoding, Severity};
use tidegate::event::*;
use tidegate::reading::{TimeSource, Value};

fn as_json(event: &Event) -> Json {
    let mut bytes = Vec::new();
    wire::encode(event, "boiler-room-7", Encoding::Json, true, &mut bytes);
    serde_json::from_slice(&bytes).unwrap()
}

/// One alarm event of a plain kind.
fn exceeded() -> Json {
    let load = samples::Load { sensors: 1, rate: 10, between: 12, nanos: false, slow: false, level: false };
    as_json(&samples::load(load, 1)[0])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_follows_its_schema_in_both_encodings(mut event in samples::any_event()) {
        if event.subject.is_empty() {
            event.subject = "gateway".into();
        }
        let json = as_json(&event);
        prop_assert_eq!(schema::event_errors(&json), Vec::<String>::new(), "{}", json);
        let mut bytes = Vec::new();
        wire::encode(&event, "boiler-room-7", Encoding::Cbor, true, &mut bytes);
        let mut cbor = schema::json_of_cbor(&bytes);
        prop_assert_eq!(&cbor["datacontenttype"], "application/cbor");
        cbor["datacontenttype"] = "application/json".into();
        prop_assert_eq!(cbor, json);

        wire::encode_replayed(&event, "boiler-room-7", Encoding::Json, &mut bytes);
        let json: Json = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(schema::event_errors(&json), Vec::<String>::new(), "{}", json);
        prop_assert_eq!((&json["replayed"], &json["backlog"]), (&true.into(), &true.into()));
        wire::encode_replayed(&event, "boiler-room-7", Encoding::Cbor, &mut bytes);
        let mut cbor = schema::json_of_cbor(&bytes);
        cbor["datacontenttype"] = "application/json".into();
        prop_assert_eq!(cbor, json);
    }
}

#[test]
fn a_field_that_is_missing_misspelt_or_of_another_type_is_refused() {
    let mut right = exceeded();
    right["replayed"] = json!(true);
    assert_eq!(schema::event_errors(&right), Vec::<String>::new());
    assert_eq!(right["type"], "tidegate.threshold.exceeded.v1");
    let required = ["specversion", "id", "source", "subject", "time", "sequence", "partitionkey", "severity", "clock"];
    for key in required.iter().chain(&["backlog", "data", "dataschema", "datacontenttype", "type"]) {
        let mut wrong = right.clone();
        wrong.as_object_mut().unwrap().remove(*key);
        assert!(!schema::event_errors(&wrong).is_empty(), "without {key}");
    }
    for (pointer, value) in [
        ("/sequence", json!(1)),
        ("/sequence", json!("1")),
        ("/backlog", json!("true")),
        ("/replayed", json!("true")),
        ("/replayed", json!(false)),
        ("/time", json!("2026-01-01T00:00:00+01:00")),
        ("/time", json!("yesterday")),
        ("/id", json!("1")),
        ("/type", json!("tidegate.threshold.exceeded.v2")),
        ("/dataschema", json!("urn:tidegate:schema:threshold.cleared.v1")),
        ("/data/change", json!("cleared")),
        ("/data/condition", json!("stale")),
        ("/data/limit", json!("75")),
        ("/data/state/after", json!("on")),
        ("/data/episode/duration_ms", json!(-1)),
        ("/data/reading/time_source", json!("sensor")),
        ("/data/context/0/value", json!(null)),
        ("/data/attributes", json!([])),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer} in {right}")) = value.clone();
        assert!(!schema::event_errors(&wrong).is_empty(), "{pointer} = {value}");
    }
    for pointer in ["", "/data", "/data/state", "/data/episode", "/data/reading", "/data/context/0"] {
        let mut wrong = right.clone();
        wrong.pointer_mut(pointer).unwrap()["treshold"] = json!(1);
        assert!(!schema::event_errors(&wrong).is_empty(), "an unknown field in {pointer:?}");
    }
}

#[test]
fn the_status_message_has_a_schema_of_its_own() {
    let online = json!({"state": "online", "version": "0.1.0", "time": "2026-01-01T00:00:00Z", "waiting": 7});
    let offline = json!({"state": "offline", "version": "0.1.0", "time": "2026-01-01T00:00:00Z", "reason": "lost"});
    assert_eq!(schema::status_errors(&online), Vec::<String>::new());
    assert_eq!(schema::status_errors(&offline), Vec::<String>::new());
    assert!(!schema::status_errors(&json!({"state": "online"})).is_empty());
    assert!(
        !schema::status_errors(&json!({"state": "away", "version": "", "time": "2026-01-01T00:00:00Z"})).is_empty()
    );
}

#[test]
fn every_type_has_a_schema_file_and_a_message_in_the_asyncapi_document() {
    let asyncapi = include_str!("../config/schema/asyncapi.yaml");
    let ids: Vec<_> = schema::published().iter().map(|schema| schema["$id"].as_str().unwrap().to_owned()).collect();
    let envelope = schema::published().into_iter().find(|schema| schema["$id"] == "urn:tidegate:schema:envelope.v1");
    let types = envelope.unwrap()["properties"]["type"]["enum"].clone();
    let types: Vec<String> = serde_json::from_value(types).unwrap();
    assert_eq!(types.len(), 9);
    for name in types {
        let short = name.strip_prefix("tidegate.").unwrap();
        assert!(ids.contains(&format!("urn:tidegate:schema:{short}")), "{name} has no schema file");
        assert!(asyncapi.contains(&format!("name: {name}\n")), "{name} is not in asyncapi.yaml");
        assert!(asyncapi.contains(&format!("'./{short}.json'")), "asyncapi.yaml does not point to {short}.json");
    }
}

#[test]
fn a_gateway_event_has_its_subject_for_a_partition_and_no_episode() {
    let mut event =
        samples::load(samples::Load { sensors: 1, rate: 10, between: 2, nanos: false, slow: false, level: false }, 1)
            .remove(0);
    event.subject = "source/boiler".into();
    event.correlation = None;
    event.time = WallTime::from_millis(1_767_225_600_000);
    event.data = EventData::SourceLost(SourceChange {
        source: "boiler".into(),
        reason: "/dev/ttyUSB0 is gone: is the adapter plugged in?".into(),
        away_ms: 0,
    });
    let json = as_json(&event);
    assert_eq!(schema::event_errors(&json), Vec::<String>::new());
    assert_eq!(json["partitionkey"], "source/boiler");
    assert_eq!(json["time"], "2026-01-01T00:00:00Z");
    assert!(json.get("correlationid").is_none());
}
