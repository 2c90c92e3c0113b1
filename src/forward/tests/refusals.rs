//! A broker that refuses what it is sent: one event among others, or everything for a while.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::*;
use crate::config::model::{Order, Protocol};
use crate::forward::window::RUN_MAX;

fn over_v5(port: u16) -> Upstream {
    Upstream { protocol: Protocol::V5, ..upstream("127.0.0.1", port, None) }
}

/// Polls without another refusal after which a pause has begun: what is asked next is the oldest event.
const QUIET_POLLS: u32 = 20;

/// Waits until so many events are refused and a pause has begun.
async fn refused_times(broker: &FakeBroker, count: usize) {
    let (mut before, mut quiet) = (0, 0);
    until("refusals and a pause", || {
        let now = broker.answered();
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        now >= count && quiet >= QUIET_POLLS
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_refuses_everything_for_a_while_costs_next_to_nothing() {
    // Not authorised; without a reason; of its own reasons; topic name invalid; payload format invalid.
    for (reason, dead_max) in [(0x87, 0), (0x80, 0), (0x83, 0), (0x90, RUN_MAX), (0x99, RUN_MAX)] {
        let broker = FakeBroker::start(Manner::RefusesEvents(reason)).await;
        let store = FakeStore::new();
        store.add(50);
        let running = Running::start(over_v5(broker.port), &store);
        refused_times(&broker, 54).await;
        let dead: Vec<u64> = store.dead().iter().map(|letter| letter.sequence).collect();
        assert!(dead.len() <= dead_max, "{reason:#x}: {dead:?}");
        assert_eq!((broker.count(), broker.connections()), (0, 1), "{reason:#x}");
        broker.behave(Manner::Good);
        until("the rest to arrive", || store.delivered() == 50).await;
        running.stop().await;
        // One tried behind those kept may be the first that the broker takes: what it has refused just before is blamed.
        let dead: Vec<u64> = store.dead().iter().map(|letter| letter.sequence).collect();
        assert!(dead.len() <= RUN_MAX, "{reason:#x}: {dead:?}");
        let expected: Vec<u64> = numbers(1..=50).into_iter().filter(|sequence| !dead.contains(sequence)).collect();
        assert_eq!(broker.first_arrivals(), expected, "{reason:#x}: in order");
    }
}

#[tokio::test]
async fn access_rules_that_break_in_the_midst_cost_one_event_at_most_and_the_rest_waits() {
    for order in [Order::default(), Order::SeverityFirst] {
        let broker = FakeBroker::start(Manner::Good).await;
        let store = FakeStore::new();
        store.add(20);
        let running = Running::start(Upstream { order, ..over_v5(broker.port) }, &store);
        until("the first", || store.delivered() == 20).await;
        broker.behave(Manner::RefusesEvents(0x87));
        for _ in 0..50 {
            store.add(1);
            store.add_text(20, Severity::Critical);
        }
        refused_times(&broker, 20).await;
        assert!(store.dead().len() <= 1, "{:?}", store.dead());
        broker.behave(Manner::Good);
        until("the rest to arrive", || store.delivered() == 120).await;
        assert_eq!(broker.first_arrivals().len() + store.dead().len(), 120);
        running.stop().await;
    }
}

#[tokio::test]
async fn what_the_broker_refuses_is_told_with_what_to_do_until_it_takes_events_again() {
    let broker = FakeBroker::start(Manner::RefusesEvents(0x87)).await;
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(over_v5(broker.port), &store);
    let mut view = running.view.clone();
    let told = tokio::time::timeout(PATIENCE, view.wait_for(|view| view.refused.is_some())).await.unwrap().unwrap();
    let text = told.refused.as_ref().unwrap().to_string();
    drop(told);
    for part in ["not authorized", "tidegate/boiler-room-7/medium/test/device/sensor-1", "ACL", "tidegate-test", "kept"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(running.view.borrow().connected);
    broker.behave(Manner::Good);
    until("all delivered", || store.delivered() == 3).await;
    until("nothing more to tell", || running.view.borrow().refused.is_none()).await;
    assert!(store.dead().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_forbidden_sensor_is_set_aside_at_a_broker_that_hangs_up_after_each_refusal() {
    let broker = FakeBroker::start(Manner::RefusesAndHangsUp { sensor: "sensor-2", reason: 0x87 }).await;
    let store = FakeStore::new();
    store.add_of("test/device/sensor-2", Severity::Medium);
    store.add_of("test/device/sensor-2", Severity::Medium);
    for _ in 0..3 {
        store.add_of("test/device/sensor-0", Severity::Medium);
        store.add_of("test/device/sensor-2", Severity::Medium);
        store.add_of("test/device/sensor-2", Severity::Medium);
        store.add_of("test/device/sensor-3", Severity::Medium);
    }
    let running = Running::start(over_v5(broker.port), &store);
    until("all done", || store.delivered() == 14).await;
    assert_eq!(broker.first_arrivals(), [3, 6, 7, 10, 11, 14]);
    let dead: Vec<u64> = store.dead().iter().map(|letter| letter.sequence).collect();
    assert_eq!(dead, [1, 2, 4, 5, 8, 9, 12, 13]);
    running.stop().await;
}

#[tokio::test]
async fn a_last_event_that_is_refused_holds_up_none_that_comes_later() {
    let broker = FakeBroker::start(Manner::Answers { sequence: 1, reason: 0x87, times: usize::MAX }).await;
    let store = FakeStore::new();
    store.add(1);
    let slow = Upstream { backoff_min: PATIENCE, backoff_max: PATIENCE, ..over_v5(broker.port) };
    let running = Running::start(slow, &store);
    until("the refusal", || broker.answered() == 1).await;
    assert!(store.dead().is_empty(), "nothing shows yet that the broker takes others");
    store.add(1);
    until("the other one", || store.delivered() == 2).await;
    assert_eq!(store.dead().len(), 1);
    assert!(store.dead()[0].reason.contains("access rules"), "{:?}", store.dead());
    running.stop().await;
}
