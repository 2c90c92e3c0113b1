//! The record at hand: which fields there are, and what has been found of them.
//!
//! Owns everything that is reused from message to message. Never decides what a value means: that is the rules' and the
//! sink's. Bounded: readings a message, quantities and names kept.

use std::collections::HashMap;
use std::sync::Arc;

use super::name::Names;
use super::sink::READINGS_PER_MESSAGE_MAX;
use super::time::Stamp;
use super::units::Units;
use super::value::Rule;
use crate::reading::{Unit, Value};

/// Most quantities of unconfigured fields remembered; beyond it they are forgotten and learned anew.
const LEARNED_MAX: usize = 1_000;

/// A rule, and where its value of the record at hand is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rule: Rule,
    record: u64,
    position: usize,
}

/// Where a value of the record at hand belongs. Nothing to drop in it, nor in its [`Found`]: so it is written where it
/// stays, without copies on the way, which were most of what a value cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) entry: usize,
    pub(super) found: Found,
}

/// A value found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// A number without a unit of its own.
    Number(f64),
    /// Any other; its place in `others`.
    Other(usize),
}

/// A value, and the unit that came with it.
type Other = (Value, Option<Unit>);

/// Reused from message to message.
#[derive(Debug)]
pub(super) struct State {
    /// Configured fields first, learned ones behind.
    pub(super) entries: Vec<Entry>,
    pub(super) configured: usize,
    learned: HashMap<Arc<str>, usize>,
    /// The rule of everything learned.
    pub(super) plain: Rule,
    pub(super) names: Names,
    /// Counts records, so that entries of earlier ones need no clearing.
    record: u64,
    /// Values of the record at hand, in the order found.
    pub(super) pending: Vec<Pending>,
    /// Those of them that are no plain numbers; nothing where a later, unusable value took an earlier one back.
    pub(super) others: Vec<Option<Other>>,
    /// Something that could be a value was there.
    pub(super) found: bool,
    pub(super) stamp: Option<Stamp>,
    pub(super) time_parts: Vec<Option<String>>,
    pub(super) carried: Vec<Option<serde_json::Value>>,
    pub(super) device: Vec<Option<String>>,
    pub(super) carried_bytes: usize,
    /// There were more readings than are taken.
    pub(super) overflowed: bool,
}

impl State {
    /// With these rules, and room for so many attributes and parts of a device's name.
    pub(super) fn new(rules: Vec<Rule>, names: Names, carried: usize, device: usize) -> Self {
        let entries: Vec<Entry> = rules.into_iter().map(|rule| Entry { rule, record: 0, position: 0 }).collect();
        Self {
            configured: entries.len(),
            entries,
            learned: HashMap::new(),
            plain: Rule::plain("value".into()),
            names,
            record: 1,
            pending: Vec::new(),
            others: Vec::new(),
            found: false,
            stamp: None,
            time_parts: Vec::new(),
            carried: vec![None; carried],
            device: vec![None; device],
            carried_bytes: 0,
            overflowed: false,
        }
    }

    /// Makes ready for a message.
    pub(super) fn begin(&mut self) {
        if self.learned.len() > LEARNED_MAX {
            self.learned.clear();
            self.entries.truncate(self.configured);
            self.names.forget();
        }
        self.carried_bytes = 0;
        self.overflowed = false;
        self.clear_record();
    }

    /// The next record begins.
    pub(super) fn clear_record(&mut self) {
        self.record += 1;
        self.pending.clear();
        self.others.clear();
        self.found = false;
        self.stamp = None;
        self.time_parts.clear();
        self.carried.fill(None);
        self.device.fill(None);
    }

    #[cfg(test)]
    pub(super) fn learned(&self) -> usize {
        self.learned.len()
    }

    /// The index of a field that is not configured; none where one message has more of them than are ever taken.
    pub(super) fn learn(&mut self, quantity: &str, units: &Units) -> Option<usize> {
        if let Some(index) = self.learned.get(quantity) {
            return Some(*index);
        }
        if self.learned.len() >= LEARNED_MAX + READINGS_PER_MESSAGE_MAX {
            self.overflowed = true;
            return None;
        }
        let quantity: Arc<str> = quantity.into();
        let index = self.entries.len();
        let mut rule = Rule::plain(Arc::clone(&quantity));
        rule.unit = units.of(&quantity);
        self.entries.push(Entry { rule, record: 0, position: 0 });
        self.learned.insert(quantity, index);
        Some(index)
    }

    /// Takes a number of a field.
    pub(super) fn store_number(&mut self, index: usize, number: f64) {
        if let Some(at) = self.place(index) {
            self.pending[at].found = Found::Number(number);
        }
    }

    /// Takes a value of a field, or takes back what there was of it.
    pub(super) fn store(&mut self, index: usize, value: Option<Value>, unit: Option<Unit>) {
        let value = match value {
            Some(Value::Number(number)) if unit.is_none() => return self.store_number(index, number),
            Some(value) => Some((value, unit)),
            None if self.entries[index].record != self.record => return,
            None => None,
        };
        if let Some(at) = self.place(index) {
            self.others.resize(self.others.len().max(at + 1), None);
            self.others[at] = value;
            self.pending[at].found = Found::Other(at);
        }
    }

    /// Where the value of a field is kept. The same field again has the same place: the last value counts.
    fn place(&mut self, index: usize) -> Option<usize> {
        let entry = &mut self.entries[index];
        if entry.record != self.record {
            if self.pending.len() >= READINGS_PER_MESSAGE_MAX {
                self.overflowed = true;
                return None;
            }
            entry.record = self.record;
            entry.position = self.pending.len();
            self.pending.push(Pending { entry: index, found: Found::Number(0.0) });
        }
        Some(entry.position)
    }
}
