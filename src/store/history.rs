//! The events of a store's directory, read back in order: what waits, and what was delivered and is still kept.
//!
//! Owns the list of generations as seen from outside, and the one index that is open. Reads files only: no sled, no
//! lock, no writing, so it works beside the running gateway (from a thread that may block) and on a store at rest.
//! Decides nothing about what counts: the newest checkpoint's catalogue says that for sealed generations, a retained
//! one's name for itself, and [`super::accept`] for the one being written.
//!
//! Generations may go, move to `retained/` or be rewritten while this reads. What is open stays readable; what cannot
//! be found any more is looked up anew. Frames of the newest generation may be read before they are on stable storage:
//! beside a running gateway use nothing above [`super::handle::StoreStatus::last_sequence`].

mod files;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::files::{holds_nothing, names, queue_dirs, scanned};
use super::Damaged;
use super::accept::{Checkpoint, Scanned, last_checkpoint};
use super::frame::{self, kind};
use super::generation::directory_name;
use super::retain::{RETAINED, RetainedName};
use super::ring::decode;
use super::scan::{Scan, open_plain, scan};
use super::sealed::Sealed;
use super::tail::weight;
use crate::event::Event;

pub use ledger::Ledger;

/// How often one call lists the generations anew because one of them was gone. A gateway begins a generation at most
/// every few megabytes; more often than this within one call is not the gateway's doing.
const LISTINGS_MAX: usize = 16;

/// How often the newest generation is searched when something in it is missing: sled may move what it has written to a
/// place that the search has passed already. What is still missing then is damaged.
const SCANS_MAX: usize = 3;

/// A generation, and which of its events count.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    dir: PathBuf,
    id: (u64, u32),
    /// No event of it has a lower number.
    first: u64,
    /// Higher numbers in it do not count: they live on in a newer generation, or were never acknowledged.
    last: u64,
    /// Later commits in it do not count.
    last_commit: u64,
    is_newest: bool,
}

/// Reads a store's events. See the module's description.
pub struct History {
    path: PathBuf,
    /// In order of their events.
    sources: Vec<Source>,
    names: BTreeSet<String>,
    open: Option<Sealed>,
    open_dir: PathBuf,
    /// The events of the frame decoded last.
    decoded: Vec<Arc<Event>>,
    decoded_from: PathBuf,
    /// Frames found unreadable, by generation.
    damaged: BTreeMap<(u64, u32), BTreeSet<u64>>,
    /// Frames whose checksum no longer holds, by generation: as of its last scan.
    broken: BTreeMap<(u64, u32), u64>,
}

impl History {
    /// Lists what is there.
    ///
    /// # Errors
    ///
    /// When `store_path` holds no store, or cannot be read.
    pub fn open(store_path: &Path) -> io::Result<Self> {
        let mut history = Self {
            path: store_path.to_owned(),
            sources: Vec::new(),
            names: BTreeSet::new(),
            open: None,
            open_dir: PathBuf::new(),
            decoded: Vec::new(),
            decoded_from: PathBuf::new(),
            damaged: BTreeMap::new(),
            broken: BTreeMap::new(),
        };
        history.list()?;
        Ok(history)
    }

