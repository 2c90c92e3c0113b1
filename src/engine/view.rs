//! What the engine shows of its sensors: the last value and what it is judged by.
//!
//! Owns the shape. Reads only.

use std::sync::Arc;

use super::Engine;
use crate::config::model::Severity;
use crate::event::{ConditionKind, Limit};
use crate::reading::{Unit, Value};

/// Most limits shown of a sensor; more would be a carpet.
const LIMITS_MAX: usize = 8;

/// One sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct SensorView {
    /// Its name.
    pub sensor: Arc<str>,
    /// The last value; also one from before a restart, as far as an alarm remembers it.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<Unit>,
    /// What it is judged by, in the configured order.
    pub limits: Vec<LimitView>,
}

/// One alarm that watches a sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitView {
    /// Its name.
    pub alarm: Arc<str>,
    /// How urgent.
    pub severity: Severity,
    /// What it watches for.
    pub condition: ConditionKind,
    /// The limit.
    pub limit: Limit,
}

impl Engine {
    /// The first `count_max` sensors, in the order in which they became known.
    pub fn sensor_views(&self, count_max: usize) -> Vec<SensorView> {
        let limit = |rule: u32| {
            let rule = &self.rules[rule as usize];
            LimitView {
                alarm: Arc::clone(&rule.alarm.name),
                severity: rule.alarm.severity,
                condition: rule.kind,
                limit: rule.limit.clone(),
            }
        };
        let sensors = self.sensors.iter().take(count_max);
        let view = |sensor: &super::sensor::Sensor| SensorView {
            sensor: Arc::clone(&sensor.name),
            value: sensor.last.as_ref().map(|last| last.value.clone()),
            unit: sensor.last.as_ref().and_then(|last| last.unit.clone()),
            limits: sensor.machines.iter().take(LIMITS_MAX).map(|machine| limit(machine.rule)).collect(),
        };
        sensors.map(view).collect()
    }
}
