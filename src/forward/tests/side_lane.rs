//! The side lane on real connections: behind the queue, through broken connections, past what the broker refuses.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::*;
use crate::event::Event;
use crate::forward::side::{INFLIGHT_MAX, Mark, Outcome};
use crate::forward::testing::{Got, event};

/// Numbers of replayed events in these tests begin here: they are told from the queue's by them.
const REPLAYED_FROM: u64 = 100_001;

fn replays(count: u64) -> Vec<Arc<Event>> {
    (REPLAYED_FROM..REPLAYED_FROM + count).map(|sequence| Arc::new(event(sequence, 20, Severity::Medium))).collect()
}

/// Gives events to the lane in a task of its own; it ends with all outcomes.
fn give(side: &SideSender, events: Vec<Arc<Event>>) -> JoinHandle<Vec<Outcome>> {
    let side = side.clone();
    tokio::spawn(async move {
        let mut waiting: Vec<oneshot::Receiver<Outcome>> = Vec::new();
        for event in events {
            waiting.push(side.give(event, Mark::Replayed).await.unwrap());
        }
        let mut outcomes = Vec::new();
        for outcome in waiting {
            outcomes.push(outcome.await.unwrap());
        }
        outcomes
    })
}

async fn outcomes(giving: JoinHandle<Vec<Outcome>>) -> Vec<Outcome> {
    tokio::time::timeout(PATIENCE, giving).await.unwrap().unwrap()
}

fn replayed(events: &[Got]) -> Vec<u64> {
    events.iter().filter(|got| got.payload["replayed"] == true).map(Got::sequence).collect()
}

#[tokio::test]
async fn a_new_event_overtakes_a_long_replay_and_the_mark_knows_only_the_queue() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let collector = Collector::start(broker.plain_port).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    let giving = give(&running.side, replays(3_000));
    let counters = Arc::clone(&running.counters);
    let mut bounds = Vec::new();
    for round in 1..=10 {
        until("the replay goes on", || counters.side_delivered.get() >= round * 200).await;
        // Nothing runs between these lines: what the lane has published by now is all that may come first.
        let (published, delivered) = (counters.side_published.get(), counters.side_delivered.get());
        assert!(published - delivered <= u64::from(INFLIGHT_MAX));
        bounds.push((store.add(1), published));
    }
    assert!(outcomes(giving).await.iter().all(|outcome| *outcome == Outcome::Delivered));
    until("all collected", || collector.count() == 3_010).await;
    let arrivals: Vec<u64> = collector.events().iter().map(|(sequence, _)| *sequence).collect();
    for (sequence, published) in bounds {
        let place = arrivals.iter().position(|arrived| *arrived == sequence).unwrap();
        let before = arrivals[..place].iter().filter(|arrived| **arrived >= REPLAYED_FROM).count() as u64;
        assert!(before <= published, "{before} replayed events before {sequence}, {published} were published");
    }
    let again: Vec<u64> = arrivals.into_iter().filter(|sequence| *sequence >= REPLAYED_FROM).collect();
    assert_eq!(again, numbers(REPLAYED_FROM..=REPLAYED_FROM + 2_999), "each once and in order");
    until("the queue's mark", || store.delivered() == 10).await;
    let counters = running.stop().await;
    assert!(store.marks().iter().all(|mark| *mark <= 10));
    assert_eq!((counters.events_delivered.get(), counters.side_delivered.get()), (10, 3_000));
}

