//! Which alarms watch which sensor: MQTT patterns over sensor names.
//!
//! Owns matching one pattern (`+` stands for one level, a final `#` for the rest, the parent included) and the index
//! that finds all patterns of a new sensor at once. Never checks that a pattern is well formed; the configuration has.

use std::collections::HashMap;

/// Whether an MQTT pattern matches a sensor's name. A name without wildcards matches itself only.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut levels = name.split('/');
    let mut wanted = pattern.split('/');
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(want), Some(level)) if want == level => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether a pattern is simply a sensor's name.
pub(super) fn is_exact(pattern: &str) -> bool {
    pattern.split('/').all(|level| level != "+" && level != "#")
}

/// All patterns as one tree of levels, so that a new sensor is matched without trying each alarm.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: HashMap<Box<str>, Index>,
    any: Option<Box<Index>>,
    here: Vec<u32>,
    rest: Vec<u32>,
}

impl Index {
    /// Adds a pattern that leads to `rule`.
    pub(super) fn insert(&mut self, pattern: &str, rule: u32) {
        let mut node = self;
        for level in pattern.split('/') {
            node = match level {
                "#" => {
                    node.rest.push(rule);
                    return;
                }
                "+" => node.any.get_or_insert_default(),
                level => node.exact.entry(level.into()).or_default(),
            };
        }
        node.here.push(rule);
    }

    /// All rules with a matching pattern, ascending, each once.
    pub(super) fn find(&self, name: &str) -> Vec<u32> {
        let mut found = Vec::new();
        self.collect(Some(name), &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Each node is reached by one path only, so the work is bounded by the tree, and the depth by the name's levels.
    fn collect(&self, name: Option<&str>, found: &mut Vec<u32>) {
        found.extend_from_slice(&self.rest);
        let Some(name) = name else {
            found.extend_from_slice(&self.here);
            return;
        };
        let (level, rest) = match name.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (name, None),
        };
        if let Some(next) = self.exact.get(level) {
            next.collect(rest, found);
        }
        if let Some(next) = &self.any {
            next.collect(rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 9] = ["a/b/c", "a/+/c", "a/#", "#", "+/+/+", "+", "a/b/#", "+/b/c", "a/b"];
    const NAMES: [&str; 7] = ["a/b/c", "a/x/c", "a", "a/b", "b", "x/b/c", "a/b/c/d"];

    #[test]
    fn plus_stands_for_exactly_one_level() {
        assert!(matches("zigbee/+/temperature", "zigbee/cold-store/temperature"));
        assert!(!matches("zigbee/+/temperature", "zigbee/temperature"));
        assert!(!matches("zigbee/+", "zigbee/a/b"));
    }

    #[test]
    fn hash_stands_for_the_rest_and_for_the_parent() {
        assert!(matches("boiler/#", "boiler/pump/pressure"));
        assert!(matches("boiler/#", "boiler"));
        assert!(!matches("boiler/#", "boilers/pump"));
    }

    #[test]
    fn a_plain_name_matches_only_itself() {
        assert!(matches("a/b", "a/b"));
        assert!(!matches("a/b", "a/b/c"));
        assert!(!matches("a/b/c", "a/b"));
        assert!(is_exact("a/b") && !is_exact("a/+") && !is_exact("#"));
    }

    #[test]
    fn the_index_finds_what_matching_each_pattern_finds() {
        let mut index = Index::default();
        for (rule, pattern) in PATTERNS.iter().enumerate() {
            index.insert(pattern, rule as u32);
            index.insert(pattern, rule as u32);
        }
        for name in NAMES {
            let each: Vec<u32> =
                (0..PATTERNS.len()).filter(|i| matches(PATTERNS[*i], name)).map(|i| i as u32).collect();
            assert_eq!(index.find(name), each, "{name}");
        }
    }
}
