//! After an outage: what is sent first, how fast, and when there is a connection at all.

use std::time::Instant;

use crate::stage::Stage;
use crate::support::gateway::high_alarm;
use crate::support::{PATIENT, SOON, wait_until};

/// Sensors in the backlog, and crossings of each.
const SENSORS: u64 = 20;
const PER_SENSOR: u64 = 500;

/// Events that may leave in a second: the backlog takes about twenty-five. Low enough to be what holds the queue back,
/// also on a busy machine: what goes ahead is found while the rate makes the queue wait.
const RATE: u64 = 400;

/// Low alarms on every sensor, critical ones above 90; and keys of `[upstream]`.
fn stage(upstream: &str) -> Stage {
    Stage::with(|config| {
        config.alarms = vec![
            high_alarm("too-warm", "plant/+/value", 75.0, "low"),
            high_alarm("fire", "plant/+/value", 90.0, "critical"),
        ];
        config.upstream += upstream;
    })
}

/// Makes a backlog, with the network down.
fn fill(stage: &mut Stage, per_sensor: u64) {
    stage.start();
    // The start's own event is acknowledged, or the outage would have it sent again.
    wait_stored(stage, 1);
    wait_drained(stage);
    stage.network.down();
    stage.cross(SENSORS, 1, per_sensor);
    wait_stored(stage, SENSORS * per_sensor);
}

/// Waits until so many events are on disk.
#[track_caller]
fn wait_stored(stage: &Stage, events: u64) {
    wait_until("the events to be stored", PATIENT, || {
        stage.status()["store"]["last_sequence"].as_u64().unwrap() >= events
    });
}

/// Waits until nothing is left to be sent.
#[track_caller]
fn wait_drained(stage: &Stage) {
    wait_until("the store to be empty", PATIENT, || stage.status()["store"]["waiting"] == 0);
}

/// How many events had arrived before the first that is so.
fn place(stage: &Stage, is_it: impl Fn(&crate::support::consumer::Event) -> bool) -> usize {
    stage.consumer.events().iter().position(is_it).expect("it has arrived")
}

#[test]
fn what_happens_now_overtakes_a_backlog_and_the_rate_holds() {
    let mut stage = stage(&format!("order = \"live-first\"\nrate_limit = {{ events_per_second = {RATE} }}\n"));
    fill(&mut stage, PER_SENSOR);
    let start = Instant::now();
    stage.network.restore();
    stage.consumer.wait_for_crossings(200, PATIENT);
    // Live events of sensors in the backlog, which wait for it, and of one that is not.
    stage.cross(SENSORS, PER_SENSOR + 1, 2);
    stage.say("quiet", 80.0, 1);
    let all = SENSORS * (PER_SENSOR + 2) + 1;
    stage.consumer.wait_for_crossings(all, PATIENT);
    wait_drained(&stage);
    let lasted = start.elapsed().as_secs();
    assert!(lasted >= all / RATE - 2, "{all} events in {lasted} s are too many");
    let quiet = place(&stage, |event| event.subject == "plant/quiet/value");
    assert!(quiet < 6_000, "{quiet} events were sent before it");
    assert_eq!(stage.consumer.about("plant/quiet/value")[0].json["backlog"], false);
    stage.consumer.assert_lossless();
    assert_eq!(stage.consumer.repeats(), 0);
}

#[test]
fn critical_events_overtake_a_backlog_and_bring_their_sensors_earlier_events_along() {
    let mut stage = stage(&format!("order = \"severity-first\"\nrate_limit = {{ events_per_second = {RATE} }}\n"));
    fill(&mut stage, PER_SENSOR);
    // At the end of the backlog: one sensor with five hundred events before, one with none.
    stage.say("s19", 95.0, PER_SENSOR + 1);
    stage.say("far", 95.0, 1);
    wait_stored(&stage, SENSORS * PER_SENSOR + 4);
    stage.network.restore();
    stage.consumer.wait_for_crossings(SENSORS * PER_SENSOR + 2, PATIENT);
    wait_drained(&stage);
    for subject in ["plant/s19/value", "plant/far/value"] {
        let critical = place(&stage, |event| event.subject == subject && event.json["severity"] == "critical");
        assert!(critical < 7_500, "{critical} events were sent before that of {subject}");
    }
    stage.consumer.assert_lossless();
    assert_eq!(stage.consumer.repeats(), 0);
}

#[test]
fn kills_while_events_overtake_lose_nothing_and_break_no_order() {
    for order in ["live-first", "severity-first"] {
        let mut stage = stage(&format!("order = \"{order}\"\nrate_limit = {{ events_per_second = 500 }}\n"));
        fill(&mut stage, 150);
        stage.network.restore();
        stage.consumer.wait_for_crossings(300, PATIENT);
        stage.say("quiet", 95.0, 1);
        stage.say("s0", 95.0, 151);
        stage.consumer.wait_for_crossings(1_000, PATIENT);
        stage.gateway.kill();
        stage.gateway.start();
        stage.say("quiet", 20.0, 2);
        stage.consumer.wait_for_crossings(1_500, PATIENT);
        stage.network.cut();
        stage.consumer.wait_for_crossings(2_000, PATIENT);
        stage.gateway.kill();
        stage.gateway.start();
        stage.consumer.wait_for_crossings(SENSORS * 150 + 3, PATIENT);
        wait_drained(&stage);
        stage.consumer.assert_lossless();
    }
}

#[test]
fn between_scheduled_calls_there_is_no_connection_but_for_what_is_critical() {
    // Once a year, not now.
    let mut stage = stage("connect_when = \"0 0 29 2 *\"\n");
    stage.start();
    let is_between = |stage: &Stage| stage.status()["upstream"]["between_calls"] == true;
    // While nobody has confirmed the clock there is a call at the start.
    wait_until("the gateway to wait for a call", SOON, || is_between(&stage));
    let calls = stage.network.accepted();
    stage.cross(2, 1, 10);
    wait_until("the events to wait", SOON, || stage.status()["store"]["waiting"].as_u64().unwrap() >= 20);
    assert!(is_between(&stage));
    assert_eq!((stage.network.accepted(), stage.consumer.crossings()), (calls, 0));
    let text = String::from_utf8(stage.ask(&["status"]).stdout).unwrap();
    assert!(text.contains("between calls since"), "{text}");
    stage.say("oven", 95.0, 1);
    stage.consumer.wait_for_crossings(21, PATIENT);
    wait_until("the gateway to hang up", SOON, || is_between(&stage));
    assert_eq!(stage.network.accepted(), calls + 1);
    wait_drained(&stage);
    wait_until("its word on that", SOON, || {
        let status = stage.consumer.status("tidegate/gw1/status").unwrap_or_default();
        status["state"] == "offline" && status["reason"] == "scheduled"
    });
    stage.consumer.assert_lossless();
}
