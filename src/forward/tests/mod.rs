//! The forwarder against a store in memory and brokers, real (mosquitto with TLS) and misbehaving.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

mod again;
mod alpn;
mod batch;
mod breaker;
mod brokers;
mod credentials;
mod faults;
mod mqtt5;
mod refusals;
mod retry;
mod side_lane;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::nudge::Nudge;
use super::side::{self, SideSender};
use super::testing::{
    Collector, FakeBroker, FakeStore, Gate, Manner, Mosquitto, PATIENCE, Pki, free_port, unix_in_days, until, upstream,
};
use super::{Means, UpstreamView, probe, spawn};
use crate::clock::SystemClock;
use crate::config::model::{Credentials, Severity, Upstream};
use crate::counters::Counters;
use crate::shutdown::{self, Trigger};

/// A forwarder under test.
struct Running {
    trigger: Trigger,
    task: JoinHandle<()>,
    view: watch::Receiver<UpstreamView>,
    counters: Arc<Counters>,
    side: SideSender,
    nudge: Nudge,
}

impl Running {
    fn start(upstream: Upstream, store: &FakeStore) -> Self {
        let (trigger, shutdown) = shutdown::channel();
        let counters = Arc::new(Counters::default());
        let clock = Arc::new(SystemClock::new());
        let (side, exit) = side::channel();
        let nudge = Nudge::default();
        let means = Means {
            gateway: "boiler-room-7".into(),
            store: store.handle(),
            side: exit,
            nudge: nudge.clone(),
            counters: Arc::clone(&counters),
            clock,
        };
        let (task, view) = spawn(upstream, means, shutdown);
        Self { trigger, task, view, counters, side, nudge }
    }

    async fn stop(self) -> Arc<Counters> {
        self.trigger.stop();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.counters
    }

    /// Waits for a connection to fail and returns the words for it.
    async fn error_with(&self, part: &str) -> String {
        let mut view = self.view.clone();
        let waiting = view.wait_for(|view| view.last_error.as_ref().is_some_and(|error| error.contains(part)));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(view) => view.unwrap().last_error.as_ref().unwrap().to_string(),
            Err(_) => panic!("expected \"{part}\", the last error is {:?}", self.view.borrow().last_error),
        }
    }
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

/// Sequence numbers in the order of first arrival; repeats must carry the same id.
fn first_arrivals(events: &[(u64, String)]) -> Vec<u64> {
    let mut ids = std::collections::HashMap::new();
    let mut order = Vec::new();
    for (sequence, id) in events {
        match ids.insert(*sequence, id.clone()) {
            Some(before) => assert_eq!(&before, id, "a repeat has another id"),
            None => order.push(*sequence),
        }
    }
    order
}

/// A CA with a broker certificate for localhost.
fn server_pki() -> Pki {
    let pki = Pki::new();
    pki.server("server", &["localhost", "127.0.0.1"], unix_in_days(-1), unix_in_days(100));
    pki
}

fn trusting(pki: &Pki) -> Credentials {
    Credentials { ca_file: Some(pki.ca_file()), ..Credentials::default() }
}

#[tokio::test]
async fn five_thousand_events_cross_tls_in_order_and_the_store_is_told() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let collector = Collector::start(broker.plain_port).await;
    let store = FakeStore::new();
    store.add(5_000);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    until("all delivered", || store.delivered() == 5_000).await;
    until("all collected", || collector.count() >= 5_000).await;
    assert_eq!(collector.events().iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), numbers(1..=5_000));
    assert!(store.marks().is_sorted());
    let counters = running.stop().await;
    assert_eq!(counters.events_delivered.get(), 5_000);
    assert_eq!(counters.events_published.get(), 5_000);
    assert_eq!((counters.upstream_up.get(), counters.upstream_inflight.get()), (0, 0));
    until("the farewell", || collector.status().len() == 2).await;
    let status = collector.status();
    assert_eq!((&status[0]["state"], &status[0]["waiting"]), (&"online".into(), &5_000.into()));
    assert_eq!((&status[1]["state"], &status[1]["reason"]), (&"offline".into(), &"stopped".into()));
}

#[tokio::test]
async fn a_broker_killed_twice_on_the_way_costs_no_event_and_no_order() {
    let pki = server_pki();
    let mut broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let collector = Collector::start(broker.plain_port).await;
    let gate = Gate::start(broker.tls_port).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", gate.port, Some(trusting(&pki))), &store);
    let mut last = 0;
    for round in 1..=2 {
        last = store.add(2_000);
        let before = last - 2_000;
        until("some of it arrived", || store.delivered() > before + 200).await;
        broker.kill();
        gate.set_open(false);
        broker.launch();
        collector.subscribed_times(round + 1).await;
        gate.set_open(true);
    }
    last = store.add(1_000).max(last);
    until("all delivered", || store.delivered() == last).await;
    until("all collected", || first_arrivals(&collector.events()).len() as u64 == last).await;
    assert_eq!(first_arrivals(&collector.events()), numbers(1..=last));
    running.stop().await;
}

#[tokio::test]
async fn a_lost_gateway_is_announced_by_its_last_will() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let collector = Collector::start(broker.plain_port).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    until("the birth", || collector.status().len() == 1).await;
    running.task.abort();
    until("the last will", || collector.status().len() == 2).await;
    assert_eq!(collector.status()[1]["reason"], "lost");
}

