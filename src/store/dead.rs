//! Dead letters: events that the upstream refuses, with what was tried; and their bytes in frames.
//!
//! Owns the letters in memory, their bounds, and which sequence numbers above the delivered mark are done with because
//! their event is or was a letter: such an event is never handed to the forwarder again as if it were new. Never does
//! I/O; what is written when is decided in [`super::set_aside`].
//!
//! A section of dead letters is `version u8, CBOR list of letters`; each takes the place of one with its number. A
//! section of changes is `version u8`, then `what u8, sequence u64` as often as there are any: 1 removed (delivered by
//! a retry, dropped, or purged while it waited and never a letter), 2 marked to be sent again. Sections count in the
//! order they stand in. In a checkpoint the removals are those of numbers above the delivered mark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Damaged;
use super::frame::{Frame, kind};
use super::handle::{ATTEMPTS_KEPT_MAX, DeadAttempt, DeadLetter};
use crate::clock::WallTime;
use crate::event::stored;

/// Most dead letters kept. They are there for a person to look at, who will not look at more.
pub(super) const DEAD_LETTERS_MAX: usize = 1_000;

/// The version of both sections.
const VERSION: u8 = 1;

/// A change: the letter is gone.
const REMOVED: u8 = 1;

/// A change: the letter is to be sent again.
const MARKED: u8 = 2;

/// Bytes of one change.
const CHANGE_BYTES: usize = 9;

/// What is to become of the letters, in order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A letter comes, or takes the place of the one with its number.
    Put {
        /// As it is from now on.
        letter: DeadLetter,
        /// Not there before.
        is_new: bool,
    },
    /// A letter goes.
    Remove(u64, Gone),
    /// A letter is to be sent again.
    Mark(u64),
}

/// Why a letter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The upstream has taken it after all.
    Delivered,
    /// An operator does not want it.
    Dropped,
    /// It was the oldest, and newer ones need its room.
    PushedOut,
    /// It never was a letter: an operator gave up an event that waited.
    Purged,
}

/// All letters.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// By sequence number, with their stored sizes.
    all: BTreeMap<u64, (DeadLetter, usize)>,
    bytes: usize,
    marked: u64,
    /// Numbers above the delivered mark that were letters.
    settled: BTreeSet<u64>,
}

