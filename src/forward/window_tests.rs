#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Packet ids go round at the window plus this, as the client sets it up.
const PACKET_ID_MARGIN: u16 = 4;

fn window_of(limit: usize, events: u64) -> Window<u64> {
    let mut window = Window::new(limit, 0);
    for sequence in 1..=events {
        assert!(window.offer(sequence, sequence));
    }
    window
}

/// Sends all that fits, packet id = sequence number.
fn send_all(window: &mut Window<u64>) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some((sequence, _)) = window.next() {
        window.on_outgoing(u16::try_from(sequence).unwrap(), 10);
        sent.push(sequence);
    }
    sent
}

#[test]
fn the_mark_waits_for_the_oldest_unacknowledged_event() {
    let mut window = window_of(8, 4);
    assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
    assert_eq!(window.on_puback(3), Puback::Delivered(3));
    assert_eq!(window.on_puback(2), Puback::Delivered(2));
    assert_eq!(window.delivered(), 0);
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert_eq!(window.delivered(), 3);
    assert_eq!(window.on_puback(4), Puback::Delivered(4));
    assert_eq!(window.delivered(), 4);
    assert!(window.is_empty());
}

#[test]
fn an_acknowledgement_of_something_else_changes_nothing() {
    let mut window = window_of(8, 2);
    send_all(&mut window);
    assert_eq!(window.on_puback(9), Puback::Unknown);
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert_eq!(window.on_puback(1), Puback::Unknown);
    assert_eq!((window.delivered(), window.inflight()), (1, 1));
}

#[test]
fn after_a_loss_the_unacknowledged_are_sent_again_in_order_and_the_others_are_not() {
    let mut window = window_of(4, 6);
    assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
    window.on_puback(2);
    window.on_puback(3);
    assert_eq!(send_all(&mut window), [0_u64; 0], "the oldest holds the window");
    assert_eq!(window.on_connection_lost(Ending::Blameless), None);
    assert_eq!(send_all(&mut window), [1, 4]);
    window.on_puback(1);
    assert_eq!(window.delivered(), 3);
    assert_eq!(send_all(&mut window), [5, 6]);
}

#[test]
fn a_refused_event_is_sent_again_before_new_ones_and_the_window_shrinks() {
    let mut window = window_of(4, 6);
    assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
    assert_eq!(window.on_refusal(2, Refusal::NotNow), Refused::Again);
    assert_eq!((window.inflight(), window.limit(), window.is_all_sent()), (3, 2, false));
    assert_eq!(send_all(&mut window), [0_u64; 0], "what is in flight fills the smaller window");
    for packet_id in [1, 3, 4] {
        assert!(matches!(window.on_puback(packet_id), Puback::Delivered(_)));
    }
    assert_eq!(window.delivered(), 1);
    assert_eq!(send_all(&mut window), [2, 5], "it goes first; what is done behind it still takes its place");
    window.on_puback(2);
    assert_eq!(window.delivered(), 4);
}

#[test]
fn an_event_refused_for_good_holds_its_place_until_it_is_set_aside() {
    let mut window = window_of(4, 5);
    send_all(&mut window);
    let aside = Quarantine { sequence: 2, item: 2, attempts: 1 };
    assert_eq!(window.on_refusal(2, Refusal::Never), Refused::SetAside(aside));
    assert_eq!(window.on_refusal(2, Refusal::Never), Refused::Unknown);
    window.on_puback(1);
    window.on_puback(3);
    assert_eq!((window.delivered(), window.is_empty()), (1, false));
    window.set_aside(2);
    assert_eq!((window.delivered(), window.inflight()), (3, 1));
    assert_eq!(send_all(&mut window), [5]);
}

#[test]
fn an_event_refused_without_a_reason_is_set_aside_the_third_time_across_connections() {
    let mut window = window_of(4, 1);
    send_all(&mut window);
    assert_eq!(window.on_refusal(1, Refusal::Unclear), Refused::Again);
    assert_eq!(window.on_refusal(1, Refusal::Unclear), Refused::Unknown, "it is not in flight");
    window.on_connection_lost(Ending::Blameless);
    send_all(&mut window);
    for _ in 0..10 {
        assert_eq!(window.on_refusal(1, Refusal::NotNow), Refused::Again, "a quota never counts against it");
        send_all(&mut window);
    }
    assert_eq!(window.on_refusal(1, Refusal::Unclear), Refused::Again);
    send_all(&mut window);
    assert!(matches!(window.on_refusal(1, Refusal::Unclear), Refused::SetAside(Quarantine { attempts: 3, .. })));
    window.on_connection_lost(Ending::Blameless);
    assert_eq!(send_all(&mut window), [1], "not in the dead letters yet: the broker may say it again");
}

