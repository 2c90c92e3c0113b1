//! Where the formats put what they find: rules are applied, readings made.
//!
//! Fills the record at hand (one set of fields that belong together, see `record`). It becomes readings only when its
//! format says that it is whole, so a message that turns out to be malformed leaves nothing behind. Bounded: readings a
//! message, carried bytes a message.

use std::sync::Arc;
use std::time::Duration;

use super::present::Present;
use super::record::{Found, Pending, State};
use super::time::{Stamp, TimeRule};
use super::units::Units;
use super::value::{Converted, Raw};
use super::{Decoded, Message};
use crate::clock::{ClockState, WallTime};
use crate::counters::Reject;
use crate::reading::{Attributes, Reading, SENSOR_BYTES_MAX, TimeSource, Value};

/// Most readings taken from one message. A data logger's hour at one a second is 3,600, sent in several messages.
pub const READINGS_PER_MESSAGE_MAX: usize = 1_000;

/// Most bytes of carried fields kept of one message, as text plus [`CARRIED_NODE_BYTES`] a value: they travel in every
/// event that the message causes.
pub const CARRY_BYTES_MAX: usize = 4 * 1024;

/// Configured fields named where none of them is there.
const EXPECTED_TOLD_MAX: usize = 5;

/// What one carried value counts for beside its text.
pub(super) const CARRIED_NODE_BYTES: usize = 16;

/// What a value of the payload is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A reading, by the index of its rule.
    Field(usize),
    /// The message's time.
    Time,
    /// A part of it, by its index, where it stands in several places.
    TimePart(usize),
    /// An attribute, by its index.
    Carry(usize),
    /// A part of the device's name, by its index.
    Device(usize),
}

/// A value of the payload that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// Where it is, in the format's own terms.
    pub(super) path: String,
    /// What for.
    pub(super) slot: Slot,
}

/// What the configuration says.
#[derive(Debug)]
pub(super) struct Rules {
    /// Every value that can be a reading is one: no fields are configured, or `others`.
    pub(super) take_all: bool,
    /// Units by the last part of a name.
    pub(super) units: Units,
    /// A unit behind a number in a text is cut off and kept.
    pub(super) strip_unit: bool,
    pub(super) decimal_comma: bool,
    pub(super) time: TimeRule,
    /// The attributes' names.
    pub(super) carry: Vec<Arc<str>>,
    /// What arrival times are worth.
    pub(super) clock: ClockState,
    /// How old a retained message's own time may be for it to count as fresh.
    pub(super) retained_max_age: Duration,
}

impl Rules {
    /// When something in a message was measured, how that is known, and whether it is fresh.
    pub(super) fn time_of(&self, stamp: Option<Stamp>, message: &Message<'_>) -> (WallTime, TimeSource, bool) {
        let is_known = self.clock != ClockState::Unsynchronized;
        let (time, source) = self.time.resolve(stamp, message.arrival, is_known);
        // A retained message may be days old: only a time of its own can show that it is not, to who knows the time.
        let is_fresh = !message.retained
            || is_known
                && source == TimeSource::Payload
                && message.arrival.since(time).is_none_or(|age| age <= self.retained_max_age);
        (time, source, is_fresh)
    }
}

/// What a format gets to put its finds into.
pub(super) struct Sink<'m> {
    pub(super) rules: &'m Rules,
    pub(super) state: &'m mut State,
    pub(super) message: &'m Message<'m>,
    pub(super) out: &'m mut Decoded,
}

/// How things stood before an attempt at a record, see [`Sink::back_to`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    rejects: usize,
    ignored: u64,
    carried_bytes: usize,
}

