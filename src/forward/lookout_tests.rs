#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::super::ahead::Whose;
use super::*;
use crate::config::model::Severity;
use crate::forward::testing::{FakeStore, until};

#[tokio::test]
async fn a_backlog_is_looked_at_while_there_is_no_connection() {
    let store = FakeStore::new();
    store.add(5_000);
    let mut lookout = Lookout::new(Order::LiveFirst, store.handle(), 0);
    let reads = |lookout: &Lookout| (store.reads(), lookout.ahead.seen());
    tokio::select! {
        () = lookout.keep_up(0) => unreachable!("it never returns"),
        () = until("most of it", || store.reads() >= 9) => {}
    }
    let (asked, seen) = reads(&lookout);
    assert!(seen >= 5_000 - 2 * READ_EVENTS_MAX as u64, "{asked} reads, up to {seen}");
    assert_eq!(lookout.ahead.inflight(), 0);
    assert!(lookout.ahead.next().is_none(), "nothing is live without a connection");
}

#[tokio::test]
async fn single_events_are_not_read_back_without_a_connection() {
    let store = FakeStore::new();
    let mut lookout = Lookout::new(Order::LiveFirst, store.handle(), 0);
    for _ in 0..READ_EVENTS_MAX - 1 {
        store.add(1);
        tokio::select! {
            biased;
            () = lookout.keep_up(0) => unreachable!("it never returns"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(store.reads(), 0);
}

#[tokio::test]
async fn oldest_first_reads_nothing() {
    let store = FakeStore::new();
    store.add(5_000);
    let mut lookout = Lookout::new(Order::OldestFirst, store.handle(), 0);
    lookout.step(0).await.unwrap();
    let idle = tokio::time::timeout(Duration::from_millis(20), lookout.keep_up(0));
    assert!(idle.await.is_err());
    assert_eq!(store.reads(), 0);
}

/// Events in a backlog: forty reads.
const BACKLOG: u64 = 40 * READ_EVENTS_MAX as u64;

/// What left, in order, and how long the queue waited.
struct Drain {
    sent: Vec<u64>,
    /// Most rounds on end in which the queue was given nothing.
    rest_max: u32,
    reads: u64,
}

impl Drain {
    /// How much of the backlog left before this event, in percent.
    fn place_of(&self, sequence: u64) -> u64 {
        let place = self.sent.iter().position(|sent| *sent == sequence).expect("it has left");
        place as u64 * 100 / BACKLOG
    }

    fn assert_all_left_once(&self, last: u64) {
        let mut sent = self.sent.clone();
        sent.sort_unstable();
        assert_eq!(sent, (1..=last).collect::<Vec<_>>());
    }
}

/// Sends all there is where nothing but the reading holds it back: in each round the store answers what it has been
/// asked, and what the queue and the line have then leaves at once and is acknowledged.
async fn drain(order: Order, fill: impl FnOnce(&FakeStore, &mut Lookout)) -> Drain {
    let (store, mut answer) = FakeStore::by_hand();
    let (mut feed, mut lookout) = (Feed::new(store.handle()), Lookout::new(order, store.handle(), 0));
    fill(&store, &mut lookout);
    let (mut sent, mut rest, mut rest_max) = (Vec::new(), 0, 0);
    while !feed.is_drained() || lookout.ahead.next().is_some() {
        lookout.step(feed.passed()).await.unwrap();
        tokio::select! {
            biased;
            turned = read_on(&mut feed, &mut lookout) => turned.unwrap(),
            () = tokio::task::yield_now() => {}
        }
        answer();
        rest = if feed.ready() == 0 { rest + 1 } else { 0 };
        rest_max = rest_max.max(rest);
        while let Some(event) = feed.pop() {
            match lookout.ahead.whose(event.sequence) {
                Whose::Queue => sent.push(event.sequence),
                Whose::Delivered => {}
                Whose::Ahead => {
                    feed.put_back(event);
                    break;
                }
            }
        }
        while let Some((slot, sequence, _)) = lookout.ahead.next() {
            lookout.ahead.on_outgoing(slot, 100, Instant::now());
            assert!(lookout.ahead.on_puback(slot).is_some());
            sent.push(sequence);
        }
    }
    Drain { sent, rest_max, reads: store.reads() }
}

#[tokio::test]
async fn where_reading_is_the_limit_a_live_event_overtakes_three_quarters_of_a_backlog() {
    let drain = drain(Order::LiveFirst, |store, lookout| {
        lookout.ahead.on_connected(store.add(BACKLOG));
        store.add_of("live", Severity::Low);
    })
    .await;
    drain.assert_all_left_once(BACKLOG + 1);
    let place = drain.place_of(BACKLOG + 1);
    assert!(place <= 30, "{place} % had left before it");
}

#[tokio::test]
async fn where_reading_is_the_limit_a_critical_event_overtakes_three_quarters_of_a_backlog() {
    let drain = drain(Order::SeverityFirst, |store, _| {
        store.add(BACKLOG);
        store.add_of("far", Severity::Critical);
    })
    .await;
    drain.assert_all_left_once(BACKLOG + 1);
    let place = drain.place_of(BACKLOG + 1);
    assert!(place <= 30, "{place} % had left before it");
}

#[tokio::test]
async fn where_reading_is_the_limit_a_sweep_brings_a_critical_event_before_half_the_backlog() {
    let drain = drain(Order::SeverityFirst, |store, _| {
        store.add(BACKLOG * 3 / 4);
        store.add_of("far", Severity::Low);
        store.add(BACKLOG / 4);
        store.add_of("far", Severity::Critical);
    })
    .await;
    drain.assert_all_left_once(BACKLOG + 2);
    let (early, critical) = (drain.place_of(BACKLOG * 3 / 4 + 1), drain.place_of(BACKLOG + 2));
    assert!(early <= critical && critical <= 50, "{early} % had left before the first, {critical} % before the other");
}

#[tokio::test]
async fn the_queue_goes_on_while_the_lookout_reads_and_nothing_is_read_more_often_for_it() {
    for order in [Order::LiveFirst, Order::SeverityFirst, Order::OldestFirst] {
        let drain = drain(order, |store, lookout| {
            lookout.ahead.on_connected(store.add(BACKLOG));
        })
        .await;
        assert!(drain.sent.is_sorted());
        drain.assert_all_left_once(BACKLOG);
        assert!(drain.rest_max <= READS_BEFORE_QUEUE + 1, "{order:?}: nothing in {} rounds", drain.rest_max);
        let each = BACKLOG / READ_EVENTS_MAX as u64;
        let most = if order == Order::OldestFirst { each } else { 2 * each };
        assert!(drain.reads <= most + 2, "{order:?}: {} reads", drain.reads);
    }
}

#[tokio::test]
async fn a_lookout_that_is_given_nothing_does_not_hold_the_queue_up() {
    let (store, mut answer) = FakeStore::by_hand();
    let (mut feed, mut lookout) = (Feed::new(store.handle()), Lookout::new(Order::LiveFirst, store.handle(), 0));
    store.add(BACKLOG);
    store.hand_out_nothing(true);
    for is_first in [true, false] {
        tokio::select! {
            biased;
            _ = read_on(&mut feed, &mut lookout) => unreachable!("there is nothing to send"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(feed.wants_read(), is_first, "the first read is the lookout's, the second the queue's");
        answer();
        store.hand_out_nothing(false);
    }
    read_on(&mut feed, &mut lookout).await.unwrap();
    assert!(feed.ready() > 0);
}
