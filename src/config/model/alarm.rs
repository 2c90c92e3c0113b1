//! `[[alarm]]` as the rest of the program sees it.
//!
//! Owns the types and the meaning and unit of every setting of an alarm. Never parses and never evaluates.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reading::Value;
use crate::reading::own;

/// How urgent an alarm is (ISA-18.2 priorities; OPC UA severities 1..1000 in equal bands).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// All, least severe first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As written in configuration, topics and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// `[[alarm]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// `name`: letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// `description`: told to the operator and in the event. Optional.
    pub description: Option<Arc<str>>,
    /// `sensors`: MQTT patterns over sensor names, at least one.
    pub sensors: Vec<String>,
    /// Exactly one of `high`, `low`, `outside`, `equals`, `not_equals`, `rate_above`, `deviation_from`, `stale_after`.
    pub condition: Condition,
    /// `deadband`: how far back inside the limit a value must be to clear. Default 0.
    pub deadband: f64,
    /// `on_delay`: how long the condition must hold before the alarm is active. Default 0.
    pub on_delay: Duration,
    /// `off_delay`: how long it must be gone before the alarm is inactive. Default 0.
    pub off_delay: Duration,
    /// `min_samples`: readings in violation, in a row, before the alarm is active. Default 1.
    pub min_samples: u32,
    /// `repeat_every`: while active, remind. Default off.
    pub repeat_every: Option<Duration>,
    /// `latched`: stays active until acknowledged. Default false.
    pub latched: bool,
    /// `hold_off`: after start-up, for this long, nothing is raised. Default 0.
    pub hold_off: Duration,
    /// `group`: of the alarms of one group on one sensor only the most severe in violation is active.
    pub group: Option<Arc<str>>,
    /// `severity`. Default medium.
    pub severity: Severity,
    /// `context`: how many readings before the crossing go into the event. Default 10, at most 100.
    pub context: usize,
    /// `schedule = ["mon-fri 06:00-18:00"]`: in force only then; empty means always.
    pub schedule: Vec<ScheduleSpan>,
}

impl Alarm {
    /// Whether it is about one of the gateway's own readings by name; a pattern such as `#` does not ask for them.
    pub(super) fn names_gateway(&self) -> bool {
        let is_own = |name: &str| name.split('/').next() == Some(own::NAME);
        let from_own =
            matches!(&self.condition, Condition::Deviation { from: SetPoint::Sensor(name), .. } if is_own(name));
        from_own || self.sensors.iter().any(|pattern| is_own(pattern))
    }
}

/// What an alarm watches for. Comparison is strict: a value at the limit is not in violation.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `high`
    High(f64),
    /// `low`
    Low(f64),
    /// `outside = [low, high]`
    Outside {
        /// Lower limit.
        low: f64,
        /// Upper limit, above `low`.
        high: f64,
    },
    /// `equals`: one value or a list.
    Equals(Vec<Value>),
    /// `not_equals`: one value or a list.
    NotEquals(Vec<Value>),
    /// `rate_above = "5/min"`, with `rate_window` (default 5 min) and `rate_direction` ("rising", "falling", "both";
    /// default both).
    RateAbove {
        /// Limit, units per second, above zero.
        per_second: f64,
        /// The stretch of readings the slope is fitted to (least squares).
        window: Duration,
        /// Which sign counts.
        direction: RateDirection,
    },
    /// `deviation_from` (a sensor's name or a number) with `deviation_above`.
    Deviation {
        /// What to compare with.
        from: SetPoint,
        /// Largest distance allowed, above zero.
        above: f64,
    },
    /// `stale_after`: no fresh reading for this long.
    Stale {
        /// How long.
        after: Duration,
    },
}

/// What a deviation is measured from.
#[derive(Clone, Debug, PartialEq)]
pub enum SetPoint {
    /// A fixed value.
    Value(f64),
    /// The last value of another sensor.
    Sensor(Arc<str>),
}

/// Which direction of change a rate limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RateDirection {
    Rising,
    Falling,
    Both,
}

/// A weekly span of local time, e.g. `mon-fri 06:00-18:00`; one that ends before it starts runs past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleSpan {
    /// The days it starts on, Monday first.
    pub days: [bool; 7],
    /// Start, minutes after midnight.
    pub from_min: u16,
    /// End (exclusive), minutes after midnight, up to 1440.
    pub to_min: u16,
}
