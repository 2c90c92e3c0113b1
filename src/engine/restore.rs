//! Going on after a restart from the records that the store kept (P7).
//!
//! Owns what becomes of each record: resumed, closed (its alarm is no longer configured), or passed over (damaged, or
//! written by a later version). An alarm that was active stays active in its episode; nobody is told twice.

use std::collections::BTreeMap;

use super::machine::Phase;
use super::record::{self, Durable};
use super::sensor::Last;
use super::{Engine, Output, emit};
use crate::clock::Now;
use crate::event::AlarmRecord;

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Machines that go on.
    pub resumed: usize,
    /// Machines whose alarm or place is gone; those that were active were told as cleared.
    pub closed: usize,
    /// Records that could not be read: their machines start as normal, and the records are forgotten.
    pub unreadable: usize,
}

impl Engine {
    /// Brings the machines back. To be called once, before the first reading.
    pub fn restore(&mut self, records: &[AlarmRecord], now: Now, out: &mut Output) -> Restored {
        let mut restored = Restored::default();
        let latest: BTreeMap<(&str, &str), &AlarmRecord> =
            records.iter().map(|record| ((&*record.alarm, &*record.sensor), record)).collect();
        let mut readable: Vec<(&AlarmRecord, Durable)> = Vec::with_capacity(latest.len());
        for record in latest.into_values().filter(|record| !record.state.is_empty()) {
            match record::decode(&record.state) {
                Ok(durable) => readable.push((record, durable)),
                Err(record::Unreadable) => {
                    restored.unreadable += 1;
                    out.records.push(forgotten(record));
                }
            }
        }
        // As they were written, so that the last value of a sensor is the one known last: a number before a text of the
        // same step, since an alarm on numbers remembers the last of these only.
        readable.sort_by_key(|(_, durable)| (durable.step, durable.last_is_text()));
        self.step = readable.last().map_or(0, |(_, durable)| durable.step).max(self.step);
        for (record, durable) in &readable {
            if self.resume(record, durable, now) {
                restored.resumed += 1;
                continue;
            }
            restored.closed += 1;
            let ids = (self.ids.next(now.wall), self.settings.boot_id);
            emit::tell_orphan((&record.alarm, &record.sensor), durable, ids, now, out);
            out.records.push(forgotten(record));
        }
        for sensor in &self.sensors {
            if let Some(reference) = sensor.reference {
                self.references[reference as usize].number = sensor.number();
            }
        }
        let (sensors, mut step) = self.split(now, out);
        for sensor in sensors {
            for machine in 0..sensor.machines.len() {
                // With the limits it was stored under this changes nothing; with others the last value decides at once,
                // as at a reload.
                if sensor.machines[machine].phase != Phase::Normal {
                    sensor.judge_last(machine, false, &step);
                }
            }
            sensor.settle(&mut step);
        }
        restored
    }

    /// Resumes one machine; false when there is none for the record.
    fn resume(&mut self, record: &AlarmRecord, durable: &Durable, now: Now) -> bool {
        let rule = self.rules.iter().position(|rule| *rule.alarm.name == *record.alarm);
        let Some(rule) = rule.filter(|rule| self.rules[*rule].kind == durable.kind) else { return false };
        let matching = self.patterns.find(&record.sensor);
        if !matching.iter().any(|found| *found as usize == rule) {
            return false;
        }
        let index = match self.by_name.get(&*record.sensor) {
            Some(index) => *index,
            None if self.is_full() => return false,
            None => self.add_sensor(&record.sensor, now),
        };
        let sensor = &mut self.sensors[index as usize];
        let Some(machine) = sensor.machines.iter_mut().find(|machine| machine.rule as usize == rule) else {
            return false;
        };
        durable.resume(machine, &self.rules[rule], now, self.settings.boot_id);
        if let Some(last) = &durable.last {
            sensor.resume(Last::from(last));
        }
        true
    }
}

/// The record that makes the store forget one.
fn forgotten(record: &AlarmRecord) -> AlarmRecord {
    AlarmRecord { alarm: record.alarm.clone(), sensor: record.sensor.clone(), state: Vec::new() }
}
