#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::forward::window::{Ending, Puback, Window};

const SUBJECTS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn now() -> Instant {
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

#[derive(Clone, Debug)]
enum Step {
    Store(Vec<(usize, u8)>),
    Look(usize),
    BeginSweep,
    Sweep(usize),
    Send(usize),
    Ack(prop::sample::Index),
    Leave,
    Lose { arrived: prop::sample::Index, suspicious: bool },
    Evict(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec((0..SUBJECTS.len(), 0..5_u8), 1..20).prop_map(Step::Store),
        5 => (1..30_usize).prop_map(Step::Look),
        2 => Just(Step::BeginSweep),
        5 => (1..30_usize).prop_map(Step::Sweep),
        8 => (1..20_usize).prop_map(Step::Send),
        8 => any::<prop::sample::Index>().prop_map(Step::Ack),
        1 => Just(Step::Leave),
        1 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(arrived, suspicious)| Step::Lose { arrived, suspicious }),
        1 => any::<prop::sample::Index>().prop_map(Step::Evict),
    ]
}

/// Which lane an event in flight is on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lane {
    Queue(u16),
    Ahead(u16),
}

/// Queue and line between a store and a broker, as a session runs them.
struct World {
    ahead: Ahead<u64>,
    window: Window<u64>,
    stored: Vec<(usize, Severity)>,
    passed: u64,
    evicted: u64,
    packet_id: u16,
    /// Sent on this connection: number, lane, whether acknowledged.
    wire: Vec<(u64, Lane, bool)>,
    /// Arrived, by subject: first arrivals in order.
    arrived: BTreeMap<usize, Vec<u64>>,
    acknowledged: BTreeSet<u64>,
}

