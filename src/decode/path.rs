//! Paths into a document: `a.b`, `a[0].b`, `"quoted key".x`, `[0].value`, `sensors[*].t`, `*.Temperature`, `data.**`.
//!
//! Owns the grammar. A key runs to the next `.` or `[`; a key with these characters, or an empty one, is written in
//! double quotes, where `\"` and `\\` stand for themselves. `*` and `[*]` stand for every member or item, a last `**`
//! for every value at any depth below.

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into an object.
    Key(String),
    /// Into a list, from 0.
    Item(usize),
    /// Into every member or item.
    Any,
    /// Into every value below, at any depth; the last step.
    Deep,
}

/// Whether a path can lead to more than one place.
pub(super) fn is_wild(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Any | Step::Deep))
}

/// Reads a path; the error says what is wrong with it.
pub(super) fn parse(path: &str) -> Result<Vec<Step>, String> {
    let wrong = |what: &str| Err(format!("path `{path}`: {what}"));
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        if let Some(inside) = rest.strip_prefix('[') {
            let Some((index, after)) = inside.split_once(']') else {
                return wrong("`[` is never closed");
            };
            steps.push(match index.parse() {
                Ok(index) => Step::Item(index),
                Err(_) if index == "*" => Step::Any,
                Err(_) => return wrong("between `[` and `]` belongs a whole number, as in `values[0]`, or `*`"),
            });
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let Some((key, after)) = unquote(quoted) else {
                return wrong("`\"` is never closed");
            };
            steps.push(Step::Key(key));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            steps.push(match key {
                "" => return wrong("a name is missing"),
                "*" => Step::Any,
                "**" if after.is_empty() => Step::Deep,
                "**" => return wrong("`**` stands only at the end"),
                key => Step::Key(key.to_owned()),
            });
            rest = after;
        }
        if rest.is_empty() {
            return Ok(steps);
        }
        match rest.strip_prefix('.') {
            Some(after) if !after.starts_with('[') => rest = after,
            None if rest.starts_with('[') => {}
            _ => return wrong("expected `.name` or `[number]`"),
        }
    }
}

/// The last part of a path as a name: `a.b` is `b`, `a.b[0]` is `b[0]`.
pub(super) fn last_name(steps: &[Step]) -> String {
    let key = steps.iter().rposition(|step| matches!(step, Step::Key(_))).unwrap_or(0);
    let mut name = String::new();
    for step in &steps[key..] {
        match step {
            Step::Key(key) => name.push_str(key),
            Step::Item(index) => name.push_str(&format!("[{index}]")),
            Step::Any | Step::Deep => name.push('*'),
        }
    }
    name
}

/// What stands before the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((key, &text[at + 1..])),
            '\\' => key.push(characters.next()?.1),
            other => key.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn keys_items_and_quoted_keys_are_read() {
        assert_eq!(parse("a").unwrap(), [key("a")]);
        assert_eq!(parse("a.b").unwrap(), [key("a"), key("b")]);
        assert_eq!(parse("a[0].b").unwrap(), [key("a"), Step::Item(0), key("b")]);
        assert_eq!(parse("a[0][12]").unwrap(), [key("a"), Step::Item(0), Step::Item(12)]);
        assert_eq!(parse("[3].v").unwrap(), [Step::Item(3), key("v")]);
        assert_eq!(parse("\"quoted key.[x]\".x").unwrap(), [key("quoted key.[x]"), key("x")]);
        assert_eq!(parse(r#"a."with \" and \\""#).unwrap(), [key("a"), key(r#"with " and \"#)]);
        assert_eq!(parse("DS18B20-1.Temperature").unwrap(), [key("DS18B20-1"), key("Temperature")]);
    }

    #[test]
    fn wildcards_are_read() {
        assert_eq!(parse("*.t").unwrap(), [Step::Any, key("t")]);
        assert_eq!(parse("a[*].b").unwrap(), [key("a"), Step::Any, key("b")]);
        assert_eq!(parse("a.**").unwrap(), [key("a"), Step::Deep]);
        assert_eq!(parse("\"*\"").unwrap(), [key("*")]);
        assert!(parse("**.a").unwrap_err().contains("end"));
        assert!(is_wild(&parse("a.*").unwrap()) && !is_wild(&parse("a[0]").unwrap()));
    }

    #[test]
    fn a_wrong_path_is_refused_with_the_reason() {
        for path in
            ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a[]", "\"a", "a.[0]", "a[0]b", "\"a\"b", "\"a\\"]
        {
            let reason = parse(path).unwrap_err();
            assert!(reason.starts_with(&format!("path `{path}`")), "{reason}");
        }
    }

    #[test]
    fn the_last_name_keeps_the_items_that_follow_it() {
        assert_eq!(last_name(&parse("a.b").unwrap()), "b");
        assert_eq!(last_name(&parse("a.b[0]").unwrap()), "b[0]");
        assert_eq!(last_name(&parse("[1]").unwrap()), "[1]");
    }
}
