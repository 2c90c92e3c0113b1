//! The network and the brokers fail; the gateway does not.

use crate::stage::{Stage, cross};
use crate::support::consumer::STARTED;
use crate::support::gateway::{SOURCE_CLIENT, crossing_value, reading};
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, wait_until};

#[test]
fn events_of_an_outage_wait_and_drain_in_order() {
    let mut stage = Stage::new();
    stage.start();
    stage.cross(8, 1, 10);
    stage.consumer.wait_for_crossings(80, SOON);
    stage.network.down();
    stage.cross(8, 11, 250);
    stage.network.restore();
    stage.consumer.wait_for_crossings(8 * 260, PATIENT);
    stage.consumer.assert_lossless();
    let late = stage.consumer.events().into_iter().filter(|event| event.json["backlog"] == true).count();
    assert!(late > 0, "no event says that it waited for the outage");
}

#[test]
fn an_upstream_that_is_absent_at_the_start_only_delays() {
    let mut stage = Stage::new();
    stage.network.down();
    stage.start();
    stage.cross(2, 1, 20);
    stage.network.restore();
    stage.consumer.wait_for_crossings(40, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_network_that_swallows_everything_is_given_up_and_tried_again() {
    let mut stage = Stage::with(|config| config.upstream += "ack_timeout = \"2s\"\nconnect_timeout = \"2s\"\n");
    stage.start();
    stage.cross(4, 1, 20);
    stage.consumer.wait_for_crossings(80, SOON);
    let connections = stage.network.accepted();
    stage.network.stall();
    stage.cross(4, 21, 80);
    wait_until("the gateway to give the dead connection up", PATIENT, || stage.network.accepted() > connections);
    stage.cross(4, 101, 20);
    stage.network.restore();
    stage.consumer.wait_for_crossings(480, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_connection_that_breaks_again_and_again_loses_nothing() {
    let mut stage = Stage::new();
    stage.start();
    let mut rng = fastrand::Rng::with_seed(17);
    for seq in 1..=150 {
        for sensor in 0..8 {
            let payload = reading(crossing_value(seq), seq);
            stage.publisher.publish(&format!("sensors/s{sensor}/temp"), payload);
        }
        if seq % 10 == 0 {
            // Somewhere in the stream of what has been published so far, often with events in flight.
            let arrived = stage.consumer.crossings() + rng.u64(1..60);
            holds_within(SOON, || stage.consumer.crossings() >= arrived.min(seq * 8));
            stage.network.cut();
        }
    }
    stage.publisher.flush();
    stage.consumer.wait_for_crossings(150 * 8, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn the_upstream_broker_may_restart() {
    let mut stage = Stage::new();
    stage.start();
    let sensors = stage.local.address();
    std::thread::scope(|scope| {
        scope.spawn(move || cross(&mut crate::support::publisher::Publisher::new(sensors, "more-sensors"), 8, 1, 120));
        for crossings in [100, 400] {
            wait_until("some events", PATIENT, || stage.consumer.crossings() >= crossings);
            stage.upstream.restart();
        }
    });
    stage.consumer.wait_for_crossings(960, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn the_local_broker_may_restart() {
    let mut stage = Stage::new();
    stage.start();
    let sensors = stage.local.address();
    std::thread::scope(|scope| {
        scope.spawn(move || cross(&mut crate::support::publisher::Publisher::new(sensors, "more-sensors"), 8, 1, 120));
        for (crossings, subscriptions) in [(100, 2), (400, 3)] {
            wait_until("some events", PATIENT, || stage.consumer.crossings() >= crossings);
            stage.local.restart();
            // On every connection, since the broker may have lost its memory.
            stage.local.wait_subscribed(SOURCE_CLIENT, subscriptions);
        }
    });
    stage.consumer.wait_for_crossings(960, PATIENT);
    stage.consumer.assert_lossless();
    assert!(stage.gateway.is_running());
}

#[test]
fn a_local_broker_that_is_absent_at_the_start_only_delays() {
    let mut stage = Stage::new();
    stage.local.stop();
    stage.gateway.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.local.resume();
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_stop_in_an_outage_is_clean_and_loses_nothing() {
    let mut stage = Stage::new();
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.network.down();
    stage.cross(8, 1, 100);
    assert_eq!(stage.gateway.stop().code(), Some(0));
    stage.cross(8, 101, 20);
    stage.gateway.start();
    stage.network.restore();
    stage.consumer.wait_for_crossings(960, PATIENT);
    stage.consumer.assert_lossless();
    assert_eq!(stage.consumer.of_kind(STARTED)[1].data("previous_stop"), "clean");
}
