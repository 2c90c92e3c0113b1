//! Which of several brokers to connect to, and when to go back to a better one.
//!
//! Owns the order of attempts ([`Failover`]) and the judgement that an earlier broker works again ([`Return`]). Pure:
//! never connects, never reads a clock and never draws a random number; callers pass the time since any fixed moment and
//! an even draw from 0 to 1.
//!
//! - A round tries every broker once, the first in `urls` first, without waiting in between; only after a whole round is
//!   there a back-off.
//! - A connection that lasted is followed by a new round; one that did not counts as that broker's failure in the round,
//!   so that a broker which lets in and throws out keeps nobody from the next.
//! - A connection to a later broker is kept for as long as it lasts. Meanwhile the earlier ones are probed now and then,
//!   in order; the first that answers is probed more often, and when it has answered each time over a stable while it is
//!   moved to.

use std::time::Duration;

use super::backoff::STABLE;

/// Answers in a row, at least, before a broker counts as working again.
const ANSWERS_MIN: u32 = 3;

/// The order of attempts.
#[derive(Clone, Debug)]
pub struct Failover {
    brokers: usize,
    at: usize,
}

impl Failover {
    /// Of so many brokers (at least one), starting with the first.
    pub fn new(brokers: usize) -> Self {
        Self { brokers: brokers.max(1), at: 0 }
    }

    /// The broker to connect to, or that we are connected to; from 0.
    pub fn at(&self) -> usize {
        self.at
    }

    /// An attempt at the present broker failed (`lasted` is zero) or the connection to it ended. Returns whether the
    /// round is over: then a wait is due before the next attempt, else the next broker is tried at once.
    pub fn on_ended(&mut self, lasted: Duration) -> bool {
        self.at = if lasted >= STABLE { 0 } else { (self.at + 1) % self.brokers };
        self.at == 0
    }

    /// The connection was given up for a better broker, which is tried next.
    pub fn move_to(&mut self, broker: usize) {
        self.at = broker.min(self.brokers - 1);
    }
}

/// What is known of the brokers before the present one.
#[derive(Clone, Debug)]
pub struct Return {
    /// The broker we are connected to; those before it are probed.
    at: usize,
    every: Duration,
    stable: Duration,
    /// The broker to probe next, and when.
    next: (usize, Duration),
    /// A broker that answers, since when, and how often in a row.
    candidate: Option<(usize, Duration, u32)>,
}

impl Return {
    /// Connected to broker `at` since `now`; those before it are tried about `every`, and one that has answered for
    /// `stable` is moved to. `None` if there is none before it.
    pub fn new(at: usize, every: Duration, stable: Duration, now: Duration, random: f64) -> Option<Self> {
        let first = (0, now.saturating_add(jittered(every, random)));
        (at > 0).then_some(Self { at, every, stable, next: first, candidate: None })
    }

    /// The broker to probe next, and when.
    pub fn next(&self) -> (usize, Duration) {
        self.next
    }

    /// The probe of that broker has ended. Returns it if it is to be moved to.
    pub fn on_answer(&mut self, good: bool, now: Duration, random: f64) -> Option<usize> {
        let (probed, _) = self.next;
        if !good {
            self.candidate = None;
            // The others of this time at once; then it starts again with the first.
            self.next = match probed + 1 {
                next if next < self.at => (next, now),
                _ => (0, now.saturating_add(jittered(self.every, random))),
            };
            return None;
        }
        let (since, answers) = match self.candidate {
            Some((candidate, since, answers)) if candidate == probed => (since, answers.saturating_add(1)),
            _ => (now, 1),
        };
        self.candidate = Some((probed, since, answers));
        if answers >= ANSWERS_MIN && now.saturating_sub(since) >= self.stable {
            return Some(probed);
        }
        // Evenly over the stable while; not jittered, since the first answer came at a random time.
        self.next = (probed, now.saturating_add(self.stable / (ANSWERS_MIN - 1)));
        None
    }
}

