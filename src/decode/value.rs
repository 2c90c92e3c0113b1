//! From what a payload says to a [`Value`]: scaling, bits, sentinels, maps.
//!
//! Owns the rules of one field. Never looks at bytes (the formats do) and never lets a number through that is not
//! finite.

use std::sync::Arc;

use crate::config::model;
use crate::counters::Reject;
use crate::reading::{TEXT_BYTES_MAX, Unit, Value};

use super::grammar::split_unit;
pub(super) use super::grammar::{Number, parse};

/// Above this magnitude `f64` cannot hold every whole number.
const EXACT_F64_MAX: u64 = 1 << 53;

/// Longest piece of a payload quoted in a message to people, characters.
const QUOTE_CHARS_MAX: usize = 40;

/// One value as its format found it, before any rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    /// Said to be unknown.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number; above `i64::MAX` it is carried exactly but measured as the nearest `f64`.
    Unsigned(u64),
    /// A number with a fraction or an exponent.
    Number(f64),
    /// A text in a format that tells texts from numbers.
    Text(&'a str),
    /// A piece of a format that has only texts.
    Bare {
        /// Without blanks around it; empty means that there is no value.
        text: &'a str,
        /// Whether a unit may be glued to a number.
        strip_unit: bool,
    },
    /// A number as a text, and its unit, from a format that names units.
    Measured {
        /// Without the unit.
        text: &'a str,
        /// Empty where there is none.
        unit: &'a str,
    },
    /// An object or a list where one value was expected.
    Composite,
}

/// What became of a raw value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Converted {
    /// A value, and the unit that was glued to it.
    Value(Value, Option<Unit>),
    /// The device says that it knows none.
    Nothing,
    /// A configured sentinel.
    Ignored,
    /// Refused, with what was found.
    Refused(Reject, String),
}

/// How one field is read.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) quantity: Arc<str>,
    pub(super) path: String,
    pub(super) unit: Option<Unit>,
    scale: f64,
    offset: f64,
    valid_range: Option<(f64, f64)>,
    ignore_values: Vec<f64>,
    ignore_texts: Vec<Arc<str>>,
    written: model::Written,
    /// The text, the number it reads as (a JSON `1` matches the key "1"), the value.
    map: Vec<(Arc<str>, Option<f64>, Value)>,
    text: bool,
    /// Whether a number is only scaled and compared with the range.
    is_arithmetic: bool,
}

impl Rule {
    /// The rule of a configured field.
    pub(super) fn new(field: &model::Field) -> Self {
        let map = field
            .map
            .iter()
            .map(|(key, value)| (Arc::clone(key), parse(key, false).map(Number::as_f64), value.clone()))
            .collect();
        Self {
            quantity: Arc::clone(&field.quantity),
            path: field.path.clone(),
            unit: field.unit.clone(),
            scale: field.scale,
            offset: field.offset,
            valid_range: field.valid_range,
            ignore_values: field.ignore_values.clone(),
            ignore_texts: field.ignore_texts.clone(),
            written: field.written,
            map,
            text: field.text,
            is_arithmetic: field.ignore_values.is_empty()
                && field.map.is_empty()
                && field.written.bits.is_none()
                && !field.written.hex,
        }
    }

    /// The rule of a field that nobody configured: the value as it is.
    pub(super) fn plain(quantity: Arc<str>) -> Self {
        Self {
            path: quantity.to_string(),
            quantity,
            unit: None,
            scale: 1.0,
            offset: 0.0,
            valid_range: None,
            ignore_values: Vec::new(),
            ignore_texts: Vec::new(),
            written: model::Written::default(),
            map: Vec::new(),
            text: false,
            is_arithmetic: true,
        }
    }

    /// The number that [`Rule::convert`] comes to, where it takes nothing but arithmetic: the case of nearly every
    /// value, for which the long way costs more than reading the JSON did. `None`: it takes more.
    pub(super) fn number_alone(&self, raw: &Raw<'_>) -> Option<f64> {
        let number = match *raw {
            Raw::Number(number) => number,
            Raw::Integer(whole) if whole.unsigned_abs() <= EXACT_F64_MAX => whole as f64,
            Raw::Bool(state) => match self.mapped(if state { "true" } else { "false" }) {
                Some(Value::Number(number)) => return Some(*number),
                _ => return None,
            },
            _ => return None,
        };
        let scaled = self.scaled(number);
        let is_good = self.is_arithmetic && scaled.is_finite() && self.is_valid(scaled);
        is_good.then_some(scaled)
    }

    /// Applies the rule.
    pub(super) fn convert(&self, raw: &Raw<'_>, decimal_comma: bool) -> Converted {
        match *raw {
            Raw::Null | Raw::Bare { text: "", .. } | Raw::Measured { text: "", .. } => Converted::Nothing,
            Raw::Measured { text, unit } => match self.text(text, decimal_comma, false) {
                Converted::Value(value, _) => Converted::Value(value, (!unit.is_empty()).then(|| unit.into())),
                other => other,
            },
            Raw::Bool(state) => {
                let text = if state { "true" } else { "false" };
                Converted::Value(self.mapped_text(text).unwrap_or(Value::Bool(state)), None)
            }
            Raw::Integer(whole) if self.written.hex && whole >= 0 => self.text(&whole.to_string(), false, false),
            Raw::Integer(whole) => self.number(Number::Whole(whole)),
            Raw::Unsigned(whole) => self.unsigned(whole),
            Raw::Number(number) => self.number(Number::Real(number)),
            Raw::Text(text) => self.text(text, decimal_comma, false),
            Raw::Bare { text, strip_unit } => self.text(text, decimal_comma, strip_unit),
            Raw::Composite => Converted::Refused(Reject::NotANumber, "found an object or a list".to_owned()),
        }
    }