impl Letters {
    /// In sequence order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &DeadLetter> {
        self.all.values().map(|(letter, _)| letter)
    }

    /// One of them.
    pub(super) fn get(&self, sequence: u64) -> Option<&DeadLetter> {
        self.all.get(&sequence).map(|(letter, _)| letter)
    }

    /// How many there are, and how many of them are to be sent again.
    pub(super) fn count(&self) -> (u64, u64) {
        (self.all.len() as u64, self.marked)
    }

    /// About how many bytes they take in a checkpoint before compression.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.settled.len() * CHANGE_BYTES
    }

    /// Whether the event is or was a letter: then only a retry sends it.
    pub(super) fn covers(&self, sequence: u64) -> bool {
        self.all.contains_key(&sequence) || self.settled.contains(&sequence)
    }

    /// Whether there is nothing that [`Self::covers`] could say yes to.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.settled.is_empty()
    }

    /// How many numbers above the delivered mark are done with and remembered one by one.
    pub(super) fn settled(&self) -> &BTreeSet<u64> {
        &self.settled
    }

    /// Takes back what was forgotten when the delivered mark moved, which it did not after all.
    pub(super) fn restore_settled(&mut self, settled: BTreeSet<u64>) {
        self.settled = settled;
    }

    /// How many numbers from `first` to `last` are covered.
    pub(super) fn covered_in(&self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        (self.all.range(first..=last).count() + self.settled.range(first..=last).count()) as u64
    }

    /// Takes a step. `delivered` is the delivered mark.
    pub(super) fn apply(&mut self, step: Step, delivered: u64) {
        match step {
            Step::Put { letter, .. } => self.put(letter, delivered),
            Step::Remove(sequence, _) => self.remove(sequence, delivered),
            Step::Mark(sequence) => {
                if let Some((letter, _)) = self.all.get_mut(&sequence).filter(|(letter, _)| !letter.retry) {
                    letter.retry = true;
                    self.marked += 1;
                }
            }
        }
    }

    fn put(&mut self, letter: DeadLetter, delivered: u64) {
        let sequence = letter.event.sequence;
        self.remove(sequence, delivered);
        self.settled.remove(&sequence);
        let bytes = stored_bytes(&letter);
        self.bytes += bytes;
        self.marked += u64::from(letter.retry);
        self.all.insert(sequence, (letter, bytes));
    }

    fn remove(&mut self, sequence: u64, delivered: u64) {
        if let Some((letter, bytes)) = self.all.remove(&sequence) {
            self.bytes -= bytes;
            self.marked -= u64::from(letter.retry);
        }
        if sequence > delivered {
            self.settled.insert(sequence);
        }
    }

    /// The numbers of the oldest letters that must go for the bounds to be kept after these steps.
    pub(super) fn too_many(&self, steps: &[Step], bytes_max: usize) -> Vec<u64> {
        if !steps.iter().any(|step| matches!(step, Step::Put { .. })) {
            return Vec::new();
        }
        let mut sizes: BTreeMap<u64, usize> =
            self.all.iter().map(|(&sequence, (_, bytes))| (sequence, *bytes)).collect();
        for step in steps {
            match step {
                Step::Put { letter, .. } => drop(sizes.insert(letter.event.sequence, stored_bytes(letter))),
                Step::Remove(sequence, _) => drop(sizes.remove(sequence)),
                Step::Mark(_) => {}
            }
        }
        let mut bytes: usize = sizes.values().sum();
        let mut gone = Vec::new();
        while sizes.len() > DEAD_LETTERS_MAX || (bytes > bytes_max && sizes.len() > 1) {
            let Some((sequence, size)) = sizes.pop_first() else { break };
            bytes -= size;
            gone.push(sequence);
        }
        gone
    }

    /// Keeps the bound on their number when they come from disk: earlier versions did not write down which went.
    pub(super) fn trim(&mut self, delivered: u64) {
        while self.all.len() > DEAD_LETTERS_MAX
            && let Some((&sequence, _)) = self.all.first_key_value()
        {
            self.remove(sequence, delivered);
        }
    }

    /// The delivered mark moved on over what follows it and is done with; what is below it is forgotten.
    pub(super) fn settle(&mut self, mut delivered: u64) -> u64 {
        while self.covers(delivered + 1) {
            delivered += 1;
        }
        self.settled = self.settled.split_off(&(delivered + 1));
        delivered
    }

    /// Notes that all letters are announced; returns those that were not. Letters stored by earlier versions are such.
    pub(super) fn take_unannounced(&mut self) -> Vec<Arc<crate::event::Event>> {
        let unannounced = self.all.values_mut().filter(|(letter, _)| !letter.announced);
        unannounced
            .map(|(letter, _)| {
                letter.announced = true;
                Arc::clone(&letter.event)
            })
            .collect()
    }

    /// Everything, for a checkpoint.
    pub(super) fn write(&self, frame: &mut Frame) {
        if !self.all.is_empty() {
            frame.add(kind::DEAD, &encode_letters(self.iter()));
        }
        if !self.settled.is_empty() {
            frame.add(kind::DEAD_CHANGES, &encode_changes(self.settled.iter().map(|&sequence| (REMOVED, sequence))));
        }
    }
}

/// About how many bytes a letter takes on disk before compression.
fn stored_bytes(letter: &DeadLetter) -> usize {
    let history: usize = letter.history.iter().map(|attempt| attempt.text.len() + ATTEMPT_OVERHEAD_BYTES).sum();
    stored::encode_events(std::slice::from_ref(&letter.event)).len() + letter.reason.len() + history
}

/// What an attempt takes beside its text, roughly.
const ATTEMPT_OVERHEAD_BYTES: usize = 24;

