//! What an operator sees and says while the gateway runs, and what `check --environment` finds before it does.

use crate::stage::Stage;
use crate::support::consumer::{CLEARED, EXCEEDED};
use crate::support::gateway::{said, serial_source, tidegate};
use crate::support::{PATIENT, SOON, wait_until};

fn check_environment(stage: &Stage) -> (Option<i32>, String) {
    stage.gateway.configure(&stage.config);
    let path = stage.path("gateway/tidegate.toml");
    let output = tidegate(&["check", "--environment", "--config", path.to_str().unwrap()]);
    (output.status.code(), said(&output))
}

#[test]
fn the_status_tells_what_waits_and_why() {
    let mut stage = Stage::new();
    stage.network.down();
    stage.start();
    stage.cross(2, 1, 5);
    // Ten crossings and the start.
    wait_until("the events to be stored", SOON, || stage.status()["store"]["waiting"] == 11);
    wait_until("a failed attempt", SOON, || stage.status()["upstream"]["last_error"].is_string());
    let status = stage.status();
    assert_eq!(status["gateway"], "gw1");
    assert_eq!(status["sources"]["plant"]["up"], true);
    assert_eq!(status["sources"]["plant"]["messages"], 10);
    assert_eq!(status["upstream"]["connected"], false);
    // Flash wear: eleven stored events are some blocks at least.
    let wear = &status["wear"];
    assert!(wear["written_bytes"].as_u64() >= Some(4096), "{wear}");
    assert!(wear["per_event_bytes"].as_u64() >= Some(4096 / 11), "{wear}");
    assert_eq!(wear["day_bytes"], wear["written_bytes"], "the day has just begun");
    let text = said(&stage.ask(&["status"]));
    assert!(text.contains("bytes an event"), "{text}");
    assert!(text.contains("11 events waiting") && text.contains("not connected"), "{text}");

    stage.network.restore();
    stage.consumer.wait_for_crossings(10, PATIENT);
    wait_until("an empty store", SOON, || stage.status()["store"]["waiting"] == 0);
    assert_eq!(stage.status()["upstream"]["connected"], true);
    stage.consumer.assert_lossless();
}

#[test]
fn the_status_says_why_a_source_is_away_and_what_it_is_now() {
    let mut stage = Stage::new();
    stage.start();
    stage.say("oven", 20.0, 1);
    wait_until("the reading", SOON, || stage.status()["readings"]["evaluated"] == 1);
    assert!(stage.status()["sources"]["plant"].get("reason").is_none());
    stage.local.stop();
    // First it was closed on us; now nobody is there.
    let plant = |stage: &Stage| stage.status()["sources"]["plant"].clone();
    wait_until("the present reason", PATIENT, || {
        plant(&stage)["reason"].as_str().is_some_and(|reason| reason.contains("refuses connections"))
    });
    assert!(plant(&stage)["up"] == false && plant(&stage)["since"].is_string(), "{}", plant(&stage));
    let text = said(&stage.ask(&["status"]));
    assert!(text.contains("plant: DOWN since 2") && text.contains("refuses connections"), "{text}");
    stage.local.resume();
    wait_until("the source", PATIENT, || plant(&stage)["up"] == true);
    assert!(plant(&stage).get("reason").is_none() && plant(&stage).get("since").is_none(), "{}", plant(&stage));
}

#[test]
fn a_control_socket_gets_its_folder_and_is_made_as_soon_as_it_can_be() {
    let mut stage = Stage::new();
    let place = stage.path("run/control.sock");
    let before = stage.path("control.sock").display().to_string();
    stage.config.gateway = stage.config.gateway.replace(&before, place.to_str().unwrap());
    stage.gateway.configure(&stage.config);
    std::fs::write(place.parent().unwrap(), "in the way").unwrap();
    stage.start();
    stage.gateway.wait_logged(&["no control socket", "tried again"]);
    std::fs::remove_file(place.parent().unwrap()).unwrap();
    wait_until("the socket", PATIENT, || place.exists());
    let asked = tidegate(&["status", "--socket", place.to_str().unwrap()]);
    assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
}