#[test]
fn a_broker_that_takes_few_at_a_time_bounds_the_window_for_its_connection() {
    let mut window = window_of(8, 20);
    window.on_connected(3);
    assert_eq!(send_all(&mut window), [1, 2, 3]);
    assert_eq!(window.limit(), 3);
    window.on_connection_lost(Ending::Blameless);
    window.on_connected(1_000);
    assert_eq!(window.limit(), 4, "halved for want of progress, and bound no more");
}

#[test]
fn numbers_may_be_missing_and_repeats_are_refused() {
    let mut window = Window::new(4, 10);
    assert!(!window.offer(10, 10));
    assert!(window.offer(12, 12));
    assert!(!window.offer(12, 12));
    assert!(window.offer(17, 17));
    send_all(&mut window);
    window.on_puback(12);
    assert_eq!(window.delivered(), 12);
    window.on_puback(17);
    assert_eq!(window.delivered(), 17);
}

#[test]
fn without_progress_the_window_halves_down_to_one_and_grows_back_with_progress() {
    let mut window = window_of(256, 2_000);
    let mut limits = Vec::new();
    for _ in 0..10 {
        send_all(&mut window);
        window.on_connection_lost(Ending::Blameless);
        limits.push(window.limit());
    }
    assert_eq!(limits, [128, 64, 32, 16, 8, 4, 2, 1, 1, 1]);
    let mut packet_id = 0_u16;
    while window.limit() < 256 {
        while window.next().is_some() {
            packet_id += 1;
            window.on_outgoing(packet_id, 10);
        }
        window.on_puback(packet_id + 1 - u16::try_from(window.inflight()).unwrap());
    }
    assert_eq!(window.delivered(), 255, "1 + 2 + 4 + ... + 128 acknowledgements");
}

#[test]
fn a_loss_while_nothing_was_in_flight_leaves_the_window_alone() {
    let mut window = window_of(256, 1);
    window.on_connection_lost(Ending::Suspicious);
    send_all(&mut window);
    window.on_puback(1);
    window.on_connection_lost(Ending::Suspicious);
    assert_eq!(window.limit(), 256);
}

#[test]
fn an_event_that_alone_ended_three_connections_is_to_be_set_aside() {
    let mut window = window_of(2, 3);
    send_all(&mut window);
    assert_eq!(window.on_connection_lost(Ending::Suspicious), None, "two were in flight");
    for _ in 1..SUSPICIONS_MAX {
        assert_eq!(send_all(&mut window), [1]);
        assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    }
    assert_eq!(send_all(&mut window), [1]);
    assert_eq!(
        window.on_connection_lost(Ending::Suspicious),
        Some(Quarantine { sequence: 1, item: 1, attempts: SUSPICIONS_MAX })
    );
    window.set_aside(1);
    assert_eq!(window.delivered(), 1);
    assert_eq!(send_all(&mut window), [2]);
}

/// A broker that closes the connection when it gets the event `poison`. `told` says how many of those it took before on a
/// connection are acknowledged in time. Returns the connections it takes until nothing is left, and those set aside.
fn deliver_to_a_closing_broker(
    window: &mut Window<u64>,
    poisons: &[u64],
    mut told: impl FnMut(usize) -> usize,
) -> (u32, Vec<u64>) {
    let (mut connections, mut aside) = (0, Vec::new());
    while !window.is_empty() {
        connections += 1;
        assert!(connections < 1_000, "no end to it");
        let (mut packet_id, mut taken, mut ended) = (0_u16, Vec::new(), false);
        while !ended {
            while let Some((sequence, _)) = window.next() {
                packet_id += 1;
                window.on_outgoing(packet_id, 10);
                ended |= poisons.contains(&sequence);
                if !ended {
                    taken.push(packet_id);
                }
            }
            let count = if ended { told(taken.len()) } else { taken.len() };
            for id in taken.drain(..).take(count) {
                assert!(matches!(window.on_puback(id), Puback::Delivered(_)));
            }
            if window.is_empty() {
                return (connections, aside);
            }
        }
        if let Some(found) = window.on_connection_lost(Ending::Suspicious) {
            aside.push(found.sequence);
            window.set_aside(found.sequence);
        }
    }
    (connections, aside)
}

#[test]
fn one_bad_event_among_thousands_takes_six_connections_and_nothing_else_is_set_aside() {
    for poison in [1, 2, 255, 256, 257, 2_500, 5_000] {
        let mut window = window_of(256, 5_000);
        let (connections, aside) = deliver_to_a_closing_broker(&mut window, &[poison], |taken| taken);
        assert_eq!(aside, [poison]);
        assert!(connections <= 6, "{connections} connections for {poison}");
    }
}

