//! One alarm as the engine uses it, and its question: is this value in violation, and how far?
//!
//! Owns the comparisons. They are strict: a value at the limit is not in violation. A value is *back* when it is inside
//! by the deadband (at `limit - deadband` it is back); between the two, things stay as they are. Never keeps state.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::schedule;
use crate::clock::{BootTime, Now};
use crate::config::model::{Alarm, Condition, RateDirection, SetPoint};
use crate::event::{ConditionKind, Limit};
use crate::reading::Value;

/// Rounding errors forgiven at `limit - deadband`, in units of the last place: 0.3 - 0.1 is not quite 0.2, but the
/// person who wrote it means 0.2.
const ROUNDING_ULPS: f64 = 4.0;

/// One configured alarm, with what follows from its settings.
#[derive(Debug)]
pub(super) struct Rule {
    /// As configured.
    pub(super) alarm: Alarm,
    /// What it watches for.
    pub(super) kind: ConditionKind,
    /// The limit as told in events.
    pub(super) limit: Limit,
    /// Readings in violation in a row; silence has none, so a stale alarm never waits for them.
    pub(super) min_samples: u32,
    /// Reminders; a period of zero means none.
    pub(super) repeat_every: Option<Duration>,
    /// Nothing is raised before.
    pub(super) hold_until: BootTime,
    /// Whether the schedule covers this minute.
    pub(super) in_force: bool,
    /// The sensor to compare with, as an index into the engine's references.
    pub(super) reference: Option<u32>,
}

/// What a condition says of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Beyond the limit.
    pub(super) violating: bool,
    /// Inside it by the deadband.
    pub(super) back: bool,
    /// How far beyond, to find the peak.
    pub(super) beyond: f64,
    /// What was compared, where that is not the value itself.
    pub(super) measured: Option<f64>,
}

impl Rule {
    /// Works out an alarm's rule. `started` is when the engine started: hold-offs count from there.
    pub(super) fn new(alarm: &Alarm, started: BootTime, zone: &TimeZone, now: Now) -> Self {
        let kind = kind(&alarm.condition);
        Self {
            kind,
            limit: limit(&alarm.condition),
            min_samples: if kind == ConditionKind::Stale { 1 } else { alarm.min_samples.max(1) },
            repeat_every: alarm.repeat_every.filter(|period| !period.is_zero()),
            hold_until: started.after(alarm.hold_off),
            in_force: schedule::in_force(&alarm.schedule, zone, now),
            reference: None,
            alarm: alarm.clone(),
        }
    }

    /// How long a sensor may be silent, for a stale alarm.
    pub(super) fn stale_after(&self) -> Option<Duration> {
        match self.alarm.condition {
            Condition::Stale { after } => Some(after),
            _ => None,
        }
    }

    /// The window of a rate alarm.
    pub(super) fn rate_window(&self) -> Option<Duration> {
        match self.alarm.condition {
            Condition::RateAbove { window, .. } => Some(window),
            _ => None,
        }
    }

