//! What is to be sent next: events read ahead from the store.
//!
//! Owns the place up to which the store has been read, and the bound on what is held in memory. Never sends anything
//! upstream. An event appears here only after it is on stable storage.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::session::until;
use crate::event::Event;
use crate::store::handle::{Closed, StoreHandle, StoreStatus};

/// Events read at once: two default windows, so that a reply is there before the one before it is used up.
const READ_EVENTS_MAX: usize = 512;

/// Stored bytes read at once. With the remainder of the reply before it this bounds the read-ahead.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Another read is asked for when this many events or fewer are left.
const READ_BELOW_EVENTS: usize = READ_EVENTS_MAX / 2;

/// A store that has events but hands out none works around a fault; it is asked again after this long.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Arc<Event>>, Closed>> + Send>>;

/// The read-ahead.
pub struct Feed {
    store: StoreHandle,
    status: watch::Receiver<StoreStatus>,
    ready: VecDeque<Arc<Event>>,
    next: u64,
    reading: Option<Reading>,
    /// The read under way is for what is still to come.
    reads_on: bool,
    not_before: Option<Instant>,
}

impl Feed {
    /// Starts behind what has been delivered.
    pub fn new(store: StoreHandle) -> Self {
        let mut status = store.status();
        let next = status.borrow_and_update().delivered + 1;
        Self { store, status, ready: VecDeque::new(), next, reading: None, reads_on: false, not_before: None }
    }

    /// The store's status now.
    pub fn status(&self) -> StoreStatus {
        self.status.borrow().clone()
    }

    /// Everything up to here has been delivered, evicted or set aside.
    pub fn settled(&self) -> u64 {
        self.status.borrow().delivered
    }

    /// The next event in sequence order; passes over what was evicted since it was read.
    pub fn pop(&mut self) -> Option<Arc<Event>> {
        let settled = self.settled();
        while let Some(event) = self.ready.pop_front() {
            if event.sequence > settled {
                return Some(event);
            }
        }
        None
    }

    /// The number of the next event.
    pub fn front(&self) -> Option<u64> {
        self.ready.front().map(|event| event.sequence)
    }

    /// Takes back the event handed out last.
    pub fn put_back(&mut self, event: Arc<Event>) {
        self.ready.push_front(event);
    }

    /// Everything up to here has been handed out, or is not to be.
    pub fn passed(&self) -> u64 {
        self.ready.front().map_or(self.next, |event| event.sequence).saturating_sub(1)
    }

    /// About how many events are ready to be handed out.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether everything in the store has been handed out.
    pub fn is_drained(&self) -> bool {
        let status = self.status.borrow();
        self.ready.is_empty() && status.last_sequence.max(status.delivered) < self.next
    }

    /// Reads on where there is room, and returns when there is something new to hand out. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The store is gone: the process is ending.
    pub async fn turn(&mut self) -> Result<(), Closed> {
        loop {
            if self.has_room() {
                let (store, from) = (self.store.clone(), self.next);
                // With nothing there the store answers as soon as there is: an event leaves without being asked for.
                let reads_on = !self.is_behind();
                self.reads_on = reads_on;
                self.reading = Some(Box::pin(async move {
                    match reads_on {
                        true => store.read_on(from, READ_EVENTS_MAX, READ_BYTES_MAX).await,
                        false => store.read(from, READ_EVENTS_MAX, READ_BYTES_MAX).await,
                    }
                }));
                self.not_before = None;
            }
            let not_before = self.not_before;
            tokio::select! {
                biased;
                events = answer(&mut self.reading) => {
                    self.reading = None;
                    if self.take(events?) {
                        return Ok(());
                    }
                }
                changed = self.status.changed(), if self.reads_on || self.reading.is_none() => {
                    changed.map_err(|_| Closed)?;
                }
                () = until(not_before), if not_before.is_some() => self.not_before = None,
            }
            // The store's place of delivery moves past evicted events by itself, so there is nothing to skip here.
            let settled = self.status.borrow_and_update().delivered;
            self.next = self.next.max(settled + 1);
        }
    }

