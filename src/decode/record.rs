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
use crate::reading::Value;

/// Most quantities of unconfigured fields remembered; beyond it they are forgotten and learned anew.
const LEARNED_MAX: usize = 1_000;

/// A rule, and where its value of the record at hand is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rule: Rule,
    record: u64,
    position: usize,
}

/// A value found.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) entry: usize,
    /// `None` when a later, unusable value of the same field took an earlier one back.
    pub(super) value: Option<Value>,
    pub(super) unit: Option<Arc<str>>,
}

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

    /// Takes a value of a field, or takes back what there was of it.
    pub(super) fn store(&mut self, index: usize, value: Option<Value>, unit: Option<Arc<str>>) {
        let entry = &mut self.entries[index];
        if entry.record == self.record {
            // The same field again: the last one counts.
            let pending = &mut self.pending[entry.position];
            pending.value = value;
            pending.unit = unit;
        } else if value.is_some() {
            if self.pending.len() >= READINGS_PER_MESSAGE_MAX {
                self.overflowed = true;
                return;
            }
            entry.record = self.record;
            entry.position = self.pending.len();
            self.pending.push(Pending { entry: index, value, unit });
        }
    }
}
