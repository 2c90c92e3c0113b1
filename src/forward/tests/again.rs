//! What is sent again is counted: exactly that, however it came to it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::*;
use crate::config::model::{BatchPlan, Order, Protocol};
use crate::forward::testing::event;

fn in_batches_of(events_max: usize, upstream: Upstream) -> Upstream {
    let topic = "tidegate/boiler-room-7/batch".into();
    let plan = BatchPlan { events_max, bytes_max: 32 * 1024, wait: Duration::ZERO, topic };
    Upstream { batch: Some(plan), ..upstream }
}

/// Events that leave, less those that leave again: each for the first time.
fn first_times(counters: &Counters) -> u64 {
    counters.events_published.get() + counters.side_published.get() - counters.upstream_retries.get()
}

#[tokio::test]
async fn what_is_in_flight_when_the_link_is_cut_is_counted_when_it_leaves_again() {
    for events_max in [1, 5] {
        let broker = FakeBroker::start(Manner::AcknowledgesStatusOnly).await;
        let gate = Gate::start(broker.port).await;
        let store = FakeStore::new();
        store.add(23);
        let running = Running::start(in_batches_of(events_max, upstream("127.0.0.1", gate.port, None)), &store);
        until("all in flight", || broker.count() == 23).await;
        assert_eq!(running.counters.upstream_retries.get(), 0);
        gate.set_open(false);
        broker.behave(Manner::Good);
        running.error_with("connection").await;
        gate.set_open(true);
        until("all delivered", || store.delivered() == 23).await;
        store.add(7);
        until("the rest", || store.delivered() == 30).await;
        assert_eq!(broker.count(), 23 + 23 + 7);
        let counters = running.stop().await;
        assert_eq!(counters.upstream_retries.get(), 23, "{events_max} in a message");
        assert_eq!(counters.events_published.get(), 53);
    }
}

#[tokio::test]
async fn each_event_leaves_once_that_is_no_retry_however_often_connections_break() {
    for order in [Order::OldestFirst, Order::LiveFirst, Order::SeverityFirst] {
        let broker = FakeBroker::start(Manner::ClosesAfter(37)).await;
        let store = FakeStore::new();
        for sequence in 1..=400 {
            store.add_text(20, if sequence % 5 == 0 { Severity::Critical } else { Severity::Medium });
        }
        let running = Running::start(Upstream { order, ..upstream("127.0.0.1", broker.port, None) }, &store);
        for event in 401..=450 {
            until("some of it arrived", || running.counters.events_delivered.get() >= (event - 400) * 4).await;
            store.add(1);
        }
        until("all delivered", || store.delivered() == 450).await;
        assert_eq!(broker.first_arrivals().len(), 450);
        let counters = running.stop().await;
        assert!(counters.upstream_retries.get() >= 10, "{order:?}: {}", counters.upstream_retries.get());
        assert_eq!(first_times(&counters), 450, "{order:?}");
    }
}

#[tokio::test]
async fn what_the_broker_refuses_for_now_is_a_retry_each_time() {
    let broker = FakeBroker::start(Manner::Answers { sequence: 3, reason: 0x97, times: 2 }).await;
    let store = FakeStore::new();
    store.add(6);
    let v5 = Upstream { protocol: Protocol::V5, ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(v5, &store);
    until("all delivered", || store.delivered() == 6).await;
    let counters = running.stop().await;
    assert_eq!((counters.upstream_retries.get(), counters.upstream_connects.get()), (2, 1));
}

#[tokio::test]
async fn a_replay_is_no_retry_but_what_it_sends_again_is_one() {
    let broker = FakeBroker::start(Manner::Good).await;
    let gate = Gate::start(broker.port).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", gate.port, None), &store);
    until("connected", || broker.status().len() == 1).await;
    let give = |sequence| Arc::new(event(sequence, 20, Severity::High));
    let replayed = running.side.give(give(100), side::Mark::Replayed).await.unwrap();
    assert_eq!(replayed.await.unwrap(), side::Outcome::Delivered);
    assert_eq!(running.counters.upstream_retries.get(), 0);
    broker.behave(Manner::AcknowledgesStatusOnly);
    let mut waiting = Vec::new();
    for sequence in 101..=103 {
        waiting.push(running.side.give(give(sequence), side::Mark::Replayed).await.unwrap());
    }
    until("three in flight", || broker.count() == 4).await;
    gate.set_open(false);
    broker.behave(Manner::Good);
    running.error_with("connection").await;
    gate.set_open(true);
    for outcome in waiting {
        assert_eq!(outcome.await.unwrap(), side::Outcome::Delivered);
    }
    let counters = running.stop().await;
    assert_eq!((counters.upstream_retries.get(), counters.side_published.get()), (3, 7));
}
