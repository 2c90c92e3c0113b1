//! Shapes: what is the same for many events. Both directions stand here together, since they must agree.

use std::sync::Arc;

use ciborium_ll::Header;

use super::Error;
use super::columns::{self, How};
use super::items::{DECIMALS_MAX, Reader, Writer};
use super::strings::{TextsRead, TextsWritten};
use crate::clock::ClockState;
use crate::config::model::Severity;
use crate::event::{AlarmData, AlarmState, Change, ConditionKind, Event, Limit};
use crate::reading::{Attributes, TimeSource, Unit};

/// Most values of a limit in a shape that several events share: reading makes a copy for each of them.
const LIMIT_VALUES_SHARED_MAX: usize = 32;

/// Whether other events may refer to the shape of `alarm`. A long list of values is written out for each event, so that
/// few bytes cannot ask for much memory.
pub(super) fn may_be_shared(limit: &Limit) -> bool {
    match limit {
        Limit::Values(values) => values.len() <= LIMIT_VALUES_SHARED_MAX,
        Limit::Number(_) | Limit::Range(_) => true,
    }
}

/// Writes the part that all kinds have.
pub(super) fn write_common(kind: u64, event: &Event, how: How, decimals: u8, out: &mut Writer) {
    out.uint(kind);
    out.uint(place(&columns::SEVERITIES, event.severity));
    out.uint(place(&columns::CLOCKS, event.clock));
    out.uint(how.0);
    out.uint(u64::from(decimals));
}

/// Writes the part of an alarm; `own` are the attributes whose names it needs.
pub(super) fn write_alarm<'a>(
    alarm: &'a AlarmData,
    own: Option<&'a Attributes>,
    out: &mut Writer,
    texts: &mut TextsWritten<'a>,
    strings: &mut Writer,
) {
    out.uint(texts.number(&alarm.alarm, strings));
    for text in [alarm.description.as_deref(), alarm.unit.as_deref()] {
        match text {
            None => out.null(),
            Some(text) => out.uint(texts.number(text, strings)),
        }
    }
    out.uint(place(&columns::CONDITIONS, alarm.condition));
    out.uint(place(&columns::CHANGES, alarm.change));
    match &alarm.limit {
        Limit::Number(limit) => out.number(*limit),
        Limit::Range(range) => {
            out.header(Header::Map(Some(1)));
            range.iter().for_each(|limit| out.number(*limit));
        }
        Limit::Values(values) => {
            out.header(Header::Array(Some(values.len())));
            values.iter().for_each(|value| out.value(value));
        }
    }
    out.number(alarm.deadband);
    out.uint(alarm.on_delay_ms);
    out.uint(alarm.off_delay_ms);
    out.uint(place(&columns::STATES, alarm.before));
    out.uint(place(&columns::STATES, alarm.after));
    out.uint(place(&columns::TIME_SOURCES, alarm.time_source));
    if let Some(attributes) = own {
        out.uint(attributes.len() as u64);
        attributes.iter().for_each(|(key, _)| out.uint(texts.number(key, strings)));
    }
}

/// A shape that was read.
pub(super) struct Shape {
    pub(super) kind: u64,
    pub(super) severity: Severity,
    pub(super) clock: ClockState,
    pub(super) how: How,
    pub(super) decimals: u8,
    pub(super) alarm: Option<AlarmShape>,
}

/// The part of an alarm.
pub(super) struct AlarmShape {
    pub(super) alarm: Arc<str>,
    pub(super) description: Option<Arc<str>>,
    pub(super) unit: Option<Unit>,
    pub(super) condition: ConditionKind,
    pub(super) change: Change,
    pub(super) limit: Limit,
    pub(super) deadband: f64,
    pub(super) on_delay_ms: u64,
    pub(super) off_delay_ms: u64,
    pub(super) before: AlarmState,
    pub(super) after: AlarmState,
    pub(super) time_source: TimeSource,
    /// Names of the attributes, with their string numbers.
    pub(super) keys: Vec<(usize, Arc<str>)>,
}