    /// Events from `from` on, ascending, each number once; at most `max_events` and about `max_bytes`, at least one if
    /// there is one. Empty when there is nothing more for now. Numbers are missing where events were evicted, were
    /// lost, or are no longer kept.
    ///
    /// # Errors
    ///
    /// When files cannot be opened or listed. What is damaged is passed over and counted.
    pub fn read(&mut self, from: u64, max_events: usize, max_bytes: usize) -> io::Result<Vec<Arc<Event>>> {
        let (mut events, mut bytes, mut next) = (Vec::new(), 0, from);
        let mut listings = 0;
        // The newest generation may have grown, and others begun, since they were looked at: once a call that is
        // looked at again, when the end is reached.
        let mut is_fresh = false;
        while events.len() < max_events && next < u64::MAX {
            let source = self.sources.iter().find(|source| source.last >= next).cloned();
            let is_known = source.as_ref().is_some_and(|source| !source.is_newest || self.open_dir == source.dir);
            if !is_known && !is_fresh {
                is_fresh = true;
                self.list()?;
                continue;
            }
            let Some(source) = source else { break };
            match self.decode_from(&source, next) {
                Ok(true) => {
                    let start = self.decoded.partition_point(|event| event.sequence < next);
                    let end = self.decoded.partition_point(|event| event.sequence <= source.last);
                    for event in self.decoded[start..end].iter().take(max_events - events.len()) {
                        bytes += weight(event);
                        if bytes > max_bytes && !events.is_empty() {
                            return Ok(events);
                        }
                        next = event.sequence.saturating_add(1);
                        events.push(Arc::clone(event));
                    }
                }
                Ok(false) if !source.is_newest => next = source.last.saturating_add(1),
                Ok(false) if is_fresh => break,
                Ok(false) => {
                    is_fresh = true;
                    self.list()?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && listings < LISTINGS_MAX => {
                    listings += 1;
                    self.look_again(&source)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(events)
    }

    /// The last events before `before`, ascending, each number once; at most `max_events` and about `max_bytes`, at
    /// least one if there is one. Empty when there is none before.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_before(&mut self, before: u64, max_events: usize, max_bytes: usize) -> io::Result<Vec<Arc<Event>>> {
        let (mut events, mut bytes, mut next) = (Vec::new(), 0, before);
        let mut listings = 0;
        let mut is_fresh = false;
        while events.len() < max_events && next > 0 {
            let Some(source) = self.sources.iter().rfind(|source| source.first < next).cloned() else { break };
            if source.is_newest && self.open_dir != source.dir && !is_fresh {
                is_fresh = true;
                self.list()?;
                continue;
            }
            let below = next.min(source.last.saturating_add(1));
            match self.decode_before(&source, below) {
                Ok(true) => {
                    let end = self.decoded.partition_point(|event| event.sequence < below);
                    for event in self.decoded[..end].iter().rev().take(max_events - events.len()) {
                        bytes += weight(event);
                        if bytes > max_bytes && !events.is_empty() {
                            events.reverse();
                            return Ok(events);
                        }
                        next = event.sequence;
                        events.push(Arc::clone(event));
                    }
                }
                Ok(false) => next = source.first,
                Err(error) if error.kind() == io::ErrorKind::NotFound && listings < LISTINGS_MAX => {
                    listings += 1;
                    self.look_again(&source)?;
                }
                Err(error) => return Err(error),
            }
        }
        events.reverse();
        Ok(events)
    }

    /// Frames found unreadable so far.
    pub fn damaged(&self) -> u64 {
        let read: usize = self.damaged.values().map(BTreeSet::len).sum();
        self.broken.values().sum::<u64>() + read as u64
    }

    /// Decodes the frame of `source` that holds `from` or the first after it. False when there is none that counts.
    fn decode_from(&mut self, source: &Source, from: u64) -> io::Result<bool> {
        let is_usable = |event: &Arc<Event>| (from..=source.last).contains(&event.sequence);
        if self.decoded_from == source.dir
            && self.decoded.first().is_some_and(|first| first.sequence <= from)
            && self.decoded.iter().any(is_usable)
        {
            return Ok(true);
        }
        self.open_source(source)?;
        let Some(start) = self.open.as_ref().and_then(|sealed| sealed.frame_from(from)) else { return Ok(false) };
        let mut at = start;
        while self.frame(at).is_some_and(|(first, ..)| first <= source.last) {
            if self.decode(source, at) && self.decoded.iter().any(is_usable) {
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
    }

    /// Decodes the frame of `source` with the highest numbers below `before`. False when there is none.
    fn decode_before(&mut self, source: &Source, before: u64) -> io::Result<bool> {
        let is_below = |event: &Arc<Event>| event.sequence < before;
        if self.decoded_from == source.dir
            && self.decoded.first().is_some_and(is_below)
            && self.decoded.last().is_some_and(|last| last.sequence >= before.saturating_sub(1))
        {
            return Ok(true);
        }
        self.open_source(source)?;
        let Some(sealed) = &self.open else { return Ok(false) };
        let mut end = match sealed.frame_from(before) {
            // It may begin below and go on above.
            Some(at) => at + 1,
            None => sealed.frames().count(),
        };
        while let Some(at) = end.checked_sub(1) {
            let begins_below = self.frame(at).is_some_and(|(first, ..)| first < before);
            if begins_below && self.decode(source, at) && self.decoded.iter().any(is_below) {
                return Ok(true);
            }
            end = at;
        }
        Ok(false)
    }

    /// A frame of the open generation: first and last number, events by severity.
    fn frame(&self, at: usize) -> Option<(u64, u64, [u8; 5])> {
        self.open.as_ref()?.frame(at)
    }

    /// Decodes one frame of the open generation. False when that cannot be done, which is counted.
    fn decode(&mut self, source: &Source, at: usize) -> bool {
        self.decoded.clear();
        let Some(sealed) = &self.open else { return false };
        match sealed.read(at).and_then(decode) {
            Ok(events) => {
                self.decoded = events;
                self.decoded_from.clone_from(&source.dir);
                true
            }
            Err(Damaged(_)) => {
                let first = sealed.frame(at).map_or(0, |(first, ..)| first);
                self.damaged.entry(source.id).or_default().insert(first);
                false
            }
        }
    }

    /// Indexes a generation unless it is the open one.
    fn open_source(&mut self, source: &Source) -> io::Result<()> {
        if self.open.is_some() && self.open_dir == source.dir {
            return Ok(());
        }
        self.close();
        let file = open_plain(&source.dir.join("db"))?;
        let scan = scan(&file)?;
        self.index(source, file, &scan);
        Ok(())
    }

    fn index(&mut self, source: &Source, file: File, scan: &Scan) {
        // What counts and is broken. A chunk that is just being written is found whole the next time.
        let counts = |header: &&frame::Header| {
            header.has(kind::EVENTS) && header.commit <= source.last_commit && header.first <= source.last
        };
        let broken: BTreeSet<_> = scan.broken.iter().filter(counts).map(|head| (head.commit, head.part)).collect();
        self.broken.insert(source.id, broken.len() as u64);
        self.open = Some(Sealed::index(source.id, file, scan, source.last_commit));
        self.open_dir.clone_from(&source.dir);
    }

    fn close(&mut self) {
        self.open = None;
        self.open_dir = PathBuf::new();
        self.decoded.clear();
    }

    /// After a generation could not be opened: it moved, or is on its way out.
    fn look_again(&mut self, source: &Source) -> io::Result<()> {
        self.close();
        self.list()?;
        // A directory without its file holds nothing, and must not be tried for ever.
        self.sources.retain(|other| other.dir != source.dir || other.dir.join("db").exists());
        Ok(())
    }

    /// Lists the generations and learns from the newest checkpoint what counts in each.
    fn list(&mut self) -> io::Result<()> {
        for _ in 0..LISTINGS_MAX {
            match self.try_list() {
                // The newest was sealed and gone before it could be opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.join("queue").is_dir() => {}
                result => return result,
            }
        }
        self.try_list()
    }

    fn try_list(&mut self) -> io::Result<()> {
        self.names = names(&self.path)?;
        let queue = self.path.join("queue");
        let dirs = queue_dirs(&self.names);
        let mut sources: Vec<Source> = Vec::with_capacity(self.names.len());
        // From the newest backwards to one that tells about the others, as at a start.
        let mut rest = dirs;
        let mut upper = u64::MAX;
        let mut catalogue = BTreeMap::new();
        let mut is_first = true;
        while let Some((number, revision)) = rest.pop_last() {
            let id = (number, revision);
            let dir = queue.join(directory_name(number, revision));
            if holds_nothing(&dir) {
                continue;
            }
            let (mut this, mut marker) = scanned(&queue, id)?;
            let mut base: Option<Checkpoint> =
                last_checkpoint(&this, marker.filter(|_| is_first).map_or(0, |marker| marker.last_commit));
            for _ in 1..SCANS_MAX {
                if !is_first || base.as_ref().is_some_and(|base| !base.accepted.has_holes) {
                    break;
                }
                (this, marker) = scanned(&queue, id)?;
                base = last_checkpoint(&this, marker.map_or(0, |marker| marker.last_commit));
            }
            let last_commit = match &base {
                Some(base) if is_first => base.accepted.last,
                _ => u64::MAX,
            };
            let own = base.as_ref().and_then(|base| base.origin.catalogue.last()).map(|own| own.first);
            let mut source = Source { dir, id, first: 0, last: upper, last_commit, is_newest: is_first };
            let Scanned { file, scan, .. } = this;
            self.index(&source, file, &scan);
            let found = self.open.as_ref().and_then(|sealed| sealed.frames().next()).map(|(first, ..)| first);
            source.first = own.or(found).unwrap_or(upper);
            upper = upper.min(source.first.saturating_sub(1));
            is_first = false;
            sources.push(source);
            if let Some(base) = base {
                catalogue.extend(base.meta.catalogue.iter().map(|entry| (entry.number, *entry)));
                break;
            }
        }
        while let Some((number, revision)) = rest.pop_last() {
            let dir = queue.join(directory_name(number, revision));
            let id = (number, revision);
            // What is not listed was taken over by a newer one or evicted, and is about to go.
            let Some(entry) = catalogue.get(&number) else { continue };
            let last_commit = if entry.revision == revision { entry.last_commit } else { u64::MAX };
            let last = entry.last.min(upper);
            upper = upper.min(entry.first.saturating_sub(1));
            sources.push(Source { dir, id, first: entry.first, last, last_commit, is_newest: false });
        }
        for name in self.names.iter().filter_map(|name| name.strip_prefix(RETAINED)?.strip_prefix('/')) {
            let Some(RetainedName { first, through, number, revision }) = RetainedName::parse(name) else { continue };
            let dir = self.path.join(RETAINED).join(name);
            let id = (number, revision);
            sources.push(Source { dir, id, first, last: through, last_commit: u64::MAX, is_newest: false });
        }
        sources.sort_by_key(|source| (source.last, source.id.0));
        self.sources = sources;
        Ok(())
    }
}
