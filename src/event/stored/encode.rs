//! Events to columns.

use std::collections::HashMap;

use ciborium_ll::Header;
use uuid::Uuid;

use super::columns::{self, COLUMNS, Column, How, Running};
use super::items::{self, Writer};
use super::strings::TextsWritten;
use super::{VERSION, json, shape};
use crate::clock::WallTime;
use crate::event::{AlarmData, Event, EventData, Sample};
use crate::reading::{Attributes, Value};

/// How many events back an episode's first event is looked for. Further back its id is written again.
const DISTANCE_MAX: usize = 64;

pub(super) fn events(events: &[Event]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for (index, event) in events.iter().enumerate() {
        encoder.event(event, &events[index.saturating_sub(DISTANCE_MAX)..index]);
    }
    finish(encoder.columns.iter())
}

/// The version and the columns as one array.
pub(super) fn finish<'a>(columns: impl ExactSizeIterator<Item = &'a Writer> + Clone) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(columns.clone().map(|column| column.0.len() + 5).sum::<usize>() + 4));
    out.header(Header::Array(Some(columns.len() + 1)));
    out.uint(VERSION);
    columns.for_each(|column| out.bytes(&column.0));
    out.0
}

#[derive(Default)]
struct Encoder<'a> {
    columns: [Writer; COLUMNS],
    strings: TextsWritten<'a>,
    shapes: HashMap<Vec<u8>, u64>,
    shapes_written: u64,
    /// The shape of the event under way.
    shape: Writer,
    running: Running,
    /// Context samples of the event under way that are not in the history.
    fresh: Vec<&'a Sample>,
    /// Decimal mantissas of the event under way.
    mantissas: Vec<i64>,
}

impl<'a> Encoder<'a> {
    fn column(&mut self, column: Column) -> &mut Writer {
        &mut self.columns[column as usize]
    }

    fn string(&mut self, text: &'a str) -> u64 {
        self.strings.number(text, &mut self.columns[Column::Strings as usize])
    }

    fn event(&mut self, event: &'a Event, earlier: &[Event]) {
        let mut how = How::default();
        let boot_span = event.boot.0.wrapping_sub(self.running.boot.0) as i64;
        self.sequence(event.sequence, &mut how);
        self.times(event, boot_span, &mut how);
        self.id(event, boot_span, &mut how);
        self.correlation(event, earlier, &mut how);
        match &event.data {
            EventData::Alarm(alarm) => self.alarm(event, alarm, how),
            other => {
                let kind = self.other(other);
                self.shape.0.clear();
                shape::write_common(kind, event, how, 0, &mut self.shape);
                self.end_shape(true);
                let subject = self.string(&event.subject);
                self.column(Column::Subjects).uint(subject);
            }
        }
        self.running.started = true;
        self.running.sequence = event.sequence;
        self.running.time = event.time;
        self.running.boot = event.boot;
        self.running.boot_id = event.boot_id;
    }

    fn sequence(&mut self, sequence: u64, how: &mut How) {
        let next = sequence == self.running.sequence.wrapping_add(1);
        how.set(How::SEQUENCE_NEXT, next);
        if !next {
            let step = sequence.wrapping_sub(self.running.sequence) as i64;
            self.column(Column::Sequences).int(step);
        }
    }

    fn times(&mut self, event: &Event, boot_span: i64, how: &mut How) {
        let time_span = event.time.0.wrapping_sub(self.running.time.0);
        let by_boot = time_span.wrapping_sub(boot_span);
        let use_boot = items::span_bytes(by_boot) < items::span_bytes(time_span);
        how.set(How::TIME_BY_BOOT, use_boot);
        self.column(Column::Boots).span(boot_span);
        self.column(Column::Times).span(if use_boot { by_boot } else { time_span });
    }

    fn id(&mut self, event: &Event, boot_span: i64, how: &mut How) {
        let same = event.boot_id == self.running.boot_id;
        how.set(How::BOOT_ID_SAME, same);
        if !same {
            self.raw_id(event.boot_id);
        }
        let expected = self.running.expected_id_ms(event.time, boot_span);
        self.running.id_ms = expected;
        match columns::v7_ms(event.id) {
            Some(ms) => {
                how.set(How::ID_V7, true);
                self.v7_id(event.id, ms.wrapping_sub(expected));
                self.running.id_ms = ms;
            }
            None => self.raw_id(event.id),
        }
    }

