//! From the newest generation backwards to one that tells the state.
//!
//! Owns the order in which a start looks at generations, and which of them are not this store's. Part of
//! [`super::recover`], which makes the state of what is found.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::Path;

use super::accept::{Checkpoint, Claim, Scanned, last_checkpoint};
use super::clean::CleanMarker;
use super::dirs::{Dirs, Mode, Place};
use super::mark::Mark;
use super::recover::Recovered;
use super::scan::{open_plain, scan};
use super::state::Entry;

/// How many generations the mark may be behind: it is not synced, and a power cut takes what was written in the last
/// half minute.
const MARK_LAG_MAX: u64 = 64;

/// What the walk from the newest generation backwards has found.
#[derive(Default)]
pub(super) struct Walk {
    /// From the one with the checkpoint on, oldest first.
    pub(super) scanned: VecDeque<Scanned>,
    pub(super) base: Option<Checkpoint>,
    /// Of the newest generation of this store.
    pub(super) marker: Option<CleanMarker>,
    /// The newest generation of this store that is there.
    pub(super) newest: Option<u64>,
    /// Something of this store had to be set aside, or cannot be read.
    pub(super) is_broken: bool,
    /// Files of other stores were found and passed over; the id of the newest.
    pub(super) foreign: Option<u64>,
    /// Some file says it is another generation of this store.
    pub(super) is_mixed_up: bool,
}

/// From the newest generation backwards to one that tells the state.
pub(super) fn walk(
    queue: &Path,
    mode: Mode,
    store: u64,
    mark: Option<Mark>,
    mut places: BTreeMap<u64, Place>,
) -> (Recovered, Walk) {
    let mut out = Recovered::nothing();
    let mut walk = Walk::default();
    while let Some((number, place)) = places.pop_last() {
        let dir = queue.join(&place.name);
        let db = dir.join("db");
        let is_clean = walk.newest.map_or_else(|| CleanMarker::read(&dir).is_some(), |_| walk.marker.is_some());
        if mode == Mode::Act && !is_clean {
            make_durable(&db, open_plain(&db), &mut out.findings);
        }
        let opened = open_plain(&db).and_then(|file| Ok((scan(&file)?, file)));
        let (scan, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                out.findings.push(format!("{}: {error}; set aside", dir.display()));
                // Far beyond anything the store has begun it is no loss of ours.
                if mark.is_none_or(|mark| number <= mark.newest + MARK_LAG_MAX) {
                    walk.see(number, &dir);
                    walk.is_broken = true;
                }
                out.set_aside.push(dir);
                continue;
            }
        };
        let claim = Claim::of(&file, &scan);
        if let Some(claim) = claim.filter(|claim| !claim.is_of(store)) {
            out.findings.push(format!("{}: belongs to another store; set aside unchanged", dir.display()));
            walk.foreign.get_or_insert(claim.store);
            out.set_aside.push(dir);
            continue;
        }
        if claim.is_some_and(|claim| claim.number != number) {
            out.findings.push(format!("{}: holds a copy of another generation; set aside unchanged", dir.display()));
            walk.is_mixed_up = true;
            walk.see(number, &dir);
            walk.is_broken = true;
            out.set_aside.push(dir);
            continue;
        }
        walk.see(number, &dir);
        if scan.newer > 0 {
            let what = if scan.chunks.is_empty() { "set aside unchanged" } else { "what can be read is kept" };
            out.findings.push(format!(
                "{}: holds {} records written by a later version of this program, which this one cannot read; {what}",
                dir.display(),
                scan.newer
            ));
            walk.is_broken = true;
            if scan.chunks.is_empty() {
                out.set_aside.push(dir);
                continue;
            }
        }
        let this = Scanned { number, revision: place.revision, dir, file, scan };
        let marker = walk.marker.filter(|_| walk.newest == Some(number));
        let synced = mark.filter(|mark| mark.newest == number).map_or(0, |mark| mark.last_commit);
        let synced = marker.map_or(0, |marker| marker.last_commit).max(synced);
        let found = last_checkpoint(&this, synced);
        walk.scanned.push_front(this);
        if found.is_some() {
            walk.base = found;
            break;
        }
    }
    (out, walk)
}

/// Syncs a file or directory that a killed process may have left to the kernel's memory: what is found there is about to
/// count, be sent and be built upon, and must not be gone after a power cut. What cannot be opened is told elsewhere.
pub(super) fn make_durable(path: &Path, opened: std::io::Result<File>, findings: &mut Vec<String>) {
    if let Ok(file) = opened
        && let Err(error) = file.sync_all()
    {
        findings.push(format!("{}: what the last run left cannot be synced: {error}", path.display()));
    }
}

impl Walk {
    /// Whether a generation that has something to deliver is broken or gone, as far as a start sees it. Its file may
    /// stand in another's place.
    pub(super) fn misses_one(&self, dirs: &Dirs, mark: Option<Mark>) -> bool {
        let (Some(base), Some(first), 1) = (&self.base, self.scanned.front(), self.scanned.len()) else { return true };
        let is_newest_gone = |mark: Mark| self.newest.is_none_or(|newest| newest < mark.newest);
        let told = self.marker.as_ref().map(|marker| marker.delivered).max(mark.map(|mark| mark.delivered));
        let delivered = told.unwrap_or(0).max(base.meta.delivered);
        let is_missed = |entry: &Entry| {
            entry.number != first.number
                && entry.last > delivered
                && !dirs.places.contains_key(&entry.number)
                && !dirs.removed.contains(&(entry.number, entry.revision))
        };
        self.is_broken || mark.is_some_and(is_newest_gone) || base.meta.catalogue.iter().any(is_missed)
    }

    /// Notes a generation of this store; the first is the newest.
    fn see(&mut self, number: u64, dir: &Path) {
        if self.newest.is_none() {
            self.newest = Some(number);
            self.marker = CleanMarker::read(dir);
        }
    }
}
