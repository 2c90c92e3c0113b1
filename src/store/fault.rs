//! Going on over disk errors, and keeping what was damaged.
//!
//! Owns the pauses between attempts, the reserve's coming and going, and the quarantine. Part of [`Writer`].

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::quota::{self, Disk, Limits, disk_bytes};
use super::state::Entry;
use super::writer::Writer;
use super::{Cause, Fault};
use crate::event::EventsLost;
use crate::unit;

/// First and longest pause between attempts to write again after a fault.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Most directories kept in quarantine.
const QUARANTINE_MAX: usize = 4;

/// What is left of an empty quarantine.
const EMPTY_DIRECTORY_BYTES: u64 = 4096;

/// How often a full disk is looked at: that costs next to nothing, and readings wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Least free inodes at which a generation is begun: a directory with two files and a directory in it, and the mark of
/// a clean stop.
const GENERATION_INODES: u64 = 5;

/// Least free bytes at which a generation is begun, beside what its checkpoint takes.
const GENERATION_BYTES: u64 = 64 * 1024;

/// The time in the name of a quarantined directory.
fn number(entry: &fs::DirEntry) -> Option<i64> {
    entry.file_name().to_str()?.split('-').next()?.parse().ok()
}

impl Writer {
    /// After a fault sled is not trusted: what is synced is read without it, what is not stays in the group.
    pub(super) fn break_off(&mut self, fault: &Fault) {
        self.note(fault);
        self.ring.seal();
        self.has_stayed |= self.stay();
        self.announcements_out_of_group();
        match fault.cause {
            Cause::NoRoom => {
                // The reserve is for when there is nothing delivered left to give up.
                if !self.give_up_retained() {
                    self.reserve.release();
                }
                self.is_disk_full = true;
            }
            Cause::FileTooLarge => {
                // The limit may have been set while we run.
                self.limits = Limits::new(&self.config);
                self.is_disk_full = true;
            }
            Cause::ReadOnly | Cause::Other => {}
        }
        self.retry_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// Counts a fault and says it, once for as long as it has the same cause.
    pub(super) fn note(&mut self, fault: &Fault) {
        self.counters.store_errors.add(1);
        let text = self.in_words(fault);
        if self.fault.is_none() || self.fault_cause != fault.cause {
            let doing = fault.text.as_str();
            if doing == &*text {
                tracing::error!(fault = doing, "the store cannot write; what is stored is still served");
            } else {
                tracing::error!(fault = &*text, doing, "the store cannot write; what is stored is still served");
            }
        }
        self.fault_cause = fault.cause;
        self.fault = Some(text);
    }

    /// What is wrong and what to do about it, where that is known.
    fn in_words(&self, fault: &Fault) -> Arc<str> {
        let path = self.config.path.display();
        let text = match fault.cause {
            Cause::NoRoom if self.disk().is_some_and(|disk| disk.free_inodes < GENERATION_INODES) => format!(
                "the disk of {path} is full: it has room for data but for no more files (`df -i`); nothing more is taken \
                 until files are removed, what is stored is still delivered"
            ),
            Cause::NoRoom => format!(
                "the disk of {path} is full; nothing more is taken until there is room, what is stored is still \
                 delivered"
            ),
            Cause::FileTooLarge => format!(
                "no file may grow beyond {} bytes, which is too little for the store {path}; raise `LimitFSIZE=` of the \
                 service (`ulimit -f`), best to infinity; what is stored is still delivered",
                quota::file_bytes_max()
            ),
            Cause::ReadOnly => format!(
                "nothing can be written to the store {path}: {}; nothing more is taken until then, what is stored is \
                 still delivered",
                unit::read_only(&self.config.path)
            ),
            Cause::Other => return fault.text.as_str().into(),
        };
        text.into()
    }

    /// Tries to write again when it is time.
    pub(super) fn retry(&mut self) {
        if self.retry_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        if self.ring.newest.is_none() {
            // Others may have taken what was given up first.
            if self.fault_cause == Cause::NoRoom && self.is_hopeless() && !self.give_up_retained() {
                self.reserve.release();
            }
            // sled is not bothered for nothing: this may go on for days.
            if self.is_hopeless() {
                self.retry_at = Some(Instant::now() + LOOK_EVERY);
                return;
            }
            self.retry_at = None;
            let mut begun = self.begin_generation(None);
            if begun.is_ok() && std::mem::take(&mut self.has_stayed) {
                // What they take is wanted, for the reserve at least.
                begun = self.rotate(0).map(drop);
            }
            if let Err(fault) = begun {
                self.break_off(&fault);
                return;
            }
        }
        self.retry_at = None;
        self.keep_reserve();
    }

    /// Whether the disk itself says that nothing can be begun on it.
    fn is_hopeless(&self) -> bool {
        let Some(disk) = self.disk() else { return false };
        match self.fault_cause {
            Cause::NoRoom => {
                disk.free_bytes < GENERATION_BYTES + 2 * self.state.checkpoint_bytes()
                    || disk.free_inodes < GENERATION_INODES
            }
            Cause::ReadOnly => disk.is_read_only,
            Cause::FileTooLarge | Cause::Other => false,
        }
    }

    /// Makes the store's directories where that could not be done at the start.
    pub(super) fn take_place(&mut self) -> Result<(), Fault> {
        if self.lock.is_some() {
            return Ok(());
        }
        let lock = super::place::take(&self.config.path)?;
        if fs::read_dir(self.ring.queue()).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Fault::damaged("another process has stored events here meanwhile; start tidegate anew"));
        }
        self.lock = Some(lock);
        Ok(())
    }

    fn disk(&self) -> Option<Disk> {
        Disk::of(&self.config.path)
    }

    /// Gives back the oldest delivered generation on a disk where the mark that says so finds no room. Its name is left
    /// as that mark until a checkpoint is on stable storage. Never the last one: it has the newest checkpoint. Nor one of
    /// which something is still to be told: a start would find nothing missing where everything is said to be delivered.
    pub(super) fn let_delivered_go(&mut self) {
        if self.ring.newest.is_some() || self.fault_cause != Cause::NoRoom || self.ring.sealed.len() < 2 {
            return;
        }
        let delivered = self.state.delivered;
        let last = self.ring.sealed.len() - 1;
        let mut entries = self.ring.sealed.iter().take(last).take_while(|entry| entry.last <= delivered);
        let Some(index) = entries.position(|entry| !self.has_untold(entry)) else { return };
        if !self.is_hopeless() {
            return;
        }
        let entry = self.ring.sealed[index];
        match self.ring.hollow_out(&entry) {
            Ok(()) => {
                self.ring.sealed.remove(index);
                // Before somebody else takes the room.
                self.retry_at = Some(Instant::now());
            }
            Err(fault) => tracing::debug!(%fault, "a delivered generation cannot be removed"),
        }
    }

    /// Whether something of a generation is told by what waits for the disk: announcements, and letters.
    fn has_untold(&self, entry: &Entry) -> bool {
        let overlaps = |lost: &EventsLost| lost.first_sequence <= entry.last && entry.first <= lost.last_sequence;
        self.announcements.iter().any(overlaps) || self.kept.has_event_in(entry.first, entry.last)
    }

    /// Takes the reserve again, and new events with it.
    pub(super) fn keep_reserve(&mut self) {
        let mut filled = self.reserve.fill(self.limits.reserve_bytes);
        while filled.as_ref().is_err_and(|error| Cause::of(error) == Cause::NoRoom) && self.give_up_retained() {
            filled = self.reserve.fill(self.limits.reserve_bytes);
        }
        match filled {
            Err(error) if Cause::of(&error) == Cause::NoRoom => {
                self.is_disk_full = true;
                let doing = "the reserve cannot be taken back";
                self.note(&Fault { text: doing.to_owned(), cause: Cause::NoRoom });
                self.retry_at = Some(Instant::now() + LOOK_EVERY);
                return;
            }
            Ok(()) => {}
            // A file system that has no such thing: do without.
            Err(error) => tracing::debug!(%error, "no reserve file"),
        }
        self.is_disk_full = false;
        // What waits is the proof.
        if self.ring.newest.is_some() && !self.has_waiting() {
            self.say_well();
        }
    }

    /// Says that a fault is over.
    pub(super) fn say_well(&mut self) {
        if self.fault.take().is_some() {
            tracing::info!("the store can write again");
        }
    }

    /// Moves a directory aside.
    pub(super) fn quarantine(&mut self, dir: &Path) {
        let quarantine = self.config.path.join("quarantine");
        // Never before those that are there: the newest are kept, and the clock may say 1970.
        let newest = fs::read_dir(&quarantine).into_iter().flatten().flatten().filter_map(|entry| number(&entry)).max();
        let seconds = (self.clock.wall().as_millis() / 1_000).max(newest.unwrap_or(0));
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let to = quarantine.join(format!("{seconds:012}-{name}"));
        let moved = fs::create_dir_all(&quarantine).and_then(|()| fs::rename(dir, &to));
        // Another user's directory may be renamed where it is, and no further.
        let near = self.ring.queue().join(format!("aside-{seconds:012}-{name}"));
        let to = match moved {
            Ok(()) => Ok(to),
            Err(error) => fs::rename(dir, &near).map(|()| near).map_err(|_| error),
        };
        match &to {
            Ok(to) => tracing::warn!(directory = %to.display(), "set aside for a look"),
            Err(error) => tracing::warn!(directory = %dir.display(), %error, "cannot be set aside"),
        }
        for path in [&quarantine, &self.config.path, self.ring.queue()] {
            // Only the order of two renames after a power cut is at stake; start-up copes with either.
            let _ = File::open(path).and_then(|dir| dir.sync_all());
        }
        self.bound_quarantine(QUARANTINE_MAX, self.limits.quarantine_bytes, to.ok().as_deref());
    }

    /// Empties the quarantine: events need the room more. True when that made some.
    pub(super) fn empty_quarantine(&mut self) -> bool {
        let before = self.quarantine_bytes;
        if before > EMPTY_DIRECTORY_BYTES {
            self.bound_quarantine(0, 0, None);
        }
        self.quarantine_bytes < before
    }

    /// Removes the oldest by name. `latest` goes last: a clock that has not been set yet gives it the oldest name.
    fn bound_quarantine(&mut self, most: usize, bytes: u64, latest: Option<&Path>) {
        let quarantine = self.config.path.join("quarantine");
        let mut dirs: Vec<PathBuf> =
            fs::read_dir(&quarantine).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        dirs.sort_unstable_by(|a, b| (latest == Some(a), a).cmp(&(latest == Some(b), b)));
        let mut dirs = VecDeque::from(dirs);
        self.quarantine_bytes = disk_bytes(&quarantine);
        while dirs.len() > most || self.quarantine_bytes > bytes {
            let Some(dir) = dirs.pop_front() else { break };
            let _ = fs::remove_dir_all(&dir);
            self.quarantine_bytes = disk_bytes(&quarantine);
        }
    }
}
