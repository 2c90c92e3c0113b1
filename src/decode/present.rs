//! What a message has in place of the fields that were expected, in words for people.
//!
//! Looked at only when a message is refused: nothing of this costs a message that is understood anything. Bounded: large
//! messages are not looked into, and only some names of them are told.

use std::collections::BTreeSet;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::carry::TextSeed;
use super::tree::Tree;
use crate::config::suggest::nearest;

/// Largest text looked into, bytes.
const LOOKED_INTO_BYTES_MAX: usize = 16 * 1024;

/// Names gathered; what was meant may be behind those that are told.
const NAMES_MAX: usize = 64;

/// Names told.
const TOLD_MAX: usize = 5;

/// Longest name told, characters.
const NAME_CHARS_MAX: usize = 40;

/// Names that a message has, in its order.
#[derive(Debug, Default)]
pub(super) struct Present(Vec<String>);

impl Present {
    fn add(&mut self, name: &str) {
        if self.0.len() < NAMES_MAX && !name.is_empty() {
            let name: String = name.chars().take(NAME_CHARS_MAX).flat_map(char::escape_debug).collect();
            if !self.0.contains(&name) {
                self.0.push(name);
            }
        }
    }

    /// The members of a JSON text that is an object.
    pub(super) fn of_json(text: &str) -> Self {
        let mut present = Self::default();
        if text.len() <= LOOKED_INTO_BYTES_MAX {
            // One that ends in the middle has been refused for that.
            let _ = serde_json::Deserializer::from_str(text).deserialize_map(Members(&mut present));
        }
        present
    }

    /// The members of a document that is an object.
    pub(super) fn of_tree(tree: &Tree) -> Self {
        let mut present = Self::default();
        if let Tree::Object(members) = tree {
            members.iter().take(NAMES_MAX).for_each(|(name, _)| present.add(name));
        }
        present
    }

    /// These.
    pub(super) fn of_names<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut present = Self::default();
        names.take(NAMES_MAX).for_each(|name| present.add(name));
        present
    }

    /// "; the message has Temperature (did you mean it?)", or nothing where it has no names.
    pub(super) fn told(&self, wanted: &[&str]) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        // `a.b` is looked for below `a`; whether that is there is all that is seen here.
        let first = |path: &&str| path.split(['.', '[']).next().unwrap_or_default().to_lowercase();
        let wanted: BTreeSet<String> = wanted.iter().take(NAMES_MAX).map(first).collect();
        let lower: Vec<String> = self.0.iter().map(|name| name.to_lowercase()).collect();
        let meant = wanted.iter().find_map(|wanted| {
            let near = nearest(wanted, lower.iter().map(String::as_str))?;
            lower.iter().position(|name| name == near).map(|at| self.0[at].as_str())
        });
        let mut shown: Vec<&str> = self.0.iter().take(TOLD_MAX).map(String::as_str).collect();
        if self.0.len() > TOLD_MAX {
            shown.push("..");
        }
        let meant = match meant {
            Some(name) if self.0.len() > 1 => format!(" (did you mean {name}?)"),
            Some(_) => " (did you mean it?)".to_owned(),
            None => String::new(),
        };
        format!("; the message has {}{meant}", shown.join(", "))
    }
}

struct Members<'p>(&'p mut Present);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(TextSeed)? {
            self.0.add(&name);
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
