//! The last refused input, with its bytes.
//!
//! Owns at most [`REFUSED_MAX`] entries of at most [`RAW_BYTES_MAX`] bytes each, some 40 KB in all. What is refused
//! again for the same reason at the same place takes the place of what was there and is counted, so that one babbling
//! device does not push out what the others did.

use std::collections::VecDeque;

use super::cut;
use crate::clock::BootTime;

/// Most entries.
pub const REFUSED_MAX: usize = 50;

/// Most bytes kept of a message: enough to see what it is.
pub const RAW_BYTES_MAX: usize = 256;

/// Longest topic and explanation kept, bytes.
const TEXT_BYTES_MAX: usize = 300;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedInput {
    /// The source's name.
    pub source: String,
    /// The MQTT topic.
    pub topic: Option<String>,
    /// The label of the reason.
    pub reason: &'static str,
    /// What is wrong with it, in words.
    pub what: String,
    /// The first bytes.
    pub raw: Vec<u8>,
    /// How many bytes there were.
    pub length: usize,
    /// How often, this one included.
    pub times: u64,
    /// The last time.
    pub at: BootTime,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Refused {
    /// Oldest first.
    entries: VecDeque<RefusedInput>,
    revision: u64,
}

impl Refused {
    /// Something was refused.
    pub fn note(
        &mut self,
        source: &str,
        topic: Option<&str>,
        reason: &'static str,
        what: &str,
        raw: &[u8],
        at: BootTime,
    ) {
        self.revision += 1;
        let topic = topic.map(|topic| cut(topic, TEXT_BYTES_MAX));
        let is_same =
            |entry: &RefusedInput| entry.source == source && entry.reason == reason && entry.topic.as_deref() == topic;
        // Newest first: a device that babbles is found at once.
        let found = self.entries.iter().rposition(is_same);
        let mut entry = match found.and_then(|index| self.entries.remove(index)) {
            Some(entry) => entry,
            None => {
                if self.entries.len() >= REFUSED_MAX {
                    self.entries.pop_front();
                }
                RefusedInput {
                    source: source.to_owned(),
                    topic: topic.map(str::to_owned),
                    reason,
                    what: String::new(),
                    raw: Vec::new(),
                    length: 0,
                    times: 0,
                    at,
                }
            }
        };
        entry.what.clear();
        entry.what.push_str(cut(what, TEXT_BYTES_MAX));
        entry.raw.clear();
        entry.raw.extend_from_slice(&raw[..raw.len().min(RAW_BYTES_MAX)]);
        entry.length = raw.len();
        entry.times += 1;
        entry.at = at;
        self.entries.push_back(entry);
    }

    /// All, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &RefusedInput> {
        self.entries.iter().rev()
    }

    /// Another after each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_babbling_device_does_not_push_out_the_others() {
        let mut refused = Refused::default();
        refused.note("quiet", Some("a/b"), "malformed", "no JSON", b"{", BootTime(1));
        for number in 0..10_000_u32 {
            refused.note("loud", Some("x"), "malformed", "no JSON", &number.to_be_bytes(), BootTime(2));
        }
        let all: Vec<_> = refused.iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].times, &all[0].raw[..]), (10_000, &9_999_u32.to_be_bytes()[..]));
        assert_eq!((&*all[1].source, all[1].times), ("quiet", 1));
    }

    #[test]
    fn entries_and_their_bytes_are_bounded() {
        let mut refused = Refused::default();
        let long = "ä".repeat(10_000);
        for number in 0..500 {
            refused.note("s", Some(&format!("{number}/{long}")), "too-long", &long, long.as_bytes(), BootTime(1));
        }
        assert_eq!(refused.iter().count(), REFUSED_MAX);
        for entry in refused.iter() {
            assert!(entry.raw.len() <= RAW_BYTES_MAX && entry.what.len() <= TEXT_BYTES_MAX);
            assert!(entry.topic.as_ref().is_some_and(|topic| topic.len() <= TEXT_BYTES_MAX));
            assert_eq!(entry.length, 20_000);
        }
        assert_eq!(refused.revision(), 500);
    }
}
