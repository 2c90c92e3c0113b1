//! Columns to events. Every length, number and reference in the bytes is doubted.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::columns::{self, COLUMNS, Column, How, Running};
use super::items::{self, Reader};
use super::shape::{self, AlarmShape, Shape};
use super::strings::TextsRead;
use super::{Error, VERSION, json};
use crate::clock::{BootTime, WallTime};
use crate::event::{AlarmData, Episode, Event, EventData, EventsLost, GatewayStarted, Sample, SourceChange};
use crate::reading::Value;

pub(super) fn events(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    let mut decoder = Decoder { columns: begin::<COLUMNS>(bytes)?, ..Decoder::default() };
    let mut events = Vec::new();
    while !decoder.column(Column::Refs).is_empty() {
        let event = decoder.event(&events)?;
        events.push(event);
    }
    match decoder.columns.iter().all(Reader::is_empty) {
        true => Ok(events),
        false => Err(Error::Damaged("a column is too long")),
    }
}

/// Checks the version and takes the columns apart.
pub(super) fn begin<const N: usize>(bytes: &[u8]) -> Result<[Reader<'_>; N], Error> {
    let mut reader = Reader::new(bytes);
    let length = reader.array()?;
    match reader.uint()? {
        VERSION => {}
        version => return Err(Error::UnknownVersion(version)),
    }
    if length != N + 1 {
        return Err(Error::Damaged("the wrong number of columns"));
    }
    let mut columns = [Reader::default(); N];
    for column in &mut columns {
        *column = Reader::new(reader.bytes()?);
    }
    if reader.is_empty() { Ok(columns) } else { Err(Error::Damaged("bytes after the end")) }
}

#[derive(Default)]
struct Decoder<'a> {
    columns: [Reader<'a>; COLUMNS],
    strings: TextsRead,
    shapes: Vec<Rc<Shape>>,
    running: Running,
}

