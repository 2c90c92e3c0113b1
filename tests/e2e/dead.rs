//! Events that the upstream refuses: announced, shown, sent again once the cause is repaired, or dropped.

use serde_json::Value;

use crate::stage::Stage;
use crate::support::consumer::{EXCEEDED, LOST};
use crate::support::gateway::{SOURCE_CLIENT, said};
use crate::support::mosquitto::Options;
use crate::support::{PATIENT, SOON, wait_until};

/// Longest packet that the upstream broker takes in these tests, bytes; a usual event has about 1,000.
const PACKET_BYTES_MAX: usize = 2_500;

/// Bytes of a note that make an event too large; the gateway carries up to 4 KiB.
const NOTE_BYTES: usize = 3_000;

/// A gateway whose upstream takes no large packets. A sensor's `note` is carried into its events.
fn stage() -> Stage {
    let options = Options { extra: vec![format!("max_packet_size {PACKET_BYTES_MAX}")], ..Options::persistent() };
    let mut stage = Stage::build(tempfile::tempdir().unwrap(), options, |config| {
        config.sources[0] = config.sources[0].replace("\"ts\"]", "\"ts\", \"note\"]");
    });
    stage.start();
    stage
}

/// A crossing whose event is too large for the upstream; returns its letter.
fn refused(stage: &mut Stage, device: &str) -> Value {
    let before = letters(stage).len();
    let note = "x".repeat(NOTE_BYTES);
    let payload = format!(r#"{{"value":80.0,"seq":1,"note":"{note}"}}"#);
    stage.publisher.publish(&format!("sensors/{device}/temp"), payload);
    stage.publisher.flush();
    wait_until("the event to be set aside", PATIENT, || letters(stage).len() == before + 1);
    letters(stage).pop().unwrap()
}

fn letters(stage: &Stage) -> Vec<Value> {
    let output = stage.ask(&["dead", "list", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

/// Runs a subcommand of `dead`; returns its exit code and what it said.
fn dead(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let output = stage.ask(&[&["dead"], arguments].concat());
    (output.status.code(), said(&output))
}

/// The upstream broker takes large packets from now on.
fn repair(stage: &mut Stage) {
    stage.upstream.options.extra.clear();
    stage.upstream.restart();
}

#[test]
fn what_the_broker_refuses_is_announced_shown_and_arrives_when_it_is_sent_again() {
    let mut stage = stage();
    let letter = refused(&mut stage, "oven");
    stage.say("kettle", 80.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    stage.consumer.wait_for(LOST, 1, PATIENT);
    let lost = stage.consumer.of_kind(LOST).remove(0);
    assert_eq!((lost.data("reason"), lost.data("count")), (&Value::from("dead-letter"), &Value::from(1)));
    assert_eq!(lost.data("first_sequence"), &letter["sequence"]);
    stage.consumer.assert_accounted();

    assert_eq!((&letter["sensor"], &letter["alarm"]), (&"plant/oven/value".into(), &"too-warm".into()));
    assert_eq!((&letter["attempts"], &letter["retry"]), (&3.into(), &false.into()));
    let number = letter["sequence"].to_string();
    let id = letter["id"].as_str().unwrap();
    let (code, text) = dead(&stage, &["list"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains(&number) && text.contains("plant/oven/value") && text.contains("closed the connection"),
        "{text}"
    );
    for name in [&*number, id] {
        let (code, text) = dead(&stage, &["show", name]);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(id) && text.contains(&"x".repeat(NOTE_BYTES)), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("attempt ")).count(), 3, "{text}");
    }
    let shown: Value = serde_json::from_slice(&stage.ask(&["dead", "show", &number, "--json"]).stdout).unwrap();
    assert_eq!((shown["history"].as_array().unwrap().len(), &shown["event"]["id"]), (3, &letter["id"]));
    let status = stage.status();
    assert_eq!((&status["store"]["dead_letters"], &status["store"]["lost"]), (&1.into(), &0.into()));
    assert!(said(&stage.ask(&["status"])).contains("tidegate dead list"));

    repair(&mut stage);
    let (code, text) = dead(&stage, &["retry", &number]);
    assert_eq!(code, Some(0), "{text}");
    stage.consumer.wait_for(EXCEEDED, 2, PATIENT);
    let arrived = stage.consumer.about("plant/oven/value").remove(0);
    assert_eq!((arrived.id.as_str(), arrived.sequence.to_string()), (id, number));
    assert_eq!((&arrived.json["backlog"], arrived.json.get("replayed")), (&true.into(), None));
    wait_until("the letter to be gone", SOON, || letters(&stage).is_empty());
    assert!(said(&stage.ask(&["dead", "list"])).contains("no dead letters"));
    stage.consumer.assert_sound();
    assert_eq!(stage.consumer.count(LOST), 1);
    assert_eq!(stage.consumer.arrived(), stage.consumer.highest_sequence(), "everything has arrived after all");
}

#[test]
fn a_retry_survives_a_kill_before_the_delivery() {
    let mut stage = stage();
    let letter = refused(&mut stage, "oven");
    stage.network.down();
    let (code, text) = dead(&stage, &["retry", "--all"]);
    assert_eq!(code, Some(0), "{text}");
    stage.gateway.kill();
    repair(&mut stage);
    stage.gateway.start();
    stage.local.wait_subscribed(SOURCE_CLIENT, 2);
    assert_eq!(stage.status()["store"]["dead_retries"], 1);
    assert_eq!(letters(&stage)[0]["retry"], true);
    stage.network.restore();
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    assert_eq!(stage.consumer.of_kind(EXCEEDED)[0].id, letter["id"].as_str().unwrap());
    wait_until("the letter to be gone", PATIENT, || letters(&stage).is_empty());
    stage.gateway.kill();
    stage.gateway.start();
    stage.local.wait_subscribed(SOURCE_CLIENT, 3);
    assert!(letters(&stage).is_empty());
    stage.consumer.assert_sound();
}

#[test]
fn what_is_refused_again_stays_and_what_is_dropped_is_gone_for_good() {
    let mut stage = stage();
    let first = refused(&mut stage, "oven");
    refused(&mut stage, "kettle");
    let number = first["sequence"].to_string();
    let (code, text) = dead(&stage, &["retry", &number]);
    assert_eq!(code, Some(0), "{text}");
    wait_until("the second refusal", PATIENT, || letters(&stage)[0]["attempts"] == 4);
    assert_eq!((letters(&stage).len(), &letters(&stage)[0]["retry"]), (2, &false.into()));

    for (arguments, code, word) in [
        (&["show", "999999"][..], 1, "there is no dead letter 999999"),
        (&["retry", "999999"], 1, "tidegate dead list"),
        (&["drop", "999999"], 1, "tidegate dead list"),
        (&["drop", "--all"], 2, "--yes"),
        (&["drop"], 2, "SEQUENCE|ID"),
        (&["show", "oven"], 2, "neither a sequence number"),
    ] {
        let (got, text) = dead(&stage, arguments);
        assert_eq!(got, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(word), "{arguments:?}: {text}");
    }
    assert_eq!(letters(&stage).len(), 2);
    let (code, text) = dead(&stage, &["drop", &number]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(letters(&stage).len(), 1);
    stage.gateway.kill();
    stage.gateway.start();
    stage.local.wait_subscribed(SOURCE_CLIENT, 2);
    assert_eq!(letters(&stage).len(), 1);
    let (code, text) = dead(&stage, &["drop", "--all", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 dead letter is dropped"), "{text}");
    stage.consumer.wait_for(LOST, 2, PATIENT);
    stage.consumer.assert_accounted();
    assert_eq!(stage.consumer.count(EXCEEDED), 0);
}
