//! Several events in one message, and compressed ones, against brokers that take them, and that do not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::*;
use crate::config::model::{BatchPlan, Compression, Encoding, Order, Protocol};
use crate::forward::testing::event;

fn in_batches(port: u16, wait: Duration) -> Upstream {
    let plan = BatchPlan { events_max: 20, bytes_max: 32 * 1024, wait, topic: "tidegate/boiler-room-7/batch".into() };
    Upstream { batch: Some(plan), compression: Compression::Zstd, ..upstream("127.0.0.1", port, None) }
}

const AT_ONCE: Duration = Duration::ZERO;
const FOR_EVER: Duration = Duration::from_secs(3_000);

#[tokio::test]
async fn a_backlog_goes_in_full_compressed_batches_in_both_encodings() {
    let mut bytes = Vec::new();
    for (encoding, protocol) in [(Encoding::Json, Protocol::V311), (Encoding::Cbor, Protocol::V5)] {
        let broker = FakeBroker::start(Manner::Good).await;
        let store = FakeStore::new();
        store.add(1_000);
        let running = Running::start(Upstream { encoding, protocol, ..in_batches(broker.port, FOR_EVER) }, &store);
        until("all delivered", || store.delivered() == 1_000).await;
        assert_eq!(broker.first_arrivals(), numbers(1..=1_000));
        assert_eq!(broker.messages(), vec![20; 50]);
        let counters = running.stop().await;
        assert_eq!((counters.events_published.get(), counters.events_delivered.get()), (1_000, 1_000));
        let batches = counters.upstream_batches.observed();
        assert_eq!((batches.sum, batches.count), (1_000.0, 50));
        assert_eq!(counters.upstream_payload_bytes.get(), broker.payload_bytes() as u64);
        assert!(counters.upstream_encoded_bytes.get() > 2 * counters.upstream_payload_bytes.get());
        bytes.push(broker.payload_bytes());
    }
    assert!(bytes[0] < 1_000 * 150 && bytes[1] < bytes[0], "{bytes:?}");
}

#[tokio::test]
async fn a_critical_event_never_waits_and_takes_along_what_does() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    let running = Running::start(in_batches(broker.port, FOR_EVER), &store);
    until("connected", || broker.status().len() == 1).await;
    store.add(3);
    let critical = store.add_text(20, Severity::Critical);
    until("all delivered", || store.delivered() == critical).await;
    assert_eq!(broker.messages(), [3, 1]);
    assert!(broker.events()[3].topic.contains("/critical/"), "on the topic of its own");
    // The next waits for company until the gateway stops.
    store.add(1);
    let again = Arc::new(event(2, 20, Severity::High));
    let side = running.side.give(again, side::Mark::Replayed).await.unwrap();
    assert_eq!(side.await.unwrap(), side::Outcome::Delivered, "what waits for company leaves the link to others");
    assert_eq!(store.delivered(), critical);
    running.stop().await;
    // Whether its acknowledgement still comes within the farewell is up to the machine.
    assert_eq!(broker.messages(), [3, 1, 1, 1]);
}

#[tokio::test]
async fn a_batch_that_ends_connections_gives_up_only_its_guilty_event() {
    let broker = FakeBroker::start(Manner::ClosesAt(50)).await;
    let store = FakeStore::new();
    store.add(200);
    let running = Running::start(in_batches(broker.port, AT_ONCE), &store);
    until("all done", || store.delivered() == 200).await;
    let expected: Vec<u64> = (1..=200).filter(|sequence| *sequence != 50).collect();
    assert_eq!(broker.first_arrivals(), expected);
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, 50, 3));
    assert!(*broker.messages().last().unwrap() > 1, "and then in company again");
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_refused_gives_up_only_its_guilty_event() {
    let broker = FakeBroker::start(Manner::Answers { sequence: 50, reason: 0x99, times: 2 }).await;
    let store = FakeStore::new();
    store.add(200);
    let upstream = Upstream { protocol: Protocol::V5, ..in_batches(broker.port, AT_ONCE) };
    let running = Running::start(upstream, &store);
    until("all done", || store.delivered() == 200).await;
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, 50, 1));
    let counters = running.stop().await;
    assert_eq!((counters.events_delivered.get(), counters.upstream_connects.get()), (199, 1));
}

#[tokio::test]
async fn connections_that_break_lose_nothing_of_any_batch() {
    let broker = FakeBroker::start(Manner::ClosesAfter(7)).await;
    let store = FakeStore::new();
    store.add(2_000);
    let upstream = Upstream { order: Order::SeverityFirst, ..in_batches(broker.port, AT_ONCE) };
    let running = Running::start(upstream, &store);
    until("all done", || store.delivered() == 2_000).await;
    assert_eq!(broker.first_arrivals(), numbers(1..=2_000));
    assert!(store.dead().is_empty() && broker.connections() > 10);
    running.stop().await;
}
