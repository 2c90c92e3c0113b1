//! From a sensor's message to the event upstream, in good weather.

use crate::stage::Stage;
use crate::support::consumer::{CLEARED, EXCEEDED, STARTED};
use crate::support::gateway::high_alarm;
use crate::support::{PATIENT, SOON, wait_until};

#[test]
fn a_crossing_arrives_with_its_whole_story() {
    let mut stage = Stage::new();
    stage.start();
    // At the limit is not above it, and back within the deadband is not back.
    for (seq, value) in [(1, 70.0), (2, 75.0), (3, 80.0), (4, 91.5), (5, 74.0), (6, 72.0)] {
        stage.say("oven", value, seq);
    }
    stage.consumer.wait_for(CLEARED, 1, SOON);
    let events = stage.consumer.about("plant/oven/value");
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [Some(3), Some(6)]);
    let (raised, cleared) = (&events[0], &events[1]);

    assert_eq!(raised.kind, EXCEEDED);
    assert_eq!(raised.topic, "tidegate/gw1/high/plant/oven/value");
    assert_eq!(raised.json["source"], "/tidegate/gw1");
    assert_eq!(raised.json["severity"], "high");
    assert_eq!(raised.json["partitionkey"], "plant/oven/value");
    assert_eq!(raised.data("alarm"), "too-warm");
    assert_eq!(raised.data("condition"), "high");
    assert_eq!(raised.data("change"), "raised");
    assert_eq!(raised.data("value"), 80.0);
    assert_eq!(raised.data("unit"), "°C");
    assert_eq!(raised.data("limit"), 75.0);
    assert_eq!(raised.data("deadband"), 2.0);
    assert_eq!(raised.data("state")["before"], "normal");
    assert_eq!(raised.data("state")["after"], "active");
    let context = raised.data("context").as_array().unwrap();
    assert_eq!(context.iter().map(|sample| sample["value"].as_f64().unwrap()).collect::<Vec<_>>(), [70.0, 75.0]);
    assert_eq!(raised.data("attributes")["seq"], 3);
    assert!(raised.data("attributes")["ts"].is_u64());

    assert_eq!(cleared.kind, CLEARED);
    assert_eq!(cleared.data("change"), "cleared");
    assert_eq!(cleared.data("value"), 72.0);
    assert_eq!(cleared.data("state")["after"], "normal");
    assert_eq!(cleared.data("episode")["peak"], 91.5);
    assert_eq!(raised.json["correlationid"], raised.json["id"]);
    assert_eq!(cleared.json["correlationid"], raised.json["id"]);
    assert!(cleared.sequence > raised.sequence);
    stage.consumer.assert_lossless();
}

#[test]
fn readings_that_cross_nothing_raise_nothing() {
    let mut stage = Stage::new();
    stage.start();
    for seq in 1..=300 {
        stage.publisher.publish("sensors/calm/temp", crate::support::gateway::reading(seq as f64 % 75.0, seq));
    }
    // Handled after all of them: when its event is there, theirs would be too.
    stage.say("marker", 99.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, SOON);
    assert_eq!(stage.consumer.about("plant/calm/value").len(), 0);
    assert_eq!(stage.consumer.alarm_events(), 1);
}

#[test]
fn every_crossing_makes_one_event_and_raises_and_clears_alternate() {
    let mut stage = Stage::new();
    stage.start();
    stage.cross(10, 1, 60);
    stage.consumer.wait_for_crossings(600, PATIENT);
    assert_eq!(stage.consumer.count(EXCEEDED), 300);
    assert_eq!(stage.consumer.count(CLEARED), 300);
    assert_eq!(stage.consumer.repeats(), 0);
    stage.consumer.assert_lossless();
}

#[test]
fn several_alarms_on_one_sensor_each_say_their_own() {
    let mut stage = Stage::with(|config| {
        config.alarms.push(high_alarm("far-too-warm", "plant/#", 90.0, "critical"));
    });
    stage.start();
    for (seq, value) in [(1, 80.0), (2, 95.0), (3, 80.0), (4, 20.0)] {
        stage.say("oven", value, seq);
    }
    stage.consumer.wait_for(CLEARED, 2, SOON);
    let story: Vec<_> = stage
        .consumer
        .about("plant/oven/value")
        .into_iter()
        .map(|event| (event.data("alarm").as_str().unwrap().to_owned(), event.kind, event.seq.unwrap(), event.topic))
        .collect();
    let line = |alarm: &str, kind: &str, seq: u64, severity: &str| {
        (alarm.to_owned(), kind.to_owned(), seq, format!("tidegate/gw1/{severity}/plant/oven/value"))
    };
    assert_eq!(
        story,
        [
            line("too-warm", EXCEEDED, 1, "high"),
            line("far-too-warm", EXCEEDED, 2, "critical"),
            line("far-too-warm", CLEARED, 3, "critical"),
            line("too-warm", CLEARED, 4, "high"),
        ]
    );
    stage.consumer.assert_lossless();
}

#[test]
fn what_sensors_say_while_the_gateway_is_stopped_is_not_missed() {
    let mut stage = Stage::new();
    stage.start();
    assert_eq!(stage.gateway.stop().code(), Some(0));
    stage.cross(4, 1, 50);
    stage.gateway.start();
    stage.consumer.wait_for_crossings(200, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_start_is_told_upstream_and_says_how_the_last_run_ended() {
    let mut stage = Stage::new();
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    let state = |stage: &Stage| stage.consumer.status("tidegate/gw1/status").map(|status| status["state"].clone());
    wait_until("the birth", SOON, || state(&stage).is_some_and(|state| state == "online"));
    stage.gateway.kill();
    // The broker says in its place that it is gone.
    wait_until("the last will", SOON, || state(&stage).is_some_and(|state| state == "offline"));
    stage.gateway.start();
    stage.consumer.wait_for(STARTED, 2, SOON);
    assert_eq!(stage.gateway.stop().code(), Some(0));
    stage.gateway.start();
    stage.consumer.wait_for(STARTED, 3, SOON);
    let started = stage.consumer.of_kind(STARTED);
    let stops: Vec<_> = started.iter().map(|event| event.data("previous_stop").as_str().unwrap()).collect();
    assert_eq!(stops, ["first", "unclean", "clean"]);
    assert_eq!(started[0].subject, "gateway");
    assert_eq!(started[0].data("version"), env!("CARGO_PKG_VERSION"));
    stage.consumer.assert_lossless();
}