    fn correlation(&mut self, event: &Event, earlier: &[Event], how: &mut How) {
        let Some(id) = event.correlation else { return };
        if id == event.id {
            how.set(How::EPISODE_OWN_ID, true);
        } else if let Some(back) = earlier.iter().rev().position(|earlier| earlier.id == id) {
            how.set(How::EPISODE_EARLIER, true);
            self.column(Column::Distances).uint(back as u64);
        } else if let Some(ms) = columns::v7_ms(id) {
            how.set(How::EPISODE_V7, true);
            let start = match &event.data {
                EventData::Alarm(alarm) => alarm.episode.start,
                _ => event.time,
            };
            self.v7_id(id, ms.wrapping_sub(start.as_millis()));
        } else {
            how.set(How::EPISODE_RAW, true);
            self.raw_id(id);
        }
    }

    fn v7_id(&mut self, id: Uuid, ms_away: i64) {
        self.column(Column::IdTimes).int(ms_away);
        self.column(Column::Ids).0.extend_from_slice(&id.as_bytes()[6..]);
    }

    fn raw_id(&mut self, id: Uuid) {
        self.column(Column::Ids).0.extend_from_slice(id.as_bytes());
    }

    fn alarm(&mut self, event: &'a Event, alarm: &'a AlarmData, mut how: How) {
        let base = alarm.value_time.unwrap_or(event.time);
        how.set(How::VALUE, alarm.value.is_some());
        how.set(How::VALUE_TIME, alarm.value_time.is_some());
        how.set(How::MEASURED, alarm.measured.is_some());
        how.set(How::CONTEXT, !alarm.context.is_empty());
        match (&alarm.episode.peak, &alarm.value) {
            (Some(peak), Some(value)) if columns::identical(peak, value) => how.set(How::PEAK_IS_VALUE, true),
            (peak, _) => how.set(How::PEAK, peak.is_some()),
        }
        if let Some(time) = alarm.value_time {
            self.column(Column::ValueTimes).span(event.time.0.wrapping_sub(time.0));
        }
        let start = columns::expected_start(event.time, alarm.episode.duration_ms);
        self.column(Column::Starts).span(alarm.episode.start.0.wrapping_sub(start.0));
        self.column(Column::Durations).uint(alarm.episode.duration_ms);
        self.column(Column::Counts).uint(alarm.episode.count);
        if let Some(measured) = alarm.measured {
            self.column(Column::Measured).number(measured);
        }
        let own_attributes = self.own_attributes(alarm.attributes.as_ref(), &mut how);

        // The context is searched in the subject's history, so the subject's string number is wanted before the shape
        // is known; the reading side has the shape first. Strings are numbered in the reading side's order: shape,
        // then subject. A subject without a number has no history yet, so nothing can be found there anyway.
        let known_subject = self.strings.known(&event.subject);
        let decimals = self.context_and_values(alarm, base, known_subject, &mut how);

        self.shape.0.clear();
        shape::write_common(columns::KIND_ALARM, event, how, decimals, &mut self.shape);
        let strings = &mut self.columns[Column::Strings as usize];
        shape::write_alarm(alarm, own_attributes, &mut self.shape, &mut self.strings, strings);
        self.end_shape(shape::may_be_shared(&alarm.limit));
        let subject = self.string(&event.subject);
        self.column(Column::Subjects).uint(subject);

        let own = alarm.value.clone().map(|value| Sample { time: base, value });
        let samples = self.fresh.drain(..).cloned().chain(own);
        self.running.history(subject as usize).extend(samples);
        if let Some(attributes) = own_attributes {
            self.attributes(attributes);
        }
    }

