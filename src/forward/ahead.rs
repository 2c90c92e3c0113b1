//! What may go upstream ahead of the queue: live events before a backlog, or severe ones before the rest.
//!
//! Owns the choice, the flights of what was chosen, and the numbers of what has arrived although the delivered mark is
//! not there yet. Pure: never reads a clock or the store, never moves the mark. The queue itself, oldest first, is the
//! window's; it passes over what is delivered here, and waits at what is under way here.
//!
//! Why events of one subject keep their order: two readers look at stored events, each in sequence order.
//!
//! - The *lookout* sees every event behind the place the queue has come to, and either takes it or leaves it to the
//!   queue. It takes one only if the queue has passed all that was left to it of that subject.
//! - A *sweep* (severity-first) begins at the queue's place, with a fixed list of subjects and for each the number up to
//!   which it is wanted. It takes everything of these subjects up to there, so the earlier events come along.
//!
//! Taken events form one line, first in first out, and none of them is sent on a connection before the queue has sent
//! there again what it had in flight. So whatever of the same subject has a lower number is delivered, or was sent
//! before on the same connection.
//!
//! Subjects are told apart by a hash into [`BUCKETS`] places, so that memory does not grow with sensors. Two subjects in
//! one place are taken for one: they keep their order to each other too, which may cost one a wait, and never harms.

mod stretches;
mod sweep;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::window::SUSPICIONS_MAX;
use crate::config::model::{Order, Severity};
use stretches::Stretches;
use sweep::Sweep;

/// Places for subjects. With a thousand sensors in a backlog, one in thirty others shares a place with one of them.
pub const BUCKETS: usize = 32_768;

/// Most events delivered ahead of the mark. They are remembered in memory only: after a kill they are sent again, with
/// the same ids. At this many the queue goes on alone until it has passed some of them. A backlog of a million
/// can have a live event for every ten of its own.
pub const AHEAD_EVENTS_MAX: u64 = 100_000;

/// Most separate stretches of numbers they may form: bounds the memory, at about a megabyte.
pub const AHEAD_STRETCHES_MAX: usize = 20_000;

/// Most events of the line in flight; packet ids of their own keep them apart from the queue's.
pub const INFLIGHT_MAX: u16 = 64;

/// Most payload bytes of the line in flight. A single larger event still goes, alone.
const INFLIGHT_BYTES_MAX: usize = 256 * 1024;

/// Most events taken and not sent. Short: what is taken last waits for all of them.
const LINE_MAX: usize = 64;

/// Most of them that a sweep may have taken, so that what happens now finds room.
const SWEPT_MAX: usize = 32;

/// Events taken that may leave one after the other while the queue has some too: a quarter of the link stays the queue's.
pub const RUN_MAX: usize = 3;

/// How urgent a sweep can be: for critical events, then for high ones.
const LEVELS: usize = 2;

/// Where an event stands in relation to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// It is the queue's to send.
    Queue,
    /// It is taken and not acknowledged: the queue waits for it.
    Ahead,
    /// It has arrived: the queue passes over it.
    Delivered,
}

/// An event that was taken.
#[derive(Clone, Debug)]
struct Taken<T> {
    sequence: u64,
    bucket: usize,
    item: T,
    /// Its place among all that were ever taken.
    turn: u64,
}

/// One that is sent and not acknowledged.
#[derive(Clone, Debug)]
struct Flight<T> {
    taken: Taken<T>,
    slot: u16,
    bytes: usize,
    sent: Instant,
}

/// The line and what it takes to fill it.
#[derive(Debug)]
pub struct Ahead<T> {
    order: Order,
    /// By bucket: the last event that was left to the queue.
    left: Box<[u64]>,
    /// By level and bucket: the last event that the next sweep is to bring.
    wanted: [Box<[u64]>; LEVELS],
    /// By level: no event with a higher number than this is wanted.
    last_wanted: [u64; LEVELS],
    sweep: Option<Sweep>,
    seen: u64,
    live_after: u64,
    /// In order of their turns.
    line: VecDeque<Taken<T>>,
    turns: u64,
    flights: VecDeque<Flight<T>>,
    inflight_bytes: usize,
    /// Numbers in the line and in flight.
    under_way: BTreeSet<u64>,
    delivered: Stretches,
    settled: u64,
    has_progress: bool,
    strikes: u32,
}

