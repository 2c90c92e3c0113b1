//! Keeping delivered events for a while: the audit trail.
//!
//! Owns `<store>/retained/`, its names and its bounds. Part of [`Writer`]; read by [`super::history`].
//!
//! A sealed generation all of whose events are delivered moves here instead of being removed, once the mark that says
//! so is on stable storage. What was evicted never comes here. The move is one rename, synced before anything is
//! written that no longer lists the generation: a power cut leaves it in the queue, from where the next start moves it,
//! or here. It counts within the store's limit and is the first to go: for newer ones, for events that wait, for a full
//! disk. Nothing here is needed for anything but looking back, so dropping it is counted and not announced.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::generation::{directory_name, parse_directory_name};
use super::missing::Missing;
use super::place::create_dirs;
use super::quota::disk_bytes;
use super::recover::JUMP;
use super::removal::remove_dir;
use super::state::Entry;
use super::writer::Writer;
use super::{Fault, PreviousStop};

/// The directory below the store's path.
pub(super) const RETAINED: &str = "retained";

/// Most generations kept, by the bytes that may be kept: one for so many. A generation is usually sealed at 2 MiB and
/// more, but a disk that fails again and again leaves smaller ones, and each costs a reader a file to open.
const BYTES_EACH_MIN: u64 = 256 * 1024;

/// Fewest and most generations that may be kept whatever their size.
const COUNT: (u64, u64) = (16, 10_000);

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

/// One kept generation.
#[derive(Clone, Copy, Debug)]
struct Kept {
    name: RetainedName,
    bytes: u64,
}

/// What is kept.
#[derive(Debug)]
pub(super) struct Retained {
    dir: PathBuf,
    /// Oldest first.
    kept: VecDeque<Kept>,
    /// On disk, of all below the directory, whatever it is.
    bytes: u64,
}

impl Retained {
    /// Looks at what is there, and clears away what was being removed.
    pub(super) fn open(store: &Path) -> Self {
        let dir = store.join(RETAINED);
        let mut kept = Vec::new();
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("tmp-") {
                // Counted should it stay.
                let _ = fs::remove_dir_all(entry.path());
            } else if let Some(name) = RetainedName::parse(&name) {
                kept.push(Kept { name, bytes: disk_bytes(&entry.path()) });
            }
        }
        kept.sort_unstable_by_key(|kept| (kept.name.through, kept.name.number));
        let bytes = disk_bytes(&dir);
        Self { dir, kept: kept.into(), bytes }
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Moves a generation here.
    fn take(&mut self, queue: &Path, entry: &Entry, through: u64) -> Result<(), Fault> {
        let Entry { first, number, revision, .. } = *entry;
        let name = RetainedName { first, through, number, revision };
        let from = queue.join(directory_name(number, revision));
        let to = self.dir.join(name.to_string());
        let failed = |error: std::io::Error| Fault::io("keeping", &from, &error);
        let own_bytes = self.own_bytes();
        create_dirs(&self.dir).map_err(failed)?;
        if to.exists() {
            remove_dir(&self.dir, &name.to_string())?;
        }
        fs::rename(&from, &to).map_err(failed)?;
        let bytes = disk_bytes(&to);
        self.bytes += bytes + self.own_bytes().saturating_sub(own_bytes);
        self.kept.push_back(Kept { name, bytes });
        // First where it is, then where it is no longer.
        [self.dir.as_path(), queue].into_iter().try_for_each(|dir| File::open(dir)?.sync_all()).map_err(failed)
    }

    /// Removes the oldest. False when there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.kept.pop_front() else { return false };
        match remove_dir(&self.dir, &oldest.name.to_string()) {
            Ok(()) => self.bytes = self.bytes.saturating_sub(oldest.bytes),
            // It still counts.
            Err(fault) => {
                tracing::warn!(%fault, "delivered events that were kept cannot be removed; the next start tries again");
            }
        }
        true
    }

    fn own_bytes(&self) -> u64 {
        fs::symlink_metadata(&self.dir).map_or(0, |meta| meta.blocks() * 512)
    }
}

impl Writer {
    /// Whether delivered events are kept at the moment. A store or a disk that is full keeps none: what drains it must
    /// give room.
    pub(super) fn retains(&self) -> bool {
        self.config.retain_delivered > 0 && !self.is_full && !self.is_disk_full
    }

    /// Keeps a generation that left the catalogue, delivered and its mark on disk. False when it is not to be kept.
    pub(super) fn retain(&mut self, entry: &Entry) -> bool {
        if !self.retains() || entry.events() == 0 {
            return false;
        }
        self.ring.close(entry);
        let queue = self.ring.queue().to_owned();
        match self.retained.take(&queue, entry, entry.last.min(self.durable_delivered)) {
            Ok(()) => true,
            Err(fault) => {
                tracing::warn!(%fault, "delivered events cannot be kept");
                // Wherever the rename got to.
                !self.ring.dir(entry).exists()
            }
        }
    }

    /// Sees to the configured bounds.
    pub(super) fn bound_retained(&mut self) {
        let most = self.config.retain_delivered;
        let count = (most / BYTES_EACH_MIN).clamp(COUNT.0, COUNT.1);
        let is_beyond =
            |retained: &Retained| most == 0 || retained.bytes() > most || retained.kept.len() as u64 > count;
        while is_beyond(&self.retained) && self.drop_retained() {}
    }

    /// Drops the oldest generation that is kept: something else needs the room more. False when there is none.
    pub(super) fn drop_retained(&mut self) -> bool {
        let is_dropped = self.retained.drop_oldest();
        self.counters.retained_dropped.add(u64::from(is_dropped));
        is_dropped
    }

    /// The disk is full: drops as much as a new generation and the reserve need. False when nothing was kept.
    pub(super) fn give_up_retained(&mut self) -> bool {
        let before = self.retained.bytes();
        let wanted = self.limits.generation_bytes + 2 * self.limits.reserve_bytes;
        while before - self.retained.bytes() < wanted && self.drop_retained() {}
        self.retained.bytes() < before
    }

    /// At a start: compares what is kept with what the queue says.
    pub(super) fn check_retained(&mut self, previous_stop: PreviousStop) {
        let through = self.retained.kept.back().map_or(0, |kept| kept.name.through);
        if previous_stop == PreviousStop::First {
            // Of a queue that somebody removed: its numbers are given anew.
            while self.drop_retained() {}
        } else {
            // The mark may have been lost with a damaged generation.
            self.state.delivered = self.state.delivered.max(through);
        }
        if through >= self.state.next_sequence && previous_stop != PreviousStop::First {
            // All that told the counter is lost but this. The loss is announced by the start; here its range grows.
            self.announce(Missing { first: through + 1, last: through + JUMP, count: 0, whole: false }, "salvaged");
            self.state.next_sequence = through + JUMP + 1;
        }
        self.bound_retained();
    }
}
