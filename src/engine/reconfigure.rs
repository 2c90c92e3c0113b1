//! From the configured alarms to rules and machines, at the start and at a reload.
//!
//! Owns which machines a sensor has, and what becomes of their state when the alarms change: an alarm that is unchanged
//! goes on untouched, one whose settings changed goes on and is judged anew by the last value, one that is gone (or
//! watches for something else under the same name) is closed.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::condition::Rule;
use super::machine::{Machine, Phase};
use super::{Engine, Output, Reference, Step, pattern, schedule};
use crate::clock::Now;
use crate::config::model::Alarm;
use crate::event::{AlarmRecord, Change};

impl Engine {
    /// Takes new alarms and a new time zone. With the same ones nothing happens at all.
    pub fn reconfigure(&mut self, alarms: &[Alarm], time_zone: TimeZone, now: Now, out: &mut Output) {
        let same = self.rules.iter().map(|rule| &rule.alarm).eq(alarms);
        if same && self.settings.time_zone == time_zone {
            return;
        }
        self.settings.time_zone = time_zone;
        let old = std::mem::take(&mut self.rules);
        self.compile(alarms, now);
        self.timers.clear();
        let renewal = Renewal::new(old, &self.rules);
        let mut changed = Vec::new();
        for index in 0..self.sensors.len() {
            self.close_removed(index, &renewal, now, out);
            self.carry_over(index, &renewal, now, &mut changed);
        }
        self.add_configured_sensors(now, out);
        for sensor in &self.sensors {
            if let Some(reference) = sensor.reference {
                self.references[reference as usize].number = sensor.number();
            }
        }
        let (sensors, mut step) = self.split(now, out);
        for (sensor, machine) in changed {
            let sensor = &mut sensors[sensor];
            sensor.judge_last(machine, false, &step);
            let machine = &mut sensor.machines[machine];
            machine.elapse(&step.rules[machine.rule as usize], now.boot);
        }
        for sensor in sensors {
            sensor.settle(&mut step);
        }
    }

    /// Works out the rules, the index of patterns and the references.
    pub(super) fn compile(&mut self, alarms: &[Alarm], now: Now) {
        let started = self.settings.started.boot;
        self.rules = alarms.iter().map(|alarm| Rule::new(alarm, started, &self.settings.time_zone, now)).collect();
        self.patterns = pattern::Index::default();
        self.references.clear();
        self.reference_names.clear();
        for (rule, index) in self.rules.iter_mut().zip(0..) {
            for pattern in &rule.alarm.sensors {
                self.patterns.insert(pattern, index);
            }
            if let Some(name) = rule.reference_name() {
                let next = u32::try_from(self.references.len()).expect("invariant: no more references than alarms");
                let reference = *self.reference_names.entry(Arc::from(name)).or_insert(next);
                if reference == next {
                    self.references.push(Reference::default());
                }
                rule.reference = Some(reference);
            }
        }
        let scheduled = self.rules.iter().any(|rule| !rule.alarm.schedule.is_empty());
        self.schedule_at = scheduled.then(|| schedule::ask_again(now));
    }

    /// Adds the sensors that the configuration names itself: those that must not stay silent, and those that others
    /// are compared with.
    pub(super) fn add_configured_sensors(&mut self, now: Now, out: &mut Output) {
        let mut names: Vec<Arc<str>> = Vec::new();
        for rule in &self.rules {
            let exact = rule.alarm.sensors.iter().filter(|pattern| pattern::is_exact(pattern));
            if rule.stale_after().is_some() {
                names.extend(exact.map(|name| Arc::from(name.as_str())));
            }
            names.extend(rule.reference_name().map(Arc::from));
        }
        let first = self.sensors.len();
        for name in names {
            if !self.by_name.contains_key(&*name) {
                self.add_sensor(&name, now);
                self.configured += 1;
            }
        }
        let (sensors, mut step) = self.split(now, out);
        for sensor in &mut sensors[first..] {
            sensor.finish(&mut step);
        }
    }

    /// Gives a sensor without machines those that match its name.
    pub(super) fn build_machines(&mut self, index: u32, now: Now) {
        let sensor = &mut self.sensors[index as usize];
        sensor.reference = self.reference_names.get(&*sensor.name).copied();
        let mut groups: HashMap<&str, Vec<u16>> = HashMap::new();
        let mut ring_max = 0;
        // The positions fit: a configuration has far fewer alarms.
        let rules = self.patterns.find(&sensor.name);
        sensor.machines.reserve_exact(rules.len());
        for (rule, machine) in rules.into_iter().zip(0..u16::MAX) {
            let alarm = &self.rules[rule as usize].alarm;
            let mut made = Machine::new(rule);
            if let Some(group) = &alarm.group {
                made.grouped = true;
                groups.entry(group).or_default().push(machine);
            }
            if self.rules[rule as usize].stale_after().is_some() {
                let named = alarm.sensors.iter().any(|pattern| **pattern == *sensor.name);
                made.known_since = named.then_some(now.boot);
            }
            if let Some(reference) = self.rules[rule as usize].reference
                && Some(reference) != sensor.reference
            {
                self.references[reference as usize].dependents.push((index, machine));
            }
            ring_max = ring_max.max(alarm.context);
            sensor.machines.push(made);
        }
        sensor.keep(ring_max);
        let severity = |machine: &u16| {
            let rule = sensor.machines[usize::from(*machine)].rule;
            (std::cmp::Reverse(self.rules[rule as usize].alarm.severity), rule)
        };
        sensor.groups = groups
            .into_values()
            .map(|mut members| {
                members.sort_by_key(severity);
                members
            })
            .collect();
        sensor.groups.sort();
    }

