//! What a start finds on disk, and what it makes of it.
//!
//! Owns the reading of a store left behind by any end: clean, killed, cut off, damaged, filled with foreign files.
//! Decides what counts and what is missing; changes nothing but rubbish (`tmp-` directories and generations that a
//! newer one has taken over) and mixed-up names, and in [`Mode::Look`] not even that. Which commits count is judged by
//! [`super::accept`]. It never refuses: the worst that can be found makes an empty store and a loss to announce.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::accept::{Accepted, Claim};
use super::dead::{decode_changes, decode_letters};
use super::dirs::{Dirs, Mode, Place};
use super::frame::{self, Header, kind};
use super::generation::{DIRECTORY_BYTES, directory_name};
use super::mark::Mark;
use super::missing::{Missing, missing_from};
use super::quota::disk_bytes;
use super::removal::remove_dir;
use super::scan::{is_unreadable, open_plain, scan};
use super::sealed::{Sealed, read_chunks};
use super::state::{Entry, State, decode_delivered};
use super::walk::{Walk, make_durable, walk};
use super::{Damaged, PreviousStop};
use crate::event::stored;

/// How far the counter jumps when nothing tells how many numbers were given out: more than a generation can hold.
pub(super) const JUMP: u64 = 1 << 20;

/// No event takes fewer bytes on disk than this: it has a 16-byte id that does not compress.
const EVENT_BYTES_MIN: u64 = 16;

