//! The power cut itself: which of the changes that were not synced are on the disk nevertheless.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Inode, Names, Used, View, Volume};
use crate::content::{BLOCK_BYTES, pieces};

/// What a cut leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Nothing.
    Drop,
    /// Everything up to some write, in the order of writing.
    Prefix,
    /// The same, and a part of the write it stopped at.
    TornPrefix,
    /// Any of the 4 KiB blocks, each as it was at some time since the sync.
    Subset,
    /// The same, and of one of the blocks only a part.
    TornSubset,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Drop, Self::Prefix, Self::TornPrefix, Self::Subset, Self::TornSubset];
}

/// What a cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Bytes written and not synced.
    pub unsynced_bytes: u64,
    /// Of these, bytes on the disk nevertheless.
    pub kept_bytes: u64,
    /// Changes of names not on stable storage.
    pub names: u64,
}

impl Volume {
    /// Takes the power away: afterwards the volume holds what the disk held, and nothing is open.
    pub fn cut(&mut self, cut: Cut, rng: &mut fastrand::Rng) -> Lost {
        let changes = std::mem::take(&mut self.changes);
        let mut lost = Lost::default();
        for change in &changes {
            match change {
                Change::Write { bytes, .. } => lost.unsynced_bytes += bytes.len() as u64,
                change if change.inode().is_none() => lost.names += 1,
                _ => {}
            }
        }
        match cut {
            Cut::Drop => {}
            Cut::Prefix | Cut::TornPrefix => lost.kept_bytes = self.keep_prefix(changes, cut == Cut::TornPrefix, rng),
            Cut::Subset | Cut::TornSubset => lost.kept_bytes = self.keep_subset(changes, cut == Cut::TornSubset, rng),
        }
        for inode in self.inodes.values_mut() {
            inode.live = inode.durable.clone();
            inode.opens = 0;
        }
        self.transaction += 1;
        self.clear_away();
        // Whoever is left has a name: nothing is open.
        self.inodes.values_mut().for_each(|inode| inode.is_named = true);
        let blocks = self.inodes.values().map(Inode::blocks).sum();
        self.used = Used { blocks, most: self.used.most.max(blocks) };
        lost
    }

    /// Keeps the first so many changes, and a part of the next if `torn`. Gives the bytes kept.
    fn keep_prefix(&mut self, changes: Vec<Change>, torn: bool, rng: &mut fastrand::Rng) -> u64 {
        let mut kept = 0;
        // A torn one stops in the middle of some change.
        let count = rng.usize(..=changes.len().saturating_sub(usize::from(torn)));
        for (index, change) in changes.into_iter().enumerate() {
            if index > count || (index == count && !torn) {
                break;
            }
            match change {
                Change::Write { inode, offset, mut bytes } => {
                    if index == count {
                        bytes.truncate(rng.usize(..=bytes.len()));
                    }
                    kept += bytes.len() as u64;
                    self.apply(&Change::Write { inode, offset, bytes }, View::Durable);
                }
                change if index < count => self.apply(&change, View::Durable),
                _ => {}
            }
        }
        kept
    }

    /// Keeps any of the blocks. Gives the bytes kept.
    fn keep_subset(&mut self, changes: Vec<Change>, torn: bool, rng: &mut fastrand::Rng) -> u64 {
        // The journal keeps its order whatever happens to the files' blocks; without one each directory is on its own.
        let (names, mut data): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.inode().is_none());
        match self.names {
            Names::Journal => {
                let count = rng.usize(..=names.len());
                names[..count].iter().for_each(|change| self.apply(change, View::Durable));
            }
            Names::Strict => {
                let parents: BTreeSet<u64> = names.iter().flat_map(Change::parents).collect();
                self.changes = names;
                for parent in parents.into_iter().filter(|_| rng.bool()).collect::<Vec<_>>() {
                    self.sync_names(parent);
                }
                self.changes.clear();
            }
        }
        // Each block as it was after some of the writes to it; how likely a block is kept differs from cut to cut.
        let mut blocks: BTreeMap<(u64, u64), Vec<Change>> = BTreeMap::new();
        let mut sizes = Vec::new();
        for change in data.drain(..) {
            match change {
                Change::Write { inode, offset, bytes } => {
                    for (at, piece) in pieces(offset, &bytes) {
                        let piece = Change::Write { inode, offset: at, bytes: piece.to_vec() };
                        blocks.entry((inode, at / BLOCK_BYTES as u64)).or_default().push(piece);
                    }
                }
                change => sizes.push(change),
            }
        }
        // Lengths are set before bytes: no byte that is kept is cut off again.
        for change in sizes {
            if rng.bool() {
                self.apply(&change, View::Durable);
            }
        }
        let likelihood = rng.f64();
        let mut kept: Vec<Change> = Vec::new();
        for (_, writes) in blocks {
            if rng.f64() < likelihood {
                let count = if rng.bool() { writes.len() } else { rng.usize(..=writes.len()) };
                kept.extend(writes.into_iter().take(count));
            }
        }
        if torn
            && let Some(Change::Write { bytes, .. }) =
                (!kept.is_empty()).then(|| rng.usize(..kept.len())).map(|index| &mut kept[index])
        {
            bytes.truncate(rng.usize(..=bytes.len()));
        }
        let mut sum = 0;
        for change in kept {
            if let Change::Write { bytes, .. } = &change {
                sum += bytes.len() as u64;
            }
            self.apply(&change, View::Durable);
        }
        sum
    }
}
