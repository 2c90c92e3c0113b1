//! What the circuit breaker does to a broker that comes back, and what a nudge does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::time::Duration;

use super::{Running, numbers};
use crate::config::model::Upstream;
use crate::forward::breaker::{FAILURES_MAX, PROBE_EVENTS, State};
use crate::forward::testing::{FakeBroker, FakeStore, Manner, PATIENCE, until, upstream};

#[tokio::test]
async fn a_broker_that_comes_back_gets_a_few_events_until_it_acknowledges_one() {
    let broker = FakeBroker::start(Manner::ClosesAtConnect).await;
    let store = FakeStore::new();
    store.add(500);
    let patient = Upstream { ack_timeout: Duration::from_secs(5), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(patient, &store);
    let mut view = running.view.clone();
    let opened = view.wait_for(|view| view.breaker == State::Open);
    assert!(tokio::time::timeout(PATIENCE, opened).await.unwrap().unwrap().failures >= FAILURES_MAX);

    broker.behave(Manner::AcknowledgesNothing);
    tokio::time::timeout(PATIENCE, view.wait_for(|view| view.connected)).await.unwrap().unwrap();
    assert_eq!((view.borrow().breaker, view.borrow().window), (State::HalfOpen, PROBE_EVENTS));
    until("the probe", || broker.count() >= PROBE_EVENTS).await;
    // Until it gives the connection up: nothing more comes.
    tokio::time::timeout(PATIENCE, view.wait_for(|view| !view.connected)).await.unwrap().unwrap();
    assert_eq!(broker.count(), PROBE_EVENTS);
    assert_eq!(view.borrow().breaker, State::Open);

    broker.behave(Manner::Good);
    until("all delivered", || store.delivered() == 500).await;
    assert_eq!(broker.first_arrivals(), numbers(1..=500));
    assert_eq!(view.borrow().breaker, State::Closed);
    assert!(store.dead().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn with_nothing_to_send_the_acknowledged_sign_of_life_closes_it() {
    let broker = FakeBroker::start(Manner::ClosesAtConnect).await;
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &FakeStore::new());
    let mut view = running.view.clone();
    tokio::time::timeout(PATIENCE, view.wait_for(|view| view.breaker == State::Open)).await.unwrap().unwrap();
    broker.behave(Manner::Good);
    let closed = view.wait_for(|view| view.connected && view.breaker == State::Closed);
    tokio::time::timeout(PATIENCE, closed).await.unwrap().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_nudge_ends_the_wait_for_the_next_attempt() {
    let broker = FakeBroker::start(Manner::ClosesAtConnect).await;
    let store = FakeStore::new();
    store.add(3);
    let hour = Duration::from_secs(3600);
    // The shortest wait is a tenth of this: longer than any test is patient.
    let slow = Upstream { backoff_min: hour, backoff_max: hour, ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(slow, &store);
    let mut view = running.view.clone();
    tokio::time::timeout(PATIENCE, view.wait_for(|view| view.next_attempt.is_some())).await.unwrap().unwrap();
    assert_eq!(broker.connections(), 1);
    broker.behave(Manner::Good);
    running.nudge.attempt_now();
    until("all delivered", || store.delivered() == 3).await;
    // While connected it is for nothing, also later.
    running.nudge.attempt_now();
    assert_eq!(broker.connections(), 2);
    running.stop().await;
}
