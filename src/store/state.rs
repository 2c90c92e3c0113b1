//! What the store remembers besides events: alarm states, the delivered mark, dead letters, and the catalogue.
//!
//! Owns these and their bytes in frames. Never does I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Damaged;
use super::frame::{Frame, kind};
use super::handle::DeadLetter;
use crate::clock::WallTime;
use crate::event::{AlarmRecord, stored};

/// Most dead letters kept. They are there for a person to look at, who will not look at more.
pub(super) const DEAD_LETTERS_MAX: usize = 1_000;

/// The version of [`Meta`].
const CHECKPOINT_VERSION: u8 = 1;

/// One generation, as the catalogue knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number.
    pub number: u64,
    /// Grows when it is rewritten.
    pub revision: u32,
    /// First sequence number of its events (or that could have been).
    pub first: u64,
    /// Last sequence number of its events; below `first` when it has none.
    pub last: u64,
    /// Events by severity.
    pub counts: [u64; 5],
    /// The last commit in it that counts: later frames in its file were never acknowledged.
    pub last_commit: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Entry {
    /// Events in it.
    pub(super) fn events(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether it holds every number from its first to its last.
    pub(super) fn is_dense(&self) -> bool {
        self.events() == (self.last + 1).saturating_sub(self.first)
    }

    /// Counts a frame's events in.
    pub(super) fn include(&mut self, counts: [u8; 5], first: u64, last: u64) {
        if counts == [0; 5] {
            return;
        }
        if self.events() == 0 {
            self.first = first;
        }
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += u64::from(count);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredDeadLetter {
    reason: String,
    attempts: u32,
    time: WallTime,
    #[serde(with = "bytes")]
    event: Vec<u8>,
}

/// The fixed part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The next sequence number to give, after the commit the checkpoint belongs to.
    pub next_sequence: u64,
    /// The delivered mark.
    pub delivered: u64,
    /// The last commit of its generation's creation.
    pub created: u64,
    /// All generations there are, oldest first, the one it is written into last.
    pub catalogue: Vec<Entry>,
    /// The store it belongs to, see [`super::mark`]; 0 when it was written by a version that did not say it.
    #[serde(default)]
    pub store: u64,
}

/// All of it, in memory.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The next sequence number to give.
    pub next_sequence: u64,
    /// Everything up to here is done with.
    pub delivered: u64,
    /// The store's id; 0 while it has none.
    pub store: u64,
    records: BTreeMap<(Arc<str>, Arc<str>), Vec<u8>>,
    records_bytes: usize,
    /// With their stored sizes.
    dead: VecDeque<(DeadLetter, usize)>,
    dead_bytes: usize,
}

impl State {
    /// Applies alarm states: the last one of each alarm and sensor counts, an empty one forgets it.
    pub(super) fn apply_records(&mut self, records: &[AlarmRecord]) {
        for record in records {
            let key = (Arc::clone(&record.alarm), Arc::clone(&record.sensor));
            let size = |state: &[u8]| state.len() + record.alarm.len() + record.sensor.len() + RECORD_OVERHEAD_BYTES;
            let old = if record.state.is_empty() {
                self.records.remove(&key)
            } else {
                self.records_bytes += size(&record.state);
                self.records.insert(key, record.state.clone())
            };
            if let Some(old) = old {
                self.records_bytes -= size(&old);
            }
        }
    }

    /// All alarm states.
    pub(super) fn records(&self) -> Vec<AlarmRecord> {
        self.records
            .iter()
            .map(|((alarm, sensor), state)| AlarmRecord {
                alarm: Arc::clone(alarm),
                sensor: Arc::clone(sensor),
                state: state.clone(),
            })
            .collect()
    }

    /// About how many bytes a checkpoint takes before compression.
    pub(super) fn checkpoint_bytes(&self) -> u64 {
        (self.records_bytes + self.dead_bytes + 4096) as u64
    }

    /// The dead letters, oldest first.
    pub(super) fn dead(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter().map(|(letter, _)| letter)
    }

    /// Adds dead letters and drops the oldest beyond the bounds; returns what was dropped.
    pub(super) fn apply_dead(&mut self, letters: Vec<DeadLetter>, bytes_max: usize) -> Vec<DeadLetter> {
        for letter in letters {
            let bytes = stored::encode_events(std::slice::from_ref(&letter.event)).len() + letter.reason.len();
            self.dead_bytes += bytes;
            self.dead.push_back((letter, bytes));
        }
        let mut dropped = Vec::new();
        while self.dead.len() > DEAD_LETTERS_MAX || (self.dead_bytes > bytes_max && self.dead.len() > 1) {
            let Some((letter, bytes)) = self.dead.pop_front() else { break };
            self.dead_bytes -= bytes;
            dropped.push(letter);
        }
        dropped
    }

    /// Everything as one frame.
    pub(super) fn checkpoint(&self, meta: &Meta) -> Frame {
        let mut bytes = vec![CHECKPOINT_VERSION];
        ciborium::into_writer(meta, &mut bytes).expect("invariant: writing to memory does not fail");
        let mut frame = Frame { first: meta.next_sequence, ..Frame::default() };
        frame.add(kind::CHECKPOINT, &bytes);
        frame.add(kind::RECORDS, &stored::encode_records(&self.records()));
        if !self.dead.is_empty() {
            frame.add(kind::DEAD, &encode_dead(self.dead()));
        }
        frame
    }

    /// Of a store that never held anything.
    pub(super) fn fresh() -> Self {
        Self { next_sequence: 1, ..Self::default() }
    }

    /// Takes the place of everything: what a checkpoint says.
    pub(super) fn reset_to(&mut self, meta: &Meta) {
        *self =
            Self { next_sequence: meta.next_sequence, delivered: meta.delivered, store: meta.store, ..Self::default() };
    }
}

/// What a map entry and the encoding take beside the texts; a rough figure for deciding when to write a checkpoint.
const RECORD_OVERHEAD_BYTES: usize = 24;

/// Reads a checkpoint's fixed part.
pub(super) fn decode_meta(bytes: &[u8]) -> Result<Meta, Damaged> {
    match bytes.split_first() {
        Some((&CHECKPOINT_VERSION, rest)) => {
            ciborium::from_reader(rest).map_err(|error| Damaged(format!("checkpoint: {error}")))
        }
        Some((version, _)) => Err(Damaged(format!("checkpoint of version {version}, written by a later program"))),
        None => Err(Damaged("empty checkpoint".to_owned())),
    }
}

/// The bytes of a delivered mark.
pub(super) fn encode_delivered(through: u64) -> [u8; 8] {
    through.to_le_bytes()
}

/// Reads a delivered mark.
pub(super) fn decode_delivered(bytes: &[u8]) -> Result<u64, Damaged> {
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| Damaged("delivered mark of a wrong length".to_owned()))
}

