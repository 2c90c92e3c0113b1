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
use crate::config::model::{self, Alarm};
use crate::event::{AlarmRecord, Change};

impl Engine {
    /// Takes new alarms and a new time zone. With the same ones nothing happens at all.
    pub fn reconfigure(&mut self, alarms: &[Alarm], time_zone: TimeZone, now: Now, out: &mut Output) {
        if self.alarms == alarms && self.settings.time_zone == time_zone {
            return;
        }
        self.settings.time_zone = time_zone;
        let old_rules = std::mem::take(&mut self.rules);
        self.compile(alarms, now);
        self.timers.clear();
        let by_name: HashMap<Arc<str>, u32> =
            self.rules.iter().zip(0..).map(|(rule, index)| (Arc::clone(&rule.alarm.name), index)).collect();
        let mut changed = Vec::new();
        for index in 0..self.sensors.len() {
            self.close_removed(index, &old_rules, &by_name, now, out);
            self.carry_over(index, &old_rules, &by_name, now, &mut changed);
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
        self.alarms = alarms.to_vec();
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
        for (rule, machine) in self.patterns.find(&sensor.name).into_iter().zip(0..u16::MAX) {
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
    fn close_removed(
        &mut self,
        index: usize,
        old_rules: &[Rule],
        by_name: &HashMap<Arc<str>, u32>,
        now: Now,
        out: &mut Output,
    ) {
        let matching = self.patterns.find(&self.sensors[index].name);
        let mut step = Step {
            rules: old_rules,
            references: &[],
            timers: &mut self.timers,
            ids: &mut self.ids,
            boot_id: self.settings.boot_id,
            count: self.step,
            now,
            at: now.wall,
            out,
        };
        let sensor = &mut self.sensors[index];
        for machine in 0..sensor.machines.len() {
            let rule = &old_rules[sensor.machines[machine].rule as usize];
            if successor(rule, by_name, &self.rules).is_some_and(|rule| matching.contains(&rule)) {
                continue;
            }
            sensor.conceal(machine, Change::Cleared, &mut step);
            if sensor.machines[machine].recorded {
                step.out.records.push(AlarmRecord {
                    alarm: Arc::clone(&rule.alarm.name),
                    sensor: Arc::clone(&sensor.name),
                    state: Vec::new(),
                });
            }
        }
    }

    /// Gives a sensor its new machines, with the state of the old ones. Adds those that must be judged anew.
    fn carry_over(
        &mut self,
        index: usize,
        old_rules: &[Rule],
        by_name: &HashMap<Arc<str>, u32>,
        now: Now,
        changed: &mut Vec<(usize, usize)>,
    ) {
        let old = std::mem::take(&mut self.sensors[index].machines);
        self.build_machines(self.sensors[index].index, now);
        let mut old: HashMap<u32, Machine> = old
            .into_iter()
            .filter_map(|machine| {
                let rule = successor(&old_rules[machine.rule as usize], by_name, &self.rules)?;
                Some((rule, machine))
            })
            .collect();
        let old_alarms: HashMap<&str, &model::Alarm> =
            old_rules.iter().map(|rule| (&*rule.alarm.name, &rule.alarm)).collect();
        let sensor = &mut self.sensors[index];
        for (machine, position) in sensor.machines.iter_mut().zip(0..) {
            let rule = &self.rules[machine.rule as usize];
            let before = old_alarms.get(&*rule.alarm.name);
            if before != Some(&&rule.alarm) {
                changed.push((index, position));
            }
            if let Some(carried) = old.remove(&machine.rule) {
                let fresh = std::mem::replace(machine, carried);
                machine.rule = fresh.rule;
                machine.grouped = fresh.grouped;
                machine.timer = None;
                machine.known_since = machine.known_since.or(fresh.known_since);
                adopt(machine, rule, before.copied(), now);
            }
            // A sensor seen before a stale alarm came is known to it from the start.
            if rule.stale_after().is_some() && machine.known_since.is_none() && sensor.life.is_some() {
                machine.known_since = sensor.life;
                machine.dirty = true;
            }
        }
    }
}

/// The rule that goes on with an old one's machines: the same name, watching for the same kind of thing.
fn successor(old: &Rule, by_name: &HashMap<Arc<str>, u32>, rules: &[Rule]) -> Option<u32> {
    by_name.get(&old.alarm.name).copied().filter(|rule| rules[*rule as usize].kind == old.kind)
}

/// Lets a machine follow the changed settings that are not about its limit.
fn adopt(machine: &mut Machine, rule: &Rule, before: Option<&model::Alarm>, now: Now) {
    let Some(before) = before.filter(|before| **before != rule.alarm) else { return };
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