/// Half to one and a half times as long, so that the gateways of a fleet do not ask at one moment.
fn jittered(every: Duration, random: f64) -> Duration {
    every.mul_f64(0.5 + random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use proptest::prelude::*;

    use super::*;

    const ZERO: Duration = Duration::ZERO;
    const EVERY: Duration = Duration::from_secs(180);
    const MINUTE: Duration = Duration::from_secs(60);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_round_tries_every_broker_once_and_then_waits() {
        let mut failover = Failover::new(3);
        let mut tried = Vec::new();
        for _ in 0..6 {
            let at = failover.at();
            tried.push((at, failover.on_ended(ZERO)));
        }
        let round = [(0, false), (1, false), (2, true)];
        assert_eq!(tried, [round, round].concat());
    }

    #[test]
    fn with_one_broker_every_attempt_is_a_round() {
        let mut failover = Failover::new(1);
        assert!(failover.on_ended(ZERO) && failover.on_ended(STABLE) && failover.at() == 0);
        failover.move_to(7);
        assert_eq!(failover.at(), 0);
    }

    #[test]
    fn a_connection_that_lasted_is_followed_by_a_round_from_the_first() {
        let mut failover = Failover::new(3);
        assert!(!failover.on_ended(ZERO));
        assert_eq!(failover.at(), 1);
        assert!(failover.on_ended(STABLE), "a wait comes before the new round");
        assert_eq!(failover.at(), 0);
    }

    #[test]
    fn a_broker_that_lets_in_and_throws_out_keeps_nobody_from_the_next() {
        let mut failover = Failover::new(2);
        assert!(!failover.on_ended(STABLE - Duration::from_millis(1)));
        assert_eq!(failover.at(), 1);
    }

    #[test]
    fn a_better_broker_that_fails_after_all_is_followed_by_the_next_at_once() {
        let mut failover = Failover::new(2);
        failover.on_ended(ZERO);
        failover.move_to(0);
        assert_eq!(failover.at(), 0);
        assert!(!failover.on_ended(ZERO));
        assert_eq!(failover.at(), 1);
    }

    #[test]
    fn the_first_broker_has_nothing_to_return_to() {
        assert!(Return::new(0, EVERY, MINUTE, ZERO, 0.5).is_none());
    }

    #[test]
    fn probes_come_at_random_times_about_the_interval() {
        let first = |random| Return::new(1, EVERY, MINUTE, seconds(1000), random).unwrap().next();
        assert_eq!(first(0.0), (0, seconds(1090)));
        assert_eq!(first(0.5), (0, seconds(1180)));
        assert_eq!(first(1.0), (0, seconds(1270)));
    }

    #[test]
    fn a_broker_that_answered_over_a_stable_minute_is_moved_to() {
        let mut back = Return::new(1, EVERY, MINUTE, ZERO, 0.5).unwrap();
        assert_eq!(back.on_answer(false, seconds(180), 0.5), None);
        assert_eq!(back.next(), (0, seconds(360)));
        assert_eq!(back.on_answer(true, seconds(360), 0.5), None);
        assert_eq!(back.next(), (0, seconds(390)));
        assert_eq!(back.on_answer(true, seconds(391), 0.5), None);
        assert_eq!(back.on_answer(true, seconds(421), 0.5), Some(0));
    }

    #[test]
    fn an_answer_missed_starts_the_stable_minute_anew() {
        let mut back = Return::new(1, EVERY, MINUTE, ZERO, 0.5).unwrap();
        for (good, at) in [(true, 180), (true, 210), (false, 240), (true, 420), (true, 450)] {
            assert_eq!(back.next().1, seconds(at));
            assert_eq!(back.on_answer(good, seconds(at), 0.5), None, "at {at}");
        }
        assert_eq!(back.on_answer(true, seconds(480), 0.5), Some(0));
    }

    #[test]
    fn of_several_earlier_brokers_the_first_that_answers_is_chosen() {
        let mut back = Return::new(3, EVERY, MINUTE, ZERO, 0.5).unwrap();
        assert_eq!(back.on_answer(false, seconds(180), 0.5), None);
        assert_eq!(back.next(), (1, seconds(180)), "the next one at once");
        assert_eq!(back.on_answer(true, seconds(181), 0.5), None);
        assert_eq!(back.next(), (1, seconds(211)));
        assert_eq!(back.on_answer(false, seconds(211), 0.5), None);
        assert_eq!(back.next(), (2, seconds(211)));
        assert_eq!(back.on_answer(false, seconds(212), 0.5), None);
        assert_eq!(back.next(), (0, seconds(392)));
    }

    proptest! {
        #[test]
        fn whatever_the_answers_only_an_earlier_broker_with_enough_of_them_is_moved_to(
            at in 1_usize..5,
            answers in prop::collection::vec((any::<bool>(), 0_u64..100, 0.0..1.0_f64), 0..200),
        ) {
            let mut back = Return::new(at, EVERY, MINUTE, ZERO, 0.5).unwrap();
            let mut good_since: Option<(usize, Duration, u32)> = None;
            for (good, late, random) in answers {
                let (probed, due) = back.next();
                prop_assert!(probed < at);
                let now = due + seconds(late);
                good_since = match good_since {
                    _ if !good => None,
                    Some((who, since, count)) if who == probed => Some((who, since, count + 1)),
                    _ => Some((probed, now, 1)),
                };
                let moved = back.on_answer(good, now, random);
                let expected = good_since.filter(|(_, since, count)| *count >= 3 && now - *since >= MINUTE);
                prop_assert_eq!(moved, expected.map(|(who, ..)| who));
                if moved.is_some() {
                    break;
                }
                prop_assert!(back.next().1 >= now && back.next().1 <= now + EVERY.mul_f64(1.5));
            }
        }

        #[test]
        fn no_broker_is_left_out_of_the_attempts(
            brokers in 1_usize..6,
            ends in prop::collection::vec(0_u64..59, 1..40),
        ) {
            let mut failover = Failover::new(brokers);
            for (number, lasted) in ends.into_iter().enumerate() {
                prop_assert_eq!(failover.at(), number % brokers);
                prop_assert_eq!(failover.on_ended(seconds(lasted)), failover.at() == 0);
            }
        }
    }
}
