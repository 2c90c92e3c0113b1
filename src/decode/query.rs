//! `format = "query"`: what weather stations and trackers put behind the `?` of an address or into a form.
//!
//! `tempf=70.1&humidity=45&dateutc=2026-03-01+12:00:00`. Owns the escapes: `+` is a blank, `%41` a byte. A whole address,
//! or the first line of a request, may stand before the pairs.

use super::records::scalar;
use super::tree::Tree;

/// Most pairs of a payload. A station with all its extra sensors sends about 150.
const PAIRS_MAX: usize = 1_000;

/// Reads a payload.
pub(super) fn read(payload: &str, decimal_comma: bool) -> Result<Tree, String> {
    let text = payload.trim();
    let text = text.split_once(" HTTP/").map_or(text, |(text, _)| text);
    let text = match text.split_once('?') {
        Some((before, pairs)) if !before.contains('=') => pairs,
        _ => text,
    };
    let mut pairs = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if pairs.len() >= PAIRS_MAX {
            return Err(format!("more than {PAIRS_MAX} pairs"));
        }
        pairs.push((unescaped(key).into(), scalar(unescaped(value).trim(), decimal_comma)));
    }
    match text.contains('=') {
        true => Ok(Tree::Object(pairs)),
        false => Err("no `key=value` in it".to_owned()),
    }
}

/// Without escapes; one that is none stands for itself.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => match two_digits(bytes.clone()) {
                Some(escaped) => {
                    bytes.nth(1);
                    escaped
                }
                None => b'%',
            },
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The byte that the next two hexadecimal digits are.
fn two_digits(mut bytes: std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    u8::try_from(digit()? << 4 | digit()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn get(payload: &str, key: &str) -> Tree {
        read(payload, false).unwrap().get(key).unwrap().clone()
    }

    #[test]
    fn pairs_are_read_without_their_escapes() {
        assert_eq!(get("a=1&b=-2.5", "b"), Tree::Real(-2.5));
        assert_eq!(get("dateutc=2026-03-01+12%3A00%3a00", "dateutc"), Tree::Text("2026-03-01 12:00:00".into()));
        assert_eq!(get("t%5Bin%5D=5", "t[in]"), Tree::Integer(5));
        assert_eq!(get("GET /update?ID=X1&tempf=70.1 HTTP/1.1\r\nHost: x", "tempf"), Tree::Real(70.1));
        assert_eq!(get("https://host/path?t=1", "t"), Tree::Integer(1));
        assert_eq!(get("a=&b=100%", "a"), Tree::Null);
        assert_eq!(get("a=&b=100%", "b"), Tree::Text("100%".into()));
        assert_eq!(get("city=%C3%9Clm", "city"), Tree::Text("Ülm".into()));
        assert!(read("hello", false).is_err());
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload in "\\PC*", likely in "([a-z=&?+]|%[0-9A-Fa-f]?){0,40}") {
            let _ = read(&payload, false);
            let _ = read(&likely, true);
        }
    }
}
