//! The alarm engine: readings and time go in, events and alarm records come out.
//!
//! Owns every alarm's state machine on every sensor, and nothing else: it does no I/O, reads no clock and spawns
//! nothing. Callers pass [`Now`]; the events and records of one call belong into one commit (P1), and after a restart
//! the records bring the machines back (P7).
//!
//! One definition applied to one sensor is one [`machine`]; a new sensor is matched against all patterns once. For each
//! (alarm, sensor) what raises (`raised`, `escalated`) and what clears (`cleared`, `superseded`) alternate, starting
//! with a raise, whatever comes in. Bounds: sensors by [`Settings::sensors_max`], machines by sensors times matching
//! alarms, timers by machines, context and rate windows by their own constants.

mod api;
mod clock;
mod condition;
mod emit;
mod group;
mod ids;
mod machine;
mod order;
mod pattern;
mod rate;
mod reconfigure;
mod record;
mod restore;
mod schedule;
mod sensor;
#[cfg(test)]
mod tests;
mod timers;
mod view;
mod why;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use uuid::Uuid;

pub use api::AlarmView;
pub use restore::Restored;
pub use view::{LimitView, SensorView};
pub use why::{Reason, Why};

use crate::clock::{BootTime, Now, WallTime, judge};
use crate::config::model;
use crate::event::{AlarmRecord, Event};
use crate::reading::{Reading, SensorId};
use condition::Rule;
use ids::Ids;
use machine::Machine;
use sensor::Sensor;
use timers::{Key, Timers};

/// What an engine is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The boot that all [`BootTime`]s given belong to.
    pub boot_id: Uuid,
    /// When this run started: hold-offs, and the silence of sensors that never report, count from here.
    pub started: Now,
    /// For schedules.
    pub time_zone: TimeZone,
    /// For event ids; random, and another one for every run.
    pub seed: u64,
    /// Most sensors taken from readings and records; those named by the configuration itself come on top.
    pub sensors_max: usize,
}

/// What a call has made. Calls only add to it, so that several can go into one commit.
#[derive(Debug, Default)]
pub struct Output {
    /// In order, without sequence numbers.
    pub events: Vec<Event>,
    /// The last one of each (alarm, sensor) counts.
    pub records: Vec<AlarmRecord>,
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It went through its sensor's machines.
    Evaluated,
    /// It is older than the newest of its sensor: a sign of life, no more.
    Late,
    /// Its sensor is new and there is no room for it.
    TooManySensors,
    /// It is an old retained message: kept as the last value if there is none, no more.
    NotFresh,
}

/// All alarms on all sensors.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    rules: Vec<Rule>,
    patterns: pattern::Index,
    sensors: Vec<Sensor>,
    /// How many of them the configuration has named itself.
    configured: usize,
    by_name: HashMap<SensorId, u32>,
    references: Vec<Reference>,
    reference_names: HashMap<Arc<str>, u32>,
    timers: Timers,
    /// When the schedules are looked at again; `None` when no alarm has one.
    schedule_at: Option<BootTime>,
    ids: Ids,
    /// How far the wall clock was ahead of the boot clock at the last call, nanoseconds.
    wall_base: i64,
    /// Calls so far, those of earlier runs included: the order of the records.
    step: u64,
}

/// A sensor that others are compared with.
#[derive(Debug, Default)]
struct Reference {
    number: Option<f64>,
    dependents: Vec<Key>,
}

/// What a step of a sensor needs besides the sensor.
struct Step<'a> {
    rules: &'a [Rule],
    references: &'a [Reference],
    timers: &'a mut Timers,
    ids: &'a mut Ids,
    boot_id: Uuid,
    count: u64,
    now: Now,
    /// The time of events made: the reading's, if it brought a trusted one, else now.
    at: WallTime,
    out: &'a mut Output,
}

impl Engine {
    /// An engine in which everything is normal.
    pub fn new(settings: Settings, alarms: &[model::Alarm]) -> Self {
        let started = settings.started;
        let mut engine = Self {
            ids: Ids::new(settings.seed),
            settings,
            rules: Vec::new(),
            patterns: pattern::Index::default(),
            sensors: Vec::new(),
            configured: 0,
            by_name: HashMap::new(),
            references: Vec::new(),
            reference_names: HashMap::new(),
            timers: Timers::default(),
            schedule_at: None,
            wall_base: judge::base(started.boot, started.wall),
            step: 0,
        };
        engine.compile(alarms, started);
        // Nothing is in violation yet: timers are set, nothing is made.
        let mut nothing = Output::default();
        engine.add_configured_sensors(started, &mut nothing);
        engine
    }