    /// Whether [`Self::turn`] would begin a read of what is there now.
    pub fn wants_read(&self) -> bool {
        self.has_room() && self.is_behind()
    }

    fn has_room(&self) -> bool {
        self.reading.is_none()
            && self.ready.len() <= READ_BELOW_EVENTS
            && self.not_before.is_none_or(|time| time <= Instant::now())
    }

    fn is_behind(&self) -> bool {
        self.status.borrow().last_sequence >= self.next
    }

    /// Takes a reply; false when there was nothing in it.
    fn take(&mut self, events: Vec<Arc<Event>>) -> bool {
        let before = self.next;
        for event in events {
            // The store promises order; a repeat would not harm, but has no place in the window.
            if event.sequence >= self.next {
                self.next = event.sequence + 1;
                self.ready.push_back(event);
            }
        }
        if self.next == before {
            self.not_before = Some(Instant::now() + READ_AGAIN_AFTER);
        }
        self.next > before
    }
}

/// The answer to the read under way; none without one.
async fn answer(reading: &mut Option<Reading>) -> Result<Vec<Arc<Event>>, Closed> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;
    use crate::forward::testing::FakeStore;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn everything_is_handed_out_once_in_order_and_memory_is_bounded() {
        runtime().block_on(async {
            let store = FakeStore::new();
            store.add(5_000);
            let mut feed = Feed::new(store.handle());
            let mut seen = Vec::new();
            while seen.len() < 5_000 {
                if feed.wants_read() {
                    feed.turn().await.unwrap();
                }
                assert!(feed.ready.len() <= READ_BELOW_EVENTS + READ_EVENTS_MAX);
                for _ in 0..300 {
                    seen.extend(feed.pop().map(|event| event.sequence));
                }
            }
            assert_eq!(seen, (1..=5_000).collect::<Vec<_>>());
            assert!(feed.is_drained());
            store.add(1);
            feed.turn().await.unwrap();
            assert!(!feed.is_drained());
            assert_eq!(feed.pop().unwrap().sequence, 5_001);
        });
    }

    #[test]
    fn evicted_events_are_passed_over() {
        runtime().block_on(async {
            let store = FakeStore::new();
            store.add(10);
            let mut feed = Feed::new(store.handle());
            feed.turn().await.unwrap();
            assert_eq!(feed.pop().unwrap().sequence, 1);
            store.evict_through(7);
            assert_eq!(feed.pop().unwrap().sequence, 8);
        });
    }

    #[test]
    fn what_is_still_to_come_is_asked_for_once_and_what_is_evicted_meanwhile_is_not_waited_for() {
        runtime().block_on(async {
            let (store, mut answer) = FakeStore::by_hand();
            let mut feed = Feed::new(store.handle());
            let turn = async |feed: &mut Feed, answer: &mut dyn FnMut()| {
                tokio::select! {
                    biased;
                    turned = feed.turn() => turned.is_ok(),
                    () = async { answer(); tokio::task::yield_now().await } => false,
                }
            };
            assert!(!turn(&mut feed, &mut answer).await, "there is nothing");
            assert!(feed.is_drained());
            store.add(3);
            store.evict_through(3);
            assert!(!turn(&mut feed, &mut answer).await, "they are gone again");
            assert!(feed.is_drained(), "and not waited for");
            store.add(1);
            assert!(turn(&mut feed, &mut answer).await);
            assert_eq!(feed.pop().unwrap().sequence, 4);
            assert_eq!(store.reads(), 1);
        });
    }

    #[test]
    fn a_store_that_hands_out_nothing_is_asked_again_and_nothing_is_skipped() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = FakeStore::new();
            store.hand_out_nothing(true);
            store.add(3);
            let mut feed = Feed::new(store.handle());
            let quick = tokio::time::timeout(READ_AGAIN_AFTER / 4, feed.turn()).await;
            assert!(quick.is_err(), "there is nothing to hand out");
            assert_eq!(store.reads(), 1, "and it does not ask in a circle");
            store.hand_out_nothing(false);
            feed.turn().await.unwrap();
            assert_eq!(feed.pop().unwrap().sequence, 1);
        });
    }
}