    /// Closes the machines of a sensor whose alarm is gone, by the rules they were made from.
    fn close_removed(&mut self, index: usize, renewal: &Renewal, now: Now, out: &mut Output) {
        let sensor = &mut self.sensors[index];
        let matching = self.patterns.find(&sensor.name);
        let mut step = Step {
            rules: &renewal.old,
            references: &[],
            timers: &mut self.timers,
            ids: &mut self.ids,
            boot_id: self.settings.boot_id,
            count: self.step,
            now,
            at: now.wall,
            out,
        };
        for machine in 0..sensor.machines.len() {
            let rule = sensor.machines[machine].rule as usize;
            if renewal.successor[rule].is_some_and(|rule| matching.binary_search(&rule).is_ok()) {
                continue;
            }
            sensor.conceal(machine, Change::Cleared, &mut step);
            if sensor.machines[machine].recorded {
                let (alarm, sensor) = (Arc::clone(&renewal.old[rule].alarm.name), Arc::clone(&sensor.name));
                step.out.records.push(AlarmRecord { alarm, sensor, state: Vec::new() });
            }
        }
    }

    /// Gives a sensor its new machines, with the state of the old ones. Adds those that must be judged anew.
    fn carry_over(&mut self, index: usize, renewal: &Renewal, now: Now, changed: &mut Vec<(usize, usize)>) {
        let old = std::mem::take(&mut self.sensors[index].machines);
        self.build_machines(self.sensors[index].index, now);
        let sensor = &mut self.sensors[index];
        for carried in old {
            let successor = renewal.successor[carried.rule as usize];
            // The new machines are in the order of their rules.
            let position =
                successor.and_then(|rule| sensor.machines.binary_search_by_key(&rule, |made| made.rule).ok());
            let Some(machine) = position.map(|position| &mut sensor.machines[position]) else { continue };
            let before = &renewal.old[carried.rule as usize].alarm;
            let made = std::mem::replace(machine, carried);
            machine.rule = made.rule;
            machine.grouped = made.grouped;
            machine.timer = None;
            machine.known_since = machine.known_since.or(made.known_since);
            adopt(machine, &self.rules[made.rule as usize], before, now);
        }
        for (machine, position) in sensor.machines.iter_mut().zip(0..) {
            if !renewal.unchanged[machine.rule as usize] {
                changed.push((index, position));
            }
            // A sensor seen before a stale alarm came is known to it from the start.
            let is_stale = self.rules[machine.rule as usize].stale_after().is_some();
            if is_stale && machine.known_since.is_none() && sensor.life.is_some() {
                machine.known_since = sensor.life;
                machine.dirty = true;
            }
        }
    }
}

/// How the old rules and the new ones belong together.
struct Renewal {
    old: Vec<Rule>,
    /// By old rule: the one that goes on with its machines, of the same name and watching for the same kind of thing.
    successor: Vec<Option<u32>>,
    /// By new rule: nothing about it has changed.
    unchanged: Vec<bool>,
}

impl Renewal {
    fn new(old: Vec<Rule>, rules: &[Rule]) -> Self {
        let by_name: HashMap<&str, u32> =
            rules.iter().zip(0..).map(|(rule, index)| (&*rule.alarm.name, index)).collect();
        let mut unchanged = vec![false; rules.len()];
        let successor = old
            .iter()
            .map(|old| {
                let index = by_name.get(&*old.alarm.name).copied()?;
                let rule = &rules[index as usize];
                unchanged[index as usize] = rule.alarm == old.alarm;
                (rule.kind == old.kind).then_some(index)
            })
            .collect();
        Self { old, successor, unchanged }
    }
}

/// Lets a machine follow the changed settings that are not about its limit.
fn adopt(machine: &mut Machine, rule: &Rule, before: &Alarm, now: Now) {
    if before.condition != rule.alarm.condition && rule.rate_window().is_some() {
        machine.window = None;
    }
    if machine.phase == (Phase::Active { gone: true }) && !rule.alarm.latched {
        machine.move_to(Phase::Normal);
    }
    if before.repeat_every != rule.alarm.repeat_every
        && let Some(shown) = &mut machine.shown
    {
        shown.repeat_at = rule.repeat_every.map(|period| now.boot.after(period));
        machine.dirty = true;
    }
}
