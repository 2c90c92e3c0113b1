//! Reads the store for what may go ahead of the queue, see [`super::ahead`].
//!
//! Owns two reading places, the lookout's and the sweep's, and how much of the time a sweep may take. With
//! oldest-first, and while the queue keeps up, it reads nothing.
//!
//! Nothing goes ahead before the lookout has seen the whole backlog, so it must be much faster than the queue: it reads on
//! while the link is down, with a link it asks for more whenever the session comes by, and while much is unseen the
//! queue's next read waits for a few of its own ([`read_on`]).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::ahead::Ahead;
use super::feed::Feed;
use crate::config::model::Order;
use crate::event::Event;
use crate::store::handle::{Closed, StoreHandle, StoreStatus};

/// Events read at once, as the queue's own read-ahead has it.
const READ_EVENTS_MAX: usize = 512;

/// Stored bytes read at once.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Reads that come before the queue's next one while much is unseen. Were both to take turns, as they do where the
/// processor or the disk is what holds everything back, the queue would be everywhere as soon as the lookout. It is the
/// same work in another order, so a drain takes as long as before. More than one read so that a lookout gets through a
/// backlog while the queue sends a quarter of it; bounded so that the queue always goes on.
const READS_BEFORE_QUEUE: u32 = 4;

/// The queue is behind when so many events wait for it; with fewer there is nothing to overtake.
const BEHIND_EVENTS_MIN: u64 = 64;

/// After a sweep the next one waits this many times as long as the last one's reading took: on a slow machine reading
/// a large backlog over and over would leave the processor to nothing else.
const REST_SHARE: u32 = 3;

/// The least a sweep rests, and how soon a store that hands out nothing is asked again.
const REST_MIN: Duration = Duration::from_secs(1);

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Arc<Event>>, Closed>> + Send>>;

/// Who asked for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Lookout,
    Sweep,
}

/// The readers and what they choose.
pub struct Lookout {
    /// What they have chosen.
    pub ahead: Ahead<Arc<Event>>,
    /// How many of these have left since the queue's last one.
    pub run: usize,
    store: StoreHandle,
    status: watch::Receiver<StoreStatus>,
    reading: Option<(Reader, Instant, Reading)>,
    /// Reads since the queue's last.
    reads: u32,
    /// Read for the sweep and not shown to it yet, for want of room.
    held: VecDeque<Arc<Event>>,
    last_reader: Reader,
    /// How long the sweep under way has waited for the store.
    sweep_cost: Duration,
    sweep_not_before: Instant,
    read_not_before: Instant,
}

impl Lookout {
    /// Starts behind what has been delivered.
    pub fn new(order: Order, store: StoreHandle, delivered: u64) -> Self {
        let now = Instant::now();
        Self {
            ahead: Ahead::new(order, delivered),
            run: 0,
            status: store.status(),
            store,
            reading: None,
            reads: 0,
            held: VecDeque::new(),
            last_reader: Reader::Sweep,
            sweep_cost: Duration::ZERO,
            sweep_not_before: now,
            read_not_before: now,
        }
    }

    /// Reads on where something is wanted, and returns when there is something to send ahead. `passed`: the queue has
    /// handed out everything up to here. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The store is gone: the process is ending.
    pub async fn turn(&mut self, passed: u64) -> Result<(), Closed> {
        if !self.ahead.is_on() {
            return std::future::pending().await;
        }
        loop {
            self.show_held(passed);
            if self.reading.is_none() {
                self.ask(passed);
            }
            if self.reading.is_some() {
                self.answer(passed).await?;
                if self.ahead.next().is_some() {
                    return Ok(());
                }
                continue;
            }
            let not_before = self.read_not_before.max(self.sweep_not_before);
            tokio::select! {
                changed = self.status.changed() => changed.map_err(|_| Closed)?,
                () = tokio::time::sleep_until(not_before), if not_before > Instant::now() => {}
            }
        }
    }

    /// Reads on as far as that goes without waiting.
    ///
    /// # Errors
    ///
    /// The store is gone: the process is ending.
    pub async fn step(&mut self, passed: u64) -> Result<(), Closed> {
        if !self.ahead.is_on() {
            return Ok(());
        }
        tokio::select! {
            biased;
            turned = self.turn(passed) => turned,
            () = std::future::ready(()) => Ok(()),
        }
    }

