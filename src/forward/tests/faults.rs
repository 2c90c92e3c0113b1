//! Brokers that hang, refuse, close or are none; events that they do not take.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::time::Duration;

use super::{Running, first_arrivals, numbers, server_pki, trusting};
use crate::config::model::{Severity, Upstream};
use crate::forward::testing::{Collector, FakeBroker, FakeStore, Manner, Mosquitto, PATIENCE, until, upstream};

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
    assert_eq!(dead[0].history.len(), 3);
    assert!(dead[0].history.iter().all(|text| text.contains("closed the connection")), "{:?}", dead[0].history);
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
async fn every_kind_of_broker_that_is_none_gets_its_sentence_and_is_tried_again() {
    let broker = FakeBroker::start(Manner::Http).await;
    let store = FakeStore::new();
    store.add(3);
    let brief = Upstream { connect_timeout: Duration::from_millis(500), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(brief, &store);
    running.error_with("answers HTTP, not MQTT").await;
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
