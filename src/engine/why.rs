//! Why an alarm did or did not act on a reading, in words and for scripts.
//!
//! Owns [`Engine::explain`], a pure look at the machines of a reading's sensor after its step. Changes nothing, and is
//! called only when somebody looks on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::Rule;
use super::machine::{Machine, Phase};
use super::rate::Window;
use super::sensor::Sensor;
use super::{Accepted, Engine};
use crate::clock::{BootTime, Now};
use crate::config::model::Severity;
use crate::event::{AlarmState, Change, ConditionKind, Limit};
use crate::reading::Reading;

/// What one alarm made of a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The alarm's name.
    pub alarm: Arc<str>,
    /// How urgent.
    pub severity: Severity,
    /// What it watches for.
    pub condition: ConditionKind,
    /// The limit.
    pub limit: Limit,
    /// How far back inside a value must be to clear.
    pub deadband: f64,
    /// What was compared, where that is not the value itself: a slope (units per second), a deviation.
    pub measured: Option<f64>,
    /// Where it stands now.
    pub state: AlarmState,
    /// What it told because of this reading; put in by whoever has the events.
    pub acted: Option<Change>,
    /// Why it stands there.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Why an alarm stands where it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "kebab-case")]
pub enum Reason {
    /// The value is not beyond the limit.
    Inside,
    /// The sensor speaks (for `stale_after`).
    Alive,
    /// A text beside a limit.
    NotComparable,
    /// The readings do not span enough of `rate_window`.
    NoSlopeYet,
    /// The sensor of `deviation_from` has not spoken.
    NoSetPointYet,
    /// The reading is older than the newest of its sensor.
    Late,
    /// A retained message that is too old to be judged.
    NotFresh,
    /// In violation, but not often enough in a row.
    MinSamples {
        /// Readings in violation so far.
        seen: u32,
        /// `min_samples`
        wanted: u32,
    },
    /// In violation, but not for long enough.
    OnDelay {
        /// How much longer it takes.
        remaining_ms: u64,
    },
    /// Beyond the limit, and told.
    Active,
    /// Back inside the limit, but not by the deadband.
    Deadband,
    /// Back inside, but not for long enough.
    OffDelay {
        /// How much longer it takes.
        remaining_ms: u64,
    },
    /// Gone, but latched: waits to be acknowledged.
    Latched,
    /// In violation, and an operator has shelved it.
    Shelved {
        /// For how much longer.
        remaining_ms: u64,
    },
    /// In violation, and suppressed.
    Suppressed,
    /// In violation, and out of its schedule.
    OutOfSchedule,
    /// In violation, and the gateway has just started.
    HoldOff {
        /// How much longer nothing is raised.
        remaining_ms: u64,
    },
    /// In violation, and a more severe alarm of its group is active instead.
    Group {
        /// That alarm.
        by: Arc<str>,
    },
}

impl Engine {
    /// Why each alarm of a reading's sensor stands where it does, after the reading's step with this outcome.
    pub fn explain(&self, reading: &Reading, accepted: Accepted, now: Now) -> Vec<Why> {
        let Some(index) = self.by_name.get(&reading.sensor) else { return Vec::new() };
        let sensor = &self.sensors[*index as usize];
        let why = |machine: &Machine| {
            let rule = &self.rules[machine.rule as usize];
            Why {
                alarm: Arc::clone(&rule.alarm.name),
                severity: rule.alarm.severity,
                condition: rule.kind,
                limit: rule.limit.clone(),
                deadband: rule.alarm.deadband,
                measured: machine.measured.filter(|_| rule.kind != ConditionKind::Stale),
                state: machine.state(rule),
                acted: None,
                reason: self.reason(sensor, machine, reading, accepted, now.boot),
            }
        };
        sensor.machines.iter().map(why).collect()
    }

    fn reason(
        &self,
        sensor: &Sensor,
        machine: &Machine,
        reading: &Reading,
        accepted: Accepted,
        now: BootTime,
    ) -> Reason {
        let rule = &self.rules[machine.rule as usize];
        match accepted {
            Accepted::NotFresh | Accepted::TooManySensors => return Reason::NotFresh,
            Accepted::Late if rule.kind != ConditionKind::Stale => return Reason::Late,
            Accepted::Late | Accepted::Evaluated => {}
        }
        if rule.kind == ConditionKind::Stale && machine.phase == Phase::Normal {
            return Reason::Alive;
        }
        let reference = rule.reference.and_then(|reference| self.references[reference as usize].number);
        let slope = machine.window.as_deref().and_then(Window::slope);
        let verdict = rule.judge(&reading.value, reference, slope);
        if verdict.is_none() && rule.kind != ConditionKind::Stale && machine.phase == Phase::Normal {
            return match rule.kind {
                _ if rule.wants_number() && reading.value.as_f64().is_none() => Reason::NotComparable,
                ConditionKind::RateAbove => Reason::NoSlopeYet,
                ConditionKind::Deviation => Reason::NoSetPointYet,
                _ => Reason::NotComparable,
            };
        }
        if machine.phase == Phase::Normal {
            return Reason::Inside;
        }
        if let Some(gate) = gate(machine, rule, now) {
            return gate;
        }
        match machine.phase {
            Phase::Normal => Reason::Inside,
            Phase::Pending { .. } if machine.run < rule.min_samples => {
                Reason::MinSamples { seen: machine.run, wanted: rule.min_samples }
            }
            Phase::Pending { since } => Reason::OnDelay { remaining_ms: left(since.after(rule.alarm.on_delay), now) },
            Phase::Active { .. } | Phase::Clearing { .. } if machine.shown.is_none() => match self.winner(sensor, rule)
            {
                Some(by) => Reason::Group { by },
                None => Reason::Active,
            },
            Phase::Active { gone: true } => Reason::Latched,
            Phase::Active { gone: false } if verdict.is_some_and(|verdict| !verdict.violating) => Reason::Deadband,
            Phase::Active { gone: false } => Reason::Active,
            Phase::Clearing { since } => {
                Reason::OffDelay { remaining_ms: left(since.after(rule.alarm.off_delay), now) }
            }
        }
    }