    /// The sensor whose last value a deviation is measured from.
    pub(super) fn reference_name(&self) -> Option<&str> {
        match &self.alarm.condition {
            Condition::Deviation { from: SetPoint::Sensor(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Whether only values on a number line mean something to this condition.
    pub(super) fn wants_number(&self) -> bool {
        !matches!(self.kind, ConditionKind::Equals | ConditionKind::NotEquals | ConditionKind::Stale)
    }

    /// Judges a value; `None` when the two cannot be compared (a text with a limit, no slope or set point yet), which
    /// changes nothing. Stale alarms judge silence instead: [`Rule::judge_silence`].
    pub(super) fn judge(&self, value: &Value, reference: Option<f64>, slope: Option<f64>) -> Option<Verdict> {
        let deadband = self.alarm.deadband;
        match &self.alarm.condition {
            Condition::High(limit) => Some(above(number(value)?, *limit, deadband, None)),
            // Mirrored; negation is exact.
            Condition::Low(limit) => Some(above(-number(value)?, -*limit, deadband, None)),
            Condition::Outside { low, high } => {
                let value = number(value)?;
                // A deadband wider than half the band could never clear.
                let deadband = deadband.min((high - low) / 2.0);
                let upper = above(value, *high, deadband, None);
                let lower = above(-value, -*low, deadband, None);
                Some(Verdict {
                    violating: upper.violating || lower.violating,
                    back: upper.back && lower.back,
                    beyond: upper.beyond.max(lower.beyond),
                    measured: None,
                })
            }
            Condition::Equals(states) => Some(state(states.iter().any(|state| state.same_state(value)))),
            Condition::NotEquals(states) => Some(state(!states.iter().any(|state| state.same_state(value)))),
            Condition::RateAbove { per_second, direction, .. } => {
                let slope = slope?;
                let speed = match direction {
                    RateDirection::Rising => slope,
                    RateDirection::Falling => -slope,
                    RateDirection::Both => slope.abs(),
                };
                Some(above(speed, *per_second, deadband, Some(slope)))
            }
            Condition::Deviation { from, above: limit } => {
                let from = match from {
                    SetPoint::Value(value) => *value,
                    SetPoint::Sensor(_) => reference?,
                };
                let deviation = number(value)? - from;
                Some(above(deviation.abs(), *limit, deadband, Some(deviation)))
            }
            Condition::Stale { .. } => None,
        }
    }

    /// Judges how long a sensor has been silent.
    pub(super) fn judge_silence(&self, silence: Duration) -> Option<Verdict> {
        let violating = silence >= self.stale_after()?;
        let seconds = silence.as_secs_f64();
        Some(Verdict { violating, back: !violating, beyond: 0.0, measured: Some(seconds) })
    }
}

/// The value on the number line.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// Compares with an upper limit.
fn above(number: f64, limit: f64, deadband: f64, measured: Option<f64>) -> Verdict {
    let violating = number > limit;
    let rounding = if deadband > 0.0 { ROUNDING_ULPS * f64::EPSILON * limit.abs().max(deadband) } else { 0.0 };
    let back = !violating && number <= limit - deadband + rounding;
    Verdict { violating, back, beyond: number - limit, measured }
}

/// A state is either wrong or right; there is nothing between.
fn state(violating: bool) -> Verdict {
    Verdict { violating, back: !violating, beyond: 0.0, measured: None }
}

fn kind(condition: &Condition) -> ConditionKind {
    match condition {
        Condition::High(_) => ConditionKind::High,
        Condition::Low(_) => ConditionKind::Low,
        Condition::Outside { .. } => ConditionKind::Outside,
        Condition::Equals(_) => ConditionKind::Equals,
        Condition::NotEquals(_) => ConditionKind::NotEquals,
        Condition::RateAbove { .. } => ConditionKind::RateAbove,
        Condition::Deviation { .. } => ConditionKind::Deviation,
        Condition::Stale { .. } => ConditionKind::Stale,
    }
}

fn limit(condition: &Condition) -> Limit {
    match condition {
        Condition::High(limit) | Condition::Low(limit) => Limit::Number(*limit),
        Condition::Outside { low, high } => Limit::Range([*low, *high]),
        Condition::Equals(values) | Condition::NotEquals(values) => Limit::Values(values.clone()),
        Condition::RateAbove { per_second, .. } => Limit::Number(*per_second),
        Condition::Deviation { above, .. } => Limit::Number(*above),
        Condition::Stale { after } => Limit::Number(after.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic, that is how it fails")]

    use super::super::tests::support::{alarm, now};
    use super::*;

    fn judge(condition: Condition, deadband: f64, value: impl Into<f64>) -> (bool, bool) {
        let rule = rule(condition, deadband);
        let verdict = rule.judge(&Value::Number(value.into()), Some(20.0), None).unwrap();
        (verdict.violating, verdict.back)
    }

    fn rule(condition: Condition, deadband: f64) -> Rule {
        let alarm = Alarm { deadband, ..alarm("a", "#", condition) };
        Rule::new(&alarm, BootTime(0), &TimeZone::UTC, now(0))
    }

    const VIOLATING: (bool, bool) = (true, false);
    const BETWEEN: (bool, bool) = (false, false);
    const BACK: (bool, bool) = (false, true);

    #[test]
    fn a_value_at_the_limit_is_not_in_violation() {
        assert_eq!(judge(Condition::High(8.0), 0.0, 8.0), BACK);
        assert_eq!(judge(Condition::Low(8.0), 0.0, 8.0), BACK);
        assert_eq!(judge(Condition::Outside { low: 2.0, high: 8.0 }, 0.0, 8.0), BACK);
        assert_eq!(judge(Condition::Outside { low: 2.0, high: 8.0 }, 0.0, 2.0), BACK);
    }

    #[test]
    fn a_value_clears_when_it_is_back_by_the_deadband_exactly() {
        for (value, expected) in [(8.1, VIOLATING), (8.0, BETWEEN), (7.1, BETWEEN), (7.0, BACK)] {
            assert_eq!(judge(Condition::High(8.0), 1.0, value), expected, "high {value}");
        }
        for (value, expected) in [(1.9, VIOLATING), (2.0, BETWEEN), (2.9, BETWEEN), (3.0, BACK)] {
            assert_eq!(judge(Condition::Low(2.0), 1.0, value), expected, "low {value}");
        }
        for (value, expected) in [(1.9, VIOLATING), (2.5, BETWEEN), (3.0, BACK), (7.0, BACK), (7.5, BETWEEN)] {
            assert_eq!(judge(Condition::Outside { low: 2.0, high: 8.0 }, 1.0, value), expected, "outside {value}");
        }
    }

    #[test]
    fn decimal_limits_clear_where_a_person_expects_it() {
        assert_eq!(judge(Condition::High(0.3), 0.1, 0.2), BACK);
        assert_eq!(judge(Condition::Low(0.1), 0.2, 0.3), BACK);
    }

    #[test]
    fn a_deadband_wider_than_the_band_still_clears_in_the_middle() {
        assert_eq!(judge(Condition::Outside { low: 2.0, high: 8.0 }, 100.0, 5.0), BACK);
    }

    #[test]
    fn a_text_is_not_compared_with_a_number() {
        let text = Value::Text("E04".into());
        assert_eq!(rule(Condition::High(1.0), 0.0).judge(&text, None, None), None);
        let unlisted = rule(Condition::NotEquals(vec![Value::Number(1.0)]), 0.0);
        assert!(unlisted.judge(&text, None, None).unwrap().violating);
    }

    #[test]
    fn states_are_equal_on_the_number_line_or_as_text() {
        let open = rule(Condition::Equals(vec![Value::Text("open".into()), Value::Bool(true)]), 0.0);
        for (value, expected) in
            [(Value::Text("open".into()), true), (Value::Number(1.0), true), (Value::Bool(false), false)]
        {
            assert_eq!(open.judge(&value, None, None).unwrap().violating, expected, "{value}");
        }
    }

    #[test]
    fn a_rate_counts_in_its_direction_only() {
        for (direction, slope, expected) in [
            (RateDirection::Rising, 2.0, true),
            (RateDirection::Rising, -2.0, false),
            (RateDirection::Falling, -2.0, true),
            (RateDirection::Falling, 2.0, false),
            (RateDirection::Both, -2.0, true),
            (RateDirection::Both, 1.0, false),
        ] {
            let condition = Condition::RateAbove { per_second: 1.0, window: Duration::from_secs(60), direction };
            let verdict = rule(condition, 0.0).judge(&Value::Number(0.0), None, Some(slope)).unwrap();
            assert_eq!((verdict.violating, verdict.measured), (expected, Some(slope)), "{direction:?} {slope}");
        }
    }

    #[test]
    fn a_deviation_counts_both_ways_and_needs_its_set_point() {
        let fixed = || Condition::Deviation { from: SetPoint::Value(10.0), above: 3.0 };
        assert_eq!(judge(fixed(), 0.0, 13.0), BACK);
        assert_eq!(judge(fixed(), 0.0, 13.5), VIOLATING);
        assert_eq!(judge(fixed(), 0.0, 6.5), VIOLATING);
        let other = rule(Condition::Deviation { from: SetPoint::Sensor("o".into()), above: 3.0 }, 0.0);
        assert_eq!(other.judge(&Value::Number(1.0), None, None), None);
        assert!(other.judge(&Value::Number(1.0), Some(5.0), None).unwrap().violating);
    }
}
