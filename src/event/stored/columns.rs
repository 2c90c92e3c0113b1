//! What the encoder and the decoder of events must agree on: the columns, the flags, and what is foretold.
//!
//! Owns the order of the columns and the predictions. Whatever changes here changes the stored form.

use std::sync::Arc;

use uuid::Uuid;

use super::items::unit_of;
use crate::clock::{BootTime, ClockState, WallTime};
use crate::config::model::Severity;
use crate::event::{AlarmState, Change, ConditionKind, Sample};
use crate::reading::{Attributes, TimeSource, Value};

/// The columns, in the order of the array.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Texts, see the layout.
    Strings,
    /// Shapes: kind, severity, clock, `How`, decimals; for an alarm then name, condition, limit and the rest.
    Shapes,
    /// An event each: the number of its shape. The end of this column is the end of the events.
    Refs,
    /// An event each: the string number of its subject.
    Subjects,
    /// The difference to the sequence number before, unless it is the next.
    Sequences,
    /// An event each: the difference to the boot time before.
    Boots,
    /// An event each: the difference to the time before, or (`How::TIME_BY_BOOT`) what remains of it without the
    /// difference of the boot times.
    Times,
    /// For a UUIDv7: ms away from where the boot time lets expect it; for one of an episode, from the episode's start.
    IdTimes,
    /// The bytes of ids that cannot be foretold: the last 10 of a UUIDv7, all 16 of others.
    Ids,
    /// How many events back the episode's id stands.
    Distances,
    /// From the value's time to the event's.
    ValueTimes,
    /// From the episode's start to where the event's time and the duration put it.
    Starts,
    /// Duration, ms.
    Durations,
    /// Readings in violation.
    Counts,
    /// How many context samples.
    ContextLengths,
    /// A sample each: 0, or 1 + how many samples of the subject's history are passed over to reach the same one.
    ContextRefs,
    /// Times of samples without reference: the first from the value's time, others from where even steps put them.
    ContextTimes,
    /// Values: of samples without reference, the event's, the peak.
    Values,
    /// What was measured.
    Measured,
    /// Carried fields; whole numbers as the difference to the last of the same name.
    Attributes,
    /// The data of events that no alarm made.
    Others,
}

/// How many columns there are.
pub(super) const COLUMNS: usize = Column::Others as usize + 1;

/// How an event is written: flags in its shape.
#[derive(Clone, Copy, Default)]
pub(super) struct How(pub(super) u64);

impl How {
    pub(super) const SEQUENCE_NEXT: u64 = 1;
    pub(super) const BOOT_ID_SAME: u64 = 1 << 1;
    pub(super) const ID_V7: u64 = 1 << 2;
    pub(super) const TIME_BY_BOOT: u64 = 1 << 3;
    pub(super) const EPISODE_OWN_ID: u64 = 1 << 4;
    pub(super) const EPISODE_EARLIER: u64 = 1 << 5;
    pub(super) const EPISODE_V7: u64 = 1 << 6;
    pub(super) const EPISODE_RAW: u64 = 1 << 7;
    pub(super) const VALUE: u64 = 1 << 8;
    pub(super) const VALUE_TIME: u64 = 1 << 9;
    pub(super) const PEAK_IS_VALUE: u64 = 1 << 10;
    pub(super) const PEAK: u64 = 1 << 11;
    pub(super) const MEASURED: u64 = 1 << 12;
    pub(super) const ATTRIBUTES_SAME: u64 = 1 << 13;
    pub(super) const ATTRIBUTES: u64 = 1 << 14;
    pub(super) const CONTEXT: u64 = 1 << 15;
    /// Values are decimals; the shape says with how many digits.
    pub(super) const DECIMAL: u64 = 1 << 16;
    /// Decimals are written as the difference to the one before.
    pub(super) const DELTA: u64 = 1 << 17;
    /// All bits that version 1 knows.
    pub(super) const KNOWN: u64 = (1 << 18) - 1;

    pub(super) fn set(&mut self, flag: u64, on: bool) {
        if on {
            self.0 |= flag;
        }
    }

    pub(super) fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }
}

/// Kinds of data, by number.
pub(super) const KIND_ALARM: u64 = 0;
pub(super) const KIND_GATEWAY_STARTED: u64 = 1;
pub(super) const KIND_EVENTS_LOST: u64 = 2;
pub(super) const KIND_SOURCE_LOST: u64 = 3;
pub(super) const KIND_SOURCE_RESTORED: u64 = 4;

/// Enumerations by number: the position in these lists is what is stored, so they only ever grow at the end.
pub(super) const SEVERITIES: [Severity; 5] = Severity::ALL;
pub(super) const CLOCKS: [ClockState; 3] =
    [ClockState::Synchronized, ClockState::Estimated, ClockState::Unsynchronized];
