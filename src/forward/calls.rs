//! When to be connected: all the time, or in calls by a schedule.
//!
//! Owns the decision. Pure: time, and what waits, are handed in. A call begins at each minute of the schedule and at
//! once when something urgent waits; it is over when everything is sent, or after its longest time if nothing urgent
//! waits then. A connection that breaks within a call is made again. While nobody has confirmed the wall clock, the
//! schedule's interval at that time is counted from call to call by the boot clock, and the first call comes at once.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::{CallPlan, Severity};
use crate::store::handle::StoreStatus;

/// The question is asked again at least this often: the wall clock may be set.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Whether to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Now.
    Connect,
    /// Not before the call that is due then; ask again at `ask`, or when something changes.
    Wait {
        /// When the next call is due, as far as known.
        due: BootTime,
        /// When to ask again at the latest.
        ask: BootTime,
    },
}

/// The schedule and the call under way.
#[derive(Clone, Debug)]
pub struct Calls {
    plan: Option<CallPlan>,
    zone: TimeZone,
    /// The call under way ends then.
    until: Option<BootTime>,
    /// When the last one began.
    began: Option<BootTime>,
    /// Minutes of the schedule up to here have been taken care of.
    reference: Option<WallTime>,
}

impl Calls {
    /// Without a plan: connected all the time.
    pub fn new(plan: Option<CallPlan>) -> Self {
        // The zone was found when the configuration was read.
        let zone = plan.as_ref().and_then(|plan| TimeZone::get(&plan.time_zone).ok()).unwrap_or(TimeZone::UTC);
        Self { plan, zone, until: None, began: None, reference: None }
    }

    /// Whether there is a schedule at all.
    pub fn is_planned(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether something waits that does not wait for the schedule.
    pub fn is_urgent(&self, status: &StoreStatus) -> bool {
        let Some(at_once) = self.plan.as_ref().and_then(|plan| plan.at_once) else { return false };
        let severities = Severity::ALL.iter().zip(status.last_of_severity);
        status.waiting > 0
            && severities.into_iter().any(|(severity, last)| *severity >= at_once && last > status.delivered)
    }

    /// Whether to connect now.
    pub fn decide(&mut self, now: Now, is_urgent: bool) -> Decision {
        let Some(plan) = &self.plan else { return Decision::Connect };
        if self.until.is_some_and(|until| now.boot < until) {
            return Decision::Connect;
        }
        self.until = None;
        let due = if is_urgent { now.boot } else { self.due(plan, now) };
        if due <= now.boot {
            self.begin(now);
            return Decision::Connect;
        }
        // The reference stays what it was when the waiting began, so that no minute is missed however late we ask.
        let reference = self.reference.map_or(now.wall, |reference| reference.min(now.wall));
        self.reference = Some(reference);
        Decision::Wait { due, ask: due.min(now.boot.after(ASK_AGAIN_AFTER)) }
    }

    /// Begins a call.
    pub fn begin(&mut self, now: Now) {
        let Some(plan) = &self.plan else { return };
        self.until = Some(now.boot.after(plan.longest));
        self.began = Some(now.boot);
        self.reference = Some(now.wall);
    }

    /// When the next call is due; now or earlier means at once.
    fn due(&self, plan: &CallPlan, now: Now) -> BootTime {
        let wall = stamp(now.wall);
        // A schedule that can be read has a next minute; should none be found, a day is as good as any.
        let tick = |after: Timestamp| plan.when.next_after(after, &self.zone);
        let day = Duration::from_secs(86_400);
        if now.clock == ClockState::Unsynchronized {
            let interval = tick(wall).and_then(|first| Some(tick(first)?.duration_since(first).unsigned_abs()));
            return self.began.map_or(now.boot, |began| began.after(interval.unwrap_or(day)));
        }
        let reference = stamp(self.reference.map_or(now.wall, |reference| reference.min(now.wall)));
        let wait = tick(reference).map(|tick| tick.duration_since(wall));
        match wait {
            Some(wait) if wait.is_negative() || wait.is_zero() => now.boot,
            Some(wait) => now.boot.after(wait.unsigned_abs()),
            None => now.boot.after(day),
        }
    }

    /// Whether the call under way is over; `is_drained`: everything is sent and acknowledged.
    pub fn is_over(&self, boot: BootTime, is_drained: bool, is_urgent: bool) -> bool {
        self.is_planned() && (is_drained || (!is_urgent && self.until.is_none_or(|until| boot >= until)))
    }

    /// It has been ended.
    pub fn on_hung_up(&mut self) {
        self.until = None;
    }
}

fn stamp(time: WallTime) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    fn calls(when: &str, longest_s: u64, at_once: Option<Severity>) -> Calls {
        let longest = Duration::from_secs(longest_s);
        Calls::new(Some(CallPlan { when: when.parse().unwrap(), time_zone: "UTC".to_owned(), longest, at_once }))
    }

    const CRITICAL: Option<Severity> = Some(Severity::Critical);

    /// A whole hour, so many seconds after boot and after it.
    fn at(seconds: u64, clock: ClockState) -> Now {
        let wall = WallTime::from_secs(1_800_000_000 + i64::try_from(seconds).unwrap());
        Now { boot: boot(seconds), wall, clock }
    }

