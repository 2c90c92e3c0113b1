//! Which alarms watch which sensor: MQTT patterns over sensor names.
//!
//! Owns the index that finds all patterns of a new sensor at once, by the rules of [`crate::config::pattern`]. Never
//! checks that a pattern is well formed; the configuration has.

use std::collections::HashMap;

/// Whether a pattern is simply a sensor's name.
pub(super) fn is_exact(pattern: &str) -> bool {
    pattern.split('/').all(|level| level != "+" && level != "#")
}

/// All patterns, so that a new sensor is matched without trying each alarm: those that are simply a name by that name,
/// the others as a tree of levels.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A node of the tree takes ten times as much memory as an entry here, and names may be many.
    names: HashMap<Box<str>, Vec<u32>>,
    tree: Node,
}

#[derive(Debug, Default)]
struct Node {
    exact: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    here: Vec<u32>,
    rest: Vec<u32>,
}

impl Index {
    /// Adds a pattern that leads to `rule`.
    pub(super) fn insert(&mut self, pattern: &str, rule: u32) {
        if is_exact(pattern) {
            let rules = self.names.entry(pattern.into()).or_default();
            rules.reserve_exact(1);
            rules.push(rule);
            return;
        }
        let mut node = &mut self.tree;
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
        let mut found = self.names.get(name).cloned().unwrap_or_default();
        self.tree.collect(Some(name), &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Node {
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
    use crate::config::pattern::matches;

    const PATTERNS: [&str; 9] = ["a/b/c", "a/+/c", "a/#", "#", "+/+/+", "+", "a/b/#", "+/b/c", "a/b"];
    const NAMES: [&str; 7] = ["a/b/c", "a/x/c", "a", "a/b", "b", "x/b/c", "a/b/c/d"];

    #[test]
    fn only_a_pattern_without_wildcards_is_exact() {
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
