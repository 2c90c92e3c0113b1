//! What a start finds on disk, and what it makes of it.
//!
//! Owns the reading of a store left behind by any end: clean, killed, cut off, damaged, filled with foreign files.
//! Decides what counts and what is missing; changes nothing but rubbish (`tmp-` directories and generations that a
//! newer one has taken over); which commits count is judged by [`super::accept`]. It never refuses: the worst that can be found makes an empty store and a loss to announce.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::accept::{Accepted, Checkpoint, Scanned, last_checkpoint};
use super::clean::CleanMarker;
use super::dead::{decode_changes, decode_letters};
use super::frame::{self, Header, kind};
use super::generation::{DIRECTORY_BYTES, directory_name, parse_directory_name};
use super::quota::disk_bytes;
use super::ring::{Missing, REMOVED, empty_dir, missing_from, remove_dir};
use super::scan::scan;
use super::sealed::{Sealed, read_chunks};
use super::state::{Entry, State, decode_delivered};
use super::{Damaged, PreviousStop};
use crate::event::stored;

/// How far the counter jumps when nothing tells how many numbers were given out: more than a generation can hold.
pub(super) const JUMP: u64 = 1 << 20;

/// No event takes fewer bytes on disk than this: it has a 16-byte id that does not compress.
const EVENT_BYTES_MIN: u64 = 16;

/// A start's findings.
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
}

impl Recovered {
    /// Of a store that holds nothing.
    pub(super) fn nothing() -> Self {
        Self {
            state: State::fresh(),
            sealed: VecDeque::new(),
            next_commit: 1,
            previous_stop: PreviousStop::First,
            lost: Vec::new(),
            newest: None,
            set_aside: Vec::new(),
            findings: Vec::new(),
            removed: BTreeSet::new(),
        }
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
pub(super) fn recover(queue: &Path) -> std::io::Result<Recovered> {
    let mut out = Recovered::nothing();
    // Names first: what is removed next has been replaced by what has one of them.
    make_durable(queue, &mut out.findings);
    let mut dirs = list(queue, &mut out)?;
    let Some((&newest_number, &newest_revision)) = dirs.last_key_value() else { return Ok(out) };
    let marker = CleanMarker::read(&queue.join(directory_name(newest_number, newest_revision)));
    out.previous_stop = if marker.is_some() { PreviousStop::Clean } else { PreviousStop::Unclean };

    // From the newest backwards to one that tells the state.
    let mut scanned = VecDeque::new();
    let mut base = None;
    while let Some((number, revision)) = dirs.pop_last() {
        let dir = queue.join(directory_name(number, revision));
        if marker.is_none() {
            make_durable(&dir.join("db"), &mut out.findings);
        }
        let opened = File::open(dir.join("db")).and_then(|file| Ok((scan(&file)?, file)));
        let (scan, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                out.findings.push(format!("{}: {error}; set aside", dir.display()));
                out.set_aside.push(dir);
                continue;
            }
        };
        if scan.newer > 0 {
            out.findings.push(format!(
                "{}: holds {} frames written by a later version of this program, which this one cannot read; set aside \
                 unchanged",
                dir.display(),
                scan.newer
            ));
            out.set_aside.push(dir);
            continue;
        }
        let this = Scanned { number, revision, file, scan };
        let found = last_checkpoint(&this, marker.filter(|_| scanned.is_empty() && number == newest_number));
        scanned.push_front(this);
        if found.is_some() {
            base = found;
            break;
        }
    }
    let set_aside_newest =
        out.set_aside.iter().any(|dir| dir.ends_with(directory_name(newest_number, newest_revision)));
    rebuild(queue, out, dirs, scanned.into(), base, marker.filter(|_| !set_aside_newest))
}

/// Syncs a file or directory that a killed process may have left to the kernel's memory: what is found there is about to
/// count, be sent and be built upon, and must not be gone after a power cut.
fn make_durable(path: &Path, findings: &mut Vec<String>) {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            findings.push(format!("{}: what the last run left cannot be synced: {error}", path.display()));
        }
        _ => {}
    }
}

/// The generations' directories: the highest revision of each number. Clears away rubbish.
fn list(queue: &Path, out: &mut Recovered) -> std::io::Result<BTreeMap<u64, u32>> {
    let mut dirs = BTreeMap::new();
    for entry in fs::read_dir(queue)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(removed) = name.strip_prefix(REMOVED).and_then(parse_directory_name) {
            // Its name may be the only sign that it was delivered; the next checkpoint tells, then it goes.
            empty_dir(&entry.path());
            out.removed.insert(removed);
            continue;
        }
        if name.starts_with("tmp-") {
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                out.findings.push(format!("{}: left over and cannot be removed: {error}", entry.path().display()));
            }
            continue;
        }
        let Some((number, revision)) = parse_directory_name(&name).filter(|_| entry.path().is_dir()) else {
            out.findings.push(format!("{}: not one of our files; ignored", entry.path().display()));
            continue;
        };
        let best = dirs.entry(number).or_insert(revision);
        let older = revision.min(*best);
        if revision != *best {
            // The higher revision got its name only when it was complete.
            *best = revision.max(*best);
            if let Err(fault) = remove_dir(queue, &directory_name(number, older)) {
                out.findings.push(fault.to_string());
            }
        }
    }
    Ok(dirs)
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

