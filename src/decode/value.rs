//! From what a payload says to a [`Value`]: number grammar, scaling, sentinels, maps.
//!
//! Owns the rules of one field. Never looks at bytes (the formats do) and never lets a number through that is not
//! finite.
//!
//! Number grammar, blanks around it allowed: `[+-] digits [. digits] [e [+-] digits]`, where one side of the point may
//! be empty (".5"). With `decimal_comma` the comma is the point, and dots (or blanks, also those that do not break) group
//! thousands: three digits each, strictly. U+2212 is a minus, too.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::model;
use crate::counters::Reject;
use crate::reading::{TEXT_BYTES_MAX, Value};

/// Above this magnitude `f64` cannot hold every whole number.
const EXACT_F64_MAX: u64 = 1 << 53;

/// Longest unit glued to a number, bytes ("ug/m3" is 5; more is a word that begins with a digit).
const UNIT_BYTES_MAX: usize = 12;

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
    Value(Value, Option<Arc<str>>),
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
    pub(super) unit: Option<Arc<str>>,
    scale: f64,
    offset: f64,
    valid_range: Option<(f64, f64)>,
    ignore_values: Vec<f64>,
    ignore_texts: Vec<Arc<str>>,
    written: model::Written,
    /// The text, the number it reads as (a JSON `1` matches the key "1"), the value.
    map: Vec<(Arc<str>, Option<f64>, Value)>,
    text: bool,
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
        }
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
            return Converted::Refused(Reject::NotANumber, "the number is not finite".to_owned());
        }
        if let Some((.., value)) = self.map.iter().find(|(_, key, _)| *key == Some(raw)) {
            return Converted::Value(value.clone(), None);
        }
        if self.ignore_values.contains(&raw) {
            return Converted::Ignored;
        }
        let unscaled = self.scale == 1.0 && self.offset == 0.0;
        // Adding zero turns -0 into 0.
        let scaled = if unscaled { raw + 0.0 } else { raw * self.scale + self.offset };
        if !scaled.is_finite() {
            return Converted::Refused(Reject::NotANumber, format!("{raw} is not finite after scaling"));
        }
        if let Some((low, high)) = self.valid_range
            && !(low..=high).contains(&scaled)
        {
            return Converted::Refused(Reject::OutOfRange, format!("{scaled} is outside {low} to {high}"));
        }
        Converted::Value(
            match number {
                Number::Whole(whole) if unscaled && whole.unsigned_abs() > EXACT_F64_MAX => Value::Integer(whole),
                _ => Value::Number(scaled),
            },
            None,
        )
    }

    /// Whether a text is a value for this rule without being a number.
    pub(super) fn takes_text(&self, text: &str) -> bool {
        self.text || self.mapped_text(text).is_some()
    }

    fn mapped_text(&self, text: &str) -> Option<Value> {
        self.map.iter().find(|(key, ..)| **key == *text).map(|(.., value)| value.clone())
    }
}

/// A number as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Without fraction and exponent, exact.
    Whole(i64),
    /// Any other.
    Real(f64),
}

impl Number {
    /// On the number line.
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(number) => number,
        }
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Self {
        i64::try_from(whole).map_or(Self::Real(whole as f64), Self::Whole)
    }
}

/// Reads a finite number, or nothing.
pub(super) fn parse(text: &str, decimal_comma: bool) -> Option<Number> {
    let text = text.trim();
    let minus = plain_minus(text);
    let text = minus.as_deref().unwrap_or(text);
    let text = if decimal_comma { point_for_comma(text)? } else { Cow::Borrowed(text) };
    let (length, whole) = scan(text.as_bytes());
    if length == 0 || length != text.len() {
        return None;
    }
    if whole && let Ok(number) = text.parse::<i64>() {
        return Some(Number::Whole(number));
    }
    let number = text.parse::<f64>().ok()?;
    number.is_finite().then_some(Number::Real(number))
}

/// With a hyphen for a minus as text processors and some displays write it; nothing where there is none.
fn plain_minus(text: &str) -> Option<String> {
    text.strip_prefix('\u{2212}').map(|text| format!("-{text}"))
}

/// Whether a character stands between groups of thousands where the comma is the decimal point.
fn is_group(c: char) -> bool {
    matches!(c, '.' | ' ' | '\u{a0}' | '\u{202f}')
}

/// How many bytes at the start follow the grammar, and whether they are a whole number.
fn scan(bytes: &[u8]) -> (usize, bool) {
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let before = digits(sign);
    let mut end = sign + before;
    let mut whole = true;
    let mut after = 0;
    if bytes.get(end) == Some(&b'.') {
        after = digits(end + 1);
        if before + after > 0 {
            end += 1 + after;
            whole = false;
        }
    }
    if before + after == 0 {
        return (0, false);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
            whole = false;
        }
    }
    (end, whole)
}

/// "1.234,5" to "1234.5"; `None` where the dots do not group thousands.
fn point_for_comma(text: &str) -> Option<Cow<'_, str>> {
    let (before, after) = match text.split_once(',') {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    };
    if after.is_some_and(|after| after.contains(['.', ','])) {
        return None;
    }
    let unsigned = before.trim_start_matches(['+', '-']);
    let mut groups = unsigned.split(is_group);
    let first = groups.next().unwrap_or_default();
    let mut grouped = false;
    for group in groups {
        grouped = true;
        if group.len() != 3 {
            return None;
        }
    }
    if grouped && !(1..=3).contains(&first.len()) {
        return None;
    }
    if !grouped && after.is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut out: String = before.chars().filter(|character| !is_group(*character)).collect();
    if let Some(after) = after {
        out.push('.');
        out.push_str(after);
    }
    Some(Cow::Owned(out))
}

/// "21.5°C" to 21.5 and "°C"; `None` where what follows the number is no unit.
fn split_unit(text: &str, decimal_comma: bool) -> Option<(Number, &str)> {
    let text = text.trim();
    let unsigned = text.strip_prefix('\u{2212}').map_or(0, |rest| text.len() - rest.len());
    let (sign, text) = text.split_at(unsigned);
    let bytes = text.as_bytes();
    let end = if decimal_comma {
        let of_number = |c: char| c.is_ascii_digit() || is_group(c) || matches!(c, ',' | '+' | '-');
        text.find(|c: char| !of_number(c)).unwrap_or(text.len())
    } else {
        scan(bytes).0
    };
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let hexadecimal = matches!(bytes.get(end), Some(b'x' | b'X'));
    let unit_like =
        unit.starts_with(|first: char| first.is_alphabetic() || matches!(first, '%' | '\u{b0}' | '*' | '/' | '"'));
    if !unit_like || hexadecimal || unit.len() > UNIT_BYTES_MAX || unit.contains(char::is_control) {
        return None;
    }
    match sign {
        "" => Some((parse(number, decimal_comma)?, unit)),
        sign => Some((parse(&format!("{sign}{number}"), decimal_comma)?, unit)),
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