/// A start's findings.
#[derive(Default)]
pub(super) struct Recovered {
    /// Alarm states, marks and dead letters. `next_sequence` is past everything given out.
    pub state: State,
    /// All generations that hold something, oldest first.
    pub sealed: VecDeque<Entry>,
    /// The next commit's number.
    pub next_commit: u64,
    /// How the last run ended.
    pub previous_stop: PreviousStop,
    /// What is missing, with the reason to announce.
    pub lost: Vec<(Missing, &'static str)>,
    /// The last run's newest generation.
    pub newest: Option<Newest>,
    /// Directories to set aside.
    pub set_aside: Vec<PathBuf>,
    /// What a person should know.
    pub findings: Vec<String>,
    /// Generations (number and revision) that were given back, of which only the name is left.
    removed: BTreeSet<(u64, u32)>,
    /// The highest number whose name is taken, also by what is none of ours.
    pub highest: u64,
    /// Directories' names of generations that are found under others; only by [`Mode::Look`].
    pub elsewhere: BTreeMap<u64, String>,
}

impl Recovered {
    /// Of a store that holds nothing.
    pub(super) fn nothing() -> Self {
        Self { state: State::fresh(), next_commit: 1, ..Self::default() }
    }
}

/// The generation that was being written when the last run ended; its entry is the last of `sealed`.
pub(super) struct Newest {
    /// Its events.
    pub frames: Sealed,
    /// Something of it is missing or broken: keep the directory for a person to look at.
    pub is_damaged: bool,
}

/// Reads the store in `queue`.
pub(super) fn recover(queue: &Path, mode: Mode) -> std::io::Result<Recovered> {
    let mut mark = queue.parent().and_then(Mark::read);
    let mut store = mark.map_or(0, |mark| mark.store);
    let mut findings = Vec::new();
    if mode == Mode::Act {
        // Names first: what is removed next has been replaced by what has one of them.
        make_durable(queue, File::open(queue), &mut findings);
    }
    let mut dirs = Dirs::list(queue, mode, &mut findings)?;
    let (mut out, mut walked) = walk(queue, mode, store, mark, dirs.places.clone());
    if walked.base.is_none()
        && walked.scanned.is_empty()
        && let Some(foreign) = walked.foreign
    {
        // Nothing is of the store that the mark names: the whole queue was put here from elsewhere.
        (store, mark) = (foreign, None);
        (out, walked) = walk(queue, mode, store, mark, dirs.places.clone());
    }
    let is_mixed_up = walked.is_mixed_up || walked.misses_one(&dirs, mark);
    // Whoever only looks cannot come back to it later, when the older ones are read.
    if (is_mixed_up || mode == Mode::Look) && dirs.realign(queue, store, mode, &mut findings) {
        (out, walked) = walk(queue, mode, store, mark, dirs.places.clone());
    }
    if dirs.places.is_empty() && mark.is_none() {
        out.previous_stop = PreviousStop::First;
    }
    let named = dirs.places.iter().filter(|(number, place)| place.name != directory_name(**number, place.revision));
    out.elsewhere = named.map(|(number, place)| (*number, place.name.clone())).collect();
    out.set_aside.extend(dirs.strange.iter().map(|name| queue.join(name)));
    findings.append(&mut out.findings);
    out.findings = findings;
    out.removed = dirs.removed;
    out.highest = dirs.highest.max(mark.map_or(0, |mark| mark.newest));
    rebuild(queue, mode, mark, out, dirs.places, walked)
}

/// Applies the sections of a frame that are not events.
pub(super) fn apply(state: &mut State, raw: &[u8]) -> Result<(), Damaged> {
    for section in frame::sections(raw) {
        let (kind, bytes) = section?;
        match kind {
            kind::RECORDS => {
                let records = stored::decode_records(bytes).map_err(|error| Damaged(error.to_string()))?;
                state.apply_records(&records);
            }
            kind::DELIVERED => state.delivered = state.delivered.max(decode_delivered(bytes)?),
            kind::DEAD => decode_letters(bytes)?.into_iter().for_each(|step| state.dead.apply(step, state.delivered)),
            kind::DEAD_CHANGES => {
                decode_changes(bytes)?.into_iter().for_each(|step| state.dead.apply(step, state.delivered));
            }
            _ => {}
        }
    }
    state.dead.trim(state.delivered);
    Ok(())
}

/// Puts together what was found: `places` are all generations' directories.
fn rebuild(
    queue: &Path,
    mode: Mode,
    mark: Option<Mark>,
    mut out: Recovered,
    places: BTreeMap<u64, Place>,
    walked: Walk,
) -> std::io::Result<Recovered> {
    let Walk { scanned, base, marker, newest: newest_number, is_broken, .. } = walked;
    let mut scanned = Vec::from(scanned);
    // A generation was begun that is not there any more: what it held, nobody knows.
    let is_gone = mark.is_some_and(|mark| newest_number.is_none_or(|newest| mark.newest > newest));
    let marker = marker.filter(|_| !is_gone).or_else(|| {
        let is_later = |mark: &Mark| newest_number.is_none_or(|newest| mark.newest >= newest);
        mark.filter(is_later).and_then(|mark| mark.as_clean())
    });
    if newest_number.is_some() || is_gone {
        out.previous_stop = if marker.is_some() { PreviousStop::Clean } else { PreviousStop::Unclean };
    }
    let has_newer = scanned.last().is_some_and(|this| this.scan.newer > 0);
    let is_damaged_newest = base.is_none() || scanned.len() > 1 || has_newer;
    if let Some(base) = &base {
        out.state.reset_to(&base.meta);
        if let Err(error) = apply(&mut out.state, &base.body) {
            out.findings.push(format!("part of the stored alarm states cannot be read: {}", error.0));
        }
    }
    if out.state.store == 0 {
        out.state.store = mark.map_or_else(|| fastrand::u64(1..), |mark| mark.store);
    }
    if let (Some(base), Some(first)) = (&base, scanned.first_mut()) {
        // Blocks of an older generation may have come into its file; their events are counted there. (A rewritten one
        // counts its commits anew.)
        let others = base.meta.catalogue.iter().filter(|entry| entry.number != first.number && entry.revision == 1);
        let before = others.map(|entry| entry.last_commit).filter(|&commit| commit != u64::MAX).max().unwrap_or(0);
        first.scan.chunks.retain(|found| found.header.commit > before);
    }
    // The catalogue against the directories, for the generations that need no scan.
    let catalogue = base.as_ref().map(|base| base.meta.catalogue.as_slice()).unwrap_or_default();
    let mut older = Vec::new();
    if let (Some(base), Some(first)) = (&base, scanned.first()) {
        let mut rest: BTreeMap<u64, Place> = places.into_iter().filter(|(number, _)| *number < first.number).collect();
        for entry in catalogue.iter().filter(|entry| entry.number != first.number) {
            older.push((*entry, rest.remove(&entry.number)));
        }
        let store = out.state.store;
        rest.iter().for_each(|(&number, place)| clear_away(queue, mode, number, &place.name, store, &mut out));
        debug_assert!(base.commit <= base.accepted.last);
    }

    // The frames that count, with their generation's state applied in order of commits.
    let mut spans = Vec::new();
    let mut entries = Vec::new();
    let mut newest = None;
    let mut last_commit = marker.map(|marker| marker.last_commit).max(mark.map(|mark| mark.last_commit)).unwrap_or(0);
    let mut has_holes = false;
    let mut broken_events = 0;
    let count = scanned.len();
    for (index, this) in scanned.into_iter().enumerate() {
        let is_base = index == 0 && base.is_some();
        let after = base.as_ref().map_or(0, |base| base.commit);
        // Only the generation that was being written can end in commits that were never acknowledged.
        let accepted = match &base {
            Some(base) if is_base && count == 1 && !is_broken && !is_gone => base.accepted,
            Some(base) if is_base && count == 1 => Accepted { last: u64::MAX, ..base.accepted },
            _ => Accepted { last: u64::MAX, has_holes: true },
        };
        has_holes |= accepted.has_holes;
        let is_newest = index + 1 == count;
        for run in this.scan.frames().filter(|run| run[0].header.commit <= accepted.last) {
            let header = run[0].header;
            let has_state = header.kinds & (kind::RECORDS | kind::DELIVERED | kind::DEAD | kind::DEAD_CHANGES) != 0;
            if has_state && !header.has(kind::CHECKPOINT) && header.commit > after {
                let applied = read_chunks(&this.file, run.iter().map(|found| found.offset))
                    .and_then(|(header, body)| frame::unpack(&header, body))
                    .and_then(|raw| apply(&mut out.state, &raw));
                if let Err(error) = applied {
                    out.findings.push(format!("part of the stored alarm states cannot be read: {}", error.0));
                }
            }
        }
        last_commit = this.scan.chunks.iter().map(|found| found.header.commit).fold(last_commit, u64::max);
        broken_events += this.scan.broken.iter().map(Header::events).sum::<u64>();
        let dir = this.dir;
        let sealed = Sealed::index((this.number, this.revision), this.file, &this.scan, accepted.last);
        let mut entry = Entry {
            number: this.number,
            revision: this.revision,
            first: u64::MAX,
            last: 0,
            counts: [0; 5],
            last_commit: accepted.last,
            bytes: disk_bytes(&dir).max(DIRECTORY_BYTES),
        };
        for (first, last, counts) in sealed.frames() {
            entry.include(counts, first, last);
            spans.push((first, last, counts.iter().map(|&count| u64::from(count)).sum::<u64>()));
        }
        if is_newest {
            let is_damaged = is_damaged_newest || accepted.has_holes;
            newest = Some((Newest { frames: sealed, is_damaged }, this.scan.bytes));
        }
        entries.push(entry);
    }

    // A mark moves on over what was set aside right after it.
    out.state.deliver(out.state.delivered);
    out.state.delivered = out.state.delivered.max(marker.map_or(0, |marker| marker.delivered));
    out.state.delivered = out.state.delivered.max(mark.map_or(0, |mark| mark.delivered));
    let delivered = out.state.delivered;
    let found_last = spans.iter().map(|span| span.1).max().unwrap_or(0);
    let known_next = out.state.next_sequence.max(found_last + 1).max(delivered + 1);
    let told_next = marker.map(|marker| marker.next_sequence).max(mark.map(|mark| mark.next_sequence));
    out.state.next_sequence = known_next.max(told_next.unwrap_or(0));
    out.next_commit = last_commit + 1;

    // Older generations: there as the catalogue says, or lost.
    for (entry, place) in older {
        match place {
            Some(place) if place.revision == entry.revision => out.sealed.push_back(entry),
            Some(Place { revision, name }) => {
                // Rewritten, and cut off before that was written down: see what it holds now.
                let dir = queue.join(name);
                let now = Entry { revision, last_commit: u64::MAX, ..entry };
                let opened = Sealed::open(&dir, &now, out.state.store);
                let sealed = opened.or_else(|_| Sealed::empty((entry.number, revision)))?;
                let missing = missing_from(&entry, entry.events(), &sealed, delivered);
                out.lost.extend(missing.map(|missing| (missing, "evicted")));
                let counts = sealed.counts();
                let bytes = disk_bytes(&dir);
                out.sealed.push_back(Entry { revision, counts, last_commit: u64::MAX, bytes, ..entry });
            }
            None if out.removed.contains(&(entry.number, entry.revision)) => {
                // Its name is the mark, but not for what is older, still there and not delivered.
                let delivered = out.state.delivered;
                if out.sealed.iter().all(|older| older.events() == 0 || older.last <= delivered) {
                    out.state.delivered = delivered.max(entry.last);
                }
            }
            None => {
                let gone = Sealed::empty((entry.number, entry.revision))?;
                if let Some(missing) = missing_from(&entry, entry.events(), &gone, delivered) {
                    let name = directory_name(entry.number, entry.revision);
                    out.findings.push(format!("{name} is gone, and {} events with it", missing.count));
                    out.lost.push((missing, "salvaged"));
                }
            }
        }
    }

    // The scanned ones: what their first checkpoint promised, and every number given out since.
    let reason = if is_broken { "quarantined" } else { "salvaged" };
    if let Some(base) = &base {
        let grown_from = base.origin.next_sequence;
        let own = base.origin.catalogue.last();
        if let Some(own) = own.filter(|own| own.events() > 0) {
            let found = spans.iter().filter(|span| span.1 < grown_from).map(|span| span.2).sum::<u64>();
            let wanted = own.events();
            if found < wanted && own.last > delivered {
                let first = own.first.max(delivered + 1);
                let count = (wanted - found).min(own.last + 1 - first);
                out.lost.push((Missing { first, last: own.last, count, whole: false }, reason));
            }
        }
        let end = out.state.next_sequence;
        out.lost.extend(gaps(&mut spans, grown_from, end, delivered).map(|missing| (missing, reason)));
    } else if newest_number.is_some() || is_gone {
        // No checkpoint at all. With the word of a clean stop or the mark the numbers are known; without them only what
        // lies between what was found.
        let is_told = told_next.is_some();
        let from = if is_told { 1 } else { spans.iter().map(|span| span.0).min().unwrap_or(u64::MAX) };
        let end = if is_told { out.state.next_sequence } else { found_last + 1 };
        out.lost.extend(gaps(&mut spans, from, end, delivered).map(|missing| (missing, reason)));
    }
    let tail_is_unknown = (base.is_none() && newest_number.is_some()) || count > 1 || is_broken || is_gone;
    if tail_is_unknown && marker.is_none() {
        // Nobody can tell which numbers were given out after the last one found, and without a checkpoint also not
        // which of those before had been delivered.
        let next = out.state.next_sequence;
        let scanned_bytes = newest.as_ref().map_or(0, |(_, bytes)| *bytes);
        let aside_bytes: u64 = out.set_aside.iter().map(|dir| disk_bytes(dir)).sum();
        let most = ((scanned_bytes + aside_bytes) / EVENT_BYTES_MIN).max(broken_events).min(JUMP);
        // The length of a file that is gone or was emptied bounds nothing.
        let is_unbounded = is_gone || (base.is_none() && told_next.is_none());
        let most = if is_unbounded { JUMP } else { most.max(1) };
        let first = if base.is_none() && told_next.is_none() { delivered + 1 } else { next };
        out.lost.push((Missing { first, last: next + JUMP - 1, count: most, whole: false }, reason));
        out.state.next_sequence += JUMP;
        out.findings
            .push(format!("the newest events cannot be read; sequence numbers go on from {}", out.state.next_sequence));
    }
    if is_gone {
        out.findings.push("the newest generation is gone from the store's directory".to_owned());
    }
    if has_holes {
        out.findings.push("the newest stored events are damaged; what can be read is kept".to_owned());
    }
    out.sealed.extend(entries);
    // The ring searches by numbers: one that holds nothing lies between its neighbours.
    let mut end = 0;
    for entry in &mut out.sealed {
        if entry.events() == 0 {
            (entry.first, entry.last) = (end + 1, end);
        }
        end = end.max(entry.last);
    }
    out.newest = newest.map(|(newest, _)| newest);
    Ok(out)
}

/// Removes a directory that the newest checkpoint does not list: it had taken it over. What is not ours, or cannot be
/// looked into, is set aside.
fn clear_away(queue: &Path, mode: Mode, number: u64, name: &str, store: u64, out: &mut Recovered) {
    let dir = queue.join(name);
    let claim = match open_plain(&dir.join("db")).and_then(|file| Ok((scan(&file)?, file))) {
        Ok((scan, file)) => Claim::of(&file, &scan),
        Err(error) if is_unreadable(&error) && error.kind() != std::io::ErrorKind::NotFound => {
            out.findings.push(format!("{}: {error}; set aside", dir.display()));
            out.set_aside.push(dir);
            return;
        }
        Err(_) => None,
    };
    if claim.is_some_and(|claim| !claim.is_of(store) || claim.number != number) {
        out.findings.push(format!("{}: belongs to another store or generation; set aside unchanged", dir.display()));
        out.set_aside.push(dir);
    } else if mode == Mode::Act
        && let Err(fault) = remove_dir(queue, name)
    {
        out.findings.push(fault.to_string());
    }
}

/// Numbers from `from` up to `end` (exclusive) that no span covers, as one range.
fn gaps(spans: &mut [(u64, u64, u64)], from: u64, end: u64, delivered: u64) -> Option<Missing> {
    spans.sort_unstable();
    let mut next = from.max(delivered + 1);
    let mut lost: Option<Missing> = None;
    let mut note = |first: u64, last: u64| {
        let count = last + 1 - first;
        match &mut lost {
            None => lost = Some(Missing { first, last, count, whole: true }),
            Some(lost) => {
                lost.whole &= lost.last + 1 == first;
                lost.last = last;
                lost.count += count;
            }
        }
    };
    for &(first, last, _) in spans.iter() {
        if first > next && next < end {
            note(next, first.min(end) - 1);
        }
        next = next.max(last + 1);
    }
    if next < end {
        note(next, end - 1);
    }
    lost
}