impl<T: Clone> Ahead<T> {
    /// An empty line; everything up to `delivered` is delivered. With oldest-first it stays empty and costs nothing.
    pub fn new(order: Order, delivered: u64) -> Self {
        let buckets = |is_used: bool| vec![0; if is_used { BUCKETS } else { 0 }].into_boxed_slice();
        let sweeps = order == Order::SeverityFirst;
        Self {
            order,
            left: buckets(order != Order::OldestFirst),
            wanted: [buckets(sweeps), buckets(sweeps)],
            last_wanted: [0; LEVELS],
            sweep: None,
            seen: delivered,
            live_after: u64::MAX,
            line: VecDeque::new(),
            turns: 0,
            flights: VecDeque::new(),
            inflight_bytes: 0,
            under_way: BTreeSet::new(),
            delivered: Stretches::default(),
            settled: delivered,
            has_progress: false,
            strikes: 0,
        }
    }

    /// Whether there is anything to choose.
    pub fn is_on(&self) -> bool {
        self.order != Order::OldestFirst
    }

    /// A connection is up; what is stored from now on is live.
    pub fn on_connected(&mut self, last_stored: u64) {
        self.live_after = last_stored;
    }

    /// The lookout has seen everything up to here.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Shows the lookout the next event. `passed`: the queue has handed out everything up to here.
    pub fn look(&mut self, sequence: u64, subject: &str, severity: Severity, item: T, passed: u64) {
        if sequence <= self.seen.max(passed) || !self.is_on() {
            self.seen = self.seen.max(sequence);
            return;
        }
        self.seen = sequence;
        let bucket = bucket_of(subject);
        let level = match (self.order, severity) {
            (Order::SeverityFirst, Severity::Critical) => Some(0),
            (Order::SeverityFirst, Severity::High) => Some(1),
            _ => None,
        };
        let is_urgent = level.is_some() || (self.order == Order::LiveFirst && sequence > self.live_after);
        if is_urgent && self.left[bucket] <= passed && self.has_room(LINE_MAX) {
            self.take(sequence, bucket, item);
            return;
        }
        self.left[bucket] = sequence;
        if let Some(level) = level {
            self.wanted[level][bucket] = sequence;
            self.last_wanted[level] = sequence;
        }
    }

    fn take(&mut self, sequence: u64, bucket: usize, item: T) {
        self.under_way.insert(sequence);
        self.turns += 1;
        self.line.push_back(Taken { sequence, bucket, item, turn: self.turns });
    }

    fn has_room(&self, line_max: usize) -> bool {
        self.line.len() < line_max
            && self.delivered.count() + self.under_way.len() as u64 <= AHEAD_EVENTS_MAX
            && self.delivered.stretches() <= AHEAD_STRETCHES_MAX
    }

    /// Whose an event is that the queue has come to.
    pub fn whose(&self, sequence: u64) -> Whose {
        if self.under_way.contains(&sequence) {
            Whose::Ahead
        } else if self.delivered.contains(sequence) {
            Whose::Delivered
        } else {
            Whose::Queue
        }
    }

    /// The event to send next, if one waits and there is room, and a slot for it: a number below [`INFLIGHT_MAX`] that
    /// no event in flight has.
    pub fn next(&self) -> Option<(u16, u64, T)> {
        let taken = self.line.front()?;
        if !self.flights.is_empty() && self.inflight_bytes >= INFLIGHT_BYTES_MAX {
            return None;
        }
        let is_free = |slot: &u16| self.flights.iter().all(|flight| flight.slot != *slot);
        let slot = (0..INFLIGHT_MAX).find(is_free)?;
        Some((slot, taken.sequence, taken.item.clone()))
    }

    /// The next event has left with this slot and payload size.
    pub fn on_outgoing(&mut self, slot: u16, bytes: usize, now: Instant) {
        let Some(taken) = self.line.pop_front() else { return };
        self.inflight_bytes += bytes;
        self.flights.push_back(Flight { taken, slot, bytes, sent: now });
    }

    /// The broker has acknowledged this slot: the event that was in flight with it, if one was.
    pub fn on_puback(&mut self, slot: u16) -> Option<T> {
        let place = self.flights.iter().position(|flight| flight.slot == slot);
        let flight = place.and_then(|place| self.flights.remove(place))?;
        self.inflight_bytes -= flight.bytes;
        self.has_progress = true;
        self.strikes = 0;
        self.under_way.remove(&flight.taken.sequence);
        if flight.taken.sequence > self.settled {
            self.delivered.insert(flight.taken.sequence);
        }
        Some(flight.taken.item)
    }

