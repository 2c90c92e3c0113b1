//! Several events in one message, compressed: through outages and kills nothing is lost, the order holds, and what the
//! link is spared is measured.

use crate::metrics::scrape;
use crate::stage::Stage;
use crate::support::consumer::STARTED;
use crate::support::{PATIENT, SOON, wait_until};

/// Keys of `[upstream]`.
const METERED: &str = "batch = { wait = \"200ms\" }\ncompress = \"zstd\"\n";

/// Sensors that talk.
const SENSORS: u64 = 8;

/// Crossings of each sensor.
const PER_SENSOR: u64 = 250;

/// An outage, then the backlog; returns messages and payload bytes that arrived, and bytes that crossed the network.
fn backlog(keys: &str) -> (u64, u64, u64) {
    let mut stage = Stage::with(|config| config.upstream += keys);
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.network.down();
    stage.cross(SENSORS, 1, PER_SENSOR);
    // All of it, or what is sent first makes smaller batches.
    wait_until("the backlog to be stored", PATIENT, || {
        stage.status()["store"]["last_sequence"].as_u64() > Some(SENSORS * PER_SENSOR)
    });
    let before = stage.network.passed_bytes();
    stage.network.restore();
    stage.consumer.wait_for_crossings(SENSORS * PER_SENSOR, PATIENT);
    stage.consumer.assert_lossless();
    let (messages, payload_bytes) = stage.consumer.traffic();
    (messages, payload_bytes, stage.network.passed_bytes() - before)
}

#[test]
fn batches_and_compression_spare_the_link_most_of_its_bytes() {
    let plain = backlog("");
    let events = SENSORS * PER_SENSOR;
    for (name, keys, at_least) in [
        ("zstd", "compress = \"zstd\"\n", 1.2),
        ("batches", "batch = { wait = \"200ms\" }\n", 1.02),
        ("batches, zstd", METERED, 5.0),
    ] {
        let metered = backlog(keys);
        let ratio = plain.2 as f64 / metered.2 as f64;
        println!("{name}: {events} events, messages/payload/network {plain:?} -> {metered:?}: {ratio:.1} times less");
        assert!(ratio > at_least, "{name}: {plain:?} -> {metered:?}");
    }
}

#[test]
fn kills_in_an_outage_and_in_the_backlog_lose_nothing_of_any_batch() {
    let mut stage = Stage::with(|config| config.upstream += METERED);
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    let mut rng = fastrand::Rng::new();
    println!("seed {}", rng.get_seed());
    let (rounds, per_round) = (5, 60);
    for round in 0..rounds {
        stage.network.down();
        stage.cross(SENSORS, round * per_round + 1, per_round / 2);
        stage.gateway.kill();
        stage.cross(SENSORS, round * per_round + per_round / 2 + 1, per_round / 2);
        stage.gateway.start();
        stage.network.restore();
        // Somewhere in the backlog, often with batches in flight.
        let part = stage.consumer.crossings() + rng.u64(0..SENSORS * per_round);
        stage.consumer.arrives(SOON, || stage.consumer.crossings() >= part);
        stage.gateway.kill();
        stage.gateway.start();
    }
    stage.consumer.wait_for_crossings(SENSORS * rounds * per_round, PATIENT);
    stage.consumer.assert_lossless();
    let (messages, _) = stage.consumer.traffic();
    println!("{messages} messages, {}", stage.consumer.summary());
    assert!(messages < stage.consumer.arrived(), "{messages} messages");
}

#[test]
fn the_metrics_tell_what_batches_and_compression_spare() {
    let mut stage = Stage::with(|config| config.upstream += METERED);
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.network.down();
    stage.cross(SENSORS, 1, PER_SENSOR);
    stage.network.restore();
    stage.consumer.wait_for_crossings(SENSORS * PER_SENSOR, PATIENT);
    wait_until("all acknowledged", SOON, || {
        scrape(&stage).get("tidegate_delivered_events_total", &[]) == (SENSORS * PER_SENSOR + 1) as f64
    });
    let metrics = scrape(&stage);
    let (batches, events) = (
        metrics.get("tidegate_upstream_batch_events_count", &[]),
        metrics.get("tidegate_upstream_batch_events_sum", &[]),
    );
    let bytes = |state| metrics.get("tidegate_upstream_payload_bytes_total", &[("state", state)]);
    println!("{events} events in {batches} batches, {} bytes as {}", bytes("encoded"), bytes("sent"));
    let (messages, payload_bytes) = stage.consumer.traffic();
    let singles = metrics.get("tidegate_published_events_total", &[]) - events;
    // Repeats count as sent, and the network was cut in the middle of things.
    assert!(batches >= 1.0 && batches + singles >= messages as f64, "{batches} and {singles}, {messages} messages");
    assert!(events / batches > 10.0, "{events} events in {batches}");
    assert!(bytes("sent") >= payload_bytes as f64, "{payload_bytes} bytes arrived");
    assert!(bytes("encoded") > 4.0 * bytes("sent"));
    stage.consumer.assert_lossless();
}