impl<'a> Decoder<'a> {
    fn column(&mut self, column: Column) -> &mut Reader<'a> {
        &mut self.columns[column as usize]
    }

    fn string(&mut self, number: usize) -> Result<Arc<str>, Error> {
        self.strings.get(number, &mut self.columns[Column::Strings as usize])
    }

    fn event(&mut self, earlier: &[Event]) -> Result<Event, Error> {
        let shape = self.shape()?;
        let how = shape.how;
        let subject_number = self.column(Column::Subjects).index()?;
        let subject = self.string(subject_number)?;
        let step = if how.has(How::SEQUENCE_NEXT) { 1 } else { self.column(Column::Sequences).int()? };
        let boot_span = self.column(Column::Boots).span()?;
        let time_span = self.column(Column::Times).span()?;
        let by_boot = if how.has(How::TIME_BY_BOOT) { boot_span } else { 0 };
        let time = WallTime(self.running.time.0.wrapping_add(time_span).wrapping_add(by_boot));
        if !how.has(How::BOOT_ID_SAME) {
            self.running.boot_id = self.raw_id()?;
        }
        let id = self.id(how, time, boot_span)?;
        let data = match &shape.alarm {
            Some(alarm) => EventData::Alarm(Box::new(self.alarm(&shape, alarm, time, subject_number)?)),
            None => self.other(shape.kind)?,
        };
        let start = match &data {
            EventData::Alarm(alarm) => alarm.episode.start,
            _ => time,
        };
        let correlation = self.correlation(how, id, start, earlier)?;
        self.running.started = true;
        self.running.sequence = self.running.sequence.wrapping_add(step as u64);
        self.running.time = time;
        self.running.boot = BootTime(self.running.boot.0.wrapping_add(boot_span as u64));
        Ok(Event {
            sequence: self.running.sequence,
            id,
            subject,
            time,
            boot: self.running.boot,
            boot_id: self.running.boot_id,
            clock: shape.clock,
            severity: shape.severity,
            correlation,
            data,
        })
    }

    fn id(&mut self, how: How, time: WallTime, boot_span: i64) -> Result<Uuid, Error> {
        let expected = self.running.expected_id_ms(time, boot_span);
        self.running.id_ms = expected;
        if !how.has(How::ID_V7) {
            return self.raw_id();
        }
        let id = self.v7_id(expected)?;
        self.running.id_ms = columns::v7_ms(id).ok_or(Error::Damaged("an id is not what it says"))?;
        Ok(id)
    }

    fn correlation(&mut self, how: How, id: Uuid, start: WallTime, earlier: &[Event]) -> Result<Option<Uuid>, Error> {
        if how.has(How::EPISODE_OWN_ID) {
            Ok(Some(id))
        } else if how.has(How::EPISODE_EARLIER) {
            let back = self.column(Column::Distances).index()?;
            let event = earlier.iter().rev().nth(back).ok_or(Error::Damaged("an episode that is not there"))?;
            Ok(Some(event.id))
        } else if how.has(How::EPISODE_V7) {
            self.v7_id(start.as_millis()).map(Some)
        } else if how.has(How::EPISODE_RAW) {
            self.raw_id().map(Some)
        } else {
            Ok(None)
        }
    }

    fn v7_id(&mut self, expected_ms: i64) -> Result<Uuid, Error> {
        let ms = expected_ms.wrapping_add(self.column(Column::IdTimes).int()?) as u64;
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(self.column(Column::Ids).take(10)?);
        Ok(Uuid::from_bytes(bytes))
    }

    fn raw_id(&mut self) -> Result<Uuid, Error> {
        let bytes = self.column(Column::Ids).take(16)?;
        Uuid::from_slice(bytes).map_err(|_| Error::Damaged("an id is not an id"))
    }

    fn alarm(&mut self, shape: &Shape, alarm: &AlarmShape, time: WallTime, subject: usize) -> Result<AlarmData, Error> {
        let how = shape.how;
        let value_time = match how.has(How::VALUE_TIME) {
            true => Some(WallTime(time.0.wrapping_sub(self.column(Column::ValueTimes).span()?))),
            false => None,
        };
        let base = value_time.unwrap_or(time);
        let duration_ms = self.column(Column::Durations).uint()?;
        let start = columns::expected_start(time, duration_ms).0.wrapping_add(self.column(Column::Starts).span()?);
        let count = self.column(Column::Counts).uint()?;
        let measured = how.has(How::MEASURED).then(|| self.column(Column::Measured).number()).transpose()?;
        let mut last = 0;
        let (context, fresh) = if how.has(How::CONTEXT) {
            self.context(shape, base, subject, &mut last)?
        } else {
            (Vec::new(), Vec::new())
        };
        let value = how.has(How::VALUE).then(|| self.value(shape, &mut last)).transpose()?;
        let peak = match (how.has(How::PEAK_IS_VALUE), how.has(How::PEAK)) {
            (true, _) => value.clone(),
            (false, true) => Some(self.value(shape, &mut last)?),
            (false, false) => None,
        };
        let own = value.clone().map(|value| Sample { time: base, value });
        self.running.history(subject).extend(fresh.into_iter().chain(own));
        let attributes = match (how.has(How::ATTRIBUTES_SAME), how.has(How::ATTRIBUTES)) {
            (true, _) => {
                Some(self.running.attributes.clone().ok_or(Error::Damaged("carried fields that are not there"))?)
            }
            (false, true) => {
                let pairs = self.attributes(&alarm.keys)?;
                Some(self.running.attributes.insert(Arc::new(pairs)).clone())
            }
            (false, false) => None,
        };
        Ok(AlarmData {
            alarm: alarm.alarm.clone(),
            description: alarm.description.clone(),
            condition: alarm.condition,
            change: alarm.change,
            value,
            measured,
            unit: alarm.unit.clone(),
            limit: alarm.limit.clone(),
            deadband: alarm.deadband,
            on_delay_ms: alarm.on_delay_ms,
            off_delay_ms: alarm.off_delay_ms,
            before: alarm.before,
            after: alarm.after,
            episode: Episode { start: WallTime(start), peak, duration_ms, count },
            value_time,
            time_source: alarm.time_source,
            context,
            attributes,
        })
    }

    /// The context, and those of it that the history does not have yet.
    fn context(
        &mut self,
        shape: &Shape,
        base: WallTime,
        subject: usize,
        last: &mut i64,
    ) -> Result<(Vec<Sample>, Vec<Sample>), Error> {
        let length = self.column(Column::ContextLengths).index()?;
        if length > self.column(Column::ContextRefs).len() {
            return Err(Error::Damaged("a context is longer than its column"));
        }
        let (mut context, mut fresh) = (Vec::<Sample>::with_capacity(length), Vec::new());
        let mut cursor = 0_usize;
        for index in 0..length {
            let sample = match self.column(Column::ContextRefs).index()? {
                0 => {
                    let expected = match context.last() {
                        None => base,
                        Some(previous) => columns::expected_step(previous.time, base, length - index + 1),
                    };
                    let time = WallTime(expected.0.wrapping_add(self.column(Column::ContextTimes).span()?));
                    let sample = Sample { time, value: self.value(shape, last)? };
                    fresh.push(sample.clone());
                    sample
                }
                step => {
                    cursor = cursor.saturating_add(step);
                    let seen = self.running.history(subject).get(cursor - 1);
                    seen.cloned().ok_or(Error::Damaged("a sample that is not there"))?
                }
            };
            context.push(sample);
        }
        Ok((context, fresh))
    }

    fn value(&mut self, shape: &Shape, last: &mut i64) -> Result<Value, Error> {
        let column = self.column(Column::Values);
        if !shape.how.has(How::DECIMAL) {
            return column.value();
        }
        let written = column.int()?;
        *last = if shape.how.has(How::DELTA) { last.wrapping_add(written) } else { written };
        Ok(Value::Number(items::from_mantissa(*last, shape.decimals)))
    }

    fn attributes(&mut self, keys: &[(usize, Arc<str>)]) -> Result<Vec<(Arc<str>, Json)>, Error> {
        let mut pairs = Vec::with_capacity(keys.len());
        for (number, key) in keys {
            let column = &mut self.columns[Column::Attributes as usize];
            let header = column.header()?;
            let value = match Reader::as_int(header) {
                Some(step) => {
                    let last = self.running.integer(*number);
                    *last = last.wrapping_add(step);
                    Json::from(*last)
                }
                None => json::read(header, json::DEPTH_MAX, column)?,
            };
            pairs.push((key.clone(), value));
        }
        Ok(pairs)
    }

    fn shape(&mut self) -> Result<Rc<Shape>, Error> {
        let number = self.column(Column::Refs).index()?;
        if number == self.shapes.len() {
            let mut strings = self.columns[Column::Strings as usize];
            let column = &mut self.columns[Column::Shapes as usize];
            let shape = shape::read(column, &mut self.strings, &mut strings)?;
            self.columns[Column::Strings as usize] = strings;
            self.shapes.push(Rc::new(shape));
        } else if let Some(AlarmShape { limit, .. }) = self.shapes.get(number).and_then(|shape| shape.alarm.as_ref())
            && !shape::may_be_shared(limit)
        {
            return Err(Error::Damaged("a shape that must not be shared"));
        }
        self.shapes.get(number).cloned().ok_or(Error::Damaged("a shape that is not there"))
    }

    fn other(&mut self, kind: u64) -> Result<EventData, Error> {
        let column = self.column(Column::Others);
        match kind {
            columns::KIND_GATEWAY_STARTED => Ok(EventData::GatewayStarted(GatewayStarted {
                version: column.text()?.to_owned(),
                previous_stop: column.text()?.to_owned(),
                waiting: column.uint()?,
            })),
            columns::KIND_EVENTS_LOST => Ok(EventData::EventsLost(EventsLost {
                reason: column.text()?.to_owned(),
                count: column.uint()?,
                first_sequence: column.uint()?,
                last_sequence: column.uint()?,
                whole_range: column
                    .header()
                    .and_then(|header| Reader::as_bool(header).ok_or(Error::Damaged("yes or no was expected")))?,
            })),
            columns::KIND_SOURCE_LOST => Ok(EventData::SourceLost(source_change(column)?)),
            columns::KIND_SOURCE_RESTORED => Ok(EventData::SourceRestored(source_change(column)?)),
            _ => Err(Error::Damaged("a kind of event that is not known")),
        }
    }
}

fn source_change(column: &mut Reader<'_>) -> Result<SourceChange, Error> {
    Ok(SourceChange { source: column.text()?.to_owned(), reason: column.text()?.to_owned(), away_ms: column.uint()? })
}