    /// The alarm of the same group that is shown.
    fn winner(&self, sensor: &Sensor, rule: &Rule) -> Option<Arc<str>> {
        let group = rule.alarm.group.as_ref()?;
        let rules = sensor.machines.iter().filter(|machine| machine.shown.is_some());
        let mut rules = rules.map(|machine| &self.rules[machine.rule as usize]);
        rules.find(|other| other.alarm.group.as_ref() == Some(group)).map(|other| Arc::clone(&other.alarm.name))
    }
}

/// What keeps an alarm from being told.
fn gate(machine: &Machine, rule: &Rule, now: BootTime) -> Option<Reason> {
    if let Some(until) = machine.shelved {
        return Some(Reason::Shelved { remaining_ms: left(until, now) });
    }
    if machine.suppressed {
        return Some(Reason::Suppressed);
    }
    if !rule.in_force {
        return Some(Reason::OutOfSchedule);
    }
    let held = machine.shown.is_none() && now < rule.hold_until && matches!(machine.phase, Phase::Active { .. });
    held.then(|| Reason::HoldOff { remaining_ms: left(rule.hold_until, now) })
}

fn left(until: BootTime, now: BootTime) -> u64 {
    u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.alarm)?;
        match self.acted {
            Some(Change::Raised) => f.write_str("RAISED, ")?,
            Some(Change::Escalated) => f.write_str("RAISED (escalated), ")?,
            Some(Change::Cleared) => f.write_str("CLEARED, ")?,
            Some(Change::Superseded) => f.write_str("CLEARED (superseded), ")?,
            Some(Change::Repeated) => f.write_str("REMINDED, ")?,
            None => {}
        }
        let limit = Shown(self.condition, &self.limit);
        let time = |ms: &u64| humantime::format_duration(Duration::from_millis(*ms));
        match &self.reason {
            Reason::Inside => write!(f, "normal, not {limit}")?,
            Reason::Alive => f.write_str("normal, the sensor speaks")?,
            Reason::NotComparable => write!(f, "cannot act: the value is no number to be {limit}")?,
            Reason::NoSlopeYet => write!(f, "cannot act yet: too few readings for a slope ({limit})")?,
            Reason::NoSetPointYet => write!(f, "cannot act yet: the sensor to compare with has not spoken ({limit})")?,
            Reason::Late => f.write_str("did not look: the reading is older than the newest of its sensor")?,
            Reason::NotFresh => f.write_str("did not look: an old retained message")?,
            Reason::MinSamples { seen, wanted } => {
                write!(f, "pending, {limit}: {seen} of {wanted} readings in a row (min_samples)")?;
            }
            Reason::OnDelay { remaining_ms } => {
                write!(f, "pending, {limit}: raised in {} if it stays (on_delay)", time(remaining_ms))?;
            }
            Reason::Active => write!(f, "active, {limit}")?,
            Reason::Deadband => {
                write!(f, "active: no longer {limit}, but not back by the deadband of {}", self.deadband)?;
            }
            Reason::OffDelay { remaining_ms } => {
                write!(f, "active: back, clears in {} if it stays (off_delay)", time(remaining_ms))?;
            }
            Reason::Latched => f.write_str("active: back, but latched until it is acknowledged")?,
            Reason::Shelved { remaining_ms } => {
                write!(f, "not told: {limit}, but shelved for {}", time(remaining_ms))?;
            }
            Reason::Suppressed => write!(f, "not told: {limit}, but suppressed")?,
            Reason::OutOfSchedule => write!(f, "not told: {limit}, but out of its schedule")?,
            Reason::HoldOff { remaining_ms } => {
                write!(f, "not told: {limit}, but held off for {} after the start", time(remaining_ms))?;
            }
            Reason::Group { by } => write!(f, "not told: {limit}, but `{by}` of its group is active")?,
        }
        match self.measured {
            Some(measured) if self.condition == ConditionKind::RateAbove => write!(f, " (slope {measured:.4}/s)"),
            Some(measured) => write!(f, " (deviation {measured})"),
            None => Ok(()),
        }
    }
}

/// A condition with its limit: "above 8".
struct Shown<'a>(ConditionKind, &'a Limit);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ConditionKind::High => "above ",
            ConditionKind::Low => "below ",
            ConditionKind::Outside => "outside ",
            ConditionKind::Equals => "equal to ",
            ConditionKind::NotEquals => "other than ",
            ConditionKind::RateAbove => "changing faster than ",
            ConditionKind::Deviation => "further off than ",
            ConditionKind::Stale => "silent for ",
        })?;
        match self.1 {
            Limit::Number(number) if self.0 == ConditionKind::RateAbove => write!(f, "{number}/s"),
            Limit::Number(number) if self.0 == ConditionKind::Stale => write!(f, "{number} s"),
            Limit::Number(number) => write!(f, "{number}"),
            Limit::Range([low, high]) => write!(f, "{low} to {high}"),
            Limit::Values(values) => {
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index > 0 { " or " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}
