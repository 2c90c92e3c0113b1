//! What operators do and see: acknowledge, shelve, suppress, and the list of alarms.
//!
//! Owns the commands' rules. A command names one alarm and a sensor or an MQTT pattern of sensors; it reaches the
//! machines that exist. What it changes is in the records, so it survives a restart.

use std::sync::Arc;

use uuid::Uuid;

use super::machine::{Machine, Phase};
use super::{Engine, Output};
use crate::clock::{BootTime, Now, WallTime};
use crate::config::model::Severity;
use crate::config::pattern::matches;
use crate::event::{AlarmState, ConditionKind, Limit};
use crate::reading::{Unit, Value};

/// One alarm on one sensor that has something to say.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmView {
    /// The alarm's name.
    pub alarm: Arc<str>,
    /// The sensor's name.
    pub sensor: Arc<str>,
    /// How urgent.
    pub severity: Severity,
    /// What it watches for.
    pub condition: ConditionKind,
    /// The limit.
    pub limit: Limit,
    /// Where it stands.
    pub state: AlarmState,
    /// While active: when it was raised.
    pub since: Option<WallTime>,
    /// While active: the episode.
    pub correlation: Option<Uuid>,
    /// The last value.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<Unit>,
    /// When it was measured.
    pub value_time: Option<WallTime>,
    /// The value furthest beyond the limit.
    pub peak: Option<Value>,
    /// Readings in violation.
    pub count: u64,
    /// Somebody has acknowledged it.
    pub acknowledged: bool,
    /// The condition is gone, but it is latched and waits to be acknowledged.
    pub waits_for_acknowledgement: bool,
    /// Shelved until.
    pub shelved_until: Option<BootTime>,
    /// Suppressed.
    pub suppressed: bool,
    /// Within its schedule.
    pub in_force: bool,
    /// In violation at the last look, told or not.
    pub in_violation: bool,
}

impl Engine {
    /// Acknowledges an alarm: a latched one whose condition is gone clears, one still in violation clears by itself
    /// later. True when there was an active one.
    pub fn acknowledge(&mut self, alarm: &str, sensor: &str, now: Now, out: &mut Output) -> bool {
        self.command(alarm, sensor, now, out, Machine::acknowledge)
    }

    /// Takes an alarm out of force until `until`; an active one clears. When the time is over, one in violation is
    /// raised anew. True when there was one and `until` is still to come.
    pub fn shelve(&mut self, alarm: &str, sensor: &str, until: BootTime, now: Now, out: &mut Output) -> bool {
        until > now.boot
            && self.command(alarm, sensor, now, out, |machine| {
                machine.dirty |= machine.shelved != Some(until);
                machine.shelved = Some(until);
                true
            })
    }

    /// Ends [`Engine::shelve`] early. True when one was shelved.
    pub fn unshelve(&mut self, alarm: &str, sensor: &str, now: Now, out: &mut Output) -> bool {
        self.command(alarm, sensor, now, out, |machine| {
            let was = machine.shelved.take().is_some();
            machine.dirty |= was;
            was
        })
    }

    /// Takes an alarm out of force until [`Engine::unsuppress`]. True when there was one.
    pub fn suppress(&mut self, alarm: &str, sensor: &str, now: Now, out: &mut Output) -> bool {
        self.command(alarm, sensor, now, out, |machine| {
            machine.dirty |= !machine.suppressed;
            machine.suppressed = true;
            true
        })
    }

    /// Ends [`Engine::suppress`]. True when one was suppressed.
    pub fn unsuppress(&mut self, alarm: &str, sensor: &str, now: Now, out: &mut Output) -> bool {
        self.command(alarm, sensor, now, out, |machine| {
            let was = std::mem::take(&mut machine.suppressed);
            machine.dirty |= was;
            was
        })
    }

    /// All machines that are not plainly normal, by sensor and in the configured order.
    pub fn snapshot(&self) -> Vec<AlarmView> {
        let mut views = Vec::new();
        for sensor in &self.sensors {
            for machine in &sensor.machines {
                let rule = &self.rules[machine.rule as usize];
                if is_plain(machine) {
                    continue;
                }
                let last = sensor.last_for(rule);
                let track = machine.track.as_deref();
                views.push(AlarmView {
                    alarm: Arc::clone(&rule.alarm.name),
                    sensor: Arc::clone(&sensor.name),
                    severity: rule.alarm.severity,
                    condition: rule.kind,
                    limit: rule.limit.clone(),
                    state: machine.state(rule),
                    since: machine.shown.as_ref().map(|shown| shown.start),
                    correlation: machine.shown.as_ref().map(|shown| shown.id),
                    value: last.map(|last| last.value.clone()),
                    unit: last.and_then(|last| last.unit.clone()),
                    value_time: last.map(|last| last.time),
                    peak: track.and_then(|track| track.peak.as_ref()).map(|(peak, _)| peak.clone()),
                    count: track.map_or(0, |track| track.count),
                    acknowledged: machine.acknowledged,
                    waits_for_acknowledgement: machine.phase == Phase::Active { gone: true },
                    shelved_until: machine.shelved,
                    suppressed: machine.suppressed,
                    in_force: rule.in_force,
                    in_violation: machine.in_violation,
                });
            }
        }
        views
    }

    /// How many sensors there are, those included that only the configuration names so far.
    pub fn sensors(&self) -> usize {
        self.sensors.len()
    }

    /// How many state machines there are.
    pub fn machines(&self) -> usize {
        self.sensors.iter().map(|sensor| sensor.machines.len()).sum()
    }

    /// Does something to the machines of one alarm on matching sensors; true when any took it.
    fn command(
        &mut self,
        alarm: &str,
        pattern: &str,
        now: Now,
        out: &mut Output,
        mut act: impl FnMut(&mut Machine) -> bool,
    ) -> bool {
        let (sensors, mut step) = self.split(now, out);
        let mut any = false;
        for sensor in sensors.iter_mut().filter(|sensor| matches(pattern, &sensor.name)) {
            let mut taken = false;
            for machine in &mut sensor.machines {
                if *step.rules[machine.rule as usize].alarm.name == *alarm {
                    taken |= act(machine);
                }
            }
            if taken {
                sensor.settle(&mut step);
                any = true;
            }
        }
        any
    }
}

/// Nothing to say.
fn is_plain(machine: &Machine) -> bool {
    machine.phase == Phase::Normal && machine.shelved.is_none() && !machine.suppressed
}