#[test]
fn it_takes_few_connections_also_when_the_last_acknowledgements_are_lost_with_them() {
    for (poison, share) in [(300, 0), (300, 2), (300, 3), (4_999, 0), (4_999, 5)] {
        let mut window = window_of(256, 5_000);
        let told = |taken: usize| taken.checked_div(share).unwrap_or(0);
        let (connections, aside) = deliver_to_a_closing_broker(&mut window, &[poison], told);
        assert_eq!(aside, [poison]);
        assert!(connections <= 10, "{connections} connections for {poison} with {share}");
    }
}

#[test]
fn it_takes_few_connections_also_when_the_broker_closes_before_any_acknowledgement_is_seen() {
    let mut window = window_of(256, 600);
    for _ in 0..2 {
        send_all(&mut window);
        assert_eq!(window.on_connection_lost(Ending::Abrupt), None);
    }
    assert_eq!(window.limit(), 1);
    assert_eq!(send_all(&mut window), [1]);
    assert_eq!((window.on_connection_lost(Ending::Abrupt), window.suspect()), (None, None), "it blames nobody");
    let (connections, aside) = deliver_to_a_closing_broker(&mut window, &[200], |_| 0);
    assert_eq!(aside, [200]);
    assert!(connections <= 6, "{connections} connections");
}

#[test]
fn several_bad_events_take_a_handful_of_connections_each() {
    let poisons = [7, 8, 9, 1_000, 1_001, 3_000];
    let mut window = window_of(256, 5_000);
    let (connections, aside) = deliver_to_a_closing_broker(&mut window, &poisons, |taken| taken);
    assert_eq!(aside, poisons);
    assert!(connections <= 6 * 6, "{connections} connections");
}

#[test]
fn the_search_hurries_only_at_a_broker_that_takes_events() {
    let mut window = window_of(4, 8);
    for _ in 0..2 {
        send_all(&mut window);
        window.on_connection_lost(Ending::Suspicious);
    }
    assert_eq!((window.limit(), window.is_isolating()), (1, false), "it has taken nothing yet");
    send_all(&mut window);
    window.on_puback(1);
    assert!(window.is_isolating());
    for _ in 0..=SUSPICIONS_MAX {
        assert_eq!(send_all(&mut window), [2]);
        if let Some(found) = window.on_connection_lost(Ending::Suspicious) {
            window.set_aside(found.sequence);
        }
    }
    assert_eq!(window.delivered(), 2);
    for _ in 0..3 {
        assert_eq!(send_all(&mut window), [3]);
        window.on_connection_lost(Ending::Suspicious);
        assert!(!window.is_isolating(), "nothing was taken since the last one was set aside");
    }
}

#[test]
fn a_window_of_progress_between_ends_leaves_the_window_wide() {
    let mut window = window_of(64, 1_000);
    for end in 0..10_u16 {
        for sequence in send_all(&mut window) {
            window.on_puback(u16::try_from(sequence).unwrap());
        }
        send_all(&mut window);
        window.on_connection_lost(Ending::Suspicious);
        assert_eq!((window.limit(), window.is_isolating()), (64, false), "end {end}");
    }
}

#[test]
fn a_broken_network_never_makes_an_event_a_suspect() {
    let mut window = window_of(1, 1);
    for _ in 0..100 {
        send_all(&mut window);
        assert_eq!(window.on_connection_lost(Ending::Blameless), None);
    }
}

#[test]
fn an_acknowledgement_clears_the_suspicion() {
    let mut window = window_of(1, 2);
    for _ in 0..2 {
        send_all(&mut window);
        assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    }
    send_all(&mut window);
    window.on_puback(1);
    window.on_connection_lost(Ending::Suspicious);
    for _ in 0..2 {
        assert_eq!(send_all(&mut window), [2]);
        assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    }
}

#[test]
fn setting_aside_the_next_event_lets_those_behind_it_go() {
    let mut window = window_of(4, 3);
    window.on_outgoing(1, 10);
    assert_eq!(window.next(), Some((2, 2)));
    window.set_aside(2);
    assert_eq!(window.next(), Some((3, 3)));
    window.on_outgoing(2, 10);
    window.on_puback(2);
    assert_eq!(window.delivered(), 0);
    window.on_puback(1);
    assert_eq!(window.delivered(), 3);
}

#[test]
fn evicted_events_are_not_sent_again() {
    let mut window = window_of(4, 4);
    send_all(&mut window);
    window.on_connection_lost(Ending::Blameless);
    window.forget_through(2);
    assert_eq!(window.delivered(), 2);
    assert_eq!(send_all(&mut window), [3, 4]);
    window.forget_through(9);
    assert_eq!(window.delivered(), 2, "what is in flight stays in flight");
}

