//! The ring of generations: where each event is, and reading events back in order.
//!
//! Owns the catalogue in memory, the generation being written, and the few sealed generations that are open for reading.
//! Their removal is in [`super::removal`]. Decides nothing about what must go; that is the writer's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dirs::{Dirs, Mode};
use super::frame::{self, Header, kind};
use super::generation::{Generation, directory_name};
use super::missing::{Missing, count_through, found_through, missing_from};
use super::recover::Recovered;
use super::scan::is_unreadable;
use super::sealed::{Fit, Sealed};
use super::state::Entry;
use super::tail::weight;
use super::{Damaged, Fault};
use crate::event::{Event, stored};

/// Sealed generations kept open besides the one being read: the forwarder has three reading places, and each may be just
/// stepping from one generation into the next.
const LATELY_MAX: usize = 3;

/// The ring.
pub(super) struct Ring {
    queue: PathBuf,
    /// Oldest first.
    pub sealed: VecDeque<Entry>,
    /// The one being written; `None` while the disk lets nothing be written.
    pub newest: Option<Generation>,
    open: Option<Sealed>,
    /// Others that were read lately, the latest first: several readers are in several places, and opening one reads all
    /// of its file.
    lately: VecDeque<Sealed>,
    /// How often one was opened.
    opens: u64,
    /// The files of broken generations were looked for in the places of others.
    has_looked: bool,
    /// The events of the frame decoded last: readers come back for its rest.
    decoded: Vec<Arc<Event>>,
    /// No generation may be begun with this number or a lower one.
    floor: u64,
    store: u64,
    mode: Mode,
    /// Where a generation is when that is not the directory of its name.
    elsewhere: BTreeMap<u64, String>,
    /// Generations that turned out to be something else: not removed but set aside when they go.
    kept: BTreeSet<(u64, u32)>,
    /// Directories of those of which nothing can be used.
    unusable: Vec<PathBuf>,
}

impl Ring {
    /// A ring of what a start has found, nothing open.
    pub(super) fn new(queue: PathBuf, recovered: &mut Recovered, mode: Mode) -> Self {
        Self {
            queue,
            sealed: std::mem::take(&mut recovered.sealed),
            newest: None,
            open: None,
            lately: VecDeque::new(),
            opens: 0,
            has_looked: false,
            decoded: Vec::new(),
            floor: recovered.highest,
            store: recovered.state.store,
            mode,
            elsewhere: std::mem::take(&mut recovered.elsewhere),
            kept: BTreeSet::new(),
            unusable: Vec::new(),
        }
    }

    /// The directory of the generations.
    pub(super) fn queue(&self) -> &Path {
        &self.queue
    }

    /// The directory of one.
    pub(super) fn dir(&self, entry: &Entry) -> PathBuf {
        let elsewhere = self.elsewhere.get(&entry.number);
        self.queue.join(elsewhere.cloned().unwrap_or_else(|| directory_name(entry.number, entry.revision)))
    }

    /// Whether a generation turned out to be something else, for a person to look at.
    pub(super) fn is_kept(&self, entry: &Entry) -> bool {
        self.kept.contains(&(entry.number, entry.revision))
    }

    /// Notes that one did.
    fn keep(&mut self, id: (u64, u32), is_unusable: bool, dir: &Path) {
        self.kept.insert(id);
        if is_unusable {
            self.unusable.push(dir.to_owned());
        }
    }

