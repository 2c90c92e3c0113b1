//! When a kill is meant to fall, and where it fell.
//!
//! What the store's directory holds afterwards tells: a `tmp-gen-` is a generation in the making, one of a later revision
//! a generation being rewritten, a `tmp-removed-` one on its way out.

use std::path::Path;

/// The moment a kill is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Messages are being stored.
    Writing,
    /// Events are being delivered.
    Draining,
    /// A generation is full and the next is begun.
    Making,
    /// A generation leaves.
    Removing,
    /// The least severe events are taken out of a generation.
    Rewriting,
    /// It starts; several times in a row.
    Starting,
}

/// What the gateway was doing when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Starting,
    Writing,
    Draining,
}

/// What it left half done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    Nothing,
    Making,
    Rewriting,
    Removing,
}

impl Left {
    /// What a directory of generations shows.
    pub fn of(queue: &Path) -> Self {
        let names: Vec<String> = std::fs::read_dir(queue)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        let has = |is_meant: fn(&str) -> bool| names.iter().any(|name| is_meant(name));
        if has(is_copy) {
            Self::Rewriting
        } else if has(is_new) {
            Self::Making
        } else if has(is_removed) {
            Self::Removing
        } else {
            Self::Nothing
        }
    }
}

/// A generation in the making.
pub fn is_new(name: &str) -> bool {
    name.starts_with("tmp-gen-") && name.ends_with(".1")
}

/// A generation being rewritten.
pub fn is_copy(name: &str) -> bool {
    name.starts_with("tmp-gen-") && !name.ends_with(".1")
}

/// A generation on its way out.
pub fn is_removed(name: &str) -> bool {
    name.starts_with("tmp-removed-")
}