impl World {
    fn new(order: Order, limit: usize) -> Self {
        let mut ahead = Ahead::new(order, 0);
        ahead.on_connected(0);
        Self {
            ahead,
            window: Window::new(limit, 0),
            stored: Vec::new(),
            passed: 0,
            evicted: 0,
            packet_id: 0,
            wire: Vec::new(),
            arrived: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    fn event(&self, sequence: u64) -> Option<(&'static str, Severity)> {
        let (subject, severity) = self.stored.get(usize::try_from(sequence).unwrap() - 1)?;
        (sequence > self.evicted).then_some((SUBJECTS[*subject], *severity))
    }

    fn last(&self) -> u64 {
        self.stored.len() as u64
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Store(events) => {
                let events = events.iter().map(|(subject, severity)| (*subject, Severity::ALL[usize::from(*severity)]));
                self.stored.extend(events);
            }
            Step::Look(count) => self.look(*count),
            Step::BeginSweep => self.ahead.begin_sweep(self.passed),
            Step::Sweep(count) => self.sweep(*count),
            Step::Send(count) => {
                for n in 0..*count {
                    let _ = if n % 4 == 3 { self.send_queue() } else { self.send_ahead() || self.send_queue() };
                }
            }
            Step::Ack(index) => {
                let open: Vec<usize> = (0..self.wire.len()).filter(|at| !self.wire[*at].2).collect();
                if !open.is_empty() {
                    self.ack(*index.get(&open));
                }
            }
            Step::Leave => self.ahead.leave(),
            Step::Lose { arrived, suspicious } => self.lose(arrived, *suspicious),
            Step::Evict(index) => {
                self.evicted = self.evicted.max(index.index(self.stored.len() + 1) as u64);
                self.passed = self.passed.max(self.evicted);
            }
        }
        self.check();
    }

    fn look(&mut self, count: usize) {
        let from = self.ahead.seen().max(self.passed) + 1;
        for sequence in (from..=self.last()).take(count) {
            if let Some((subject, severity)) = self.event(sequence) {
                self.ahead.look(sequence, subject, severity, sequence, self.passed);
            }
        }
    }

    fn sweep(&mut self, count: usize) {
        let Some(from) = self.ahead.sweep_from(self.passed) else { return };
        for sequence in (from..=self.last()).take(count) {
            if let Some((subject, _)) = self.event(sequence)
                && !self.ahead.sweep(sequence, subject, sequence, self.passed)
            {
                return;
            }
        }
    }

    fn settle(&mut self) {
        self.ahead.settle(self.window.delivered().max(self.evicted));
    }

    fn send_ahead(&mut self) -> bool {
        self.settle();
        if !self.window.is_all_sent() || !(self.window.limit() > 1 || self.window.is_empty()) {
            return false;
        }
        let Some((slot, sequence, _)) = self.ahead.next() else { return false };
        self.put(sequence, Lane::Ahead(slot));
        self.ahead.on_outgoing(slot, 10, now());
        true
    }

    fn send_queue(&mut self) -> bool {
        self.settle();
        while self.window.next().is_none() {
            let next = self.passed + 1;
            if !self.window.wants_more() || next > self.last() {
                return false;
            }
            match self.ahead.whose(next) {
                Whose::Queue => assert!(self.window.offer(next, next)),
                Whose::Delivered => self.window.offer_done(next, next),
                Whose::Ahead => return false,
            }
            self.passed = next;
        }
        let (sequence, _) = self.window.next().unwrap();
        self.packet_id += 1;
        self.put(sequence, Lane::Queue(self.packet_id));
        self.window.on_outgoing(self.packet_id, 10);
        true
    }

    fn put(&mut self, sequence: u64, lane: Lane) {
        assert!(!self.acknowledged.contains(&sequence), "{sequence} is sent again although acknowledged");
        assert!(self.wire.iter().all(|(other, ..)| *other != sequence), "{sequence} is sent twice on a connection");
        let used = self.wire.iter().any(|(_, other, acknowledged)| !acknowledged && *other == lane);
        assert!(!used, "{lane:?} is in use");
        self.wire.push((sequence, lane, false));
    }

    /// Everything up to this place of the connection has arrived.
    fn arrive(&mut self, through: usize) {
        for (sequence, ..) in &self.wire[..through] {
            let subject = self.stored[usize::try_from(*sequence).unwrap() - 1].0;
            let before = self.arrived.entry(subject).or_default();
            if !before.contains(sequence) {
                assert!(before.last().is_none_or(|last| last < sequence), "{sequence} after {before:?}");
                before.push(*sequence);
            }
        }
    }

    fn ack(&mut self, at: usize) {
        self.arrive(at + 1);
        let (sequence, lane, _) = self.wire[at];
        self.wire[at].2 = true;
        self.acknowledged.insert(sequence);
        match lane {
            Lane::Queue(id) => assert_eq!(self.window.on_puback(id), Puback::Delivered(sequence)),
            Lane::Ahead(slot) => assert!(self.ahead.on_puback(slot).is_some()),
        }
    }

    fn lose(&mut self, arrived: &prop::sample::Index, suspicious: bool) {
        self.arrive(arrived.index(self.wire.len() + 1));
        let ending = if suspicious && self.ahead.inflight() == 0 { Ending::Suspicious } else { Ending::Blameless };
        if let Some(quarantine) = self.window.on_connection_lost(ending) {
            self.window.set_aside(quarantine.sequence);
            self.acknowledged.insert(quarantine.sequence);
        }
        self.ahead.on_connection_lost(suspicious);
        self.wire.clear();
        self.packet_id = 0;
        self.window.forget_through(self.evicted);
        self.ahead.on_connected(self.last());
    }

    fn check(&self) {
        let mark = self.window.delivered();
        let lost = (self.evicted + 1..=mark).find(|sequence| !self.acknowledged.contains(sequence));
        assert_eq!(lost, None, "the mark {mark} has passed what has not arrived");
        assert!(self.ahead.line.len() <= LINE_MAX + usize::from(INFLIGHT_MAX));
    }

    /// A healthy broker from here on: everything gets through.
    fn drain(&mut self) {
        let mut turns = 0;
        while self.window.delivered().max(self.evicted) < self.last() {
            self.look(10);
            self.ahead.begin_sweep(self.passed);
            self.sweep(10);
            if !(self.send_ahead() | self.send_queue())
                && let Some(open) = self.wire.iter().position(|(.., acknowledged)| !acknowledged)
            {
                self.ack(open);
            }
            self.check();
            turns += 1;
            assert!(turns < 50_000, "nothing moves any more");
        }
        self.settle();
        assert_eq!((self.ahead.delivered_ahead(), self.ahead.line.len()), (0, 0));
    }
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::LiveFirst), Just(Order::SeverityFirst)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_subject_keeps_its_order_and_nothing_is_lost_or_sent_again(
        order in order(),
        limit in 1_usize..40,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(order, limit);
        for step in &steps {
            world.take(step);
        }
        world.drain();
    }

    #[test]
    fn stretches_hold_what_was_put_in(numbers in prop::collection::vec(1_u64..200, 0..200), through in 0_u64..250) {
        let mut stretches = Stretches::default();
        numbers.iter().for_each(|number| stretches.insert(*number));
        stretches.forget_through(through);
        let expected: BTreeSet<u64> = numbers.into_iter().filter(|number| *number > through).collect();
        prop_assert_eq!(stretches.count(), expected.len() as u64);
        prop_assert!((0..260).all(|number| stretches.contains(number) == expected.contains(&number)));
        let gaps = expected.iter().filter(|number| !expected.contains(&(*number + 1))).count();
        prop_assert_eq!(stretches.stretches(), gaps);
    }
}