    /// What is to be set aside now: nothing in it can be used.
    pub(super) fn take_unusable(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.unusable)
    }

    /// Whether one did.
    pub(super) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Number for the next generation.
    pub(super) fn next_number(&self) -> u64 {
        let newest = self.newest.as_ref().map(|newest| &newest.entry);
        self.sealed.iter().chain(newest).map(|entry| entry.number).max().unwrap_or(0).max(self.floor) + 1
    }

    /// Bytes of all generations.
    pub(super) fn bytes(&self) -> u64 {
        self.sealed.iter().map(|entry| entry.bytes).sum::<u64>()
            + self.newest.as_ref().map_or(0, |newest| newest.entry.bytes)
    }

    /// Closes the newest generation; from now on it is only read.
    pub(super) fn seal(&mut self) {
        if let Some(newest) = self.newest.take() {
            self.sealed.push_back(newest.entry);
        }
    }

    /// Events after `delivered` in all generations. Generations found damaged on the way are reported.
    pub(super) fn waiting(&mut self, delivered: u64, missing: &mut Vec<Missing>) -> Result<u64, Fault> {
        let mut sum = 0;
        for index in 0..self.sealed.len() {
            sum += self.waiting_in(index, delivered, missing)?;
        }
        if let Some(newest) = &self.newest {
            let entry = newest.entry;
            sum += match waiting_by_numbers(&entry, delivered) {
                Some(count) => count,
                None => {
                    let (whole, straddling) = newest.events_through(delivered);
                    let part = match straddling {
                        Some(frame) => count_through(&decode(newest.read(frame)?).map_err(Fault::from)?, delivered),
                        None => 0,
                    };
                    entry.events().saturating_sub(whole + part)
                }
            };
        }
        Ok(sum)
    }

    /// Events after `delivered` in one sealed generation.
    pub(super) fn waiting_in(
        &mut self,
        index: usize,
        delivered: u64,
        missing: &mut Vec<Missing>,
    ) -> Result<u64, Fault> {
        let Some(entry) = self.sealed.get(index) else { return Ok(0) };
        if let Some(count) = waiting_by_numbers(entry, delivered) {
            return Ok(count);
        }
        self.open(index, delivered, missing)?;
        Ok(self.open.as_ref().map_or(0, |sealed| sealed.events() - found_through(sealed, delivered)))
    }

    /// Events from `from` on, in order, within the bounds; at least one if there is one. Generations and frames found
    /// damaged on the way are reported and passed over.
    pub(super) fn read(
        &mut self,
        from: u64,
        max_events: usize,
        max_bytes: usize,
        delivered: u64,
        missing: &mut Vec<Missing>,
    ) -> Result<Vec<Arc<Event>>, Fault> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while events.len() < max_events {
            let is_decoded = matches!((self.decoded.first(), self.decoded.last()),
                (Some(first), Some(last)) if (first.sequence..=last.sequence).contains(&next));
            if !is_decoded && !self.decode_from(next, delivered, missing)? {
                break;
            }
            let start = self.decoded.partition_point(|event| event.sequence < next);
            for event in self.decoded[start..].iter().take(max_events - events.len()) {
                bytes += weight(event);
                if bytes > max_bytes && !events.is_empty() {
                    return Ok(events);
                }
                next = event.sequence + 1;
                events.push(Arc::clone(event));
            }
        }
        Ok(events)
    }

    /// Decodes the frame that holds `from` or the first one after it. False when there is none.
    fn decode_from(&mut self, from: u64, delivered: u64, missing: &mut Vec<Missing>) -> Result<bool, Fault> {
        let mut index = self.sealed.partition_point(|entry| entry.last < from);
        while index < self.sealed.len() {
            if self.sealed[index].events() == 0 {
                index += 1;
                continue;
            }
            self.open(index, delivered, missing)?;
            while let Some((sealed, at)) =
                self.open.as_mut().and_then(|sealed| sealed.frame_from(from).map(|at| (sealed, at)))
            {
                match sealed.read(at).and_then(decode) {
                    Ok(events) if events.last().is_some_and(|event| event.sequence >= from) => {
                        self.decoded = events;
                        return Ok(true);
                    }
                    result => {
                        // Intact when it was indexed, unreadable now: what is left of it is lost.
                        let before = *sealed.frames().nth(at).as_ref().expect("invariant: just found");
                        let count: u64 = before.2.iter().map(|&count| u64::from(count)).sum();
                        sealed.forget(at);
                        self.sealed[index].counts = sealed.counts();
                        let error = result.err().map_or_else(String::new, |error| error.0);
                        tracing::error!(first = before.0, last = before.1, error, "a stored frame cannot be read");
                        if before.1 > delivered {
                            let first = before.0.max(delivered + 1);
                            let count = count.min(before.1 - first + 1);
                            let whole = count == before.1 - first + 1;
                            missing.push(Missing { first, last: before.1, count, whole });
                        }
                    }
                }
            }
            index += 1;
        }
        let Some(newest) = &self.newest else { return Ok(false) };
        let Some(frame) = newest.frame_from(from) else { return Ok(false) };
        self.decoded = decode(newest.read(frame)?).map_err(Fault::from)?;
        Ok(self.decoded.last().is_some_and(|event| event.sequence >= from))
    }

    /// Opens a sealed generation for reading and compares it with the catalogue.
    fn open(&mut self, index: usize, delivered: u64, missing: &mut Vec<Missing>) -> Result<(), Fault> {
        let entry = self.sealed[index];
        let id = (entry.number, entry.revision);
        if self.open.as_ref().is_some_and(|sealed| sealed.id == id) {
            return Ok(());
        }
        if let Some(open) = self.open.take() {
            self.lately.push_front(open);
        }
        if let Some(at) = self.lately.iter().position(|sealed| sealed.id == id) {
            self.open = self.lately.remove(at);
            return Ok(());
        }
        self.lately.truncate(LATELY_MAX);
        self.opens += 1;
        let dir = self.dir(&entry);
        let mut opened = Sealed::open(&dir, &entry, self.store);
        if self.may_be_elsewhere(&opened, &entry, delivered) && self.realign() {
            opened = Sealed::open(&dir, &entry, self.store);
        }
        let sealed = match opened {
            Ok(sealed) => {
                if sealed.fit != Fit::Own {
                    tracing::error!(directory = %dir.display(), "a generation's file is not what it should be");
                    self.keep(id, sealed.events() == 0, &dir);
                }
                sealed
            }
            Err(error) if is_unreadable(&error) => {
                tracing::error!(directory = %dir.display(), %error, "a generation cannot be read");
                if dir.exists() {
                    self.keep(id, true, &dir);
                }
                Sealed::empty(id).map_err(|error| Fault::io("reading", &dir, &error))?
            }
            Err(error) => return Err(Fault::io("reading", &dir, &error)),
        };
        if let Some(lost) = missing_from(&entry, entry.events(), &sealed, delivered) {
            tracing::error!(generation = entry.number, lost = lost.count, "a stored generation is damaged");
            missing.push(lost);
        }
        if sealed.events() != entry.events() {
            self.sealed[index].counts = sealed.counts();
        }
        self.open = Some(sealed);
        Ok(())
    }

    /// Whether a generation's file may stand in another's place: in its own there is another's, a broken one or none.
    fn may_be_elsewhere(&mut self, opened: &std::io::Result<Sealed>, entry: &Entry, delivered: u64) -> bool {
        let is_short = match opened {
            Ok(sealed) if sealed.fit == Fit::Foreign => return true,
            Ok(sealed) => missing_from(entry, entry.events(), sealed, delivered).is_some(),
            Err(error) => is_unreadable(error) && entry.last > delivered,
        };
        // Looking reads every generation, and files do not move by themselves: once is enough.
        is_short && !std::mem::replace(&mut self.has_looked, true)
    }

    /// Puts files that hold another generation of this store where they belong.
    fn realign(&mut self) -> bool {
        // Who only looks has done so at the start.
        let mut findings = Vec::new();
        let moved = self.mode == Mode::Act
            && Dirs::list(&self.queue, Mode::Look, &mut Vec::new())
                .is_ok_and(|mut dirs| dirs.realign(&self.queue, self.store, self.mode, &mut findings));
        findings.iter().for_each(|finding| tracing::warn!("{finding}"));
        moved
    }

    /// The open index of a sealed generation, for rewriting it.
    pub(super) fn opened(
        &mut self,
        index: usize,
        delivered: u64,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<&Sealed>, Fault> {
        self.open(index, delivered, missing)?;
        Ok(self.open.as_ref())
    }

    /// Closes a generation's file if it is open.
    pub(super) fn let_go(&mut self, id: (u64, u32)) {
        self.open.take_if(|sealed| sealed.id == id);
        self.lately.retain(|sealed| sealed.id != id);
    }

    /// How often a sealed generation was opened so far.
    #[cfg(test)]
    pub(super) fn opens(&self) -> u64 {
        self.opens
    }

    /// Lets go of a generation that moves elsewhere.
    pub(super) fn close(&mut self, entry: &Entry) {
        let id = (entry.number, entry.revision);
        self.let_go(id);
        self.decoded.clear();
    }
}

/// Events after `delivered` where the numbers alone tell.
fn waiting_by_numbers(entry: &Entry, delivered: u64) -> Option<u64> {
    if entry.events() == 0 || entry.last <= delivered {
        Some(0)
    } else if entry.first > delivered {
        Some(entry.events())
    } else if entry.is_dense() {
        Some(entry.last - delivered)
    } else {
        None
    }
}

/// The events of a frame.
pub(super) fn decode((header, body): (Header, Vec<u8>)) -> Result<Vec<Arc<Event>>, Damaged> {
    let raw = frame::unpack(&header, body)?;
    for section in frame::sections(&raw) {
        let (kind, bytes) = section?;
        if kind == kind::EVENTS {
            let events = stored::decode_events(bytes).map_err(|error| Damaged(error.to_string()))?;
            return Ok(events.into_iter().map(Arc::new).collect());
        }
    }
    Ok(Vec::new())
}
