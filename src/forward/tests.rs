//! The forwarder against a store in memory and brokers, real (mosquitto with TLS) and misbehaving.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::testing::{
    Collector, FakeBroker, FakeStore, Gate, Manner, Mosquitto, PATIENCE, Pki, free_port, unix_in_days, until, upstream,
    write_secret,
};
use super::{UpstreamView, probe, spawn};
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
}

impl Running {
    fn start(upstream: Upstream, store: &FakeStore) -> Self {
        let (trigger, shutdown) = shutdown::channel();
        let counters = Arc::new(Counters::default());
        let clock = Arc::new(SystemClock::new());
        let (task, view) =
            spawn(upstream, "boiler-room-7".into(), store.handle(), Arc::clone(&counters), clock, shutdown);
        Self { trigger, task, view, counters }
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
async fn a_broker_that_acknowledges_nothing_is_given_up_and_the_window_shrinks() {
    let broker = FakeBroker::start(Manner::AcknowledgesNothing).await;
    let store = FakeStore::new();
    store.add(500);
    let impatient = Upstream { ack_timeout: Duration::from_millis(300), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(impatient, &store);
    let told = running.error_with("acknowledged nothing").await;
    assert!(told.contains("300ms"), "{told}");
    let mut view = running.view.clone();
    tokio::time::timeout(PATIENCE, view.wait_for(|view| view.window == 4)).await.unwrap().unwrap();
    broker.behave(Manner::Good);
    until("all delivered", || store.delivered() == 500).await;
    assert_eq!(broker.first_arrivals(), numbers(1..=500));
    assert!(store.dead().is_empty(), "a broker that takes nothing is not the event's fault");
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_the_broker_never_acknowledges_is_set_aside_when_it_takes_others() {
    let broker = FakeBroker::start(Manner::AcknowledgesStatusOnly).await;
    let store = FakeStore::new();
    store.add(1);
    let impatient = Upstream { ack_timeout: Duration::from_millis(300), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(impatient, &store);
    until("set aside", || store.dead().len() == 1).await;
    broker.behave(Manner::Good);
    store.add(3);
    until("the rest", || store.delivered() == 4).await;
    assert_eq!(store.dead()[0].attempts, 3);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_ends_connections_is_set_aside_and_the_rest_flows() {
    let broker = FakeBroker::start(Manner::ClosesAt(50)).await;
    let store = FakeStore::new();
    store.add(200);
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    until("all done", || store.delivered() == 200).await;
    let expected: Vec<u64> = (1..=200).filter(|sequence| *sequence != 50).collect();
    assert_eq!(broker.first_arrivals(), expected);
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, 50, 3));
    assert!(dead[0].reason.contains("closed the connection"), "{}", dead[0].reason);
    let counters = running.stop().await;
    assert_eq!(counters.events_delivered.get(), 199);
}

#[tokio::test]
async fn a_packet_that_mosquitto_refuses_is_set_aside_and_the_rest_flows() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true\nmax_packet_size 4000");
    let collector = Collector::start(broker.plain_port).await;
    let store = FakeStore::new();
    store.add(20);
    let poison = store.add_text(8_000, Severity::High);
    let last = store.add(20);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    until("all done", || store.delivered() == last).await;
    let expected: Vec<u64> = (1..=last).filter(|sequence| *sequence != poison).collect();
    until("all collected", || first_arrivals(&collector.events()).len() == expected.len()).await;
    assert_eq!(first_arrivals(&collector.events()), expected);
    assert_eq!(store.dead().len(), 1);
    assert_eq!(store.dead()[0].sequence, poison);
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_set_aside_at_once_without_losing_the_connection() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    store.add(5);
    store.add_text(3_000, Severity::High);
    store.add(5);
    let small = Upstream { payload_bytes_max: 2_000, ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(small, &store);
    until("all done", || store.delivered() == 11).await;
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, 6, 0));
    assert!(dead[0].reason.contains("`payload_bytes_max` (2000)"), "{}", dead[0].reason);
    assert_eq!(broker.connections(), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_event_without_a_valid_topic_is_set_aside_at_once() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    store.add(2);
    let mut wild = upstream("127.0.0.1", broker.port, None);
    wild.topic.0.push(crate::config::model::TemplatePart::Text("/#".into()));
    let running = Running::start(wild, &store);
    until("set aside", || store.delivered() == 2).await;
    assert_eq!((store.dead().len(), broker.count(), broker.connections()), (2, 0, 1));
    assert!(store.dead()[0].reason.contains("no valid topic"));
    running.stop().await;
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
async fn every_kind_of_broker_that_is_none_gets_its_sentence_and_is_tried_again() {
    let broker = FakeBroker::start(Manner::Http).await;
    let store = FakeStore::new();
    store.add(3);
    let brief = Upstream { connect_timeout: Duration::from_millis(500), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(brief, &store);
    running.error_with("something other than MQTT").await;
    broker.behave(Manner::ClosesAtConnect);
    running.error_with("closed the connection before it accepted us").await;
    broker.behave(Manner::Mute);
    running.error_with("did not answer within 500ms").await;
    broker.behave(Manner::Refuses(4));
    running.error_with("refuses the user name or password").await;
    broker.behave(Manner::Refuses(5));
    running.error_with("does not let this gateway in").await;
    broker.behave(Manner::Good);
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_repaired_on_disk() {
    let pki = server_pki();
    let passwords = pki.file("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b"])
        .arg(&passwords)
        .args(["boiler", "right"])
        .output()
        .unwrap();
    assert!(made.status.success());
    let extra = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start(&pki, "server", &extra);
    let credentials = Credentials {
        username: Some("boiler".to_owned()),
        password_file: Some(pki.file("password")),
        ..trusting(&pki)
    };
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(credentials)), &store);
    running.error_with("password: the file does not exist").await;
    write_secret(&pki.file("password"), b"wrong\n");
    let told = running.error_with("does not let this gateway in").await;
    assert!(told.contains("user \"boiler\" with the password in"), "{told}");
    write_secret(&pki.file("password"), b"right\n");
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_ca_is_told_and_repaired_on_disk() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let store = FakeStore::new();
    store.add(3);
    let other = Pki::new();
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&other))), &store);
    running.error_with("signed by").await;
    std::fs::copy(pki.ca_file(), other.ca_file()).unwrap();
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn expired_early_and_misnamed_certificates_are_told_and_recover_with_the_broker() {
    let pki = server_pki();
    pki.server("expired", &["localhost"], unix_in_days(-100), unix_in_days(-1));
    pki.server("early", &["localhost"], unix_in_days(5), unix_in_days(100));
    pki.server("misnamed", &["elsewhere.example.com"], unix_in_days(-1), unix_in_days(100));
    let mut broker = Mosquitto::start(&pki, "expired", "allow_anonymous true");
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    for (certificate, sentence) in [
        ("expired", "the broker's certificate expired on"),
        ("early", "the broker's certificate is valid from"),
        ("misnamed", "is for elsewhere.example.com, not for the name localhost"),
        ("server", ""),
    ] {
        broker.kill();
        broker.configure(&pki, certificate, "allow_anonymous true");
        broker.launch();
        running.error_with(sentence).await;
    }
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_demands_a_client_certificate_says_so_and_takes_a_good_one() {
    let pki = server_pki();
    let strange = Pki::new();
    strange.client("client", "tidegate-test");
    pki.client("client", "tidegate-test");
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true\nrequire_certificate true");
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    running.error_with("client certificate").await;
    running.stop().await;
    let credentials = |from: &Pki| Credentials {
        cert_file: Some(from.file("client.pem")),
        key_file: Some(from.file("client.key")),
        ..trusting(&pki)
    };
    let running = Running::start(upstream("localhost", broker.tls_port, Some(credentials(&strange))), &store);
    running.error_with("client.pem").await;
    for name in ["client.pem", "client.key"] {
        std::fs::copy(pki.file(name), strange.file(name)).unwrap();
    }
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
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
