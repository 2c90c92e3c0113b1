//! An event that a real broker answers by closing the connection: found, set aside and announced, and the rest flows.
//! With the default back-off, since that is what decides how long the others wait.

use std::time::{Duration, Instant};

use crate::broker::{Make, UNWANTED};
use crate::scene::{SENSORS, Scene};
use crate::support::consumer::LOST;
use crate::support::gateway::{said, tidegate};
use crate::tally::Tally;

/// Crossings of each sensor before and after the bad event.
const PART: u64 = 150;

/// Bytes of a note that make an event too large for a picky mosquitto; the gateway carries up to 4 KiB.
const NOTE_BYTES: usize = 3_500;

/// How long the search for the bad event may take with the default settings.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

fn poison(make: Make) {
    let (mut scene, _broker) = Scene::with_picky(make, true);
    scene.config.upstream = scene.config.upstream.replace("backoff_min = \"100ms\"\nbackoff_max = \"1s\"\n", "");
    scene.gateway.configure(&scene.config);
    scene.start();
    scene.cross(1, PART);
    let note = "x".repeat(NOTE_BYTES);
    scene.publisher.publish(&format!("sensors/{UNWANTED}/temp"), format!(r#"{{"value":80.0,"note":"{note}"}}"#));
    let (since, before) = (Instant::now(), scene.network.accepted());
    scene.cross(PART + 1, PART);
    let taken = scene.settle(2 * PART * SENSORS, true, since);
    scene.consumer.wait_for(LOST, 1, FOUND_WITHIN);
    let connections = scene.network.accepted() - before;
    println!("{}: {connections} connections, {taken:?}", make.name());
    let lost = scene.consumer.of_kind(LOST).remove(0);
    assert_eq!((lost.data("reason"), lost.data("count")), (&"dead-letter".into(), &1.into()));
    Tally::of(make.name(), "poison", 2 * PART * SENSORS + 1, &scene.consumer, taken);
    scene.consumer.assert_accounted();
    assert!(connections <= 10, "{connections} connections to find one event");
    assert!(taken <= FOUND_WITHIN, "it took {taken:?}");
}

#[test]
fn mosquitto_closes_at_one_event_and_gets_the_rest() {
    if crate::wanted() {
        poison(Make::Mosquitto);
    }
}

#[test]
fn rabbitmq_closes_at_one_event_and_gets_the_rest() {
    if crate::wanted() {
        poison(Make::RabbitMq);
    }
}

/// What NATS 2.9 forbids a user to publish it acknowledges all the same: no gateway can know. README says so; when this
/// fails, a newer NATS has become better.
#[test]
fn nats_acknowledges_what_it_forbids_and_drops_it() {
    if !crate::wanted() {
        return;
    }
    let (mut scene, _broker) = Scene::with_picky(Make::Nats, true);
    scene.start();
    scene.cross(1, 1);
    scene.publisher.publish(&format!("sensors/{UNWANTED}/temp"), r#"{"value":80.0,"seq":1}"#);
    scene.publisher.flush();
    scene.cross(2, 1);
    let taken = scene.settle(2 * SENSORS, true, Instant::now());
    Tally::of(Make::Nats.name(), "forbidden topic", 2 * SENSORS + 1, &scene.consumer, taken);
    assert_eq!((scene.consumer.absent(), scene.consumer.announced_lost()), (1, 0));
}

/// What a profile that is not NATS's lets into a topic and NATS 2.9 does not take: it ends the connection. Each of these
/// devices has one event, with the others' before, between and after. Each is found, tried three times and set aside.
fn foreign_topics(devices: &[&str], fault: &str) {
    let (mut scene, _broker) = Scene::with(Make::Nats);
    scene.config.upstream += "profile = \"mosquitto\"\n";
    scene.gateway.configure(&scene.config);
    scene.start();
    let mut first = 1;
    for device in devices {
        scene.cross(first, PART);
        scene.publisher.publish(&format!("sensors/{device}/temp"), r#"{"value":80.0}"#);
        first += PART;
    }
    let since = Instant::now();
    scene.cross(first, PART);
    let (bad, good) = (devices.len() as u64, (first + PART - 1) * SENSORS);
    let taken = scene.settle(good, true, since);
    let found = scene.consumer.arrives(FOUND_WITHIN, || scene.consumer.announced_lost() == bad);
    Tally::of(Make::Nats.name(), fault, good + bad, &scene.consumer, taken);
    assert!(found, "{} announced", scene.consumer.announced_lost());
    assert!(scene.consumer.of_kind(LOST).iter().all(|lost| lost.data("reason") == "dead-letter"));
    scene.consumer.assert_accounted();
    let dead = tidegate(&["dead", "list", "--json", "--socket", &scene.path("control.sock").display().to_string()]);
    let dead = said(&dead);
    for device in devices {
        assert!(dead.contains(&format!("plant/{device}/value")), "{device}: {dead}");
    }
    assert_eq!(dead.matches("3 connections in a row").count(), devices.len(), "{dead}");
    assert!(taken <= FOUND_WITHIN, "it took {taken:?}");
}

#[test]
fn nats_closes_at_a_topic_with_a_space_and_gets_the_rest() {
    if crate::wanted() {
        foreign_topics(&["oven 7"], "topic with a space");
    }
}

#[test]
fn nats_closes_at_topics_with_a_dot_and_gets_the_rest() {
    if crate::wanted() {
        foreign_topics(&["oven.7", "oven.8"], "two topics with a dot");
    }
}