#[test]
fn a_nearly_full_window_is_refilled_in_eighths_while_there_is_more_than_fits() {
    let mut window = window_of(16, 16);
    assert!(!window.waits_for_room(100), "nothing is in flight: nothing would come to end the wait");
    assert_eq!(send_all(&mut window).len(), 16);
    assert!(window.waits_for_room(100), "full");
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert!(window.waits_for_room(2), "one fits and two are there");
    assert!(!window.waits_for_room(1), "all there is fits");
    assert_eq!(window.on_puback(2), Puback::Delivered(2));
    assert!(!window.waits_for_room(100), "an eighth is free");
}

#[test]
fn bytes_in_flight_are_bounded_but_one_event_always_goes() {
    let mut window = window_of(16, 4);
    window.next().unwrap();
    window.on_outgoing(1, 2 * INFLIGHT_BYTES_MAX);
    assert_eq!(window.next(), None);
    window.on_puback(1);
    window.on_outgoing(2, INFLIGHT_BYTES_MAX - 1);
    assert!(window.next().is_some());
    window.on_outgoing(3, 1);
    assert_eq!(window.next(), None);
}

/// What the world does next.
#[derive(Clone, Debug)]
enum Step {
    /// The store has this many more events, with gaps of up to this size between them.
    Offer { count: u8, gap: u8 },
    /// Publish up to this many.
    Send(u8),
    /// Acknowledge one of those in flight.
    Ack(prop::sample::Index),
    /// Acknowledge a packet id that may be anything.
    Stray(u16),
    /// The store has evicted up to somewhere.
    Evict(prop::sample::Index),
    /// The connection ends.
    Lose(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1_u8..20, 0_u8..3).prop_map(|(count, gap)| Step::Offer { count, gap }),
        4 => (1_u8..40).prop_map(Step::Send),
        6 => any::<prop::sample::Index>().prop_map(Step::Ack),
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
                let sequence = self.inflight.remove(&packet_id).unwrap();
                assert_eq!(self.window.on_puback(packet_id), Puback::Delivered(sequence));
                self.outstanding.remove(&sequence);
            }
            Step::Stray(packet_id) => assert_eq!(self.window.on_puback(*packet_id), Puback::Unknown),
            Step::Evict(index) => {
                let through = index.index(usize::try_from(self.last_offered).unwrap() + 1) as u64;
                self.window.forget_through(through);
                let inflight: BTreeSet<u64> = self.inflight.values().copied().collect();
                self.outstanding.retain(|sequence| *sequence > through || inflight.contains(sequence));
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
                self.inflight.clear();
                self.sent_on_connection.clear();
                self.last_packet_id = 0;
            }
        }
        self.check();
    }

    fn send(&mut self) {
        let Some((sequence, item)) = self.window.next() else { return };
        assert_eq!(sequence, item);
        assert!(self.outstanding.contains(&sequence), "sent although acknowledged, evicted or set aside");
        assert!(self.sent_on_connection.last().is_none_or(|last| *last < sequence), "out of order on a connection");
        let skipped = self
            .outstanding
            .iter()
            .find(|other| **other < sequence && !self.inflight.values().any(|inflight| inflight == *other));
        assert_eq!(skipped, None, "an older event is still waiting");
        self.last_packet_id = self.last_packet_id % (self.limit + PACKET_ID_MARGIN) + 1;
        assert!(!self.inflight.contains_key(&self.last_packet_id), "packet id still in use");
        self.window.on_outgoing(self.last_packet_id, 100);
        self.inflight.insert(self.last_packet_id, sequence);
        self.sent_on_connection.push(sequence);
        if !self.first_sent.contains(&sequence) {
            assert!(self.first_sent.last().is_none_or(|last| *last < sequence), "first deliveries out of order");
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
        assert!(self.inflight.len() <= usize::from(self.limit));
    }

    /// A healthy broker from here on: everything must get through.
    fn drain(&mut self) {
        let mut turns = 0;
        while !self.outstanding.is_empty() {
            self.send();
            if self.window.next().is_none() {
                let (packet_id, sequence) = self.inflight.pop_first().expect("nothing moves any more");
                assert_eq!(self.window.on_puback(packet_id), Puback::Delivered(sequence));
                self.outstanding.remove(&sequence);
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

#[test]
fn a_small_start_grows_by_what_is_acknowledged() {
    let mut window = window_of(64, 200);
    window.start_small(8);
    assert_eq!(send_all(&mut window), (1..=8).collect::<Vec<_>>());
    for packet_id in 1..=8 {
        window.on_puback(packet_id);
    }
    assert_eq!(window.limit(), 16);
    assert_eq!(send_all(&mut window), (9..=24).collect::<Vec<_>>());
    window.start_small(32);
    assert_eq!(window.limit(), 16, "it never grows by it");
}