/// Reads one shape from `column`.
pub(super) fn read(column: &mut Reader<'_>, texts: &mut TextsRead, strings: &mut Reader<'_>) -> Result<Shape, Error> {
    let kind = column.uint()?;
    let severity = one_of(&columns::SEVERITIES, column)?;
    let clock = one_of(&columns::CLOCKS, column)?;
    let how = How(column.uint()?);
    let decimals = u8::try_from(column.uint()?).unwrap_or(u8::MAX);
    if how.0 & !How::KNOWN != 0 || decimals > DECIMALS_MAX {
        return Err(Error::Damaged("a shape that cannot be"));
    }
    let alarm = match kind {
        columns::KIND_ALARM => Some(read_alarm(how, column, texts, strings)?),
        _ => None,
    };
    Ok(Shape { kind, severity, clock, how, decimals, alarm })
}

fn read_alarm(
    how: How,
    column: &mut Reader<'_>,
    texts: &mut TextsRead,
    strings: &mut Reader<'_>,
) -> Result<AlarmShape, Error> {
    Ok(AlarmShape {
        // In the order of the bytes.
        alarm: texts.get(column.index()?, strings)?,
        description: optional_text(column, texts, strings)?,
        unit: optional_text(column, texts, strings)?.map(Into::into),
        condition: one_of(&columns::CONDITIONS, column)?,
        change: one_of(&columns::CHANGES, column)?,
        limit: read_limit(column)?,
        deadband: column.number()?,
        on_delay_ms: column.uint()?,
        off_delay_ms: column.uint()?,
        before: one_of(&columns::STATES, column)?,
        after: one_of(&columns::STATES, column)?,
        time_source: one_of(&columns::TIME_SOURCES, column)?,
        keys: if how.has(How::ATTRIBUTES) { read_keys(column, texts, strings)? } else { Vec::new() },
    })
}

fn read_keys(
    column: &mut Reader<'_>,
    texts: &mut TextsRead,
    strings: &mut Reader<'_>,
) -> Result<Vec<(usize, Arc<str>)>, Error> {
    let mut keys = Vec::new();
    for _ in 0..column.uint()? {
        let number = column.index()?;
        keys.push((number, texts.get(number, strings)?));
    }
    Ok(keys)
}

fn optional_text(
    column: &mut Reader<'_>,
    texts: &mut TextsRead,
    strings: &mut Reader<'_>,
) -> Result<Option<Arc<str>>, Error> {
    match column.header()? {
        Header::Positive(number) => {
            let number = usize::try_from(number).map_err(|_| Error::Damaged("a text that is not there"))?;
            texts.get(number, strings).map(Some)
        }
        header if Reader::is_null(header) => Ok(None),
        _ => Err(Error::Damaged("a text or nothing was expected")),
    }
}

fn read_limit(column: &mut Reader<'_>) -> Result<Limit, Error> {
    match column.header()? {
        Header::Map(Some(1)) => Ok(Limit::Range([column.number()?, column.number()?])),
        Header::Array(Some(length)) => {
            let mut values = Vec::with_capacity(length.min(column.len()));
            for _ in 0..length {
                values.push(column.value()?);
            }
            Ok(Limit::Values(values))
        }
        header => column.number_of(header)?.map(Limit::Number).ok_or(Error::Damaged("a limit was expected")),
    }
}

/// The number of an enumeration's value.
fn place<T: PartialEq>(all: &[T], one: T) -> u64 {
    all.iter().position(|each| *each == one).expect("the lists hold every value of their enumerations") as u64
}

/// The enumeration's value of a number.
fn one_of<T: Copy>(all: &[T], column: &mut Reader<'_>) -> Result<T, Error> {
    all.get(column.index()?).copied().ok_or(Error::Damaged("a state that is not known"))
}
