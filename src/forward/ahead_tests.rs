#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::*;

pub(super) fn now() -> Instant {
    Instant::now()
}

fn sent(ahead: &mut Ahead<u64>) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some((slot, sequence, item)) = ahead.next() {
        assert_eq!(sequence, item);
        ahead.on_outgoing(slot, 10, now());
        all.push(sequence);
    }
    all
}

/// Shows the lookout numbered events from 1 on: subject and severity.
fn look(ahead: &mut Ahead<u64>, events: &[(&str, Severity)]) {
    for (sequence, (subject, severity)) in (1..).zip(events) {
        ahead.look(sequence, subject, *severity, sequence, 0);
    }
}

fn sweep(ahead: &mut Ahead<u64>, events: &[(&str, Severity)]) {
    ahead.begin_sweep(0);
    for (sequence, (subject, _)) in (1..).zip(events) {
        assert!(ahead.sweep(sequence, subject, sequence, 0));
    }
}

#[test]
fn live_events_overtake_a_backlog_unless_their_subject_is_in_it() {
    let mut ahead = Ahead::new(Order::LiveFirst, 0);
    ahead.on_connected(3);
    let low = Severity::Low;
    look(&mut ahead, &[("a", low), ("b", low), ("a", low), ("c", low), ("a", low), ("d", low), ("c", low)]);
    assert_eq!(sent(&mut ahead), [4, 6, 7]);
    assert_eq!([1, 4, 5, 6].map(|n| ahead.whose(n)), [Whose::Queue, Whose::Ahead, Whose::Queue, Whose::Ahead]);
    assert!(ahead.on_puback(1).is_some());
    assert_eq!(ahead.whose(6), Whose::Delivered);
    // The queue has passed the backlog of `a`: its next event may overtake.
    ahead.look(8, "b", low, 8, 1);
    ahead.look(9, "a", low, 9, 5);
    assert_eq!(sent(&mut ahead), [9]);
}

#[test]
fn severe_events_overtake_and_bring_what_is_before_them_of_their_subject() {
    let (low, high, critical) = (Severity::Low, Severity::High, Severity::Critical);
    let events =
        [("a", low), ("b", low), ("c", high), ("b", high), ("a", critical), ("d", critical), ("a", low), ("b", low)];
    let mut ahead = Ahead::new(Order::SeverityFirst, 0);
    look(&mut ahead, &events);
    assert_eq!(sent(&mut ahead), [3, 6], "what is the first of its subject goes at once");
    sweep(&mut ahead, &events);
    assert_eq!(sent(&mut ahead), [1, 5]);
    sweep(&mut ahead, &events);
    assert_eq!(sent(&mut ahead), [2, 4]);
    ahead.begin_sweep(0);
    assert!(!ahead.is_sweeping(), "nothing is wanted any more");
    // 7 was left to the queue: what follows it of `a` is pulled past it only with it.
    ahead.look(9, "a", critical, 9, 0);
    assert_eq!(sent(&mut ahead), [0_u64; 0]);
    let longer = [&events[..], &[("a", critical)]].concat();
    sweep(&mut ahead, &longer);
    assert_eq!(sent(&mut ahead), [7, 9]);
}

#[test]
fn a_sweep_for_high_events_gives_way_to_a_critical_one() {
    let mut ahead = Ahead::new(Order::SeverityFirst, 0);
    let (low, high, critical) = (Severity::Low, Severity::High, Severity::Critical);
    look(&mut ahead, &[("a", low), ("b", low), ("a", high)]);
    ahead.begin_sweep(0);
    ahead.look(4, "b", critical, 4, 0);
    sweep(&mut ahead, &[("a", low), ("b", low), ("a", high), ("b", critical)]);
    assert_eq!(sent(&mut ahead), [2, 4]);
}

#[test]
fn a_sweep_waits_for_room_and_keeps_some_for_what_happens_now() {
    let mut ahead = Ahead::new(Order::SeverityFirst, 0);
    let events: Vec<_> = (0..100).flat_map(|_| [("a", Severity::Low), ("a", Severity::Critical)]).collect();
    look(&mut ahead, &events);
    ahead.begin_sweep(0);
    let taken = (1..=200).take_while(|n| ahead.sweep(*n, "a", *n, 0)).count();
    assert_eq!(taken, SWEPT_MAX);
    assert_eq!(ahead.sweep_from(0), None);
    ahead.look(201, "b", Severity::Critical, 201, 0);
    assert_eq!(ahead.whose(201), Whose::Ahead);
    assert_eq!(sent(&mut ahead).len(), SWEPT_MAX + 1);
    assert_eq!(ahead.sweep_from(0), Some(SWEPT_MAX as u64 + 1));
}

#[test]
fn what_ends_three_connections_goes_back_to_the_queue() {
    let mut ahead = Ahead::new(Order::LiveFirst, 0);
    ahead.on_connected(0);
    look(&mut ahead, &[("a", Severity::Low), ("b", Severity::Low)]);
    for _ in 0..SUSPICIONS_MAX {
        assert_eq!(sent(&mut ahead), [1, 2]);
        ahead.on_connection_lost(true);
    }
    assert_eq!(sent(&mut ahead), [0_u64; 0]);
    assert_eq!((ahead.whose(1), ahead.whose(2)), (Whose::Queue, Whose::Queue));
    ahead.on_connected(0);
    ahead.look(3, "a", Severity::Low, 3, 0);
    assert_eq!(ahead.whose(3), Whose::Queue, "not past what was given back");
}

#[test]
fn what_cannot_be_sent_is_left_with_all_that_follows_it_of_its_subject() {
    let mut ahead = Ahead::new(Order::LiveFirst, 0);
    ahead.on_connected(0);
    look(&mut ahead, &[("a", Severity::Low), ("b", Severity::Low), ("a", Severity::Low)]);
    ahead.leave();
    assert_eq!(sent(&mut ahead), [2]);
    assert_eq!([1, 3].map(|n| ahead.whose(n)), [Whose::Queue; 2]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut ahead = Ahead::new(Order::LiveFirst, 0);
    ahead.on_connected(0);
    let mut sequence = 0;
    for _ in 0..2 * AHEAD_STRETCHES_MAX {
        // Every other number, so that each is a stretch of its own.
        sequence += 2;
        ahead.look(sequence, "a", Severity::Low, sequence, 0);
        if let Some((slot, ..)) = ahead.next() {
            ahead.on_outgoing(slot, 10, now());
            assert!(ahead.on_puback(slot).is_some());
        }
    }
    assert_eq!(ahead.delivered_ahead(), AHEAD_STRETCHES_MAX as u64 + 1);
    assert_eq!(ahead.whose(sequence), Whose::Queue);
    ahead.settle(sequence - 2);
    assert_eq!(ahead.delivered_ahead(), 0);
}

#[test]
fn without_an_order_nothing_is_kept() {
    let mut ahead = Ahead::new(Order::OldestFirst, 0);
    ahead.on_connected(0);
    look(&mut ahead, &[("a", Severity::Critical)]);
    assert!(ahead.next().is_none() && ahead.left.is_empty() && ahead.wanted[0].is_empty());
}