impl Sink<'_> {
    /// Whether values that nothing is configured for are wanted too (see [`Sink::other`]).
    pub(super) fn takes_all(&self) -> bool {
        self.rules.take_all
    }

    /// A value that is wanted.
    pub(super) fn put(&mut self, slot: Slot, raw: &Raw<'_>) {
        match slot {
            Slot::Field(index) => self.field(index, raw),
            Slot::Time => self.state.stamp = self.rules.time.read(raw),
            Slot::TimePart(index) => {
                let parts = &mut self.state.time_parts;
                parts.resize(parts.len().max(index + 1), None);
                parts[index] = device_text(raw);
            }
            Slot::Carry(index) => {
                if let Some(value) = carried(raw) {
                    self.carry(index, value, carried_bytes(raw));
                }
            }
            Slot::Device(index) => self.state.device[index] = device_text(raw),
        }
    }

    /// A value that nothing is configured for: a reading if it is a number or a boolean, else passed over.
    pub(super) fn other(&mut self, key: &str, raw: &Raw<'_>) {
        match raw {
            Raw::Null | Raw::Bare { text: "", .. } | Raw::Measured { text: "", .. } => self.state.found = true,
            Raw::Text(_) | Raw::Composite => {}
            _ if key.len() > SENSOR_BYTES_MAX => {
                self.state.found = true;
                self.refuse(Reject::BadName, format!("a name of {} bytes, at most {SENSOR_BYTES_MAX}", key.len()));
            }
            Raw::Bare { .. } => {
                if let Converted::Value(value, unit) = self.state.plain.convert(raw, self.rules.decimal_comma) {
                    self.state.found = true;
                    if let Some(index) = self.state.learn(key, &self.rules.units) {
                        self.state.store(index, Some(value), unit);
                    }
                }
            }
            _ => {
                self.state.found = true;
                if let Some(index) = self.state.learn(key, &self.rules.units) {
                    self.field(index, raw);
                }
            }
        }
    }

    /// What is to be a reading was there and is of no use: an earlier value of it does not count either. False where none
    /// of these is to be one.
    pub(super) fn take_back(&mut self, slots: &[Slot]) -> bool {
        let mut is_reading = false;
        for slot in slots {
            if let Slot::Field(index) = slot {
                is_reading = true;
                self.state.found = true;
                self.state.store(*index, None, None);
            }
        }
        is_reading
    }

    /// The same of a value that nothing is configured for.
    pub(super) fn take_back_other(&mut self, key: &str) -> bool {
        self.state.found = true;
        if key.len() <= SENSOR_BYTES_MAX
            && let Some(index) = self.state.learn(key, &self.rules.units)
        {
            self.state.store(index, None, None);
        }
        true
    }

    /// An attribute that its format has made itself, and how much it counts for.
    pub(super) fn carry(&mut self, index: usize, value: serde_json::Value, bytes: usize) {
        if self.state.carried_bytes + bytes > CARRY_BYTES_MAX {
            self.too_much_carried(index);
        } else {
            self.state.carried_bytes += bytes;
            self.state.carried[index] = Some(value);
        }
    }

    /// How many bytes may still be carried.
    pub(super) fn carry_budget(&self) -> usize {
        CARRY_BYTES_MAX - self.state.carried_bytes
    }

    /// An attribute is left out because it would be too much.
    pub(super) fn too_much_carried(&mut self, index: usize) {
        let name = &self.rules.carry[index];
        self.refuse(Reject::TooLong, format!("`{name}` is not carried: more than {CARRY_BYTES_MAX} bytes in all"));
    }

    /// The zone that times without one are in.
    pub(super) fn zone(&self) -> &jiff::tz::TimeZone {
        &self.rules.time.zone
    }

    /// The record's time, in nanoseconds since the epoch; `None` where there is one that makes no sense.
    pub(super) fn stamp(&mut self, nanos: Option<i64>) {
        self.state.stamp = Some(nanos.map_or(Stamp::Unreadable, Stamp::At));
    }

    /// A value is passed over as configured.
    pub(super) fn ignore(&mut self) {
        self.out.ignored += 1;
    }

    /// The record at hand comes to nothing, and that is no fault.
    pub(super) fn drop_record(&mut self) {
        self.state.clear_record();
    }

    /// Before a record's first attempt.
    pub(super) fn mark(&self) -> Mark {
        Mark { rejects: self.out.rejects.len(), ignored: self.out.ignored, carried_bytes: self.state.carried_bytes }
    }

    /// Forgets all of an attempt: what it said of single values is said again by the next.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.out.rejects.truncate(mark.rejects);
        self.out.ignored = mark.ignored;
        self.state.carried_bytes = mark.carried_bytes;
        self.state.overflowed = false;
        self.state.clear_record();
    }

    /// Something is refused; what else the message holds is not touched by it.
    pub(super) fn refuse(&mut self, reject: Reject, what: String) {
        self.out.rejects.push((reject, what));
    }

    fn field(&mut self, index: usize, raw: &Raw<'_>) {
        self.state.found = true;
        let rule = &self.state.entries[index].rule;
        if let Some(number) = rule.number_alone(raw) {
            self.state.store_number(index, number);
            return;
        }
        let raw = &self.stripped(*raw);
        match rule.convert(raw, self.rules.decimal_comma) {
            Converted::Value(value, unit) => self.state.store(index, Some(value), unit),
            Converted::Nothing => self.state.store(index, None, None),
            Converted::Ignored => {
                self.out.ignored += 1;
                self.state.store(index, None, None);
            }
            Converted::Refused(reject, what) => {
                let what = format!("{}: {what}", rule.path);
                self.refuse(reject, what);
                self.state.store(index, None, None);
            }
        }
    }

    /// The record is whole: its values become readings.
    pub(super) fn end_record(&mut self) {
        self.end_record_of(Present::default);
    }

    /// The same, with the names that the message has, for one that has none of those wanted.
    pub(super) fn end_record_of(&mut self, present: impl FnOnce() -> Present) {
        let parts: Vec<&str> = self.state.time_parts.iter().flatten().map(String::as_str).collect();
        if !parts.is_empty() {
            self.state.stamp = self.rules.time.read(&Raw::Text(&parts.join(" ")));
        }
        if !self.state.found {
            let what = self.expected(&present());
            self.refuse(Reject::MissingField, what);
        } else if !self.state.pending.is_empty()
            && let Err((reject, what)) = self.emit()
        {
            self.refuse(reject, what);
        }
        if std::mem::take(&mut self.state.overflowed) {
            let what = format!("more than {READINGS_PER_MESSAGE_MAX} readings in one message");
            self.refuse(Reject::TooManyReadings, what);
        }
        self.state.clear_record();
    }

    fn emit(&mut self) -> Result<(), (Reject, String)> {
        let State { entries, names, pending, others, stamp, carried, device, overflowed, .. } = &mut *self.state;
        let Decoded { readings, rejects, .. } = &mut *self.out;
        let mut sensors = names.device(self.message.topic, device)?;
        let mut room = READINGS_PER_MESSAGE_MAX.saturating_sub(readings.len());
        let is_reading =
            |value: &Pending| matches!(value.found, Found::Number(_)) && sensors.known(value.entry).is_some();
        // Nearly always there is nothing to sort out.
        if pending.len() > room || !pending.iter().all(is_reading) {
            pending.retain(|value| {
                if matches!(value.found, Found::Other(at) if others[at].is_none()) {
                    return false;
                }
                if room == 0 {
                    *overflowed = true;
                    return false;
                }
                match sensors.sensor(value.entry, &entries[value.entry].rule.quantity) {
                    Ok(_) => {
                        room -= 1;
                        true
                    }
                    Err(refusal) => {
                        rejects.push(refusal);
                        false
                    }
                }
            });
        }
        let (time, time_source, fresh) = self.rules.time_of(*stamp, self.message);
        let attributes = attributes(&self.rules.carry, carried);
        // All that is left becomes a reading: with their number known before, each is made where it stays.
        readings.extend(pending.iter().map(|Pending { entry, found }| {
            let (value, unit) = match found {
                Found::Number(number) => (Value::Number(*number), None),
                Found::Other(at) => others[*at].take().expect("invariant: those without a value were sorted out"),
            };
            let sensor = sensors.known(*entry).expect("invariant: those without a name were sorted out");
            Reading {
                sensor: sensor.clone(),
                value,
                unit: entries[*entry].rule.unit.clone().or(unit),
                time,
                time_source,
                fresh,
                attributes: attributes.clone(),
            }
        }));
        Ok(())
    }

    /// What was expected, and what there was instead.
    pub(super) fn expected(&self, present: &Present) -> String {
        if self.rules.take_all {
            return "no number or boolean in it".to_owned();
        }
        let names: Vec<&str> = self.state.entries.iter().map(|entry| &*entry.rule.path).collect();
        let shown = names[..names.len().min(EXPECTED_TOLD_MAX)].join(", ");
        let more = if names.len() > EXPECTED_TOLD_MAX { ", .." } else { "" };
        format!("none of the configured fields ({shown}{more}) is there{}", present.told(&names))
    }
}

