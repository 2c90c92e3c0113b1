//! `${VAR}`, `${VAR:-default}` and `${VAR:?message}` inside texts.
//!
//! Owns the syntax; pure, the environment comes in as a function. `$$` is a dollar, and so is a `$` that no `{` follows
//! (`$share/...` is a topic). Values are put in as they are: what a variable holds is not expanded again.

use std::ops::Range;

/// What went wrong with one `${...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its bytes in the text.
    pub bytes: Range<usize>,
    /// The variable's name; empty when it could not be read.
    pub variable: String,
    /// What is wrong, for people.
    pub message: String,
}

/// Fills a text in, and says whether there was anything to fill in.
///
/// # Errors
/// Every place that could not be filled in.
pub fn interpolate(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<Fault>> {
    let mut out = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut at = 0;
    while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
        out.push_str(&text[at..dollar]);
        let rest = &text[dollar + 1..];
        if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}');
            let bytes = dollar..end.map_or(text.len(), |end| dollar + 3 + end);
            match end.map(|end| expand(&inner[..end], env)) {
                Some(Ok(value)) => out.push_str(&value),
                Some(Err((variable, message))) => faults.push(Fault { bytes: bytes.clone(), variable, message }),
                None => {
                    let message = "`${` is never closed by `}`".to_owned();
                    faults.push(Fault { bytes: bytes.clone(), variable: String::new(), message });
                }
            }
            at = bytes.end;
        } else {
            out.push('$');
            at = dollar + 1 + usize::from(rest.starts_with('$'));
        }
    }
    out.push_str(&text[at..]);
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

fn expand(inner: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let (name, rule) = inner.split_once(':').map_or((inner, None), |(name, rule)| (name, Some(rule)));
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err((String::new(), format!("`${{{inner}}}` does not name an environment variable")));
    }
    let fault = |message: String| Err((name.to_owned(), message));
    let value = env(name);
    match rule {
        None => match value {
            Some(value) => Ok(value),
            None => fault(format!("the environment variable `{name}` is not set")),
        },
        Some(rule) => {
            let filled = value.filter(|value| !value.is_empty());
            if let Some(default) = rule.strip_prefix('-') {
                if default.contains("${") {
                    return fault("a default cannot hold another `${...}`".into());
                }
                return Ok(filled.unwrap_or_else(|| default.to_owned()));
            }
            match (rule.strip_prefix('?'), filled) {
                (Some(_), Some(value)) => Ok(value),
                (Some(""), None) => fault(format!("the environment variable `{name}` is not set or empty")),
                (Some(message), None) => fault(format!("`{name}`: {message}")),
                (None, _) => fault(format!("write `${{{name}:-default}}` or `${{{name}:?message}}`")),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "SITE" => Some("north".into()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${SITE}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_dollars_are_filled_in() {
        for (text, expected) in [
            ("a-${SITE}-b", "a-north-b"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${SITE:?why}", "north"),
            ("$$${SITE}", "$north"),
            ("$share/g/t$", "$share/g/t$"),
            ("$${SITE}", "${SITE}"),
            ("${TRICK}", "${SITE}"),
            ("°${SITE}°", "°north°"),
        ] {
            assert_eq!(interpolate(text, &env).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn every_variable_that_is_missing_is_told() {
        let faults = interpolate("${A}/${SITE}/${B:?set it in the unit}", &env).unwrap_err();
        assert_eq!(faults.len(), 2);
        assert_eq!(faults[0].bytes, 0..4);
        assert!(faults[0].message.contains("`A` is not set"));
        assert!(faults[1].message.contains("set it in the unit"));
    }

    #[test]
    fn malformed_places_are_refused() {
        for text in ["${", "${SITE", "${}", "${1A}", "${A B}", "${SITE:x}", "${NONE:-${SITE}}", "${topic[1]}"] {
            assert!(interpolate(text, &env).is_err(), "{text}");
        }
    }
}
