//! The metrics of the real binary, compared with what was sent and what arrived.

use crate::stage::Stage;
use crate::support::gateway::said;
use crate::support::openmetrics::Exposition;
use crate::support::proxy::Fault;
use crate::support::{PATIENT, SOON, wait_until};

#[track_caller]
pub fn scrape(stage: &Stage) -> Exposition {
    let output = stage.ask(&["metrics"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    Exposition::parse(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_metrics_are_what_was_sent_stored_and_delivered() {
    let mut stage = Stage::new();
    stage.start();
    // First: when the crossings have arrived, this one has been looked at.
    stage.publisher.publish("sensors/broken/temp", "{\"value\":");
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    // Twenty crossings and the start.
    wait_until("all acknowledged", SOON, || scrape(&stage).get("tidegate_delivered_events_total", &[]) == 21.0);
    wait_until("an empty queue", SOON, || scrape(&stage).get("tidegate_queue_events", &[]) == 0.0);
    let metrics = scrape(&stage);
    let plant = [("source", "plant")];
    assert_eq!(metrics.get("tidegate_source_messages_total", &plant), 21.0);
    assert_eq!(metrics.get("tidegate_source_readings_total", &plant), 20.0);
    assert_eq!(metrics.get("tidegate_source_rejects_total", &[plant[0], ("reason", "malformed")]), 1.0);
    assert_eq!(metrics.get("tidegate_source_connected_state", &plant), 1.0);
    assert_eq!(metrics.get("tidegate_evaluated_readings_total", &[]), 20.0);
    let stored =
        |kind, severity| metrics.get("tidegate_stored_events_total", &[("type", kind), ("severity", severity)]);
    assert_eq!(stored("tidegate.threshold.exceeded.v1", "high"), 10.0);
    assert_eq!(stored("tidegate.threshold.cleared.v1", "high"), 10.0);
    assert_eq!(stored("tidegate.gateway.started.v1", "info"), 1.0);
    assert_eq!(metrics.sum("tidegate_stored_events_total"), 21.0);
    assert_eq!(metrics.get("tidegate_published_events_total", &[]), 21.0);
    assert_eq!(metrics.get("tidegate_stored_latency_seconds_count", &[]), 20.0, "the start comes of no reading");
    assert_eq!(metrics.get("tidegate_delivered_latency_seconds_count", &[]), 21.0);
    assert!(metrics.get("tidegate_stored_latency_seconds_sum", &[]) > 0.0);
    assert_eq!(metrics.get("tidegate_queue_oldest_age_seconds", &[]), 0.0);
    assert_eq!(metrics.get("tidegate_upstream_connected_state", &[]), 1.0);
    assert_eq!(metrics.get("tidegate_upstream_connections_total", &[]), 1.0);
    assert_eq!(metrics.get("tidegate_upstream_attempts_total", &[]), 1.0);
    assert_eq!(metrics.get("tidegate_upstream_breaker_state", &[("state", "closed")]), 1.0);
    assert_eq!(metrics.sum("tidegate_lost_events_total"), 0.0);
    assert!(metrics.get("tidegate_process_open_files", &[]) >= 5.0);
    // No sensor's name is anywhere.
    let is_named = |text: &str| text.contains("plant/") || text.contains("broken") || text.contains("s0");
    assert!(!metrics.samples().any(|sample| sample.labels.values().any(|value| is_named(value))));
    stage.consumer.assert_lossless();
}

#[test]
fn an_outage_shows_in_queue_age_and_connection_and_is_over_after_it() {
    let mut stage = Stage::new();
    stage.start();
    stage.network.down();
    stage.cross(1, 1, 4);
    wait_until("the crossings to wait", SOON, || scrape(&stage).get("tidegate_queue_events", &[]) >= 4.0);
    let age = |metrics: &Exposition| metrics.get("tidegate_queue_oldest_age_seconds", &[]);
    let mut first = 0.0;
    wait_until("the age of the oldest", SOON, || {
        first = age(&scrape(&stage));
        first > 0.0
    });
    wait_until("the oldest to grow older", SOON, || age(&scrape(&stage)) > first);
    wait_until("the loss of the connection and failed attempts", PATIENT, || {
        let metrics = scrape(&stage);
        metrics.get("tidegate_upstream_connected_state", &[]) == 0.0
            && metrics.find("tidegate_upstream_connected_since_seconds", &[]).is_none()
            && metrics.get("tidegate_upstream_failures_total", &[]) >= 2.0
    });
    stage.network.restore();
    stage.consumer.wait_for_crossings(4, PATIENT);
    wait_until("an empty queue", SOON, || {
        let metrics = scrape(&stage);
        metrics.get("tidegate_queue_events", &[]) == 0.0 && age(&metrics) == 0.0
    });
    let metrics = scrape(&stage);
    assert_eq!(metrics.get("tidegate_upstream_connected_state", &[]), 1.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let since = metrics.get("tidegate_upstream_connected_since_seconds", &[]);
    assert!((now - 600.0..=now + 2.0).contains(&since), "{since} at {now}");
    stage.consumer.assert_lossless();
}

#[test]
fn what_was_on_its_way_when_the_link_was_cut_is_counted_when_it_is_sent_again() {
    let mut stage = Stage::new();
    stage.network.inject(Fault::Acks(None));
    stage.start();
    stage.cross(2, 1, 3);
    // Six crossings and the start.
    let inflight = |metrics: &Exposition| metrics.get("tidegate_upstream_inflight_events", &[]);
    wait_until("seven events in flight", PATIENT, || inflight(&scrape(&stage)) == 7.0);
    assert_eq!(scrape(&stage).get("tidegate_upstream_retries_total", &[]), 0.0);
    stage.network.down();
    stage.network.restore();
    wait_until("all acknowledged", PATIENT, || scrape(&stage).get("tidegate_delivered_events_total", &[]) == 7.0);
    let metrics = scrape(&stage);
    assert_eq!(metrics.get("tidegate_upstream_retries_total", &[]), 7.0);
    assert_eq!(metrics.get("tidegate_published_events_total", &[]), 14.0);
    assert_eq!(stage.status()["upstream"]["retries"], 7);
    stage.consumer.wait_for_crossings(6, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn without_an_upstream_there_are_no_metrics_of_one() {
    let mut stage = Stage::with(|config| config.upstream.clear());
    stage.start();
    let metrics = scrape(&stage);
    assert!(!metrics.names().iter().any(|name| name.contains("_upstream_")));
    wait_until("the start to wait", SOON, || scrape(&stage).get("tidegate_queue_events", &[]) == 1.0);
}