/// The record's attributes; none when it has none.
fn attributes(names: &[Arc<str>], carried: &mut [Option<serde_json::Value>]) -> Option<Attributes> {
    if carried.iter().all(Option::is_none) {
        return None;
    }
    let found = names.iter().zip(carried).filter_map(|(name, value)| Some((Arc::clone(name), value.take()?)));
    Some(Arc::new(found.collect()))
}

fn carried(raw: &Raw<'_>) -> Option<serde_json::Value> {
    Some(match *raw {
        Raw::Null => serde_json::Value::Null,
        Raw::Bool(state) => state.into(),
        Raw::Integer(whole) => whole.into(),
        Raw::Unsigned(whole) => whole.into(),
        Raw::Number(number) => number.into(),
        Raw::Text(text) => text.into(),
        Raw::Bare { text: "", .. } | Raw::Measured { text: "", .. } | Raw::Composite => return None,
        // A number where JSON would write it the same way; "007" and "+1" stay texts.
        Raw::Bare { text, .. } | Raw::Measured { text, .. } => {
            text.parse::<serde_json::Number>().map_or_else(|_| text.into(), serde_json::Value::Number)
        }
    })
}

fn carried_bytes(raw: &Raw<'_>) -> usize {
    CARRIED_NODE_BYTES
        + match raw {
            Raw::Text(text) | Raw::Bare { text, .. } | Raw::Measured { text, .. } => text.len(),
            _ => 0,
        }
}

/// A value as a part of a name; `None` where there is nothing to name with. Its length is checked with the name's.
pub(super) fn device_text(raw: &Raw<'_>) -> Option<String> {
    Some(match *raw {
        Raw::Null | Raw::Composite | Raw::Bare { text: "", .. } | Raw::Measured { text: "", .. } => return None,
        Raw::Bool(state) => state.to_string(),
        Raw::Integer(whole) => whole.to_string(),
        Raw::Unsigned(whole) => whole.to_string(),
        Raw::Number(number) => number.to_string(),
        Raw::Text(text) | Raw::Bare { text, .. } | Raw::Measured { text, .. } => text.to_owned(),
    })
}
