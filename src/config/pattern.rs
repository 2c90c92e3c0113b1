//! MQTT patterns: over sensor names in alarms, over topics in subscriptions.
//!
//! Owns matching and the rules of a well-formed pattern. Pure; used by the engine on every new sensor.

use std::ops::Range;

use crate::config::model::{Decode, Format, Source, SourceKind, TemplatePart};
use crate::reading::own;

/// Longest pattern, bytes. Sensor names end at 192 bytes and topics in use are shorter than 256.
pub const PATTERN_BYTES_MAX: usize = 512;

/// Whether a name falls under a pattern: `+` stands for one level, a last `#` for that level and everything below it,
/// including nothing (`a/#` matches `a`).
///
/// ```
/// use tidegate::config::pattern::matches;
/// assert!(matches("zigbee/+/temperature", "zigbee/cold-store/temperature"));
/// assert!(!matches("zigbee/+", "zigbee/cold-store/temperature"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut levels = name.split('/');
    for wanted in pattern.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// What is wrong with a pattern: which bytes of it, and why.
pub type Fault = (Range<usize>, String);

/// Checks a pattern over sensor names.
///
/// # Errors
/// The bytes at fault and the reason.
pub fn check(pattern: &str) -> Result<(), Fault> {
    if pattern.is_empty() {
        return Err((0..0, "an empty pattern matches nothing".into()));
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err((0..pattern.len(), format!("{} bytes long; at most {PATTERN_BYTES_MAX}", pattern.len())));
    }
    let mut at = 0;
    let mut levels = pattern.split('/').peekable();
    while let Some(level) = levels.next() {
        let here = at..at + level.len();
        at = here.end + 1;
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err((here, "`#` stands only as the whole last level, as in `a/#`".into()));
        }
        if level.contains('+') && level != "+" {
            return Err((here, "`+` stands only for a whole level, as in `a/+/b`".into()));
        }
        if level.contains('*') {
            return Err((
                here,
                "`*` is no wildcard here: `+` stands for one level, a last `#` for all the rest".into(),
            ));
        }
        if level.chars().any(char::is_control) {
            return Err((here, "control characters cannot be part of a name".into()));
        }
    }
    Ok(())
}

/// Checks an MQTT topic filter; `$share/group/filter` is allowed.
///
/// # Errors
/// The bytes at fault and the reason.
pub fn check_filter(filter: &str) -> Result<(), Fault> {
    let Some(shared) = filter.strip_prefix("$share/") else {
        return check(filter);
    };
    match shared.split_once('/') {
        Some((group, rest)) if !group.is_empty() && !group.contains(['+', '#']) && !rest.is_empty() => {
            let skip = filter.len() - rest.len();
            check(rest).map_err(|(bytes, why)| (bytes.start + skip..bytes.end + skip, why))
        }
        _ => Err((0..filter.len(), "a shared subscription is written `$share/group/filter`".into())),
    }
}

/// The part of a filter that topics are compared with: without `$share/group/`.
pub fn without_share(filter: &str) -> &str {
    filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |(_, rest)| rest)
}

/// A level of the sensor names that a source can make.
enum Level<'a> {
    /// Exactly one of these.
    OneOf(Vec<&'a str>),
    /// Any single one.
    Any,
    /// None, one or more.
    Many,
}

/// The sensor names that a source can make, as far as its configuration tells.
pub struct Shape<'a>(Vec<Level<'a>>);

impl<'a> Shape<'a> {
    /// The names of a source's sensors.
    pub fn of(source: &'a Source) -> Self {
        let mut levels = vec![Level::OneOf(vec![&source.name])];
        if !source.further.is_empty() || names_itself(&source.decode) {
            levels.extend([Level::Many, Level::Any]);
            return Self(levels);
        }
        match &source.kind {
            SourceKind::Modbus(modbus) => {
                levels.push(Level::OneOf(modbus.units.iter().map(|unit| &*unit.name).collect()));
            }
            _ => device_levels(&source.decode, &mut levels),
        }
        levels.push(match quantities(source) {
            known if known.is_empty() => Level::Any,
            known => Level::OneOf(known),
        });
        Self(levels)
    }

    /// The names of the gateway's own readings.
    pub fn own() -> Self {
        Self(vec![Level::OneOf(vec![own::NAME]), Level::OneOf(own::QUANTITIES.to_vec())])
    }

    /// Whether one of them can fall under a pattern, given level by level.
    pub fn can_match(&self, pattern: &[&str]) -> bool {
        fits(pattern, &self.0)
    }
}

fn device_levels<'a>(decode: &'a Decode, shape: &mut Vec<Level<'a>>) {
    match decode.device.0.as_slice() {
        [] => {}
        [TemplatePart::Text(text)] => shape.extend(text.split('/').map(|level| Level::OneOf(vec![level]))),
        // No part of a name is empty, so a template that is filled in gives a level at least.
        _ => shape.extend([Level::Any, Level::Many]),
    }
}

