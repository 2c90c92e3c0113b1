//! What scrapers get: that it follows the format, that labels are bounded, and that what we ship asks for nothing else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::*;
use crate::clock::SystemClock;
use crate::config::model::Severity;
use crate::counters::tally::{EVENT_TYPES, LossReason};
use crate::counters::{Counters, Reject};
use crate::event::samples;
use crate::forward::UpstreamView;
use crate::forward::tls::expiry::{Certificate, Certificates, Whose};
use crate::ops::status::Configured;
use crate::ops::wear::Wear;
use crate::replay::Replays;
use crate::store::handle::StoreStatus;
use openmetrics::Exposition;

#[path = "../../../tests/support/openmetrics.rs"]
mod openmetrics;

const GRAFANA: &str = include_str!("../../../config/grafana/tidegate.json");
const RULES: &str = include_str!("../../../config/prometheus/tidegate.rules.yml");

/// A gateway in which everything has happened.
struct Scene {
    counters: Arc<Counters>,
    metrics: Metrics,
    _kept: (watch::Sender<StoreStatus>, watch::Sender<Configured>, watch::Sender<UpstreamView>),
}

impl Scene {
    fn new() -> Self {
        Self::of(&["plant", "boiler-2"])
    }

    fn of(sources: &[&str]) -> Self {
        let counters: Arc<Counters> = Arc::default();
        let clock = Arc::new(SystemClock::new());
        let (status, store) = watch::channel(StoreStatus { bytes: 1 << 20, ..StoreStatus::default() });
        let certificates = Certificates::default();
        let certificate = |whose, end| Certificate {
            whose,
            file: None,
            subject: "CN=x".to_owned(),
            issuer: "CN=y".to_owned(),
            not_before: WallTime::from_secs(0),
            not_after: WallTime::from_secs(end),
        };
        certificates
            .note_files(vec![certificate(Whose::Client, 2_000_000_000), certificate(Whose::Client, 1_900_000_000)]);
        let view = UpstreamView { connected: true, window: 256, certificates, ..UpstreamView::default() };
        let (upstream, view) = watch::channel(view);
        let (configure, configured) = watch::channel(Configured {
            sources: sources.iter().map(|name| Arc::from(*name)).collect(),
            watches_itself: true,
            upstream: Some(view),
            store_bytes_max: 4 << 20,
            ..Configured::default()
        });
        let (handle, _) = StoreHandle::new(store.clone());
        let sources = StatusSources {
            gateway: "g".into(),
            counters: Arc::clone(&counters),
            wear: Arc::new(Wear::new(clock.boot())),
            clock,
            store,
            configured,
            replays: Replays::none(),
        };
        Self { counters, metrics: Metrics::new(sources, handle), _kept: (status, configure, upstream) }
    }

    async fn scrape(&self) -> Exposition {
        Exposition::parse(&self.metrics.text().await)
    }
}

#[tokio::test]
async fn counters_gauges_and_histograms_say_what_was_counted() {
    let scene = Scene::new();
    let before = scene.scrape().await;
    assert_eq!(before.get("tidegate_queue_oldest_age_seconds", &[]), 0.0);
    let load = samples::Load { sensors: 3, rate: 10, between: 12, nanos: false, slow: false, level: false };
    let events = samples::load(load, 20);
    scene.counters.stored(&events);
    scene.counters.lost(LossReason::Evicted, 5);
    scene.counters.stored_after.observe(Duration::from_millis(3));
    [2, 50].into_iter().for_each(|events| scene.counters.upstream_batches.observe(events));
    scene.counters.upstream_retries.add(6);
    scene.counters.upstream_encoded_bytes.add(1_000);
    scene.counters.upstream_payload_bytes.add(300);
    let plant = scene.counters.source(&"plant".into());
    plant.readings.add(7);
    plant.reject(Reject::Malformed);
    scene.counters.record.bytes.add(41);
    scene.counters.record.written.add(9);
    // A source that a reload has removed is not shown any more.
    scene.counters.source(&"gone".into()).readings.add(1);

    let after = scene.scrape().await;
    assert_eq!(after.sum("tidegate_stored_events_total"), 20.0);
    let first = &events[0];
    let labels = [("type", first.data.event_type()), ("severity", first.severity.as_str())];
    assert!(after.get("tidegate_stored_events_total", &labels) >= 1.0);
    assert_eq!(after.get("tidegate_lost_events_total", &[("reason", "evicted")]), 5.0);
    assert_eq!(after.sum("tidegate_lost_events_total"), 5.0);
    assert_eq!(after.get("tidegate_source_readings_total", &[("source", "plant")]), 7.0);
    assert_eq!(after.find("tidegate_source_readings_total", &[("source", "gone")]), None);
    let refused = [("source", "plant"), ("reason", "malformed")];
    assert_eq!(after.get("tidegate_source_rejects_total", &refused), 1.0);
    assert_eq!(after.get("tidegate_recorded_bytes_total", &[]), 41.0);
    assert_eq!(after.get("tidegate_recorded_readings_total", &[]), 9.0);
    assert_eq!(after.get("tidegate_recorded_dropped_readings_total", &[]), 0.0);
    assert_eq!(after.get("tidegate_stored_latency_seconds_count", &[]), 1.0);
    assert_eq!(after.get("tidegate_stored_latency_seconds_bucket", &[("le", "0.002")]), 0.0);
    assert_eq!(after.get("tidegate_stored_latency_seconds_bucket", &[("le", "0.005")]), 1.0);
    assert_eq!(after.get("tidegate_upstream_retries_total", &[]), 6.0);
    assert_eq!(after.get("tidegate_upstream_batch_events_count", &[]), 2.0);
    assert_eq!(after.get("tidegate_upstream_batch_events_sum", &[]), 52.0);
    assert_eq!(after.get("tidegate_upstream_batch_events_bucket", &[("le", "2.0")]), 1.0);
    assert_eq!(after.get("tidegate_upstream_payload_bytes_total", &[("state", "encoded")]), 1_000.0);
    assert_eq!(after.get("tidegate_upstream_payload_bytes_total", &[("state", "sent")]), 300.0);
    assert_eq!(after.get("tidegate_queue_used_ratio", &[]), 0.25);
    assert_eq!(after.get("tidegate_certificate_expiry_seconds", &[("role", "client")]), 1_900_000_000.0);
    assert_eq!(after.get("tidegate_upstream_breaker_state", &[("state", "closed")]), 1.0);
    assert_eq!(after.sum("tidegate_upstream_breaker_state"), 1.0);
    assert_eq!(after.sum("tidegate_clock_state"), 1.0);
    assert!(after.get("tidegate_process_resident_bytes", &[]) > 100_000.0);
}