/// The bytes of dead letters.
pub(super) fn encode_dead<'a>(letters: impl IntoIterator<Item = &'a DeadLetter>) -> Vec<u8> {
    let all: Vec<StoredDeadLetter> = letters
        .into_iter()
        .map(|letter| StoredDeadLetter {
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            time: letter.time,
            event: stored::encode_events(std::slice::from_ref(&letter.event)),
        })
        .collect();
    let mut bytes = vec![CHECKPOINT_VERSION];
    ciborium::into_writer(&all, &mut bytes).expect("invariant: writing to memory does not fail");
    bytes
}

/// Reads dead letters.
pub(super) fn decode_dead(bytes: &[u8]) -> Result<Vec<DeadLetter>, Damaged> {
    let Some((&CHECKPOINT_VERSION, rest)) = bytes.split_first() else {
        return Err(Damaged("dead letters of an unknown version".to_owned()));
    };
    let all: Vec<StoredDeadLetter> =
        ciborium::from_reader(rest).map_err(|error| Damaged(format!("dead letters: {error}")))?;
    let mut letters = Vec::with_capacity(all.len());
    for letter in all {
        let events = stored::decode_events(&letter.event).map_err(|error| Damaged(error.to_string()))?;
        letters.extend(events.into_iter().map(|event| DeadLetter {
            event: Arc::new(event),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            time: letter.time,
        }));
    }
    Ok(letters)
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
