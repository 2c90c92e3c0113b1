//! Making room: what goes when the store is full, and how it is announced.
//!
//! Owns eviction. Only sealed generations are touched. Part of [`Writer`].

use std::sync::Arc;

use uuid::Uuid;

use super::commit::{FLUSH_BYTES, event_frame};
use super::frame::Place;
use super::generation::Generation;
use super::quota::disk_bytes;
use super::ring::{Missing, decode};
use super::writer::Writer;
use super::{Damaged, Fault};
use crate::config::model::{Severity, WhenFull};
use crate::event::{Event, EventData, EventsLost};

impl Writer {
    /// Makes room for a new generation. False when the store is full and nothing may be dropped.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<bool, Fault> {
        loop {
            let gone: u64 = self.gone.iter().map(|entry| entry.bytes).sum();
            let room = self.limits.bytes_before_rotation(bytes, self.state.checkpoint_bytes());
            if self.total_bytes() - gone <= room {
                return Ok(true);
            }
            if self.empty_quarantine() {
                continue;
            }
            let delivered = self.state.delivered;
            let removable: u64 = self.ring.sealed.iter().filter(|e| e.last <= delivered).map(|e| e.bytes).sum();
            if removable > 0 {
                let sealed = &mut self.ring.sealed;
                self.gone.extend(sealed.iter().filter(|entry| entry.last <= delivered));
                sealed.retain(|entry| entry.last > delivered);
                continue;
            }
            match self.config.when_full {
                WhenFull::Reject => return Ok(false),
                WhenFull::DropOldest => {
                    if !self.evict(0) {
                        return Ok(true);
                    }
                }
                WhenFull::DropLeastSevere => {
                    let Some((index, severity)) = self.least_severe() else { return Ok(true) };
                    if let Err(fault) = self.drop_severity(index, severity) {
                        tracing::warn!(%fault, "the least severe events cannot be picked out; dropping the oldest");
                        self.evict(0);
                    }
                }
            }
        }
    }

    /// Drops a sealed generation with all that is in it. False when there is none.
    fn evict(&mut self, index: usize) -> bool {
        let Some(entry) = self.ring.sealed.get(index).copied() else { return false };
        let delivered = self.state.delivered;
        let mut missing = Vec::new();
        let waiting = self.ring.waiting_in(index, delivered, &mut missing);
        // What was found damaged on this occasion is announced by itself.
        missing.into_iter().for_each(|missing| self.announce(missing, "salvaged"));
        let count = waiting.unwrap_or_else(|_| entry.events());
        let first = entry.first.max(delivered + 1);
        self.ring.sealed.remove(index);
        self.gone.push(entry);
        if count > 0 {
            let whole = count == entry.last + 1 - first;
            self.announce(Missing { first, last: entry.last, count, whole }, "evicted");
        }
        if index == 0 {
            self.state.delivered = self.state.delivered.max(entry.last);
            self.tail.forget(self.state.delivered);
        }
        true
    }

    /// The oldest sealed generation with events of the lowest severity there is.
    fn least_severe(&self) -> Option<(usize, usize)> {
        (0..Severity::ALL.len()).find_map(|severity| {
            let index = self.ring.sealed.iter().position(|entry| entry.counts[severity] > 0)?;
            Some((index, severity))
        })
    }

    /// Rewrites a sealed generation without the events of a severity. Each rewriting takes out one severity for good,
    /// so a generation is rewritten at most four times.
    fn drop_severity(&mut self, index: usize, severity: usize) -> Result<(), Fault> {
        let entry = self.ring.sealed[index];
        if entry.counts[severity] == entry.events() {
            self.evict(index);
            return Ok(());
        }
        let delivered = self.state.delivered;
        let queue = self.ring.queue().to_owned();
        let mut found = Vec::new();
        let mut copy = Generation::create(&queue, entry.number, entry.revision + 1, entry.first, self.hook.clone())?;
        let mut dropped: Option<Missing> = None;
        let packer = &mut self.packer;
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
                for event in events.iter().filter(|event| event.sequence > delivered) {
                    if event.severity as usize != severity {
                        kept.push(Event::clone(event));
                        continue;
                    }
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
        Ok(())
    }

    /// Notes a loss: counted and logged now, stored as an event with the next commit.
    pub(super) fn announce(&mut self, missing: Missing, reason: &str) {
        let Missing { first, last, count, whole } = missing;
        tracing::warn!(reason, count, first_sequence = first, last_sequence = last, "events lost");
        self.counters.events_lost.add(count);
        self.announcements.push(EventsLost {
            reason: reason.to_owned(),
            count,
            first_sequence: first,
            last_sequence: last,
            whole_range: whole,
        });
    }

    pub(super) fn announcement_events(&self) -> Vec<Event> {
        let now = self.clock.now();
        let event = |lost: &EventsLost| Event {
            sequence: 0,
            id: Uuid::now_v7(),
            subject: Arc::from("gateway"),
            time: now.wall,
            boot: now.boot,
            boot_id: self.clock.boot_id,
            clock: now.clock,
            severity: Severity::High,
            correlation: None,
            data: EventData::EventsLost(lost.clone()),
        };
        self.announcements.iter().map(event).collect()
    }
}