#[test]
fn a_latched_alarm_stays_until_it_is_acknowledged() {
    let mut stage = Stage::with(|config| config.alarms[0].push_str("latched = true\n"));
    stage.start();
    stage.say("oven", 80.0, 1);
    stage.say("oven", 20.0, 2);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    let listed = || said(&stage.ask(&["alarms", "list"]));
    wait_until("the latched alarm to be listed", SOON, || listed().contains("gone but latched"));
    assert_eq!(stage.consumer.of_kind(CLEARED).len(), 0);

    let unknown = stage.ask(&["alarms", "ack", "too-warm", "plant/kettle/value"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
    let done = stage.ask(&["alarms", "ack", "too-warm", "plant/oven/value"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    assert!(listed().contains("no alarm is active"));
    stage.consumer.assert_lossless();
}

#[test]
fn a_shelved_alarm_says_nothing_until_it_is_unshelved_also_over_a_restart() {
    let mut stage = Stage::new();
    stage.start();
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    let wrong = stage.ask(&["alarms", "shelve", "too-warm", "plant/#/valve", "--for", "1h"]);
    assert_eq!(wrong.status.code(), Some(1), "a slip must not shelve the whole plant");
    assert!(said(&wrong).contains("plant/#/valve"), "{}", said(&wrong));
    let done = stage.ask(&["alarms", "shelve", "too-warm", "plant/+/value", "--for", "1h"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    stage.gateway.kill();
    stage.gateway.start();
    stage.say("oven", 90.0, 2);
    wait_until("the reading", SOON, || stage.status()["readings"]["evaluated"] == 1);
    assert!(said(&stage.ask(&["alarms", "list"])).contains("shelved for"));
    assert_eq!(stage.consumer.of_kind(EXCEEDED).len(), 1);

    let done = stage.ask(&["alarms", "unshelve", "too-warm", "plant/oven/value"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    stage.consumer.wait_for(EXCEEDED, 2, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_suppressed_alarm_says_nothing_until_it_is_put_back_also_over_a_restart() {
    let mut stage = Stage::new();
    stage.start();
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    let unknown = stage.ask(&["alarms", "suppress", "too-warm", "plant/kettle/value"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
    assert!(said(&unknown).contains("nothing to suppress"), "{}", said(&unknown));
    let early = stage.ask(&["alarms", "unsuppress", "too-warm", "plant/oven/value"]);
    assert_eq!(early.status.code(), Some(1), "it is not suppressed: {}", said(&early));
    let timed = stage.ask(&["alarms", "suppress", "too-warm", "plant/oven/value", "--for", "1h"]);
    assert_eq!(timed.status.code(), Some(2), "it has no end of its own: {}", said(&timed));

    let done = stage.ask(&["alarms", "suppress", "too-warm", "plant/+/value", "--json"]);
    assert_eq!(said(&done).split_whitespace().collect::<String>(), r#"{"changed":true}"#);
    assert_eq!(done.status.code(), Some(0));
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    let cleared = &stage.consumer.of_kind(CLEARED)[0];
    let raised = &stage.consumer.of_kind(EXCEEDED)[0];
    assert_eq!(cleared.json["data"]["state"], serde_json::json!({ "before": "active", "after": "normal" }));
    assert_eq!(cleared.json["correlationid"], raised.json["correlationid"]);

    stage.gateway.kill();
    stage.gateway.start();
    stage.say("oven", 20.0, 2);
    stage.say("oven", 90.0, 3);
    wait_until("the readings", SOON, || stage.status()["readings"]["evaluated"] == 2);
    assert!(said(&stage.ask(&["alarms", "list"])).contains(", suppressed"));
    let listed = stage.ask(&["alarms", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["suppressed"], &listed[0]["state"]), (&true.into(), &"normal".into()));
    assert!(said(&stage.ask(&["top", "--once"])).contains(", suppressed"));
    assert_eq!(stage.consumer.of_kind(EXCEEDED).len(), 1);

    let done = stage.ask(&["alarms", "unsuppress", "too-warm", "plant/oven/value"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    stage.consumer.wait_for(EXCEEDED, 2, PATIENT);
    let raised = stage.consumer.of_kind(EXCEEDED);
    assert_ne!(raised[0].json["correlationid"], raised[1].json["correlationid"], "another episode");
    assert!(!said(&stage.ask(&["alarms", "list"])).contains("suppressed"));
    stage.consumer.assert_lossless();
}

#[test]
fn without_a_gateway_the_operator_is_told_so() {
    let output = tidegate(&["status", "--socket", "/nonexistent/control.sock"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is the gateway running?"), "{}", said(&output));
}

#[test]
fn the_environment_is_checked_thing_by_thing() {
    let mut stage = Stage::new();
    let (code, text) = check_environment(&stage);
    assert_eq!(code, Some(0), "{text}");
    for what in ["store", "source `plant`", "upstream"] {
        assert!(text.contains(&format!("ok    {what}")), "{text}");
    }

    stage.network.down();
    stage.config.sources.push(serial_source("scale", &stage.path("no-such-port")));
    let (code, text) = check_environment(&stage);
    assert_eq!(code, Some(1), "{text}");
    for what in ["WRONG source `scale`", "WRONG upstream", "ok    source `plant`", "2 things"] {
        assert!(text.contains(what), "{text}");
    }
}
