//! The line and the queue against a model: whatever happens, each subject keeps its order and nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::now;
use super::*;
use crate::forward::window::{Ending, Puback, Refusal, Refused, Window};

const SUBJECTS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Debug)]
enum Step {
    Store(Vec<(usize, u8)>),
    Look(usize),
    BeginSweep,
    Sweep(usize),
    Send(usize),
    Ack(prop::sample::Index),
    /// The broker refuses what is in flight, from somewhere on.
    Refuse {
        from: prop::sample::Index,
        again: bool,
    },
    Leave,
    Lose {
        arrived: prop::sample::Index,
        suspicious: bool,
    },
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
        1 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(from, again)| Step::Refuse { from, again }),
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
            Step::BeginSweep => {
                self.ahead.begin_sweep(self.passed);
            }
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
            Step::Refuse { from, again } => self.refuse(from.index(self.wire.len() + 1), *again),
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

    /// As a broker whose quota is used up: nothing of what is in flight from there on.
    fn refuse(&mut self, from: usize, again: bool) {
        let open: Vec<(u64, Lane, bool)> = self.wire[from..].iter().filter(|one| !one.2).copied().collect();
        for (sequence, lane, _) in open {
            match lane {
                Lane::Queue(id) => assert_eq!(self.window.on_refusal(id, Refusal::NotNow), Refused::Again),
                Lane::Ahead(slot) => assert!(self.ahead.on_refusal(slot, again)),
            }
            self.wire.retain(|(other, ..)| *other != sequence);
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
}
