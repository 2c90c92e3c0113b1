//! Several brokers, brokers of a kind, and brokers that forbid the status.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::time::Duration;

use super::{Running, numbers};
use crate::config::model::{BrokerUrl, Template, TemplatePart, Upstream};
use crate::forward::profile::Profile;
use crate::forward::testing::{FakeBroker, FakeStore, Manner, until, upstream};

/// To these brokers in order.
fn to(brokers: &[&FakeBroker]) -> Upstream {
    let url = |broker: &&FakeBroker| BrokerUrl { tls: false, host: "127.0.0.1".to_owned(), port: broker.port };
    let urls: Vec<BrokerUrl> = brokers.iter().map(url).collect();
    let first = upstream("127.0.0.1", urls[0].port, None);
    Upstream { urls, ..first }
}

/// Sequence numbers in the order of first arrival at these brokers, one after the other.
fn arrivals(brokers: &[&FakeBroker]) -> Vec<u64> {
    let mut all: Vec<u64> = brokers.iter().flat_map(|broker| broker.first_arrivals()).collect();
    let mut seen = std::collections::HashSet::new();
    all.retain(|sequence| seen.insert(*sequence));
    all
}

#[tokio::test]
async fn what_the_first_broker_left_unacknowledged_is_sent_again_at_the_second_in_order() {
    let (first, second) = (FakeBroker::start(Manner::AcknowledgesNothing).await, FakeBroker::start(Manner::Good).await);
    let store = FakeStore::new();
    store.add(300);
    let impatient = Upstream { ack_timeout: Duration::from_millis(300), ..to(&[&first, &second]) };
    let running = Running::start(impatient, &store);
    until("all delivered", || store.delivered() == 300).await;
    assert_eq!(second.first_arrivals(), numbers(1..=300));
    let view = running.view.borrow().clone();
    assert_eq!((view.broker_number, view.brokers), (2, 2));
    assert_eq!(view.broker.as_deref(), Some(format!("127.0.0.1:{}", second.port).as_str()));
    running.stop().await;
}

#[tokio::test]
async fn the_first_broker_is_returned_to_once_nothing_is_in_flight() {
    let (first, second) = (FakeBroker::start(Manner::Refuses(3)).await, FakeBroker::start(Manner::Good).await);
    let store = FakeStore::new();
    store.add(100);
    let brief = Duration::from_millis(50);
    let restless = Upstream { probe_every: brief, return_after: brief, ..to(&[&first, &second]) };
    let running = Running::start(restless, &store);
    until("all at the second", || store.delivered() == 100).await;
    first.behave(Manner::Good);
    until("the move", || running.view.borrow().broker_number == 1 && running.view.borrow().connected).await;
    store.add(100);
    until("all delivered", || store.delivered() == 200).await;
    assert_eq!(second.status().last().unwrap().payload["reason"], "moved");
    assert_eq!(second.disconnects(), 1, "left without taking leave");
    assert_eq!(arrivals(&[&second, &first]), numbers(1..=200));
    assert_eq!(first.first_arrivals(), numbers(101..=200), "sent again although acknowledged");
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_lets_in_and_throws_out_does_not_keep_events_from_the_next() {
    let (first, second) = (FakeBroker::start(Manner::ClosesAfter(1)).await, FakeBroker::start(Manner::Good).await);
    let store = FakeStore::new();
    store.add(50);
    let running = Running::start(to(&[&first, &second]), &store);
    until("all delivered", || store.delivered() == 50).await;
    assert_eq!(arrivals(&[&first, &second]), numbers(1..=50));
    assert!(store.dead().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_no_broker_takes_is_set_aside_all_the_same() {
    let brokers = [FakeBroker::start(Manner::ClosesAt(7)).await, FakeBroker::start(Manner::ClosesAt(7)).await];
    let store = FakeStore::new();
    store.add(20);
    let running = Running::start(to(&[&brokers[0], &brokers[1]]), &store);
    until("all done", || store.delivered() == 20).await;
    let dead: Vec<u64> = store.dead().iter().map(|dead| dead.sequence).collect();
    assert_eq!(dead, [7]);
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_forbids_the_status_is_told_with_the_topic_and_without_a_status_events_flow() {
    let broker = FakeBroker::start(Manner::ClosesAtStatus).await;
    let store = FakeStore::new();
    store.add(30);
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    let told = running.error_with("forbids the topic").await;
    assert!(told.contains("\"tidegate/boiler-room-7/status\"") && told.contains("`status_topic`"), "{told}");
    assert_eq!(store.delivered(), 0);
    running.stop().await;
    let without = Upstream { status_topic: None, ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(without, &store);
    until("all delivered", || store.delivered() == 30).await;
    running.stop().await;
    assert!(store.dead().is_empty());
}

#[tokio::test]
async fn without_a_status_an_event_that_ends_connections_is_set_aside_only_by_a_broker_that_took_others() {
    let status_topic = None;
    let broker = FakeBroker::start(Manner::ClosesAt(1)).await;
    let store = FakeStore::new();
    store.add(10);
    let off = Upstream { status_topic, ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(off, &store);
    until("the window to be one and more attempts", || running.view.borrow().window == 1 && broker.connections() >= 15)
        .await;
    assert!(store.dead().is_empty(), "a broker that has taken nothing yet proves nothing");
    broker.behave(Manner::ClosesAt(8));
    until("all done", || store.delivered() == 10).await;
    let dead: Vec<u64> = store.dead().iter().map(|dead| dead.sequence).collect();
    assert_eq!(dead, [8]);
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_the_profile_is_set_aside_and_never_sent() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    store.add(3);
    store.add_text(200 * 1024, crate::config::model::Severity::High);
    store.add(3);
    let base = upstream("127.0.0.1", broker.port, None);
    let aws = Upstream { profile: Profile::AwsIotCore, payload_bytes_max: 1 << 20, ..base.clone() };
    let running = Running::start(aws, &store);
    until("all done", || store.delivered() == 7).await;
    assert_eq!((store.dead().len(), broker.connections()), (1, 1));
    assert!(store.dead()[0].reason.contains("(131072)"), "{}", store.dead()[0].reason);
    running.stop().await;

    let store = FakeStore::new();
    store.add(1);
    let dotted = Template(vec![TemplatePart::Text("v1.0/x".into())]);
    let running = Running::start(Upstream { topic: dotted, ..base }, &store);
    until("set aside", || store.dead().len() == 1).await;
    assert!(store.dead()[0].reason.contains("'.'"), "{}", store.dead()[0].reason);
    running.stop().await;
    assert!(broker.events().iter().all(|event| !event.topic.contains('.')));
}
