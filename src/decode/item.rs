//! Readings that a format has made whole: with a name of their own, a unit and a time.
//!
//! Owns how the rules of configured fields apply to them. A field is meant where its path is the item's name, or the
//! last level of it; with fields configured, items that no field means are passed over unless `others` asks for them.

use super::name::Refusal;
use super::sink::{READINGS_PER_MESSAGE_MAX, Sink};
use super::time::Stamp;
use super::value::{Converted, Raw};
use crate::counters::Reject;
use crate::reading::{Attributes, Reading, TEXT_BYTES_MAX, Unit, Value};

/// A value that knows whose it is.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// The configured field, where the format knows it.
    pub(super) rule: Option<usize>,
    /// The device; `None`: as the topic says.
    pub(super) device: Option<&'a str>,
    /// The rest of the name, one level or several.
    pub(super) name: &'a str,
    pub(super) raw: Raw<'a>,
    pub(super) unit: Option<Unit>,
    pub(super) stamp: Option<Stamp>,
    /// Measured long ago and sent late: no sign of life.
    pub(super) historical: bool,
    pub(super) attributes: Option<Attributes>,
}

impl<'a> Item<'a> {
    /// A value with a name only.
    pub(super) fn new(name: &'a str, raw: Raw<'a>) -> Self {
        Self { rule: None, device: None, name, raw, unit: None, stamp: None, historical: false, attributes: None }
    }
}

impl Sink<'_> {
    /// A text as the number and unit that it may be written as.
    pub(super) fn stripped<'r>(&self, raw: Raw<'r>) -> Raw<'r> {
        match raw {
            Raw::Text(text) if self.rules.strip_unit => Raw::Bare { text: text.trim(), strip_unit: true },
            other => other,
        }
    }

    /// The configured field that an item is meant by.
    fn rule_of(&self, name: &str) -> Option<usize> {
        let last = name.rsplit('/').next().unwrap_or(name);
        let configured = &self.state.entries[..self.state.configured];
        let by = |wanted: &str| configured.iter().position(|entry| *entry.rule.path == *wanted);
        by(name).or_else(|| by(last))
    }

    /// Makes a reading of an item.
    pub(super) fn item(&mut self, item: Item<'_>) {
        if let Err((reject, what)) = self.try_item(item) {
            self.refuse(reject, what);
        }
    }

    fn try_item(&mut self, item: Item<'_>) -> Result<(), Refusal> {
        let rule = match item.rule.or_else(|| self.rule_of(item.name)) {
            Some(index) => Some(&self.state.entries[index].rule),
            None if self.rules.take_all => None,
            None => return Ok(()),
        };
        let raw = self.stripped(item.raw);
        let converted = match (rule, raw) {
            (Some(rule), raw) => rule.convert(&raw, self.rules.decimal_comma),
            (None, Raw::Text(text)) if text.len() > TEXT_BYTES_MAX => {
                let what = format!("a text of {} bytes, at most {TEXT_BYTES_MAX} are kept", text.len());
                Converted::Refused(Reject::TooLong, what)
            }
            (None, Raw::Text(text)) => Converted::Value(Value::Text(text.into()), None),
            (None, raw) => self.state.plain.convert(&raw, self.rules.decimal_comma),
        };
        let (value, glued) = match converted {
            Converted::Value(value, glued) => (value, glued),
            Converted::Nothing => return Ok(()),
            Converted::Ignored => {
                self.out.ignored += 1;
                return Ok(());
            }
            Converted::Refused(reject, what) => return Err((reject, format!("{}: {what}", item.name))),
        };
        if self.out.readings.len() >= READINGS_PER_MESSAGE_MAX {
            let last = self.out.rejects.last().is_some_and(|(reject, _)| *reject == Reject::TooManyReadings);
            let what =
                || (Reject::TooManyReadings, format!("more than {READINGS_PER_MESSAGE_MAX} readings in one message"));
            return if last { Ok(()) } else { Err(what()) };
        }
        let own = rule.and_then(|rule| rule.unit.clone());
        let units = &self.rules.units;
        let (sensor, usual) =
            self.state.names.free(self.message.topic, item.device, item.name, |name| units.of(name))?;
        let usual = if matches!(value, Value::Number(_) | Value::Integer(_)) { usual } else { None };
        let (time, time_source, is_recent) = self.rules.time_of(item.stamp, self.message);
        self.out.readings.push(Reading {
            sensor,
            value,
            unit: own.or(item.unit).or(glued).or(usual),
            time,
            time_source,
            fresh: is_recent && !item.historical,
            attributes: item.attributes,
        });
        Ok(())
    }
}
