//! What others get to see: events read back, and the status.
//!
//! Never writes. Damage found on the way is announced. Part of [`Writer`].

use std::sync::Arc;

use super::handle::{Read, StoreStatus};
use super::missing::Missing;
use super::writer::Writer;
use crate::event::Event;

/// Readers that may wait for what comes next. There is one, the forwarder; more would be a fault of ours.
const READERS_MAX: usize = 4;

impl Writer {
    /// Answers a reader.
    pub(super) fn hand_out(&mut self, read: Read) {
        let events = self.read(read.from, read.max_events, read.max_bytes);
        self.handed_out = self.handed_out.max(events.last().map_or(0, |event| event.sequence));
        // A reader that has gone away wants nothing.
        let _ = read.reply.send(events);
    }

    /// Answers a reader as soon as there is something for it.
    pub(super) fn hand_out_when_there(&mut self, read: Read) {
        self.readers.retain(|reader| !reader.reply.is_closed());
        if read.from < self.state.next_sequence || self.readers.len() >= READERS_MAX {
            self.hand_out(read);
        } else {
            self.readers.push(read);
        }
    }

    /// Answers the readers that have waited for what is there now.
    pub(super) fn hand_out_new(&mut self) {
        let next = self.state.next_sequence;
        while let Some(index) = self.readers.iter().position(|reader| reader.from < next) {
            let read = self.readers.swap_remove(index);
            self.hand_out(read);
        }
    }

    /// Events for the forwarder, without those that are or were dead letters.
    pub(super) fn read(&mut self, mut from: u64, max_events: usize, max_bytes: usize) -> Vec<Arc<Event>> {
        loop {
            let mut events = self.read_stored(from, max_events, max_bytes);
            let Some(last) = events.last().filter(|_| !self.state.dead.is_empty()) else { return events };
            from = last.sequence + 1;
            events.retain(|event| !self.state.dead.covers(event.sequence));
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// Events from memory if they are there, else from disk.
    fn read_stored(&mut self, from: u64, max_events: usize, max_bytes: usize) -> Vec<Arc<Event>> {
        if from >= self.state.next_sequence || max_events == 0 {
            return Vec::new();
        }
        if self.tail.first().is_some_and(|first| first <= from) {
            return self.tail.read(from, max_events, max_bytes);
        }
        let delivered = self.state.delivered;
        let mut missing = Vec::new();
        let mut events = self.ring.read(from, max_events, max_bytes, delivered, &mut missing);
        if let Err(fault) = &events
            && self.ring.newest.is_some()
        {
            // sled would not: seal what it wrote and read that without it.
            self.break_off(fault);
            events = self.ring.read(from, max_events, max_bytes, delivered, &mut missing);
        }
        self.announce_damage(missing);
        events.unwrap_or_else(|fault| {
            self.note(&fault);
            Vec::new()
        })
    }

    /// Damage found while reading: announced, and no longer in the catalogue, so that it is not found again.
    fn announce_damage(&mut self, missing: Vec<Missing>) {
        for missing in missing {
            self.announce(missing, "salvaged");
            // A checkpoint goes with the next commit.
            self.states_bytes = u64::MAX;
        }
        for dir in self.ring.take_unusable() {
            self.quarantine(&dir);
        }
    }

    /// Takes from the catalogue of a start how severe what waits may be.
    pub(super) fn note_severities(&mut self) {
        let newest = self.ring.newest.as_ref().map(|newest| &newest.entry);
        for entry in self.ring.sealed.iter().chain(newest) {
            for (last, count) in self.last_of_severity.iter_mut().zip(entry.counts) {
                *last = if count > 0 { entry.last.max(*last) } else { *last };
            }
        }
    }

    /// Takes events that are on stable storage into memory.
    pub(super) fn remember(&mut self, events: Vec<Event>) {
        for event in &events {
            let last = &mut self.last_of_severity[event.severity as usize];
            *last = event.sequence.max(*last);
        }
        self.tail.extend(events.into_iter().map(Arc::new));
    }

    /// Tells the world.
    pub(super) fn publish(&mut self) {
        let delivered = self.state.delivered;
        let mut missing = Vec::new();
        if let Ok(waiting) = self.ring.waiting(delivered, &mut missing) {
            self.waiting = waiting.saturating_sub(self.state.dead.covered_in(delivered + 1, u64::MAX));
        }
        self.announce_damage(missing);
        let is_full = self.is_full || self.is_disk_full;
        let (dead, retries) = self.state.dead.count();
        let status = StoreStatus {
            last_sequence: self.state.next_sequence.saturating_sub(1),
            delivered,
            waiting: self.waiting,
            last_of_severity: self.last_of_severity,
            dead,
            retries,
            bytes: self.total_bytes(),
            full: is_full,
            fault: self.fault.clone(),
        };
        self.counters.store_events.set(status.waiting);
        self.counters.store_bytes.set(status.bytes);
        self.counters.retained_bytes.set(self.retained.bytes());
        self.counters.store_full.set(u64::from(is_full));
        self.published.send_if_modified(|published| {
            let is_new = *published != status;
            *published = status;
            is_new
        });
    }
}