#[tokio::test]
async fn replayed_events_wait_for_the_whole_queue_and_are_marked() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    store.add(1_000);
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    let giving = give(&running.side, replays(50));
    outcomes(giving).await;
    let events = broker.events();
    assert_eq!(events.iter().map(Got::sequence).take(1_000).collect::<Vec<_>>(), numbers(1..=1_000));
    assert_eq!(replayed(&events), numbers(REPLAYED_FROM..=REPLAYED_FROM + 49));
    assert!(events[1_000..].iter().all(|got| got.payload["backlog"] == true));
    running.stop().await;
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_repeats_what_was_in_flight_and_completes() {
    let pki = server_pki();
    let mut broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let collector = Collector::start(broker.plain_port).await;
    let gate = Gate::start(broker.tls_port).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", gate.port, Some(trusting(&pki))), &store);
    let giving = give(&running.side, replays(3_000));
    for round in 1..=2 {
        until("some of it arrived", || running.counters.side_delivered.get() >= u64::from(round) * 300).await;
        broker.kill();
        gate.set_open(false);
        broker.launch();
        collector.subscribed_times(round + 1).await;
        gate.set_open(true);
    }
    assert!(outcomes(giving).await.iter().all(|outcome| *outcome == Outcome::Delivered));
    until("all collected", || first_arrivals(&collector.events()).len() == 3_000).await;
    assert_eq!(first_arrivals(&collector.events()), numbers(REPLAYED_FROM..=REPLAYED_FROM + 2_999));
    assert!(store.marks().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn connections_that_break_again_and_again_bring_the_replay_across() {
    let broker = FakeBroker::start(Manner::ClosesAfter(7)).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    let giving = give(&running.side, replays(200));
    assert!(outcomes(giving).await.iter().all(|outcome| *outcome == Outcome::Delivered));
    assert_eq!(broker.first_arrivals(), numbers(REPLAYED_FROM..=REPLAYED_FROM + 199));
    running.trigger.stop();
}

#[tokio::test]
async fn an_event_the_broker_does_not_take_is_passed_over_and_blocks_neither_replay_nor_queue() {
    let poison = REPLAYED_FROM + 20;
    let broker = FakeBroker::start(Manner::ClosesAt(poison)).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    let giving = give(&running.side, replays(60));
    // New events keep coming while the poison ends connection after connection.
    let last = store.add(20);
    until("the queue", || store.delivered() == last).await;
    let last = store.add(20);
    let outcomes = outcomes(giving).await;
    let refused: Vec<usize> = (0..60).filter(|place| outcomes[*place] != Outcome::Delivered).collect();
    assert_eq!(refused, [20], "{:?}", outcomes[20]);
    until("the queue again", || store.delivered() == last).await;
    assert!(store.dead().is_empty(), "no event of the queue is blamed");
    let seen: BTreeSet<u64> = replayed(&broker.events()).into_iter().collect();
    assert_eq!(seen.len(), 59);
    assert_eq!(running.counters.side_refused.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_poison_in_the_queue_is_still_found_while_a_replay_runs() {
    let broker = FakeBroker::start(Manner::ClosesAt(5)).await;
    let store = FakeStore::new();
    let running = Running::start(upstream("127.0.0.1", broker.port, None), &store);
    let giving = give(&running.side, replays(500));
    until("the replay goes on", || running.counters.side_delivered.get() >= 50).await;
    let last = store.add(10);
    until("the queue", || store.delivered() == last).await;
    assert_eq!(store.dead().iter().map(|dead| dead.sequence).collect::<Vec<_>>(), [5]);
    assert!(outcomes(giving).await.iter().all(|outcome| *outcome == Outcome::Delivered));
    running.stop().await;
}

#[tokio::test]
async fn an_event_left_unacknowledged_among_others_is_passed_over() {
    let left_out = REPLAYED_FROM + 3;
    let broker = FakeBroker::start(Manner::LeavesOut(left_out)).await;
    let store = FakeStore::new();
    let upstream = Upstream { ack_timeout: Duration::from_millis(300), ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(upstream, &store);
    let outcomes = outcomes(give(&running.side, replays(40))).await;
    let refused: Vec<usize> = (0..40).filter(|place| outcomes[*place] != Outcome::Delivered).collect();
    assert_eq!(refused, [3]);
    store.add(10);
    until("the queue", || store.delivered() == 10).await;
    running.stop().await;
}

#[tokio::test]
async fn an_event_too_large_to_send_is_refused_at_once() {
    let broker = FakeBroker::start(Manner::Good).await;
    let store = FakeStore::new();
    let small = Upstream { payload_bytes_max: 2_000, ..upstream("127.0.0.1", broker.port, None) };
    let running = Running::start(small, &store);
    let mut events = replays(3);
    events[1] = Arc::new(event(REPLAYED_FROM + 1, 5_000, Severity::Medium));
    let outcomes = outcomes(give(&running.side, events)).await;
    assert!(matches!(&outcomes[1], Outcome::Refused(why) if why.contains("payload_bytes_max")), "{outcomes:?}");
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    assert_eq!(running.counters.upstream_connects.get(), 1);
    running.stop().await;
}
