//! The window against a model: whatever happens, nothing is released that was not acknowledged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Packet ids go round at the window plus this, as the client sets it up.
const PACKET_ID_MARGIN: u16 = 4;

/// What the world does next.
#[derive(Clone, Debug)]
enum Step {
    /// The store has this many more events, with gaps of up to this size between them.
    Offer { count: u8, gap: u8 },
    /// Publish up to this many.
    Send(u8),
    /// Acknowledge one of those in flight.
    Ack(prop::sample::Index),
    /// Refuse one of those in flight.
    Refuse(prop::sample::Index, Refusal),
    /// What the broker refuses while it takes nothing is asked about again.
    AskAgain,
    /// What was refused for good is in the dead letters.
    SetAside,
    /// Acknowledge a packet id that may be anything.
    Stray(u16),
    /// The store has evicted up to somewhere.
    Evict(prop::sample::Index),
    /// The connection ends.
    Lose(bool),
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![Just(Refusal::NotNow), Just(Refusal::Unclear), Just(Refusal::Forbidden), Just(Refusal::Never)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1_u8..20, 0_u8..3).prop_map(|(count, gap)| Step::Offer { count, gap }),
        4 => (1_u8..40).prop_map(Step::Send),
        6 => any::<prop::sample::Index>().prop_map(Step::Ack),
        4 => (any::<prop::sample::Index>(), refusal()).prop_map(|(index, refusal)| Step::Refuse(index, refusal)),
        1 => Just(Step::AskAgain),
        1 => Just(Step::SetAside),
        1 => (500_u16..).prop_map(Step::Stray),
        1 => any::<prop::sample::Index>().prop_map(Step::Evict),
        2 => any::<bool>().prop_map(Step::Lose),
    ]
}

/// Everything that must hold, told independently of the window's own bookkeeping.
struct World {
    window: Window<u64>,
    limit: u16,
    last_offered: u64,
    outstanding: BTreeSet<u64>,
    inflight: BTreeMap<u16, u64>,
    /// Refused at least once.
    refused: BTreeSet<u64>,
    /// Refused for good and not in the dead letters yet.
    condemned: BTreeSet<u64>,
    /// Refused while nothing showed that the broker takes others.
    kept: BTreeSet<u64>,
    /// On this connection an event was acknowledged, and none set aside since.
    is_proven: bool,
    /// Events set aside since the last that was acknowledged.
    blamed: usize,
    last_packet_id: u16,
    sent_on_connection: Vec<u64>,
    first_sent: Vec<u64>,
    mark: u64,
}

impl World {
    fn new(limit: u16) -> Self {
        Self {
            window: Window::new(usize::from(limit), 0),
            limit,
            last_offered: 0,
            outstanding: BTreeSet::new(),
            inflight: BTreeMap::new(),
            refused: BTreeSet::new(),
            condemned: BTreeSet::new(),
            kept: BTreeSet::new(),
            is_proven: false,
            blamed: 0,
            last_packet_id: 0,
            sent_on_connection: Vec::new(),
            first_sent: Vec::new(),
            mark: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Offer { count, gap } => {
                for _ in 0..*count {
                    self.last_offered += 1 + u64::from(*gap);
                    assert!(self.window.offer(self.last_offered, self.last_offered));
                    self.outstanding.insert(self.last_offered);
                }
            }
            Step::Send(count) => (0..*count).for_each(|_| self.send()),
            Step::Ack(index) => {
                if self.inflight.is_empty() {
                    return;
                }
                let packet_id = *index.get(&self.inflight.keys().copied().collect::<Vec<_>>());
                self.acknowledge(packet_id);
            }
            Step::Refuse(index, refusal) => {
                if self.inflight.is_empty() {
                    return;
                }
                let packet_id = *index.get(&self.inflight.keys().copied().collect::<Vec<_>>());
                let sequence = self.inflight.remove(&packet_id).unwrap();
                self.refused.insert(sequence);
                match self.window.on_refusal(packet_id, *refusal) {
                    Refused::Again => assert!(matches!(refusal, Refusal::NotNow | Refusal::Unclear)),
                    Refused::Kept(kept, _) => {
                        assert!(*refusal != Refusal::NotNow && kept == sequence && !self.is_proven);
                        self.kept.insert(sequence);
                    }
                    Refused::SetAside(quarantine) => {
                        assert!(*refusal != Refusal::NotNow && quarantine.sequence == sequence);
                        assert!(self.is_proven || *refusal == Refusal::Never, "nothing speaks against the event");
                        self.is_proven = false;
                        self.blamed += 1;
                        assert!(self.blamed <= RUN_MAX, "a broker that takes nothing had so many set aside");
                        self.condemned.insert(sequence);
                    }
                    Refused::Split | Refused::Unknown => panic!("it was in flight"),
                }
            }
            Step::AskAgain => self.ask_again(),
            Step::SetAside => self.set_aside(),
            Step::Stray(packet_id) => assert_eq!(self.window.on_puback(*packet_id), Puback::Unknown),
            Step::Evict(index) => {
                let through = index.index(usize::try_from(self.last_offered).unwrap() + 1) as u64;
                self.window.forget_through(through);
                let inflight: BTreeSet<u64> = self.inflight.values().copied().collect();
                let stays = |sequence: &u64| inflight.contains(sequence) || self.condemned.contains(sequence);
                self.outstanding.retain(|sequence| *sequence > through || stays(sequence));
                self.kept.retain(|sequence| *sequence > through);
            }
            Step::Lose(suspicious) => {
                let lone = self.sent_on_connection.len() == 1 && self.inflight.len() == 1;
                let ending = if *suspicious { Ending::Suspicious } else { Ending::Blameless };
                if let Some(quarantine) = self.window.on_connection_lost(ending) {
                    assert!(lone && *suspicious);
                    assert_eq!(quarantine.sequence, self.sent_on_connection[0]);
                    self.window.set_aside(quarantine.sequence);
                    self.outstanding.remove(&quarantine.sequence);
                }
                // What is refused and not set aside is sent again.
                self.condemned.clear();
                self.inflight.clear();
                self.sent_on_connection.clear();
                self.last_packet_id = 0;
                self.is_proven = false;
                // The next connection begins with the oldest again, or goes on behind it.
                if self.window.kept() < self.kept.len() {
                    self.kept.pop_first();
                }
            }
        }
        self.check();
    }

