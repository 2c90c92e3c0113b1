//! What the store remembers besides events: alarm states, the delivered mark, dead letters, and the catalogue.
//!
//! Owns these and, but for the dead letters' in [`super::dead`], their bytes in frames. Never does I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Damaged;
use super::dead::Letters;
use super::frame::{Frame, kind};
use crate::event::{AlarmRecord, stored};

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
}

/// All of it, in memory.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The next sequence number to give.
    pub next_sequence: u64,
    /// Everything up to here is done with.
    pub delivered: u64,
    records: BTreeMap<(Arc<str>, Arc<str>), Vec<u8>>,
    records_bytes: usize,
    /// The dead letters.
    pub dead: Letters,
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
        (self.records_bytes + self.dead.bytes() + 4096) as u64
    }

    /// Moves the delivered mark to `through`, and on over what follows it and is set aside.
    pub(super) fn deliver(&mut self, through: u64) {
        self.delivered = self.dead.settle(self.delivered.max(through));
    }

    /// Everything as one frame.
    pub(super) fn checkpoint(&self, meta: &Meta) -> Frame {
        let mut bytes = vec![CHECKPOINT_VERSION];
        ciborium::into_writer(meta, &mut bytes).expect("invariant: writing to memory does not fail");
        let mut frame = Frame { first: meta.next_sequence, ..Frame::default() };
        frame.add(kind::CHECKPOINT, &bytes);
        frame.add(kind::RECORDS, &stored::encode_records(&self.records()));
        self.dead.write(&mut frame);
        frame
    }

    /// Of a store that never held anything.
    pub(super) fn fresh() -> Self {
        Self { next_sequence: 1, ..Self::default() }
    }

    /// Takes the place of everything: what a checkpoint says.
    pub(super) fn reset_to(&mut self, meta: &Meta) {
        *self = Self { next_sequence: meta.next_sequence, delivered: meta.delivered, ..Self::default() };
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