/// Puts together what was scanned: `rest` are the older directories, not scanned; `scanned` from the one with the
/// checkpoint on, oldest first.
fn rebuild(
    queue: &Path,
    mut out: Recovered,
    mut rest: BTreeMap<u64, u32>,
    scanned: Vec<Scanned>,
    base: Option<Checkpoint>,
    marker: Option<CleanMarker>,
) -> std::io::Result<Recovered> {
    let is_damaged_newest = base.is_none() || scanned.len() > 1;
    if let Some(base) = &base {
        out.state.reset_to(&base.meta);
        if let Err(error) = apply(&mut out.state, &base.body) {
            out.findings.push(format!("part of the stored alarm states cannot be read: {}", error.0));
        }
    }
    // The catalogue against the directories, for the generations that need no scan.
    let catalogue = base.as_ref().map(|base| base.meta.catalogue.as_slice()).unwrap_or_default();
    let mut older = Vec::new();
    if let (Some(base), Some(first)) = (&base, scanned.first()) {
        for entry in catalogue.iter().filter(|entry| entry.number != first.number) {
            older.push((*entry, rest.remove(&entry.number)));
        }
        // What the newest checkpoint does not list had been taken over by it.
        for (number, revision) in std::mem::take(&mut rest) {
            if let Err(fault) = remove_dir(queue, &directory_name(number, revision)) {
                out.findings.push(fault.to_string());
            }
        }
        debug_assert!(base.commit <= base.accepted.last);
    }

    // The frames that count, with their generation's state applied in order of commits.
    let mut spans = Vec::new();
    let mut entries = Vec::new();
    let mut newest = None;
    let mut last_commit = marker.map_or(0, |marker| marker.last_commit);
    let mut has_holes = false;
    let mut broken_events = 0;
    let count = scanned.len();
    for (index, this) in scanned.into_iter().enumerate() {
        let is_base = index == 0 && base.is_some();
        let after = base.as_ref().map_or(0, |base| base.commit);
        // Only the generation that was being written can end in commits that were never acknowledged.
        let accepted = match &base {
            Some(base) if is_base && count == 1 => base.accepted,
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
        let dir = queue.join(directory_name(this.number, this.revision));
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
        if entry.events() == 0 {
            (entry.first, entry.last) = (1, 0);
        }
        if is_newest {
            let is_damaged = is_damaged_newest || accepted.has_holes;
            newest = Some((Newest { frames: sealed, is_damaged }, this.scan.bytes));
        }
        entries.push(entry);
    }

    // A mark moves on over what was set aside right after it.
    out.state.deliver(out.state.delivered);
    let delivered = out.state.delivered;
    let found_last = spans.iter().map(|span| span.1).max().unwrap_or(0);
    let known_next = out.state.next_sequence.max(found_last + 1).max(delivered + 1);
    out.state.next_sequence = known_next.max(marker.map_or(0, |marker| marker.next_sequence));
    out.next_commit = last_commit + 1;

    // Older generations: there as the catalogue says, or lost.
    for (entry, revision) in older {
        match revision {
            Some(revision) if revision == entry.revision => out.sealed.push_back(entry),
            Some(revision) => {
                // Rewritten, and cut off before that was written down: see what it holds now.
                let dir = queue.join(directory_name(entry.number, revision));
                let opened = Sealed::open(&dir, (entry.number, revision), u64::MAX);
                let sealed = opened.or_else(|_| Sealed::empty((entry.number, revision)))?;
                let missing = missing_from(&entry, entry.events(), &sealed, delivered);
                out.lost.extend(missing.map(|missing| (missing, "evicted")));
                let counts = sealed.counts();
                let bytes = disk_bytes(&dir);
                out.sealed.push_back(Entry { revision, counts, last_commit: u64::MAX, bytes, ..entry });
            }
            None if out.removed.contains(&(entry.number, entry.revision)) => {
                out.state.delivered = out.state.delivered.max(entry.last);
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
    if let Some(base) = &base {
        let grown_from = base.origin.next_sequence;
        let own = base.origin.catalogue.last();
        if let Some(own) = own.filter(|own| own.events() > 0) {
            let found = spans.iter().filter(|span| span.1 < grown_from).map(|span| span.2).sum::<u64>();
            let wanted = own.events();
            if found < wanted && own.last > delivered {
                let first = own.first.max(delivered + 1);
                let count = (wanted - found).min(own.last + 1 - first);
                out.lost.push((Missing { first, last: own.last, count, whole: false }, "salvaged"));
            }
        }
        let end = out.state.next_sequence;
        out.lost.extend(gaps(&mut spans, grown_from, end, delivered).map(|missing| (missing, "salvaged")));
    }
    let tail_is_unknown = base.is_none() || count > 1 || !out.set_aside.is_empty();
    if tail_is_unknown && marker.is_none() {
        // Nobody can tell which numbers were given out after the last one found.
        let next = out.state.next_sequence;
        let scanned_bytes = newest.as_ref().map_or(0, |(_, bytes)| *bytes);
        let aside_bytes: u64 = out.set_aside.iter().map(|dir| disk_bytes(dir)).sum();
        let most = ((scanned_bytes + aside_bytes) / EVENT_BYTES_MIN).max(broken_events).min(JUMP);
        let missing = Missing { first: next, last: next + JUMP - 1, count: most, whole: false };
        out.lost.push((missing, if out.set_aside.is_empty() { "salvaged" } else { "quarantined" }));
        out.state.next_sequence += JUMP;
        out.findings
            .push(format!("the newest events cannot be read; sequence numbers go on from {}", out.state.next_sequence));
    }
    if has_holes {
        out.findings.push("the newest stored events are damaged; what can be read is kept".to_owned());
    }
    out.sealed.extend(entries);
    out.newest = newest.map(|(newest, _)| newest);
    Ok(out)
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
