//! Making room: what goes when the store is full, and how it is announced.
//!
//! Owns eviction. Only sealed generations are touched. Part of [`Writer`].

use std::sync::Arc;

use uuid::Uuid;

use super::commit::{FLUSH_BYTES, event_frame};
use super::frame::Place;
use super::generation::Generation;
use super::leaving::{Leaving, merge};
use super::missing::Missing;
use super::quota::disk_bytes;
use super::ring::decode;
use super::state::Entry;
use super::writer::Writer;
use super::{Cause, Damaged, Fault};
use crate::config::model::{Severity, WhenFull};
use crate::counters::tally::LossReason;
use crate::event::{Event, EventData, EventsLost};

/// How severe an announcement of losses is.
const ANNOUNCEMENT_SEVERITY: Severity = Severity::High;

/// Less than this part of a generation's events is not worth rewriting it.
const REWRITE_SHARE: u64 = 16;

impl Writer {
    /// Makes room for a new generation. False when the store is full and nothing may be dropped.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<bool, Fault> {
        loop {
            let gone = self.gone_bytes();
            let room = self.limits.bytes_before_rotation(bytes, self.state.checkpoint_bytes());
            if self.total_bytes() - gone <= room {
                return Ok(true);
            }
            if self.drop_retained() || self.empty_quarantine() {
                continue;
            }
            let delivered = self.state.delivered;
            let removable = self.ring.sealed.iter().position(|entry| entry.last <= delivered);
            if let Some(entry) = removable.and_then(|index| self.ring.sealed.remove(index)) {
                self.let_leave(Leaving { entry, missing: None, untold: Vec::new() });
                continue;
            }
            match self.config.when_full {
                WhenFull::Reject => return Ok(false),
                WhenFull::DropOldest => {
                    if !self.evict(self.oldest_at_rest()) {
                        return Ok(true);
                    }
                }
                WhenFull::DropLeastSevere => {
                    let Some((index, severity)) = self.least_severe() else { return Ok(true) };
                    if let Err(fault) = self.drop_severity(index, severity) {
                        // No reason to give up more than the policy says: what cannot be written waits.
                        if fault.cause != Cause::Other {
                            return Err(fault);
                        }
                        tracing::warn!(%fault, "the least severe events cannot be picked out; dropping the oldest");
                        self.evict(self.oldest_at_rest());
                    }
                }
            }
        }
    }

    /// The oldest sealed generation none of whose events is on its way upstream: an event that arrives there must not be
    /// announced as lost as well. When all are, the oldest: room must be made, and what is announced is then the most it
    /// can have been.
    fn oldest_at_rest(&self) -> usize {
        self.ring.sealed.iter().position(|entry| entry.first > self.handed_out).unwrap_or(0)
    }

    /// Drops a sealed generation with all that is in it, once there is a checkpoint without it. False when there is none.
    fn evict(&mut self, index: usize) -> bool {
        let Some(entry) = self.ring.sealed.get(index).copied() else { return false };
        let delivered = self.state.delivered;
        let mut missing = Vec::new();
        let waiting = self.ring.waiting_in(index, delivered, &mut missing);
        let untold = match self.told.untold(entry.number, delivered) {
            Some(untold) => untold,
            None => self.untold_in(index, &mut missing),
        };
        // What was found damaged on this occasion is announced by itself.
        missing.into_iter().for_each(|missing| self.announce(missing, "salvaged"));
        let count = waiting.unwrap_or_else(|_| entry.events());
        let first = entry.first.max(delivered + 1);
        // Dead letters are kept elsewhere, and announced already.
        let count = count.saturating_sub(self.state.dead.covered_in(first, entry.last));
        let whole = count == (entry.last + 1).saturating_sub(first) && first > self.handed_out;
        let missing = (count > 0).then_some(Missing { first, last: entry.last, count, whole });
        // As it is known by now: should it stay, what was found damaged is not found again.
        let Some(entry) = self.ring.sealed.remove(index) else { return false };
        self.let_leave(Leaving { entry, missing, untold });
        if index == 0 {
            self.state.deliver(entry.last);
            self.tail.forget(self.state.delivered);
        }
        true
    }

    /// The announcements of earlier losses in a sealed generation of an earlier run that nobody upstream has seen yet.
    fn untold_in(&mut self, index: usize, missing: &mut Vec<Missing>) -> Vec<EventsLost> {
        let (delivered, dead) = (self.state.delivered, &self.state.dead);
        let Ok(Some(sealed)) = self.ring.opened(index, delivered, missing) else { return Vec::new() };
        // A frame that cannot be read is found damaged by whoever counts it.
        let events =
            sealed.announcing(delivered).into_iter().filter_map(|frame| sealed.read(frame).and_then(decode).ok());
        events
            .flatten()
            .filter(|event| event.sequence > delivered && !dead.covers(event.sequence))
            .filter_map(|event| announced(&event))
            .collect()
    }

    /// The oldest sealed generation with events of the lowest severity there is, and that severity; one with events on
    /// their way upstream only when there is no other. A generation is not rewritten for a few: they go with the next
    /// severity, or announcements, of which each generation holds about one, would have each rewritten once more.
    fn least_severe(&self) -> Option<(usize, usize)> {
        let oldest_from = |from: u64| {
            (0..Severity::ALL.len()).find_map(|severity| {
                let fits = |entry: &Entry| {
                    let count: u64 = entry.counts[..=severity].iter().sum();
                    entry.first > from && count > 0 && count >= entry.events() / REWRITE_SHARE
                };
                Some((self.ring.sealed.iter().position(fits)?, severity))
            })
        };
        oldest_from(self.handed_out).or_else(|| oldest_from(0))
    }

    /// Rewrites a sealed generation without the events up to a severity. Each rewriting takes out one severity at least
    /// for good, so a generation is rewritten at most four times.
    fn drop_severity(&mut self, index: usize, severity: usize) -> Result<(), Fault> {
        let entry = self.ring.sealed[index];
        if entry.counts[..=severity].iter().sum::<u64>() == entry.events() {
            self.evict(index);
            return Ok(());
        }
        let delivered = self.state.delivered;
        let queue = self.ring.queue().to_owned();
        let mut found = Vec::new();
        let mut copy = Generation::create(&queue, entry.number, entry.revision + 1, entry.first, self.hook.clone())?;
        let mut dropped: Option<Missing> = None;
        let mut untold = Vec::new();
        let (packer, dead, letters) = (&mut self.packer, &self.state.dead, &self.kept);
        if let Some(sealed) = self.ring.opened(index, delivered, &mut found)? {
            let mut unflushed = 0;
            for (frame, number) in (0..sealed.frames().count()).zip(1_u64..) {
                let events = match sealed.read(frame).and_then(decode) {
                    Ok(events) => events,
                    Err(Damaged(error)) => {
                        tracing::error!(generation = entry.number, error, "a stored frame cannot be read");
                        let head = sealed.frames().nth(frame).filter(|head| head.1 > delivered);
                        found.extend(head.map(|(first, last, counts)| {
                            let first = first.max(delivered + 1);
                            let count = counts.iter().map(|&count| u64::from(count)).sum::<u64>().min(last + 1 - first);
                            Missing { first, last, count, whole: false }
                        }));
                        continue;
                    }
                };
                let mut kept = Vec::with_capacity(events.len());
                // The event of a letter that is not on disk goes along until it is.
                let is_letter = |event: &Event| letters.has(event.sequence);
                let waits = |event: &&Arc<Event>| {
                    is_letter(event) || (event.sequence > delivered && !dead.covers(event.sequence))
                };
                for event in events.iter().filter(waits) {
                    if event.severity as usize > severity || is_letter(event) {
                        kept.push(Event::clone(event));
                        continue;
                    }
                    untold.extend(announced(event));
                    let sequence = event.sequence;
                    let range = Missing { first: sequence, last: sequence, count: 0, whole: true };
                    let dropped = dropped.get_or_insert(range);
                    dropped.whole &= sequence <= dropped.last + 1;
                    dropped.last = sequence;
                    dropped.count += 1;
                }
                if kept.is_empty() {
                    continue;
                }
                let packed = packer.pack(&event_frame(&kept), Place { commit: number, synced: 0, part: 0, parts: 1 });
                unflushed += packed.bytes();
                copy.insert(&packed)?;
                if unflushed > FLUSH_BYTES {
                    unflushed = 0;
                    copy.sync()?;
                }
            }
        }
        copy.sync()?;
        self.tell_at_once(untold)?;
        copy.publish()?;
        let mut rewritten = copy.entry;
        drop(copy);
        rewritten.first = entry.first;
        rewritten.last = entry.last;
        rewritten.bytes = disk_bytes(&self.ring.dir(&rewritten));
        self.ring.sealed[index] = rewritten;
        if let Err(fault) = self.ring.remove(&entry) {
            tracing::warn!(%fault, "a generation that was rewritten cannot be removed; the next start tries again");
        }
        found.into_iter().for_each(|missing| self.announce(missing, "salvaged"));
        if let Some(missing) = dropped {
            self.announce(missing, "evicted");
        }
        if severity >= ANNOUNCEMENT_SEVERITY as usize {
            self.told.forget(entry.number);
        }
        Ok(())
    }

    /// Stores announcements that a copy leaves out, before it takes the place of the original: what was dropped with
    /// them is told by the catalogue, should we be cut off, and what they tell of is known to nothing else.
    fn tell_at_once(&mut self, untold: Vec<EventsLost>) -> Result<(), Fault> {
        if untold.is_empty() || self.ring.newest.is_none() {
            self.announce_again(untold);
            return Ok(());
        }
        let others = std::mem::take(&mut self.announcements);
        self.announce_again(untold);
        let told = self.commit_announcements();
        // Not told, and still in the original.
        self.announcements = others;
        told
    }

    /// Notes a loss: counted and logged now, stored as an event with the next commit.
    pub(super) fn announce(&mut self, missing: Missing, reason: &str) {
        missing.tell(reason);
        self.counters.lost(LossReason::of(reason), missing.count);
        self.merge(missing.announced(reason));
    }

    /// Notes losses whose announcement is lost in its turn: already counted and logged, but still to be told upstream.
    fn announce_again(&mut self, untold: Vec<EventsLost>) {
        untold.into_iter().for_each(|lost| self.merge(lost));
    }

    /// Notes a loss to be announced.
    pub(super) fn merge(&mut self, lost: EventsLost) {
        merge(&mut self.announcements, lost);
    }

    /// The events that announce losses, not numbered yet.
    pub(super) fn announcement_events(&self, losses: &[EventsLost]) -> Vec<Event> {
        let now = self.clock.now();
        let event = |lost: &EventsLost| Event {
            sequence: 0,
            id: Uuid::now_v7(),
            subject: Arc::from("gateway"),
            time: now.wall,
            boot: now.boot,
            boot_id: self.clock.boot_id,
            clock: now.clock,
            severity: ANNOUNCEMENT_SEVERITY,
            correlation: None,
            data: EventData::EventsLost(lost.clone()),
        };
        losses.iter().map(event).collect()
    }
}

/// What an event announces as lost, if that is what it is for.
fn announced(event: &Arc<Event>) -> Option<EventsLost> {
    match &event.data {
        EventData::EventsLost(lost) => Some(lost.clone()),
        _ => None,
    }
}
