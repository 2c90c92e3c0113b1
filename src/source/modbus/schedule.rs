//! Which unit is to be read when.
//!
//! Owns the fixed grid of each unit (a late poll does not move the next one, and missed ones are not made up for) and the
//! back-off of lost units, which together get at most one [`LOST_SHARE`]th of the line's time. Pure: the time is handed in.

use std::time::{Duration, Instant};

/// Lost units may together keep the line busy for one in so many parts of the time: each attempt costs a whole
/// time-out, and the units that answer must not feel it.
const LOST_SHARE: u32 = 10;

/// Longest wait before a lost unit is tried again, unless its interval is longer: who repairs it waits beside it.
const LOST_WAIT_MAX: Duration = Duration::from_secs(60);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read this unit.
    Poll(usize),
    /// Nothing until then.
    Wait(Instant),
}

#[derive(Debug)]
struct Slot {
    interval: Duration,
    due: Instant,
    /// Polls in a row without an answer.
    failures: u32,
}

/// The units' turns.
#[derive(Debug)]
pub(super) struct Schedule {
    slots: Vec<Slot>,
    /// Before this no lost unit may be tried.
    lost_from: Instant,
}

impl Schedule {
    /// All are due now, in their order.
    pub(super) fn new(intervals: impl IntoIterator<Item = Duration>, now: Instant) -> Self {
        let slot = |interval| Slot { interval, due: now, failures: 0 };
        Self { slots: intervals.into_iter().map(slot).collect(), lost_from: now }
    }

    /// The unit that has waited longest, or when there will be one.
    pub(super) fn next(&self, now: Instant) -> Next {
        let turn = |slot: &Slot| if slot.failures > 0 { slot.due.max(self.lost_from) } else { slot.due };
        // Lost units that wait for one moment go in the order in which they became due.
        match self.slots.iter().enumerate().min_by_key(|(_, slot)| (turn(slot), slot.due)) {
            Some((index, slot)) if turn(slot) <= now => Next::Poll(index),
            Some((_, slot)) => Next::Wait(turn(slot)),
            None => Next::Wait(now + LOST_WAIT_MAX),
        }
    }

    /// Whether a unit did not answer when it was last read.
    pub(super) fn is_lost(&self, index: usize) -> bool {
        self.slots[index].failures > 0
    }

    /// A unit was read from `began` to `now`. Returns how many of its polls were missed meanwhile.
    pub(super) fn done(&mut self, index: usize, began: Instant, now: Instant, answered: bool) -> u64 {
        let slot = &mut self.slots[index];
        if answered {
            slot.failures = 0;
            let behind = now.saturating_duration_since(slot.due).as_nanos() / slot.interval.as_nanos().max(1);
            let steps = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1);
            slot.due = slot.due.checked_add(slot.interval.saturating_mul(steps)).unwrap_or(now + slot.interval);
            return u64::from(steps - 1);
        }
        let took = now.saturating_duration_since(began);
        let wait = slot.interval.saturating_mul(2_u32.saturating_pow(slot.failures));
        slot.failures = slot.failures.saturating_add(1);
        slot.due = now + wait.min(LOST_WAIT_MAX.max(slot.interval));
        self.lost_from = now + took * (LOST_SHARE - 1);
        0
    }

    /// The line itself was away: that was no unit's fault, so all are due now, and what they missed is not made up for.
    pub(super) fn reset(&mut self, now: Instant) {
        for slot in &mut self.slots {
            slot.due = now;
        }
        self.lost_from = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs a line for some seconds; `takes(unit)` is how long an answer takes, `None` for a unit that is dead. Returns
    /// when each unit was read, in seconds.
    fn run(
        intervals: &[u64],
        seconds: u64,
        timeout: Duration,
        takes: impl Fn(usize) -> Option<Duration>,
    ) -> Vec<Vec<f64>> {
        let start = Instant::now();
        let mut now = start;
        let mut schedule = Schedule::new(intervals.iter().map(|seconds| *seconds as u32 * SECOND), now);
        let mut reads = vec![Vec::new(); intervals.len()];
        while now < start + Duration::from_secs(seconds) {
            match schedule.next(now) {
                Next::Wait(until) => now = until,
                Next::Poll(unit) => {
                    let began = now;
                    reads[unit].push((now - start).as_secs_f64());
                    now += takes(unit).unwrap_or(timeout);
                    schedule.done(unit, began, now, takes(unit).is_some());
                }
            }
        }
        reads
    }

    #[test]
    fn polls_stay_on_their_grid_however_long_they_take() {
        let reads = run(&[5], 21, SECOND, |_| Some(Duration::from_millis(700)));
        assert_eq!(reads[0], [0.0, 5.0, 10.0, 15.0, 20.0]);
    }

    #[test]
    fn missed_polls_are_counted_and_not_made_up_for() {
        let reads = run(&[1], 8, SECOND, |_| Some(2500 * Duration::from_millis(1)));
        assert_eq!(reads[0], [0.0, 3.0, 6.0]);
        let now = Instant::now();
        let mut schedule = Schedule::new([SECOND], now);
        assert_eq!(schedule.done(0, now, now + 3500 * Duration::from_millis(1), true), 3);
        assert_eq!(schedule.next(now + 3500 * Duration::from_millis(1)), Next::Wait(now + 4 * SECOND));
    }

    #[test]
    fn dead_units_together_cost_the_others_a_tenth_of_the_time() {
        let intervals = [5; 11];
        let reads = run(&intervals, 1000, SECOND, |unit| (unit == 0).then_some(Duration::from_millis(50)));
        let dead: usize = reads[1..].iter().map(Vec::len).sum();
        assert!(dead as f64 <= 0.11 * 1000.0 + 10.0, "{dead} time-outs of a second in 1000 s");
        assert!(reads[0].len() >= 198, "{} of 200 polls", reads[0].len());
        assert!(reads[1..].iter().all(|reads| reads.len() >= 8), "each is tried now and then");
        let late = reads[0].iter().map(|at| at % 5.0).fold(0.0, f64::max);
        assert!(late < 2.6, "late by {late}");
    }

    #[test]
    fn a_unit_that_is_back_is_read_on_its_interval_again() {
        let now = Instant::now();
        let mut schedule = Schedule::new([SECOND], now);
        for _ in 0..5 {
            schedule.done(0, now, now + SECOND, false);
        }
        assert!(schedule.is_lost(0));
        let Next::Wait(then) = schedule.next(now + SECOND) else { panic!("not due") };
        assert!(then > now + 10 * SECOND && then <= now + 62 * SECOND);
        schedule.done(0, then, then, true);
        assert!(!schedule.is_lost(0));
        let Next::Wait(next) = schedule.next(then) else { panic!("not due") };
        assert!(next <= then + SECOND);
        schedule.reset(then);
        assert_eq!(schedule.next(then), Next::Poll(0));
    }

    #[test]
    fn a_line_that_is_always_busy_still_looks_for_its_lost_units() {
        let reads = run(&[1, 1, 1], 200, SECOND, |unit| (unit < 2).then_some(600 * Duration::from_millis(1)));
        assert!(reads[2].len() >= 3, "{:?}", reads[2]);
        assert!(reads[0].len() > 60 && reads[1].len() > 60);
    }
}