    fn text(&self, text: &str, decimal_comma: bool, strip_unit: bool) -> Converted {
        if self.ignore_texts.iter().any(|ignored| **ignored == *text.trim()) {
            return Converted::Ignored;
        }
        if let Some(value) = self.mapped_text(text) {
            return Converted::Value(value, None);
        }
        if self.written.hex {
            let digits = text.trim();
            let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
            return match u64::from_str_radix(digits, 16) {
                Ok(whole) => self.unsigned(whole),
                Err(_) => Converted::Refused(Reject::NotANumber, format!("{} is no hexadecimal number", quote(text))),
            };
        }
        if self.text && text.is_empty() {
            return Converted::Nothing;
        }
        if self.text {
            if text.len() > TEXT_BYTES_MAX {
                let why = format!("a text of {} bytes, at most {TEXT_BYTES_MAX} are kept", text.len());
                return Converted::Refused(Reject::TooLong, why);
            }
            return Converted::Value(Value::Text(text.into()), None);
        }
        if let Some(number) = parse(text, decimal_comma) {
            return self.number(number);
        }
        if strip_unit && let Some((number, unit)) = split_unit(text, decimal_comma) {
            return match self.number(number) {
                Converted::Value(value, _) => Converted::Value(value, Some(unit.into())),
                other => other,
            };
        }
        let what = if self.map.is_empty() { "no finite decimal number" } else { "not in the map and no number" };
        Converted::Refused(Reject::NotANumber, format!("{} is {what}", quote(text)))
    }

    /// A whole number whose highest bit may be one of its bits.
    fn unsigned(&self, whole: u64) -> Converted {
        match self.written.bits {
            Some(_) => self.number(Number::Whole(whole.cast_signed())),
            None => self.number(Number::from(whole)),
        }
    }

    /// The wanted bits of a whole number; `None` where it is none.
    fn bits_of(&self, number: Number, (low, count): (u32, u32)) -> Option<i64> {
        let whole = match number {
            Number::Whole(whole) => whole,
            // Formats without whole numbers have them as 5.0.
            Number::Real(real) if real.fract() == 0.0 && real.abs() <= EXACT_F64_MAX as f64 => real as i64,
            Number::Real(_) => return None,
        };
        let unused = 64 - count;
        let top = whole.cast_unsigned() >> low << unused;
        Some(if self.written.signed { top.cast_signed() >> unused } else { (top >> unused).cast_signed() })
    }

    fn number(&self, number: Number) -> Converted {
        let number = match self.written.bits {
            None => number,
            Some(bits) => match self.bits_of(number, bits) {
                Some(whole) => Number::Whole(whole),
                None => return Converted::Refused(Reject::NotANumber, "bits of what is no whole number".to_owned()),
            },
        };
        let raw = number.as_f64();
        if !raw.is_finite() {
            if self.ignore_texts.iter().any(|text| text.parse::<f64>().is_ok_and(|number| !number.is_finite())) {
                return Converted::Ignored;
            }
            return Converted::Refused(Reject::NotANumber, "the number is not finite".to_owned());
        }
        if let Some((.., value)) = self.map.iter().find(|(_, key, _)| *key == Some(raw)) {
            return Converted::Value(value.clone(), None);
        }
        if self.ignore_values.contains(&raw) {
            return Converted::Ignored;
        }
        let scaled = self.scaled(raw);
        if !scaled.is_finite() {
            return Converted::Refused(Reject::NotANumber, format!("{raw} is not finite after scaling"));
        }
        if let Some((low, high)) = self.valid_range
            && !self.is_valid(scaled)
        {
            return Converted::Refused(Reject::OutOfRange, format!("{scaled} is outside {low} to {high}"));
        }
        Converted::Value(
            match number {
                Number::Whole(whole) if self.is_unscaled() && whole.unsigned_abs() > EXACT_F64_MAX => {
                    Value::Integer(whole)
                }
                _ => Value::Number(scaled),
            },
            None,
        )
    }

    fn is_unscaled(&self) -> bool {
        self.scale == 1.0 && self.offset == 0.0
    }

    fn scaled(&self, raw: f64) -> f64 {
        // Adding zero turns -0 into 0.
        if self.is_unscaled() { raw + 0.0 } else { raw * self.scale + self.offset }
    }

    fn is_valid(&self, scaled: f64) -> bool {
        self.valid_range.is_none_or(|(low, high)| (low..=high).contains(&scaled))
    }

    /// Whether a text is a value for this rule without being a number.
    pub(super) fn takes_text(&self, text: &str) -> bool {
        self.text || self.mapped_text(text).is_some()
    }

    fn mapped_text(&self, text: &str) -> Option<Value> {
        self.mapped(text).cloned()
    }

    fn mapped(&self, text: &str) -> Option<&Value> {
        self.map.iter().find(|(key, ..)| **key == *text).map(|(.., value)| value)
    }
}

/// A piece of a payload as it may be shown to people: quoted, escaped, cut off.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = format!("{:?}", text.chars().take(QUOTE_CHARS_MAX).collect::<String>());
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        quoted.push_str("...");
    }
    quoted
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
