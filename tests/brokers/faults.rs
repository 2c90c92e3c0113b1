//! Each make through the same faults: nothing, an outage, kill -9 of the gateway in it, kill -9 of the broker.

use std::time::Instant;

use crate::broker::{Broker, Make};
use crate::scene::{PATIENCE, SENSORS, Scene};
use crate::support::consumer::{CLEARED, EXCEEDED, RECOVERED, SOURCE_LOST, SOURCE_RESTORED, STALE, STARTED};
use crate::support::gateway::{SOURCE_CLIENT, line};
use crate::support::{PATIENT, wait_until};
use crate::tally::Tally;

/// Crossings of each sensor in a part of a test.
const PART: u64 = 100;

/// Every kind of event arrives, each on the topic that it is to have.
fn every_kind(make: Make) {
    let (mut scene, _broker) = Scene::with(make);
    scene.config.alarms.push(
        line("name", "silent") + "sensors = [\"plant/quiet/value\"]\nstale_after = \"1s\"\n" + &line("severity", "low"),
    );
    scene.gateway.configure(&scene.config);
    scene.start();
    let since = Instant::now();
    scene.cross(1, PART);
    scene.publisher.publish("sensors/quiet/temp", r#"{"value":1.0}"#);
    scene.consumer.wait_for(STALE, 1, PATIENT);
    scene.publisher.publish("sensors/quiet/temp", r#"{"value":1.0}"#);
    scene.consumer.wait_for(RECOVERED, 1, PATIENT);
    scene.local.restart();
    for kind in [SOURCE_LOST, SOURCE_RESTORED, STARTED] {
        scene.consumer.wait_for(kind, 1, PATIENT);
    }
    let taken = scene.settle(PART * SENSORS, true, since);
    for kind in [EXCEEDED, CLEARED] {
        assert_eq!(scene.consumer.count(kind), PART * SENSORS / 2);
    }
    for event in scene.consumer.events() {
        let severity = event.json["severity"].as_str().unwrap();
        assert_eq!(event.topic, format!("tidegate/gw1/{severity}/{}", event.subject), "{}", event.json);
    }
    Tally::of(make.name(), "none", PART * SENSORS, &scene.consumer, taken);
    scene.consumer.assert_lossless();
}

/// A part has been taken; then the broker has stopped in good order, and another part waits.
fn halted(make: Make) -> (Scene, Broker) {
    let (mut scene, mut broker) = Scene::with(make);
    scene.start();
    scene.cross(1, PART);
    scene.settle(PART * SENSORS, true, Instant::now());
    broker.stop();
    scene.cross(PART + 1, PART);
    (scene, broker)
}

/// The broker stops in good order while events come, starts again, and gets all of them.
fn outage(make: Make) {
    let (scene, mut broker) = halted(make);
    broker.resume();
    let since = Instant::now();
    let taken = scene.settle(2 * PART * SENSORS, true, since);
    Tally::of(make.name(), "outage", 2 * PART * SENSORS, &scene.consumer, taken);
    scene.consumer.assert_lossless();
}

/// The same, and the gateway is killed with the outage's events in its store.
fn gateway_killed(make: Make) {
    let (mut scene, mut broker) = halted(make);
    scene.gateway.kill();
    broker.resume();
    scene.gateway.start();
    let since = Instant::now();
    let taken = scene.settle(2 * PART * SENSORS, true, since);
    // And in the middle of the flow, with some acknowledgements on their way.
    scene.local.wait_subscribed(SOURCE_CLIENT, 2);
    scene.cross(2 * PART + 1, PART);
    scene.gateway.kill();
    scene.gateway.start();
    scene.settle(3 * PART * SENSORS, true, Instant::now());
    Tally::of(make.name(), "kill -9 of the gateway", 3 * PART * SENSORS, &scene.consumer, taken);
    scene.consumer.assert_lossless();
}

/// The broker dies in the middle of the flow.
fn broker_killed(make: Make) {
    let (mut scene, mut broker) = Scene::with(make);
    scene.start();
    scene.cross(1, PART);
    wait_until("the flow to run", PATIENCE, || scene.consumer.crossings() >= PART * SENSORS / 2);
    broker.kill();
    scene.cross(PART + 1, PART);
    broker.resume();
    let since = Instant::now();
    let sure = make.keeps_what_it_acknowledged();
    let taken = scene.settle(2 * PART * SENSORS, sure, since);
    let tally = Tally::of(make.name(), "kill -9 of the broker", 2 * PART * SENSORS, &scene.consumer, taken);
    if sure {
        assert_eq!(tally.lost, 0);
        assert_eq!((scene.consumer.absent(), scene.consumer.announced_lost()), (0, 0));
        // NATS gives a subscriber what it had sent it before the kill again, behind what has come since.
        if make != Make::Nats {
            scene.consumer.assert_sound();
        }
    }
    // Whatever the broker has lost of what it had acknowledged, the gateway goes on.
    scene.cross(2 * PART + 1, 1);
    wait_until("the next events", PATIENCE, || {
        (0..SENSORS).all(|n| scene.consumer.last_seq(&format!("plant/s{n}/value")) == Some(2 * PART + 1))
    });
}

macro_rules! for_each_make {
    ($($fault:ident: $mosquitto:ident, $rabbitmq:ident, $nats:ident;)*) => {$(
        #[test]
        fn $mosquitto() {
            if crate::wanted() {
                $fault(Make::Mosquitto);
            }
        }

        #[test]
        fn $rabbitmq() {
            if crate::wanted() {
                $fault(Make::RabbitMq);
            }
        }

        #[test]
        fn $nats() {
            if crate::wanted() {
                $fault(Make::Nats);
            }
        }
    )*};
}
pub(crate) use for_each_make;

for_each_make! {
    every_kind: every_kind_arrives_at_mosquitto, every_kind_arrives_at_rabbitmq, every_kind_arrives_at_nats;
    outage: mosquitto_gets_everything_after_an_outage, rabbitmq_gets_everything_after_an_outage,
        nats_gets_everything_after_an_outage;
    gateway_killed: a_killed_gateway_loses_nothing_at_mosquitto, a_killed_gateway_loses_nothing_at_rabbitmq,
        a_killed_gateway_loses_nothing_at_nats;
    broker_killed: a_killed_mosquitto_does_not_stop_the_flow, a_killed_rabbitmq_has_lost_nothing,
        a_killed_nats_has_lost_nothing;
}