pub(super) const CHANGES: [Change; 5] =
    [Change::Raised, Change::Escalated, Change::Repeated, Change::Cleared, Change::Superseded];
pub(super) const CONDITIONS: [ConditionKind; 8] = [
    ConditionKind::High,
    ConditionKind::Low,
    ConditionKind::Outside,
    ConditionKind::Equals,
    ConditionKind::NotEquals,
    ConditionKind::RateAbove,
    ConditionKind::Deviation,
    ConditionKind::Stale,
];
pub(super) const STATES: [AlarmState; 4] =
    [AlarmState::Normal, AlarmState::Pending, AlarmState::Active, AlarmState::Clearing];
pub(super) const TIME_SOURCES: [TimeSource; 3] = [TimeSource::Payload, TimeSource::Arrival, TimeSource::Doubtful];

/// What the event before leaves behind, on both sides alike.
#[derive(Default)]
pub(super) struct Running {
    pub(super) started: bool,
    pub(super) sequence: u64,
    pub(super) time: WallTime,
    pub(super) boot: BootTime,
    pub(super) boot_id: Uuid,
    pub(super) id_ms: i64,
    pub(super) attributes: Option<Attributes>,
    histories: Vec<History>,
    /// Last whole number of a carried field, by the string number of its name.
    integers: Vec<i64>,
}

impl Running {
    /// Where the next UUIDv7 is expected, ms: as far after the last as the boot clock went on; the first at the
    /// event's own time.
    pub(super) fn expected_id_ms(&self, time: WallTime, boot_span_ns: i64) -> i64 {
        if self.started { self.id_ms.wrapping_add(boot_span_ns / 1_000_000) } else { time.as_millis() }
    }

    pub(super) fn history(&mut self, subject: usize) -> &mut History {
        grown(&mut self.histories, subject)
    }

    pub(super) fn integer(&mut self, key: usize) -> &mut i64 {
        grown(&mut self.integers, key)
    }
}

/// The entry at `index`, which is the number of a string that has been read: the list is never longer than those.
fn grown<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}

/// The last samples of one subject that the batch holds.
#[derive(Default)]
pub(super) struct History(Vec<Sample>);

/// Samples kept a subject: several times the default context. More would cost time and save little.
const HISTORY_MAX: usize = 64;

impl History {
    /// The sample at `index`, oldest first.
    pub(super) fn get(&self, index: usize) -> Option<&Sample> {
        self.0.get(index)
    }

    /// Where `sample` stands, from `from` on.
    pub(super) fn find(&self, sample: &Sample, from: usize) -> Option<usize> {
        // Context is mostly newer than all that was seen: then there is nothing to search.
        if self.0.last().is_none_or(|last| last.time < sample.time) {
            return None;
        }
        let later = self.0.get(from..)?;
        later
            .iter()
            .position(|seen| seen.time == sample.time && identical(&seen.value, &sample.value))
            .map(|at| from + at)
    }

    /// Takes what an event said, oldest first, and forgets what is too old.
    pub(super) fn extend(&mut self, samples: impl Iterator<Item = Sample>) {
        for sample in samples {
            let repeated =
                self.0.last().is_some_and(|last| last.time == sample.time && identical(&last.value, &sample.value));
            if !repeated {
                self.0.push(sample);
            }
        }
        if self.0.len() > HISTORY_MAX {
            self.0.drain(..self.0.len() - HISTORY_MAX);
        }
    }
}

/// Whether two values are the same to the last bit (0.0 and -0.0 are equal, but not the same).
pub(super) fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => false,
    }
}

/// Where the next of `steps_left` even steps from `from` to `end` leads, in the unit that both are exact in.
pub(super) fn expected_step(from: WallTime, end: WallTime, steps_left: usize) -> WallTime {
    let span = end.0.wrapping_sub(from.0);
    let unit = unit_of(span);
    let steps = i64::try_from(steps_left.max(1)).unwrap_or(i64::MAX);
    WallTime(from.0.wrapping_add(span / unit / steps * unit))
}

/// The ms of a UUIDv7; `None` for other ids.
pub(super) fn v7_ms(id: Uuid) -> Option<i64> {
    let is_v7 = id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122;
    is_v7.then(|| (id.as_u128() >> 80) as i64)
}

/// Where an episode's start is expected: the duration before the event.
pub(super) fn expected_start(time: WallTime, duration_ms: u64) -> WallTime {
    WallTime(time.0.wrapping_sub((duration_ms as i64).wrapping_mul(1_000_000)))
}