    /// Reads on while there is no connection, a full read at a time so that single events are not read back one by one.
    /// Never returns: that the store is gone is noticed by others. Cancel-safe.
    pub async fn keep_up(&mut self, passed: u64) {
        while self.ahead.is_on() {
            let unseen = self.unseen(passed);
            if self.reading.is_none() && unseen < READ_EVENTS_MAX as u64 {
                if self.status.changed().await.is_err() {
                    break;
                }
                continue;
            }
            if self.reading.is_none() {
                let wait = self.read_not_before.saturating_duration_since(Instant::now());
                tokio::time::sleep(wait).await;
                self.read(Reader::Lookout, self.ahead.seen().max(passed) + 1);
            }
            if self.answer(passed).await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    /// Whether the queue is to wait with its next read, because one is under way here that is to come first.
    fn comes_first(&mut self, passed: u64) -> bool {
        if !self.ahead.is_on() || self.reads >= READS_BEFORE_QUEUE {
            return false;
        }
        self.show_held(passed);
        if self.reading.is_none() {
            self.ask(passed);
        }
        let is_far = self.unseen(passed) >= READ_EVENTS_MAX as u64;
        self.reading.as_ref().is_some_and(|(reader, ..)| *reader == Reader::Sweep || is_far)
    }

    /// Waits for the read under way, if one is, and takes what it brings. Cancel-safe.
    async fn answer(&mut self, passed: u64) -> Result<(), Closed> {
        let Some((reader, asked, reading)) = &mut self.reading else { return Ok(()) };
        let (reader, asked, events) = (*reader, *asked, reading.await);
        self.reading = None;
        self.reads = self.reads.saturating_add(1);
        self.take(reader, asked, events?, passed);
        Ok(())
    }

    /// Events behind the lookout's place.
    fn unseen(&mut self, passed: u64) -> u64 {
        let last = self.status.borrow_and_update().last_sequence;
        last.saturating_sub(self.ahead.seen().max(passed))
    }

    /// Begins a read if one is wanted.
    fn ask(&mut self, passed: u64) {
        let (unseen, now) = (self.unseen(passed), Instant::now());
        let last = self.status.borrow().last_sequence;
        if last <= passed + BEHIND_EVENTS_MIN || now < self.read_not_before {
            return;
        }
        if unseen < READ_EVENTS_MAX as u64 && now >= self.sweep_not_before {
            let was_sweeping = self.ahead.is_sweeping();
            if self.ahead.begin_sweep(passed) {
                // One that gave way has begun anew.
                self.sweep_cost = if was_sweeping { self.sweep_cost } else { Duration::ZERO };
                self.sweep_not_before = now + REST_MIN;
            }
        }
        let sweep_from = if self.held.is_empty() { self.ahead.sweep_from(passed) } else { None };
        let reader = match sweep_from {
            Some(from) if unseen == 0 || self.last_reader == Reader::Lookout => (Reader::Sweep, from),
            _ if unseen > 0 => (Reader::Lookout, self.ahead.seen().max(passed) + 1),
            _ => return,
        };
        self.read(reader.0, reader.1);
    }

    fn read(&mut self, reader: Reader, from: u64) {
        let store = self.store.clone();
        self.last_reader = reader;
        let reading = Box::pin(async move { store.read(from, READ_EVENTS_MAX, READ_BYTES_MAX).await });
        self.reading = Some((reader, Instant::now(), reading));
    }

    fn take(&mut self, reader: Reader, asked: Instant, events: Vec<Arc<Event>>, passed: u64) {
        let now = Instant::now();
        if events.is_empty() {
            self.read_not_before = now + REST_MIN;
        }
        match reader {
            Reader::Lookout => {
                for event in events {
                    let (sequence, severity, subject) = (event.sequence, event.severity, Arc::clone(&event.subject));
                    self.ahead.look(sequence, &subject, severity, event, passed);
                }
            }
            Reader::Sweep => {
                self.sweep_cost += now - asked;
                self.held.extend(events);
                self.show_held(passed);
            }
        }
    }

    /// Shows the sweep what was read for it, as far as there is room.
    fn show_held(&mut self, passed: u64) {
        let was_sweeping = self.ahead.is_sweeping();
        // The queue may have passed the end of it.
        let _ = self.ahead.sweep_from(passed);
        while let Some(event) = self.held.front() {
            if !self.ahead.sweep(event.sequence, &event.subject, Arc::clone(event), passed) {
                return;
            }
            self.held.pop_front();
        }
        if was_sweeping && !self.ahead.is_sweeping() {
            self.sweep_not_before = Instant::now() + (self.sweep_cost * REST_SHARE).max(REST_MIN);
        }
    }
}

/// Reads on for the queue and for what may overtake it, and returns when one of them has something to send. Cancel-safe.
///
/// # Errors
///
/// The store is gone: the process is ending.
pub async fn read_on(feed: &mut Feed, lookout: &mut Lookout) -> Result<(), Closed> {
    let passed = feed.passed();
    while feed.wants_read() && lookout.comes_first(passed) {
        lookout.answer(passed).await?;
        if lookout.ahead.next().is_some() {
            return Ok(());
        }
    }
    if feed.wants_read() {
        lookout.reads = 0;
    }
    tokio::select! {
        // The queue's read begins now.
        biased;
        turned = feed.turn() => turned,
        turned = lookout.turn(passed) => turned,
    }
}

#[cfg(test)]
#[path = "lookout_tests.rs"]
mod tests;