    fn own_attributes(&mut self, attributes: Option<&'a Attributes>, how: &mut How) -> Option<&'a Attributes> {
        let attributes = attributes?;
        let same = self.running.attributes.as_ref().is_some_and(|last| std::sync::Arc::ptr_eq(last, attributes));
        how.set(if same { How::ATTRIBUTES_SAME } else { How::ATTRIBUTES }, true);
        if same {
            return None;
        }
        self.running.attributes = Some(attributes.clone());
        Some(attributes)
    }

    /// Writes context and values and returns the count of decimals.
    fn context_and_values(&mut self, alarm: &'a AlarmData, base: WallTime, subject: Option<u64>, how: &mut How) -> u8 {
        self.fresh.clear();
        if !alarm.context.is_empty() {
            let history = subject.map(|subject| &*self.running.history(subject as usize));
            let [lengths, refs, times] = [Column::ContextLengths, Column::ContextRefs, Column::ContextTimes];
            self.columns[lengths as usize].uint(alarm.context.len() as u64);
            let (mut cursor, mut previous) = (0, None);
            for (index, sample) in alarm.context.iter().enumerate() {
                let found = history.and_then(|history| history.find(sample, cursor));
                if let Some(at) = found {
                    self.columns[refs as usize].uint((at - cursor) as u64 + 1);
                    cursor = at + 1;
                } else {
                    self.columns[refs as usize].uint(0);
                    let expected = match previous {
                        None => base,
                        Some(from) => columns::expected_step(from, base, alarm.context.len() - index + 1),
                    };
                    self.columns[times as usize].span(sample.time.0.wrapping_sub(expected.0));
                    self.fresh.push(sample);
                }
                previous = Some(sample.time);
            }
        }
        let fresh = std::mem::take(&mut self.fresh);
        let peak = alarm.episode.peak.as_ref().filter(|_| how.has(How::PEAK));
        let values = fresh.iter().map(|sample| &sample.value).chain(&alarm.value).chain(peak);
        let decimals = self.values(values, how);
        self.fresh = fresh;
        decimals
    }

    fn values<'v>(&mut self, values: impl Iterator<Item = &'v Value> + Clone, how: &mut How) -> u8 {
        let Some(decimals) = self.as_decimals(values.clone()) else {
            values.for_each(|value| self.columns[Column::Values as usize].value(value));
            return 0;
        };
        how.set(How::DECIMAL, true);
        let steps = |mantissas: &[i64]| {
            let mut last = 0_i64;
            mantissas.iter().map(move |m| m.wrapping_sub(std::mem::replace(&mut last, *m))).collect::<Vec<_>>()
        };
        let as_steps = steps(&self.mantissas);
        let bytes = |numbers: &[i64]| numbers.iter().map(|number| items::int_bytes(*number)).sum::<usize>();
        let delta = bytes(&as_steps) < bytes(&self.mantissas);
        how.set(How::DELTA, delta);
        let chosen = if delta { &as_steps } else { &self.mantissas };
        chosen.iter().for_each(|number| self.columns[Column::Values as usize].int(*number));
        decimals
    }

    /// Fills `mantissas` and returns their common count of decimals, if all values are decimals.
    fn as_decimals<'v>(&mut self, values: impl Iterator<Item = &'v Value> + Clone) -> Option<u8> {
        let number = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        };
        let decimals = values.clone().try_fold(0, |most, value| items::decimals(number(value)?, most))?;
        self.mantissas.clear();
        for value in values {
            self.mantissas.push(items::mantissa(number(value)?, decimals)?);
        }
        Some(decimals)
    }

    fn end_shape(&mut self, may_share: bool) {
        let number = match self.shapes.get(&self.shape.0) {
            Some(number) => *number,
            None => {
                let number = self.shapes_written;
                self.shapes_written += 1;
                self.columns[Column::Shapes as usize].0.extend_from_slice(&self.shape.0);
                if may_share {
                    self.shapes.insert(self.shape.0.clone(), number);
                }
                number
            }
        };
        self.column(Column::Refs).uint(number);
    }

    fn attributes(&mut self, attributes: &'a Attributes) {
        for (key, value) in attributes.iter() {
            let column = &mut self.columns[Column::Attributes as usize];
            match value.as_i64() {
                Some(whole) => {
                    let number = self.strings.number(key, &mut self.columns[Column::Strings as usize]);
                    let last = std::mem::replace(self.running.integer(number as usize), whole);
                    self.columns[Column::Attributes as usize].int(whole.wrapping_sub(last));
                }
                None => json::write(value, json::DEPTH_MAX, column),
            }
        }
    }

    fn other(&mut self, data: &EventData) -> u64 {
        let column = self.column(Column::Others);
        match data {
            EventData::Alarm(_) => columns::KIND_ALARM,
            EventData::GatewayStarted(started) => {
                column.text(&started.version);
                column.text(&started.previous_stop);
                column.uint(started.waiting);
                columns::KIND_GATEWAY_STARTED
            }
            EventData::EventsLost(lost) => {
                column.text(&lost.reason);
                column.uint(lost.count);
                column.uint(lost.first_sequence);
                column.uint(lost.last_sequence);
                column.bool(lost.whole_range);
                columns::KIND_EVENTS_LOST
            }
            EventData::SourceLost(change) | EventData::SourceRestored(change) => {
                column.text(&change.source);
                column.text(&change.reason);
                column.uint(change.away_ms);
                match data {
                    EventData::SourceLost(_) => columns::KIND_SOURCE_LOST,
                    _ => columns::KIND_SOURCE_RESTORED,
                }
            }
        }
    }
}