    fn boot(seconds: u64) -> BootTime {
        BootTime(seconds * 1_000_000_000)
    }

    const SYNCHRONIZED: ClockState = ClockState::Synchronized;

    #[test]
    fn without_a_schedule_it_is_always_time() {
        let mut calls = Calls::new(None);
        assert_eq!(calls.decide(at(0, SYNCHRONIZED), false), Decision::Connect);
        assert!(!calls.is_over(boot(1 << 30), true, false));
    }

    #[test]
    fn a_call_begins_at_each_minute_of_the_schedule_and_ends_when_all_is_sent() {
        let mut calls = calls("*/15 * * * *", 300, CRITICAL);
        assert_eq!(calls.decide(at(60, SYNCHRONIZED), false), Decision::Wait { due: boot(900), ask: boot(120) });
        assert_eq!(calls.decide(at(880, SYNCHRONIZED), false), Decision::Wait { due: boot(900), ask: boot(900) });
        // Asked late, the minute still counts.
        assert_eq!(calls.decide(at(905, SYNCHRONIZED), false), Decision::Connect);
        assert!(!calls.is_over(boot(910), false, false));
        // The connection broke: it is made again within the call.
        assert_eq!(calls.decide(at(950, SYNCHRONIZED), false), Decision::Connect);
        assert!(calls.is_over(boot(960), true, false));
        calls.on_hung_up();
        assert_eq!(calls.decide(at(960, SYNCHRONIZED), false), Decision::Wait { due: boot(1_800), ask: boot(1_020) });
    }

    #[test]
    fn a_call_ends_after_its_longest_time_with_what_is_not_sent_left_for_the_next() {
        let mut calls = calls("*/15 * * * *", 60, CRITICAL);
        calls.decide(at(1, SYNCHRONIZED), false);
        assert_eq!(calls.decide(at(900, SYNCHRONIZED), false), Decision::Connect);
        assert!(!calls.is_over(boot(959), false, false));
        assert!(calls.is_over(boot(960), false, false));
        // Never connected in all that time: the next minute's turn.
        assert_eq!(calls.decide(at(961, SYNCHRONIZED), false), Decision::Wait { due: boot(1_800), ask: boot(1_021) });
    }

    #[test]
    fn what_is_urgent_is_called_in_at_once_and_until_it_is_sent() {
        let mut calls = calls("0 3 * * *", 60, CRITICAL);
        assert!(matches!(calls.decide(at(1, SYNCHRONIZED), false), Decision::Wait { .. }));
        assert_eq!(calls.decide(at(2, SYNCHRONIZED), true), Decision::Connect);
        assert!(!calls.is_over(boot(600), false, true));
        assert!(calls.is_over(boot(600), false, false));
        assert_eq!(calls.decide(at(700, SYNCHRONIZED), true), Decision::Connect, "again and again");
    }

    #[test]
    fn what_is_urgent_is_told_by_severity() {
        let status = |last_of_severity, delivered| StoreStatus {
            last_of_severity,
            delivered,
            waiting: 9 - delivered,
            ..StoreStatus::default()
        };
        let (critical, high, never) = (
            calls("0 3 * * *", 60, CRITICAL),
            calls("0 3 * * *", 60, Some(Severity::High)),
            calls("0 3 * * *", 60, None),
        );
        for (status, expected) in [
            (status([9, 0, 0, 0, 0], 0), [false, false]),
            (status([9, 0, 0, 7, 3], 3), [false, true]),
            (status([9, 0, 0, 7, 3], 2), [true, true]),
            (status([9, 0, 0, 9, 9], 9), [false, false]),
        ] {
            assert_eq!([critical.is_urgent(&status), high.is_urgent(&status)], expected, "{status:?}");
            assert!(!never.is_urgent(&status));
        }
    }

    #[test]
    fn while_the_clock_is_unconfirmed_the_interval_counts_from_call_to_call() {
        let mut calls = calls("*/15 * * * *", 300, CRITICAL);
        let unknown = ClockState::Unsynchronized;
        assert_eq!(calls.decide(at(100, unknown), false), Decision::Connect, "the first at once");
        calls.on_hung_up();
        assert_eq!(calls.decide(at(110, unknown), false), Decision::Wait { due: boot(1_000), ask: boot(170) });
        assert_eq!(calls.decide(at(1_000, unknown), false), Decision::Connect);
    }

    #[test]
    fn a_clock_that_is_set_neither_repeats_calls_nor_stops_them() {
        let mut calls = calls("0 * * * *", 300, CRITICAL);
        calls.decide(at(10, SYNCHRONIZED), false);
        let jump = |seconds, ahead: i64| {
            let now = at(seconds, SYNCHRONIZED);
            Now { wall: now.wall.offset(ahead * 1_000_000_000), ..now }
        };
        // A day ahead: one call, not twenty-four.
        assert_eq!(calls.decide(jump(20, 86_400), false), Decision::Connect);
        calls.on_hung_up();
        assert!(matches!(calls.decide(jump(30, 86_400), false), Decision::Wait { due, .. } if due == boot(3_600)));
        // And back: the next hour by the clock as it is now.
        assert!(matches!(calls.decide(jump(40, 0), false), Decision::Wait { due, .. } if due == boot(3_600)));
        assert_eq!(calls.decide(jump(3_601, 0), false), Decision::Connect);
    }
}