    /// The broker has refused this slot: it is sent again, or is the queue's, and what follows it of its subject too.
    /// False when no event in flight has it.
    pub fn on_refusal(&mut self, slot: u16, again: bool) -> bool {
        let place = self.flights.iter().position(|flight| flight.slot == slot);
        let Some(flight) = place.and_then(|place| self.flights.remove(place)) else { return false };
        self.inflight_bytes -= flight.bytes;
        let bucket = flight.taken.bucket;
        if flight.taken.sequence > self.settled {
            self.take_back(flight.taken);
        } else {
            self.under_way.remove(&flight.taken.sequence);
        }
        if !again {
            self.leave_bucket(bucket);
        }
        true
    }

    /// Puts what was sent back to its place in the line.
    fn take_back(&mut self, taken: Taken<T>) {
        let place = self.line.partition_point(|other| other.turn < taken.turn);
        self.line.insert(place, taken);
    }

    /// Events sent and not acknowledged.
    pub fn inflight(&self) -> usize {
        self.flights.len()
    }

    /// Events delivered although the mark is not there yet.
    pub fn delivered_ahead(&self) -> u64 {
        self.delivered.count()
    }

    /// Whether an event in flight has waited for its acknowledgement for this long.
    pub fn is_overdue(&self, now: Instant, limit: Duration) -> bool {
        self.flights.front().is_some_and(|flight| now.saturating_duration_since(flight.sent) >= limit)
    }

    /// The connection has ended: what was in flight is to be sent again. `suspicious` says that the broker may have
    /// ended it because of what we sent. What is in flight at the end of three such connections without any
    /// acknowledgement goes back to the queue, which finds out which event it is.
    pub fn on_connection_lost(&mut self, suspicious: bool) {
        let buckets: BTreeSet<usize> = self.flights.iter().map(|flight| flight.taken.bucket).collect();
        if suspicious && !self.flights.is_empty() && !self.has_progress {
            self.strikes += 1;
        }
        while let Some(flight) = self.flights.pop_back() {
            // What was evicted meanwhile is not sent again: the queue has gone past it.
            if flight.taken.sequence > self.settled {
                self.take_back(flight.taken);
            } else {
                self.under_way.remove(&flight.taken.sequence);
            }
        }
        self.inflight_bytes = 0;
        self.has_progress = false;
        self.live_after = u64::MAX;
        if self.strikes >= SUSPICIONS_MAX {
            self.strikes = 0;
            buckets.into_iter().for_each(|bucket| self.leave_bucket(bucket));
        }
    }

    /// The next event cannot be sent: it and what follows it of its subject are the queue's.
    pub fn leave(&mut self) {
        if let Some(bucket) = self.line.front().map(|taken| taken.bucket) {
            self.leave_bucket(bucket);
        }
    }

    fn leave_bucket(&mut self, bucket: usize) {
        for taken in self.line.iter().filter(|taken| taken.bucket == bucket) {
            self.left[bucket] = self.left[bucket].max(taken.sequence);
            self.under_way.remove(&taken.sequence);
        }
        self.line.retain(|taken| taken.bucket != bucket);
        if let Some(sweep) = &mut self.sweep {
            // What it passed over is the queue's now, so that it may take nothing behind that. What it has not come to
            // was left when the lookout saw it.
            sweep.pulled[bucket] = 0;
        }
        // Nor is the next to bring it: what cannot be sent would go round and round.
        for wanted in &mut self.wanted {
            if let Some(wanted) = wanted.get_mut(bucket) {
                *wanted = 0;
            }
        }
    }

    /// Everything up to here is delivered, evicted or set aside: what of it was not sent is not to be.
    pub fn settle(&mut self, through: u64) {
        if through <= self.settled {
            return;
        }
        self.settled = through;
        self.delivered.forget_through(through);
        let under_way = &mut self.under_way;
        self.line.retain(|taken| taken.sequence > through || !under_way.remove(&taken.sequence));
    }
}

/// A place for a subject.
fn bucket_of(subject: &str) -> usize {
    crc32c::crc32c(subject.as_bytes()) as usize % BUCKETS
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "ahead_model_tests.rs"]
mod model_tests;