/// Whether the payload makes the names.
fn names_itself(decode: &Decode) -> bool {
    matches!(decode.format, Format::Senml | Format::SparkplugB | Format::Homie | Format::Jq { .. } | Format::Skip)
}

/// The quantities a source is known to make; empty when it can make any.
pub fn quantities(source: &Source) -> Vec<&str> {
    let decode = &source.decode;
    if let SourceKind::Modbus(modbus) = &source.kind {
        let registers = modbus.units.iter().flat_map(|unit| &unit.registers);
        return registers.map(|register| &*register.field.quantity).collect();
    }
    let is_open = decode.reach.others || decode.fields.iter().any(|field| field.quantity.contains('{'));
    if is_open || names_itself(decode) {
        return vec![];
    }
    if !decode.fields.is_empty() {
        return decode.fields.iter().map(|field| &*field.quantity).collect();
    }
    match &decode.format {
        Format::Number { quantity } => match quantity.0.as_slice() {
            [TemplatePart::Text(text)] => vec![text],
            _ => vec![],
        },
        _ => vec![],
    }
}

/// Patterns and shapes are a handful of levels with at most one `Many`, so plain recursion is cheap and shallow.
fn fits(wanted: &[&str], shape: &[Level<'_>]) -> bool {
    match (wanted.split_first(), shape.split_first()) {
        (Some((&"#", _)), _) => true,
        (None, None) => true,
        (_, Some((Level::Many, below))) => {
            fits(wanted, below) || wanted.split_first().is_some_and(|(_, rest)| fits(rest, shape))
        }
        (Some((level, wanted)), Some((have, shape))) => {
            let here = match have {
                Level::OneOf(names) => *level == "+" || names.contains(level),
                Level::Any | Level::Many => true,
            };
            here && fits(wanted, shape)
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_itself_and_nothing_else() {
        assert!(matches("a/b/c", "a/b/c"));
        assert!(!matches("a/b/c", "a/b"));
        assert!(!matches("a/b", "a/b/c"));
        assert!(!matches("a/b", "a/B"));
        assert!(!matches("a", ""));
    }

    #[test]
    fn plus_stands_for_exactly_one_level_even_an_empty_one() {
        assert!(matches("+", "a"));
        assert!(matches("a/+/c", "a/b/c"));
        assert!(matches("a/+/c", "a//c"));
        assert!(matches("+/+", "/"));
        assert!(!matches("a/+", "a"));
        assert!(!matches("+", "a/b"));
    }

    #[test]
    fn hash_stands_for_its_parent_and_all_below() {
        assert!(matches("#", "a/b/c"));
        assert!(matches("a/#", "a"));
        assert!(matches("a/#", "a/b/c"));
        assert!(matches("+/b/#", "a/b"));
        assert!(!matches("a/#", "ab/c"));
    }

    #[test]
    fn misplaced_wildcards_are_refused_with_their_bytes() {
        assert_eq!(check("a/#/b").unwrap_err().0, 2..3);
        assert_eq!(check("a/b#").unwrap_err().0, 2..4);
        assert_eq!(check("a/+x/b").unwrap_err().0, 2..4);
        assert!(check("zigbee/*/t").unwrap_err().1.contains("`+`"));
        assert!(check("").is_err());
        assert!(check("a\u{0}b").is_err());
        assert!(check(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
        assert!(check("+/a b/°/#").is_ok());
    }

    #[test]
    fn a_shape_knows_which_patterns_it_can_satisfy() {
        let shape = |levels| Shape(levels);
        let fixed = shape(vec![Level::OneOf(vec!["boiler"]), Level::OneOf(vec!["t", "p"])]);
        let open = shape(vec![Level::OneOf(vec!["zigbee"]), Level::Many, Level::OneOf(vec!["t"])]);
        let can = |shape: &Shape<'_>, pattern: &str| shape.can_match(&pattern.split('/').collect::<Vec<_>>());
        for (pattern, in_fixed, in_open) in [
            ("#", true, true),
            ("boiler/t", true, false),
            ("boiler/x", false, false),
            ("boiler/+/t", false, false),
            ("boiler/t/#", true, false),
            ("+/+", true, true),
            ("zigbee/a/t", false, true),
            ("zigbee/a/b/t", false, true),
            ("zigbee/a/x", false, false),
            ("zigbee/t", false, true),
            ("zigbee", false, false),
        ] {
            assert_eq!(can(&fixed, pattern), in_fixed, "{pattern}");
            assert_eq!(can(&open, pattern), in_open, "{pattern}");
        }
    }

    #[test]
    fn shared_subscriptions_need_a_group_and_a_filter() {
        assert!(check_filter("$share/g/zigbee2mqtt/+").is_ok());
        assert!(check_filter("$SYS/#").is_ok());
        assert!(check_filter("$share/g").is_err());
        assert!(check_filter("$share//a").is_err());
        assert!(check_filter("$share/+/a").is_err());
        assert_eq!(check_filter("$share/g/a/b#").unwrap_err().0, 11..13);
        assert_eq!(without_share("$share/g/a/+"), "a/+");
        assert_eq!(without_share("a/+"), "a/+");
    }
}