    fn acknowledge(&mut self, packet_id: u16) {
        let sequence = self.inflight.remove(&packet_id).unwrap();
        assert_eq!(self.window.on_puback(packet_id), Puback::Delivered(sequence));
        self.outstanding.remove(&sequence);
        (self.is_proven, self.blamed) = (true, 0);
        assert!(!self.window.is_refused());
        // Behind one that was refused it speaks against all of those; before them all it does not.
        let kept = std::mem::take(&mut self.kept);
        let is_against = kept.first().is_some_and(|oldest| *oldest < sequence);
        let blamed: BTreeSet<u64> =
            std::iter::from_fn(|| self.window.take_blamed()).map(|quarantine| quarantine.sequence).collect();
        assert_eq!(blamed, if is_against { kept } else { BTreeSet::new() });
        self.condemned.extend(blamed);
    }

    fn ask_again(&mut self) {
        let oldest = self.kept.first().copied().unwrap_or(u64::MAX);
        let is_sent =
            |sequence: &u64| self.condemned.contains(sequence) || self.inflight.values().any(|one| one == sequence);
        if self.outstanding.range(..oldest).all(is_sent) {
            self.kept.pop_first();
        }
        self.window.ask_again();
    }

    fn set_aside(&mut self) {
        while let Some(sequence) = self.condemned.pop_first() {
            self.window.set_aside(sequence);
            self.outstanding.remove(&sequence);
        }
    }

    fn send(&mut self) {
        let Some((sequence, item)) = self.window.next() else { return };
        assert_eq!(sequence, item);
        assert!(self.outstanding.contains(&sequence), "sent although acknowledged, evicted or set aside");
        assert!(!self.condemned.contains(&sequence), "sent although refused for good");
        let follows = |all: &[u64]| all.last().is_none_or(|last| *last < sequence);
        assert!(self.refused.contains(&sequence) || follows(&self.sent_on_connection), "out of order on a connection");
        let skipped = self.outstanding.iter().find(|other| {
            let is_away = self.condemned.contains(other)
                || self.kept.contains(other)
                || self.inflight.values().any(|inflight| inflight == *other);
            **other < sequence && !is_away
        });
        assert_eq!(skipped, None, "an older event is still waiting");
        self.last_packet_id = self.last_packet_id % (self.limit + PACKET_ID_MARGIN) + 1;
        while !self.refused.is_empty() && self.inflight.contains_key(&self.last_packet_id) {
            // What is refused takes new numbers again and again: a session gives such a connection up.
            self.last_packet_id = self.last_packet_id % (self.limit + PACKET_ID_MARGIN) + 1;
        }
        assert!(!self.inflight.contains_key(&self.last_packet_id), "packet id still in use");
        self.window.on_outgoing(self.last_packet_id, 100);
        self.inflight.insert(self.last_packet_id, sequence);
        assert!(!self.window.is_refused() || self.inflight.len() == 1, "one by one while nothing is taken");
        self.sent_on_connection.push(sequence);
        if !self.first_sent.contains(&sequence) {
            assert!(follows(&self.first_sent), "first deliveries out of order");
            self.first_sent.push(sequence);
        }
    }

    fn check(&mut self) {
        assert!(self.window.delivered() >= self.mark, "the mark went back");
        self.mark = self.window.delivered();
        if let Some(first) = self.outstanding.first() {
            assert!(self.mark < *first, "the mark passed {first}");
        }
        assert_eq!(self.window.inflight(), self.inflight.len());
        assert_eq!(self.window.kept(), self.kept.len());
        assert!(self.inflight.len() <= usize::from(self.limit));
    }

    /// A healthy broker from here on: everything must get through.
    fn drain(&mut self) {
        let mut turns = 0;
        self.set_aside();
        while !self.outstanding.is_empty() {
            self.send();
            if self.window.next().is_none() && self.inflight.is_empty() {
                assert!(self.window.is_refused(), "nothing moves any more");
                self.ask_again();
            } else if self.window.next().is_none() {
                self.acknowledge(*self.inflight.keys().next().unwrap());
                self.set_aside();
                self.check();
            }
            turns += 1;
            assert!(turns < 100_000);
        }
        assert!(self.window.is_empty());
        assert_eq!(self.window.inflight(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_released_unacknowledged_and_order_holds(
        limit in 1_u16..40,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(limit);
        for step in &steps {
            world.take(step);
        }
        world.drain();
        prop_assert!(world.window.delivered() >= world.last_offered);
    }
}