    /// Takes a reading.
    pub fn on_reading(&mut self, reading: &Reading, now: Now, out: &mut Output) -> Accepted {
        self.follow_schedules(now, out);
        let index = match self.by_name.get(&reading.sensor) {
            Some(index) => *index,
            None if self.is_full() => return Accepted::TooManySensors,
            None => self.add_sensor(&Arc::from(reading.sensor.as_str()), now),
        };
        let (sensors, mut step) = self.split(now, out);
        let sensor = &mut sensors[index as usize];
        let accepted = sensor.on_reading(reading, &mut step);
        let (at, reference, number) = (step.at, sensor.reference, sensor.number());
        if let Some(reference) = reference {
            self.references[reference as usize].number = number;
            if accepted == Accepted::Evaluated {
                self.judge_dependents(reference, at, now, out);
            }
        }
        accepted
    }

    /// Carries out what is due. Calling it early or too often does no harm.
    pub fn on_deadline(&mut self, now: Now, out: &mut Output) {
        self.follow_schedules(now, out);
        // Taken out before any is carried out: what they set anew belongs to the next call.
        let mut due = Vec::new();
        while let Some(key) = self.timers.pop_due(now.boot) {
            self.machine_mut(key).timer = None;
            due.push(key);
        }
        let (sensors, mut step) = self.split(now, out);
        for (sensor, machine) in due {
            sensors[sensor as usize].on_timer(usize::from(machine), &mut step);
        }
    }

    /// When [`Engine::on_deadline`] is to be called at the latest. There may turn out to be nothing to do.
    pub fn next_deadline(&self) -> Option<BootTime> {
        machine::earliest(self.timers.first(), self.schedule_at)
    }

    /// Lets the schedules take effect at the minute.
    fn follow_schedules(&mut self, now: Now, out: &mut Output) {
        if self.schedule_at.is_none_or(|at| at > now.boot) {
            return;
        }
        self.schedule_at = Some(schedule::ask_again(now));
        let mut changed = false;
        for rule in &mut self.rules {
            let in_force = schedule::in_force(&rule.alarm.schedule, &self.settings.time_zone, now);
            changed |= std::mem::replace(&mut rule.in_force, in_force) != in_force;
        }
        if changed {
            self.settle_all(now, out);
        }
    }

    /// Lets every sensor's machines take effect.
    fn settle_all(&mut self, now: Now, out: &mut Output) {
        let (sensors, mut step) = self.split(now, out);
        for sensor in sensors {
            sensor.settle(&mut step);
        }
    }

    /// Judges the sensors that are compared with one that has spoken.
    fn judge_dependents(&mut self, reference: u32, at: WallTime, now: Now, out: &mut Output) {
        let dependents = std::mem::take(&mut self.references[reference as usize].dependents);
        let (sensors, mut step) = self.split(now, out);
        for (sensor, machine) in &dependents {
            step.at = at;
            sensors[*sensor as usize].on_reference(usize::from(*machine), &mut step);
        }
        self.references[reference as usize].dependents = dependents;
    }

    /// The sensors, and beside them what their steps need.
    fn split<'a>(&'a mut self, now: Now, out: &'a mut Output) -> (&'a mut [Sensor], Step<'a>) {
        self.follow_clock(now);
        self.step += 1;
        let step = Step {
            rules: &self.rules,
            references: &self.references,
            timers: &mut self.timers,
            ids: &mut self.ids,
            boot_id: self.settings.boot_id,
            count: self.step,
            now,
            at: now.wall,
            out,
        };
        (&mut self.sensors, step)
    }

    fn machine_mut(&mut self, (sensor, machine): Key) -> &mut Machine {
        &mut self.sensors[sensor as usize].machines[usize::from(machine)]
    }

    /// Whether a new sensor is one too many.
    fn is_full(&self) -> bool {
        self.sensors.len() - self.configured >= self.settings.sensors_max
    }

    /// Adds a sensor with a machine for each alarm that matches it.
    fn add_sensor(&mut self, name: &Arc<str>, now: Now) -> u32 {
        let index = u32::try_from(self.sensors.len()).expect("invariant: fewer sensors than memory could hold");
        self.by_name.insert(SensorId::new(Arc::clone(name)), index);
        self.sensors.push(Sensor::new(Arc::clone(name), index));
        self.build_machines(index, now);
        index
    }
}
