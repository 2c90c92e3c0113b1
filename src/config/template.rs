//! Templates: `{topic[1]}` in a sensor's name, `{severity}` in an upstream topic.
//!
//! Owns reading them, and which places are allowed where. Filling them in is done where the values are: `decode` for
//! sensor names, `event::wire` for topics.

use std::sync::Arc;

use crate::config::model::{EventPart, Template, TemplatePart};

/// Highest topic level that can be named. MQTT allows more; nobody has them.
const LEVEL_MAX: usize = 127;

/// Wildcards of one path that can be named.
const MATCHES_MAX: usize = 8;

/// Longest template, bytes: an upstream topic of portable length is 256.
pub const TEMPLATE_BYTES_MAX: usize = 512;

/// Where a template stands, which decides what it can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a sensor's name (`device`, `quantity`).
    Sensor {
        /// Whether messages of this source have a topic.
        mqtt: bool,
    },
    /// In the key of a field.
    Quantity,
    /// In the upstream topic.
    Upstream,
}

impl Place {
    fn allowed(self) -> &'static [&'static str] {
        match self {
            Self::Sensor { mqtt: true } => &["{topic}", "{topic[N]}", "{topic[N..]}", "{payload.PATH}", "{match[N]}"],
            Self::Sensor { mqtt: false } => &["{payload.PATH}", "{match[N]}"],
            Self::Quantity => &["{match[N]}", "{payload.PATH}", "{topic[N]}"],
            Self::Upstream => &["{gateway}", "{severity}", "{sensor}", "{type}", "{alarm}"],
        }
    }
}

/// Reads a template.
///
/// # Errors
/// The byte at which it goes wrong, and why.
pub fn parse(text: &str, place: Place) -> Result<Template, (usize, String)> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err((0, format!("{} bytes long; at most {TEMPLATE_BYTES_MAX}", text.len())));
    }
    let mut parts = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let plain = rest.find(['{', '}']).unwrap_or(rest.len());
        if plain > 0 {
            parts.push(TemplatePart::Text(Arc::from(checked_text(&rest[..plain], at)?)));
            at += plain;
            continue;
        }
        if rest.starts_with('}') {
            return Err((at, "`}` without a `{` before it".into()));
        }
        let Some(end) = rest.find('}') else {
            return Err((at, "`{` is never closed by `}`".into()));
        };
        parts.push(part(&rest[1..end], place).map_err(|why| (at, why))?);
        at += end + 1;
    }
    Ok(Template(parts))
}

fn checked_text(text: &str, at: usize) -> Result<&str, (usize, String)> {
    match text.char_indices().find(|(_, c)| matches!(c, '+' | '#' | '$') || c.is_control()) {
        Some((offset, c)) => Err((at + offset, format!("{c:?} cannot be part of a name"))),
        None => Ok(text),
    }
}

fn part(name: &str, place: Place) -> Result<TemplatePart, String> {
    let refused = || format!("`{{{name}}}` is unknown here; allowed: {}", place.allowed().join(", "));
    if place == Place::Upstream {
        return Ok(TemplatePart::Event(match name {
            "gateway" => EventPart::Gateway,
            "severity" => EventPart::Severity,
            "sensor" => EventPart::Sensor,
            "type" => EventPart::Type,
            "alarm" => EventPart::Alarm,
            _ => return Err(refused()),
        }));
    }
    if let Some(path) = name.strip_prefix("payload.") {
        return match path {
            "" => Err("`{payload.PATH}` needs the path of a field, as in `{payload.device.id}`".into()),
            path => Ok(TemplatePart::Payload(path.to_owned())),
        };
    }
    if let Some(index) = name.strip_prefix("match[").and_then(|rest| rest.strip_suffix(']')) {
        return match index.parse::<usize>() {
            Ok(index) if index < MATCHES_MAX => Ok(TemplatePart::Match(index)),
            _ => Err(format!("`{{{name}}}`: a wildcard is a number from 0 (the first) to {}", MATCHES_MAX - 1)),
        };
    }
    let Some(level) = name.strip_prefix("topic") else {
        return Err(refused());
    };
    if place == (Place::Sensor { mqtt: false }) {
        return Err(format!("`{{{name}}}`: messages of a serial port have no topic"));
    }
    if level.is_empty() {
        return Ok(TemplatePart::Topic);
    }
    let Some(inner) = level.strip_prefix('[').and_then(|level| level.strip_suffix(']')) else {
        return Err(refused());
    };
    let (digits, onward) = inner.strip_suffix("..").map_or((inner, false), |digits| (digits, true));
    match digits.parse::<usize>() {
        Ok(level) if level <= LEVEL_MAX && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(if onward { TemplatePart::TopicFrom(level) } else { TemplatePart::TopicLevel(level) })
        }
        _ => Err(format!("`{{{name}}}`: a level is a number from 0 (the first) to {LEVEL_MAX}, as in `{{topic[1]}}`")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MQTT: Place = Place::Sensor { mqtt: true };

    #[test]
    fn texts_and_places_are_kept_in_order() {
        let Template(parts) = parse("tidegate/{gateway}/{severity}/{sensor}", Place::Upstream).unwrap();
        assert_eq!(parts.len(), 6);
        assert_eq!(parts[1], TemplatePart::Event(EventPart::Gateway));
        let Template(parts) = parse("{topic}{topic[0]}-{topic[12..]}{payload.a.b[0]}", MQTT).unwrap();
        assert_eq!(
            parts,
            [
                TemplatePart::Topic,
                TemplatePart::TopicLevel(0),
                TemplatePart::Text("-".into()),
                TemplatePart::TopicFrom(12),
                TemplatePart::Payload("a.b[0]".into())
            ]
        );
        assert_eq!(parse("", MQTT).unwrap(), Template(vec![]));
    }

    #[test]
    fn mistakes_are_told_with_their_position() {
        for (text, place, at, word) in [
            ("a/{topic", MQTT, 2, "never closed"),
            ("a/b}", MQTT, 3, "without"),
            ("x{sensor}", MQTT, 1, "allowed"),
            ("{topic[x]}", MQTT, 0, "number"),
            ("{topic[-1]}", MQTT, 0, "number"),
            ("{topic[+1]}", MQTT, 0, "number"),
            ("{topic[999]}", MQTT, 0, "number"),
            ("{topics}", MQTT, 0, "unknown"),
            ("{payload.}", MQTT, 0, "path"),
            ("{}", MQTT, 0, "unknown"),
            ("é/{topic[0]}", Place::Sensor { mqtt: false }, 3, "no topic"),
            ("t/{topic[0]}", Place::Upstream, 2, "{severity}"),
            ("a/+/b", Place::Upstream, 2, "'+'"),
            ("a/#", Place::Upstream, 2, "'#'"),
        ] {
            let (offset, why) = parse(text, place).unwrap_err();
            assert_eq!(offset, at, "{text}: {why}");
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
