//! Keeping delivered generations for a while: the audit trail.
//!
//! Owns `<store>/retained/` and the names in it.

use super::generation::{directory_name, parse_directory_name};

/// The directory below the store's path.
pub(super) const RETAINED: &str = "retained";

/// What a retained generation's name says, as `<first>-<through>-gen-<number>.<revision>`, the first two with 20
/// digits so that names sort as events do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetainedName {
    /// No event of it has a lower number.
    pub first: u64,
    /// Its events up to here are delivered. Others in it do not count: they live on in a newer generation, or were
    /// never acknowledged.
    pub through: u64,
    /// The generation.
    pub number: u64,
    /// Its revision.
    pub revision: u32,
}

impl RetainedName {
    /// Reads one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (first, rest) = name.split_once('-')?;
        let (through, generation) = rest.split_once('-')?;
        if first.len() != 20 || through.len() != 20 {
            return None;
        }
        let (number, revision) = parse_directory_name(generation)?;
        Some(Self { first: first.parse().ok()?, through: through.parse().ok()?, number, revision })
    }
}

impl std::fmt::Display for RetainedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:020}-{:020}-{}", self.first, self.through, directory_name(self.number, self.revision))
    }
}