#[tokio::test]
async fn the_backlog_is_marked_and_what_comes_later_is_not() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    store.add(10);
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    until("the backlog", || broker.count() == 10).await;
    store.add(10);
    until("the rest", || broker.count() == 20).await;
    let backlog: Vec<bool> = broker.events().iter().map(|got| got.payload["backlog"].as_bool().unwrap()).collect();
    assert_eq!(backlog, [vec![true; 10], vec![false; 10]].concat());
    assert_eq!(broker.events()[0].topic, "tidegate/boiler-room-7/medium/test/device/sensor-1");
    running.stop().await;
    assert_eq!(broker.disconnects(), 1);
}

#[tokio::test]
async fn acknowledgements_out_of_order_are_taken_as_they_come() {
    let broker = FakeBroker::start(Manner::AcknowledgesBackwards).await;
    let store = FakeStore::new();
    store.add(1_000);
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    until("all delivered", || store.delivered() == 1_000).await;
    assert_eq!(broker.count(), 1_000);
    assert_eq!(running.counters.upstream_connects.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn connections_that_break_again_and_again_still_bring_everything_across_in_order() {
    let broker = FakeBroker::start(Manner::ClosesAfter(37)).await;
    let store = FakeStore::new();
    store.add(1_000);
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    until("all delivered", || store.delivered() == 1_000).await;
    assert_eq!(broker.first_arrivals(), numbers(1..=1_000));
    assert!(store.dead().is_empty());
    running.trigger.stop();
}

#[tokio::test]
async fn evicted_events_are_not_sent() {
    let broker = FakeBroker::start(Manner::AcknowledgesNothing).await;
    let store = FakeStore::new();
    store.add(1_000);
    let impatient = Upstream { ack_timeout: Duration::from_millis(300), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(impatient, &store);
    until("the first window", || broker.count() >= 64).await;
    store.evict_through(900);
    running.error_with("acknowledged nothing").await;
    broker.behave(Manner::Good);
    until("the rest", || store.delivered() == 1_000).await;
    assert!(broker.events().iter().all(|got| got.sequence() <= 64 || got.sequence() > 900));
    running.stop().await;
}

#[tokio::test]
async fn a_stop_drains_the_store_first() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    until("connected", || running.view.borrow().connected).await;
    store.add(3_000);
    running.stop().await;
    assert_eq!(broker.count(), 3_000);
    until("told", || store.delivered() == 3_000).await;
    assert_eq!(broker.disconnects(), 1);
    assert_eq!(broker.status().last().unwrap().payload["reason"], "stopped");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_broker_that_is_away_or_hangs() {
    let store = FakeStore::new();
    store.add(10);
    let away = Upstream { backoff_min: PATIENCE, backoff_max: PATIENCE, ..upstream("127.0.0.1", free_port(), None) };
    let running = Running::start(away, &store);
    running.error_with("refuses connections").await;
    running.stop().await;
    for manner in [Manner::Mute, Manner::AcknowledgesStatusOnly] {
        let broker = FakeBroker::start(manner).await;
        let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
        until("a connection", || broker.connections() == 1).await;
        running.stop().await;
    }
    assert_eq!(store.delivered(), 0);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told() {
    let store = FakeStore::new();
    let running = Running::start(upstream("no-such-host.invalid", 8883, None), &store);
    running.error_with("no-such-host.invalid").await;
    running.stop().await;
}

#[tokio::test]
async fn a_probe_names_the_steps_and_does_not_disturb() {
    let pki = server_pki();
    let mut broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let good = upstream("localhost", broker.tls_port, Some(trusting(&pki)));
    let store = FakeStore::new();
    let running = Running::start(good.clone(), &store);
    until("connected", || running.view.borrow().connected).await;
    let found = probe(&good).await.unwrap();
    for part in ["localhost is", "TCP connection to", "TLS 1.3 with a certificate valid until", "login accepted"] {
        assert!(found.contains(part), "{found}");
    }
    store.add(1);
    until("still connected", || store.delivered() == 1).await;
    assert_eq!(running.counters.upstream_connects.get(), 1);
    let wrong = probe(&Upstream { credentials: trusting(&Pki::new()), ..good.clone() }).await.unwrap_err();
    assert!(wrong.contains("TCP connection to") && wrong.contains("but the broker's certificate"), "{wrong}");
    let missing = Credentials { ca_file: Some("/no/such/ca.pem".into()), ..Credentials::default() };
    let missing = probe(&Upstream { credentials: missing, ..good.clone() }).await.unwrap_err();
    assert!(missing.contains("/no/such/ca.pem"), "{missing}");
    running.stop().await;
    broker.kill();
    let away = probe(&good).await.unwrap_err();
    assert!(away.contains("refuses connections"), "{away}");
    let fake = FakeBroker::start(Manner::Good).await;
    probe(&upstream("127.0.0.1", fake.port, None)).await.unwrap();
    assert_eq!(fake.client_ids(), ["tidegate-test-check"]);
    assert_eq!((fake.disconnects(), fake.status().len()), (1, 0));
}
