//! `format = "influx"`: a line of InfluxDB's line protocol, `weather,site=north t=21.5,door=t 1772366400000000000`.
//!
//! Owns the grammar: a name, tags behind commas, a blank, fields, a blank, a time. A backslash keeps `,`, `=`, a blank
//! or itself from being one; a text field stands in double quotes. The document has the name as `measurement`, the tags
//! (always texts) and fields under their own names, and the time as `time`. `5i` and `5u` are whole numbers.

use super::records::scalar;
use super::tree::Tree;

/// Most tags and fields of a line.
const PARTS_MAX: usize = 1_000;

/// Reads a line.
pub(super) fn read(line: &str) -> Result<Tree, String> {
    let wrong = |why: &str| format!("{why}: {}", super::value::quote(line));
    let (series, rest) = cut(line, ' ').ok_or_else(|| wrong("no fields behind the name"))?;
    let rest = rest.trim_start();
    let (fields, time) = cut(rest, ' ').unwrap_or((rest, ""));
    let mut members: Vec<(Box<str>, Tree)> = Vec::new();
    let mut parts = split(series);
    let name = parts.next().map(plain).unwrap_or_default();
    members.push(("measurement".into(), Tree::Text(name.into())));
    for part in parts.take(PARTS_MAX) {
        let (key, value) = cut(part, '=').ok_or_else(|| wrong("a tag without a value"))?;
        members.push((plain(key).into(), Tree::Text(plain(value).into())));
    }
    for part in split(fields).take(PARTS_MAX) {
        let (key, value) = cut(part, '=').ok_or_else(|| wrong("a field without a value"))?;
        members.push((plain(key).into(), field(value).ok_or_else(|| wrong("a field's value that is none"))?));
    }
    let time = time.trim();
    if !time.is_empty() {
        members.push(("time".into(), scalar(time, false)));
    }
    Ok(Tree::Object(members))
}

/// The places where a character stands for itself: not escaped, not in quotes.
fn cut(text: &str, at: char) -> Option<(&str, &str)> {
    let (mut escaped, mut quoted) = (false, false);
    for (place, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            // Quotes mean something behind `=` only; elsewhere they are part of a name.
            '"' if quoted || text[..place].ends_with('=') => quoted = !quoted,
            _ if character == at && !quoted => return Some((&text[..place], &text[place + at.len_utf8()..])),
            _ => {}
        }
    }
    None
}

/// The pieces between commas.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, after) = cut(text, ',').map_or((text, None), |(piece, after)| (piece, Some(after)));
        rest = after;
        Some(piece)
    })
}

/// Without backslashes before what they protect.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some(',' | '=' | ' ' | '\\' | '"') if character == '\\' => out.extend(characters.next()),
            _ => out.push(character),
        }
    }
    out
}

fn field(value: &str) -> Option<Tree> {
    if let Some(text) = value.strip_prefix('"') {
        return Some(Tree::Text(plain(text.strip_suffix('"')?).into()));
    }
    Some(match value {
        "t" | "T" | "true" | "True" | "TRUE" => Tree::Bool(true),
        "f" | "F" | "false" | "False" | "FALSE" => Tree::Bool(false),
        _ => match value.strip_suffix(['i', 'u']) {
            Some(whole) => match whole.parse::<i64>() {
                Ok(whole) => Tree::Integer(whole),
                Err(_) => Tree::Unsigned(whole.parse().ok()?),
            },
            None => Tree::Real(value.parse::<f64>().ok().filter(|number| number.is_finite())?),
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn get(line: &str, key: &str) -> Option<Tree> {
        read(line).unwrap().get(key).cloned()
    }

    #[test]
    fn names_tags_fields_and_the_time_are_read() {
        let line = r#"weather\ post,site=north\,1,id=7 t=21.5,n=5i,big=18446744073709551615u,door=t,s="a, \"b\" c=d" 1772366400000000000"#;
        assert_eq!(get(line, "measurement"), Some(Tree::Text("weather post".into())));
        assert_eq!(get(line, "site"), Some(Tree::Text("north,1".into())));
        assert_eq!(get(line, "id"), Some(Tree::Text("7".into())));
        assert_eq!(get(line, "t"), Some(Tree::Real(21.5)));
        assert_eq!(get(line, "n"), Some(Tree::Integer(5)));
        assert_eq!(get(line, "big"), Some(Tree::Unsigned(u64::MAX)));
        assert_eq!(get(line, "door"), Some(Tree::Bool(true)));
        assert_eq!(get(line, "s"), Some(Tree::Text("a, \"b\" c=d".into())));
        assert_eq!(get(line, "time"), Some(Tree::Integer(1_772_366_400_000_000_000)));
        assert_eq!(get("m v=1", "time"), None);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in ["m", "m v", "m v=", "m,t v=1", "m v=abc", "m v=nan", "m v=\"open"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*", likely in "([a-z=, \"\\\\0-9i.])*") {
            let _ = read(&line);
            let _ = read(&likely);
        }
    }
}