#[tokio::test]
async fn what_came_over_a_modbus_line_is_counted_once_in_sums_over_the_sources() {
    let scene = Scene::of(&["line", "line/meter", "line/pump", "line-2"]);
    for (name, readings) in [("line", 5), ("line/meter", 3), ("line/pump", 2), ("line-2", 10)] {
        let counts = scene.counters.source(&name.into());
        counts.readings.add(readings);
        counts.messages.add(1);
        counts.up.set(1);
        counts.reject(Reject::DeviceError);
    }
    let page = scene.scrape().await;
    assert_eq!(page.sum("tidegate_source_readings_total"), 15.0);
    assert_eq!(page.sum("tidegate_source_messages_total"), 3.0);
    assert_eq!(page.sum("tidegate_source_rejects_total"), 3.0);
    assert_eq!(page.get("tidegate_source_connected_state", &[("source", "line")]), 1.0, "the port is there or not");
}

#[tokio::test]
async fn labels_come_from_closed_sets_and_the_configuration() {
    let scene = Scene::new();
    for name in ["plant", "boiler-2"] {
        scene.counters.source(&name.into()).reject(Reject::TooLong);
    }
    let reasons = LossReason::ALL.map(LossReason::as_str);
    for sample in scene.scrape().await.samples() {
        for (label, value) in &sample.labels {
            let value = value.as_str();
            let is_known = match label.as_str() {
                "type" => EVENT_TYPES.contains(&value),
                "severity" => Severity::ALL.map(Severity::as_str).contains(&value),
                "reason" => reasons.contains(&value) || value == "too-long",
                "source" => ["plant", "boiler-2", "gateway"].contains(&value),
                "state" => {
                    ["closed", "open", "half-open", "synchronized", "estimated", "unsynchronized", "encoded", "sent"]
                        .contains(&value)
                }
                "role" => ["client", "ca", "broker"].contains(&value),
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                "version" => value == env!("CARGO_PKG_VERSION"),
                "arch" => value == std::env::consts::ARCH,
                _ => false,
            };
            assert!(is_known, "{label}={value:?} in {}", sample.name);
        }
    }
}

/// The names of our metrics in a text.
fn names_in(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !is_name(c)).filter(|word| word.starts_with("tidegate_")).collect()
}

#[tokio::test]
async fn the_dashboard_and_the_alert_rules_ask_for_metrics_that_exist() {
    let scene = Scene::new();
    // Some are there only when there is something to say.
    scene.counters.events_stored.add(1);
    let known = scene.scrape().await.names();
    for (what, text, least) in [("the dashboard", GRAFANA, 20), ("the rules", RULES, 10)] {
        let asked = names_in(text);
        assert!(asked.len() >= least, "{what} asks for {} metrics only", asked.len());
        for name in asked {
            assert!(known.contains(name), "{what} asks for {name}, which does not exist");
        }
    }
}

#[test]
fn the_dashboard_is_json_with_a_query_in_every_panel() {
    let dashboard: serde_json::Value = serde_json::from_str(GRAFANA).unwrap();
    assert_eq!(dashboard["title"], "tidegate");
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("tidegate_"), "{expression}");
            assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{expression}");
            assert_eq!(expression.matches('{').count(), expression.matches('}').count(), "{expression}");
        }
    }
    assert!(ids.len() >= 12);
}

/// The rules are YAML of a plain kind: blocks by two blanks, one key a line. That much is checked here without a parser.
#[test]
fn the_rules_are_blocks_of_plain_yaml_with_all_that_an_alert_needs() {
    let mut alerts: Vec<Vec<&str>> = Vec::new();
    for line in RULES.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        assert!(!line.contains('\t') && depth % 2 == 0, "{line}");
        let (key, value) = text.trim_start_matches("- ").split_once(':').unwrap_or_else(|| panic!("no key: {line}"));
        assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
        let value = value.trim();
        let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        let is_plain =
            !value.contains(": ") && !value.contains(" #") && !value.starts_with(['{', '[', '&', '*', '!', '%', '@']);
        assert!(is_quoted || is_plain, "needs quotes: {line}");
        if text.starts_with("- alert") {
            alerts.push(Vec::new());
        }
        if let Some(alert) = alerts.last_mut() {
            assert!(!alert.contains(&key), "{key} twice in one alert: {line}");
            alert.push(key);
        }
    }
    assert!(alerts.len() >= 10);
    for alert in alerts {
        assert_eq!(alert, ["alert", "expr", "for", "labels", "severity", "annotations", "summary", "description"]);
    }
}