/// Writes steps as sections, in order.
pub(super) fn write_steps(steps: &[Step], frame: &mut Frame) {
    let is_put = |step: &Step| matches!(step, Step::Put { .. });
    for run in steps.chunk_by(|a, b| is_put(a) == is_put(b)) {
        if is_put(&run[0]) {
            let letters = run.iter().filter_map(|step| match step {
                Step::Put { letter, .. } => Some(letter),
                _ => None,
            });
            frame.add(kind::DEAD, &encode_letters(letters));
        } else {
            let changes = run.iter().filter_map(|step| match step {
                Step::Put { .. } => None,
                Step::Remove(sequence, _) => Some((REMOVED, *sequence)),
                Step::Mark(sequence) => Some((MARKED, *sequence)),
            });
            frame.add(kind::DEAD_CHANGES, &encode_changes(changes));
        }
    }
}

fn encode_changes(changes: impl Iterator<Item = (u8, u64)>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (what, sequence) in changes {
        bytes.push(what);
        bytes.extend_from_slice(&sequence.to_le_bytes());
    }
    bytes
}

/// Reads changes.
pub(super) fn decode_changes(bytes: &[u8]) -> Result<Vec<Step>, Damaged> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(Damaged("changes of dead letters of an unknown version".to_owned()));
    };
    let (changes, []) = rest.as_chunks::<CHANGE_BYTES>() else {
        return Err(Damaged("changes of dead letters are cut short".to_owned()));
    };
    let change = |&[what, a, b, c, d, e, f, g, h]: &[u8; CHANGE_BYTES]| {
        let sequence = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match what {
            REMOVED => Ok(Step::Remove(sequence, Gone::Dropped)),
            MARKED => Ok(Step::Mark(sequence)),
            _ => Err(Damaged(format!("an unknown change ({what}) of dead letter {sequence}"))),
        }
    };
    changes.iter().map(change).collect()
}

#[derive(Serialize, Deserialize)]
struct StoredDeadLetter {
    reason: String,
    attempts: u32,
    time: WallTime,
    #[serde(with = "bytes")]
    event: Vec<u8>,
    #[serde(default)]
    history: Vec<DeadAttempt>,
    #[serde(default)]
    retry: bool,
    /// Earlier versions did not announce dead letters, and have no such field.
    #[serde(default)]
    announced: bool,
}

fn encode_letters<'a>(letters: impl IntoIterator<Item = &'a DeadLetter>) -> Vec<u8> {
    let all: Vec<StoredDeadLetter> = letters
        .into_iter()
        .map(|letter| StoredDeadLetter {
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            time: letter.time,
            event: stored::encode_events(std::slice::from_ref(&letter.event)),
            history: letter.history.clone(),
            retry: letter.retry,
            announced: letter.announced,
        })
        .collect();
    let mut bytes = vec![VERSION];
    ciborium::into_writer(&all, &mut bytes).expect("invariant: writing to memory does not fail");
    bytes
}

/// Reads dead letters.
pub(super) fn decode_letters(bytes: &[u8]) -> Result<Vec<Step>, Damaged> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(Damaged("dead letters of an unknown version".to_owned()));
    };
    let all: Vec<StoredDeadLetter> =
        ciborium::from_reader(rest).map_err(|error| Damaged(format!("dead letters: {error}")))?;
    let mut steps = Vec::with_capacity(all.len());
    for mut letter in all {
        let events = stored::decode_events(&letter.event).map_err(|error| Damaged(error.to_string()))?;
        letter.history.truncate(ATTEMPTS_KEPT_MAX);
        steps.extend(events.into_iter().map(|event| Step::Put {
            letter: DeadLetter {
                event: Arc::new(event),
                reason: letter.reason.clone(),
                attempts: letter.attempts,
                time: letter.time,
                history: letter.history.clone(),
                retry: letter.retry,
                announced: letter.announced,
            },
            is_new: false,
        }));
    }
    Ok(steps)
}

/// CBOR byte strings for a `Vec<u8>`, which serde would write as a list of numbers.
mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
#[path = "dead_tests.rs"]
mod tests;
