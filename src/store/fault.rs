//! Going on over disk errors, and keeping what was damaged.
//!
//! Owns the pauses between attempts, the reserve's coming and going, and the quarantine. Part of [`Writer`].

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::quota::disk_bytes;
use super::writer::Writer;
use super::{Fault, is_full};

/// First and longest pause between attempts to write again after a fault.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Most directories kept in quarantine.
const QUARANTINE_MAX: usize = 4;

/// What is left of an empty quarantine.
const EMPTY_DIRECTORY_BYTES: u64 = 4096;

/// The time in the name of a quarantined directory.
fn number(entry: &fs::DirEntry) -> Option<i64> {
    entry.file_name().to_str()?.split('-').next()?.parse().ok()
}

impl Writer {
    /// After a fault sled is not trusted: what is synced is read without it, what is not stays in the group.
    pub(super) fn break_off(&mut self, fault: &Fault) {
        self.note(fault);
        self.ring.seal();
        if fault.is_full {
            // The reserve is for when there is nothing delivered left to give up.
            if !self.give_up_retained() {
                self.reserve.release();
            }
            self.is_disk_full = true;
        }
        self.retry_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// Counts a fault and says it once.
    pub(super) fn note(&mut self, fault: &Fault) {
        self.counters.store_errors.add(1);
        if self.fault.as_deref() != Some(&fault.text) {
            tracing::error!(%fault, "the store cannot write; what is stored is still served");
            self.fault = Some(fault.text.as_str().into());
        }
    }

    /// Tries to write again when it is time.
    pub(super) fn retry(&mut self) {
        if self.retry_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.retry_at = None;
        if self.ring.newest.is_none()
            && let Err(fault) = self.begin_generation(None)
        {
            self.break_off(&fault);
            return;
        }
        self.keep_reserve();
    }

    /// Takes the reserve again, and new events with it.
    pub(super) fn keep_reserve(&mut self) {
        let mut filled = self.reserve.fill(self.limits.reserve_bytes);
        while filled.as_ref().is_err_and(is_full) && self.give_up_retained() {
            filled = self.reserve.fill(self.limits.reserve_bytes);
        }
        match filled {
            Ok(()) => {
                self.is_disk_full = false;
                if self.ring.newest.is_some() && self.fault.take().is_some() {
                    tracing::info!("the store can write again");
                }
            }
            Err(error) if is_full(&error) => {
                self.is_disk_full = true;
                let fault = Fault {
                    text: format!(
                        "the disk of {} is full; nothing more is taken until there is room, what is stored is still \
                         delivered",
                        self.config.path.display()
                    ),
                    is_full: true,
                };
                self.note(&fault);
                self.retry_at = Some(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
            }
            // A file system that has no such thing: do without.
            Err(error) => {
                tracing::debug!(%error, "no reserve file");
                self.is_disk_full = false;
                if self.ring.newest.is_some() {
                    self.fault = None;
                }
            }
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
        match moved {
            Ok(()) => tracing::warn!(directory = %to.display(), "set aside for a look"),
            Err(error) => tracing::warn!(directory = %dir.display(), %error, "cannot be set aside"),
        }
        for path in [&quarantine, &self.config.path, self.ring.queue()] {
            // Only the order of two renames after a power cut is at stake; start-up copes with either.
            let _ = File::open(path).and_then(|dir| dir.sync_all());
        }
        self.bound_quarantine(QUARANTINE_MAX, self.limits.quarantine_bytes);
    }

    /// Empties the quarantine: events need the room more. True when that made some.
    pub(super) fn empty_quarantine(&mut self) -> bool {
        let before = self.quarantine_bytes;
        if before > EMPTY_DIRECTORY_BYTES {
            self.bound_quarantine(0, 0);
        }
        self.quarantine_bytes < before
    }

    fn bound_quarantine(&mut self, most: usize, bytes: u64) {
        let quarantine = self.config.path.join("quarantine");
        let mut dirs: Vec<PathBuf> =
            fs::read_dir(&quarantine).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        dirs.sort_unstable();
        let mut dirs = VecDeque::from(dirs);
        self.quarantine_bytes = disk_bytes(&quarantine);
        while dirs.len() > most || self.quarantine_bytes > bytes {
            let Some(dir) = dirs.pop_front() else { break };
            let _ = fs::remove_dir_all(&dir);
            self.quarantine_bytes = disk_bytes(&quarantine);
        }
    }
}
