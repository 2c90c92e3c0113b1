//! What texts are numbers, and what is a unit behind one.
//!
//! Blanks around it are allowed: `[+-] digits [. digits] [e [+-] digits]`, where one side of the point may be empty
//! (".5"). With `decimal_comma` the comma is the point, and dots (or blanks, also those that do not break) group
//! thousands: three digits each, strictly. U+2212 is a minus, too.

use std::borrow::Cow;

/// Longest unit glued to a number, bytes ("ug/m3" is 5; more is a word that begins with a digit).
const UNIT_BYTES_MAX: usize = 12;

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
pub(super) fn split_unit(text: &str, decimal_comma: bool) -> Option<(Number, &str)> {
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
