//! From what a payload says to a [`Value`]: number grammar, scaling, sentinels, maps.
//!
//! Owns the rules of one field. Never looks at bytes (the formats do) and never lets a number through that is not
//! finite.
//!
//! Number grammar, blanks around it allowed: `[+-] digits [. digits] [e [+-] digits]`, where one side of the point may
//! be empty (".5"). With `decimal_comma` the comma is the point, and dots group thousands: three digits each, strictly.

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
            map: Vec::new(),
            text: false,
        }
    }

    /// Applies the rule.
    pub(super) fn convert(&self, raw: &Raw<'_>, decimal_comma: bool) -> Converted {
        match *raw {
            Raw::Null | Raw::Bare { text: "", .. } => Converted::Nothing,
            Raw::Bool(state) => {
                let text = if state { "true" } else { "false" };
                Converted::Value(self.mapped_text(text).unwrap_or(Value::Bool(state)), None)
            }
            Raw::Integer(whole) => self.number(Number::Whole(whole)),
            Raw::Unsigned(whole) => self.number(Number::from(whole)),
            Raw::Number(number) => self.number(Number::Real(number)),
            Raw::Text(text) => self.text(text, decimal_comma, false),
            Raw::Bare { text, strip_unit } => self.text(text, decimal_comma, strip_unit),
            Raw::Composite => Converted::Refused(Reject::NotANumber, "found an object or a list".to_owned()),
        }
    }

    fn text(&self, text: &str, decimal_comma: bool, strip_unit: bool) -> Converted {
        if let Some(value) = self.mapped_text(text) {
            return Converted::Value(value, None);
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

    fn number(&self, number: Number) -> Converted {
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
    let text = text.trim_ascii();
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
    let mut groups = unsigned.split('.');
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
    let mut out: String = before.chars().filter(|character| *character != '.').collect();
    if let Some(after) = after {
        out.push('.');
        out.push_str(after);
    }
    Some(Cow::Owned(out))
}

/// "21.5°C" to 21.5 and "°C"; `None` where what follows the number is no unit.
fn split_unit(text: &str, decimal_comma: bool) -> Option<(Number, &str)> {
    let bytes = text.as_bytes();
    let end = if decimal_comma {
        text.find(|character: char| !matches!(character, '0'..='9' | '.' | ',' | '+' | '-')).unwrap_or(text.len())
    } else {
        scan(bytes).0
    };
    let (number, unit) = text.split_at(end);
    let hexadecimal = matches!(bytes.get(end), Some(b'x' | b'X'));
    let unit_like =
        unit.starts_with(|first: char| first.is_alphabetic() || matches!(first, '%' | '\u{b0}' | '*' | '/' | '"'));
    if !unit_like || hexadecimal || unit.len() > UNIT_BYTES_MAX || unit.contains(char::is_control) {
        return None;
    }
    Some((parse(number, decimal_comma)?, unit))
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
mod tests {
    use super::*;

    fn field() -> model::Field {
        model::Field {
            quantity: "t".into(),
            path: "t".to_owned(),
            unit: None,
            scale: 1.0,
            offset: 0.0,
            valid_range: None,
            ignore_values: Vec::new(),
            map: Vec::new(),
            text: false,
        }
    }

    fn number(text: &str) -> Option<f64> {
        parse(text, false).map(Number::as_f64)
    }

    fn reject(field: &model::Field, raw: &Raw<'_>) -> Option<Reject> {
        match Rule::new(field).convert(raw, false) {
            Converted::Refused(reject, _) => Some(reject),
            _ => None,
        }
    }

    fn value(field: &model::Field, raw: &Raw<'_>) -> Option<Value> {
        match Rule::new(field).convert(raw, false) {
            Converted::Value(value, _) => Some(value),
            _ => None,
        }
    }

    #[test]
    fn plain_decimal_numbers_are_read() {
        for (text, expected) in [
            ("21.5", 21.5),
            (" 21.5\r\n", 21.5),
            ("+21.5", 21.5),
            ("2.15e1", 21.5),
            ("2.15E+1", 21.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-.25", -0.25),
            ("007", 7.0),
            ("-0", 0.0),
        ] {
            assert_eq!(number(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_no_number() {
        for text in [
            "", " ", "+", ".", "-.", "e5", "1e", "1e+", "NaN", "nan", "inf", "-inf", "infinity", "1e999", "-1e999",
            "0x15", "21.5 C", "21,5", "1.234,5", "21.5.3", "null", "\"21.5\"", "--1", "1_000", "1 000", "\u{661}",
        ] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_decimal_comma_is_never_guessed_and_groups_are_strict() {
        let comma = |text| parse(text, true).map(Number::as_f64);
        assert_eq!(comma("21,5"), Some(21.5));
        assert_eq!(comma("1.234,5"), Some(1234.5));
        assert_eq!(comma("-0,25"), Some(-0.25));
        assert_eq!(comma("1.234.567"), Some(1_234_567.0));
        assert_eq!(comma("48"), Some(48.0));
        for text in ["21.5", "1.23,5", "1234.567,5", "1,2,3", "1,2.3", ".123", "", ","] {
            assert_eq!(comma(text), None, "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_beyond_f64_stay_exact() {
        let beyond = (1_i64 << 53) + 1;
        assert_eq!(value(&field(), &Raw::Integer(beyond)), Some(Value::Integer(beyond)));
        let text = beyond.to_string();
        assert_eq!(value(&field(), &Raw::Text(&text)), Some(Value::Integer(beyond)));
        assert_eq!(value(&field(), &Raw::Integer(1 << 53)), Some(Value::Number(9_007_199_254_740_992.0)));
        assert_eq!(value(&field(), &Raw::Integer(i64::MIN)), Some(Value::Integer(i64::MIN)));
        assert_eq!(value(&field(), &Raw::Unsigned(u64::MAX)), Some(Value::Number(18_446_744_073_709_551_615.0)));
    }

    #[test]
    fn scale_and_offset_come_before_the_range_and_after_the_sentinels() {
        let mut field = field();
        field.scale = 0.1;
        field.offset = -40.0;
        field.valid_range = Some((-40.0, 85.0));
        field.ignore_values = vec![32_768.0];
        assert_eq!(value(&field, &Raw::Integer(0)), Some(Value::Number(-40.0)));
        assert_eq!(value(&field, &Raw::Integer(1250)), Some(Value::Number(85.0)));
        assert_eq!(reject(&field, &Raw::Integer(1251)), Some(Reject::OutOfRange));
        assert_eq!(Rule::new(&field).convert(&Raw::Integer(32_768), false), Converted::Ignored);
        field.scale = f64::MAX;
        assert_eq!(reject(&field, &Raw::Number(10.0)), Some(Reject::NotANumber));
    }

    #[test]
    fn a_map_turns_texts_booleans_and_numbers_into_values() {
        let mut field = field();
        field.map = vec![
            ("ON".into(), Value::Number(1.0)),
            ("true".into(), Value::Text("open".into())),
            ("2".into(), Value::Bool(true)),
        ];
        assert_eq!(value(&field, &Raw::Text("ON")), Some(Value::Number(1.0)));
        assert_eq!(reject(&field, &Raw::Text("on")), Some(Reject::NotANumber));
        assert_eq!(value(&field, &Raw::Bool(true)), Some(Value::Text("open".into())));
        assert_eq!(value(&field, &Raw::Bool(false)), Some(Value::Bool(false)));
        assert_eq!(value(&field, &Raw::Integer(2)), Some(Value::Bool(true)));
        assert_eq!(value(&field, &Raw::Number(3.5)), Some(Value::Number(3.5)));
    }

    #[test]
    fn a_text_is_kept_only_when_asked_for_and_only_if_short() {
        let mut field = field();
        assert_eq!(reject(&field, &Raw::Text("E04")), Some(Reject::NotANumber));
        field.text = true;
        assert_eq!(value(&field, &Raw::Text("E04")), Some(Value::Text("E04".into())));
        assert_eq!(value(&field, &Raw::Text("04")), Some(Value::Text("04".into())));
        assert_eq!(value(&field, &Raw::Integer(4)), Some(Value::Number(4.0)));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(reject(&field, &Raw::Text(&long)), Some(Reject::TooLong));
    }

    #[test]
    fn a_unit_glued_to_the_number_is_cut_off_and_kept() {
        let rule = Rule::new(&field());
        let bare = |text| rule.convert(&Raw::Bare { text, strip_unit: true }, false);
        for (text, expected, unit) in
            [("21.5C", 21.5, "C"), ("48%", 48.0, "%"), ("-3.2\u{b0}C", -3.2, "\u{b0}C"), ("5.1e2m3", 510.0, "m3")]
        {
            assert_eq!(bare(text), Converted::Value(Value::Number(expected), Some(unit.into())), "{text}");
        }
        for text in ["0x15", "21.5.3", "12:30", "2026-03-01", "C21", "1 000", "7thingamajigs-long"] {
            assert!(matches!(bare(text), Converted::Refused(Reject::NotANumber, _)), "{text}");
        }
        assert_eq!(bare(""), Converted::Nothing);
        let comma = rule.convert(&Raw::Bare { text: "21,5C", strip_unit: true }, true);
        assert_eq!(comma, Converted::Value(Value::Number(21.5), Some("C".into())));
    }
}
