//! The side lane: events that go upstream only while the queue has nothing to send.
//!
//! What has been delivered before, or was set aside, is sent again this way. Owns its own small number of flights, their
//! packet ids and the suspicions against them, apart from the delivery window: nothing here moves the delivered mark,
//! and a new event never waits behind more than [`INFLIGHT_MAX`] events of this lane. Never reads a clock or the store.
//!
//! Whoever gives an event gets its [`Outcome`]. It gets none when the forwarder was replaced meanwhile: the event may or
//! may not have arrived, and is to be given again. An event whose giver no longer waits is not sent.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::window::SUSPICIONS_MAX;
use crate::event::Event;

/// Most events of the lane in flight: what a new event may have to wait behind. Enough to use a link of a hundred
/// milliseconds for something, few enough that an alarm does not notice.
pub const INFLIGHT_MAX: u16 = 16;

/// Most payload bytes of the lane in flight: half a minute of a GPRS link. A single larger event still goes, alone.
pub const INFLIGHT_BYTES_MAX: usize = 64 * 1024;

/// How an event of the lane is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Not at all: it has not been delivered yet. It counts as backlog.
    Plain,
    /// As one that was delivered before (`replayed`).
    Replayed,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has acknowledged it.
    Delivered,
    /// It cannot be sent, or the broker does not take it; in words.
    Refused(String),
}

/// An event on its way through the lane.
#[derive(Debug)]
struct SideEvent {
    event: Arc<Event>,
    mark: Mark,
    /// It has left on this lane before.
    was_sent: bool,
    done: oneshot::Sender<Outcome>,
}

/// All forwarders are gone for good: the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Where events are given. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SideSender(mpsc::Sender<SideEvent>);

impl SideSender {
    /// Gives an event, waiting while [`INFLIGHT_MAX`] others wait to be sent. Events of one giver leave in order.
    ///
    /// # Errors
    /// The process is ending.
    pub async fn give(&self, event: Arc<Event>, mark: Mark) -> Result<oneshot::Receiver<Outcome>, Gone> {
        let (done, outcome) = oneshot::channel();
        self.0.send(SideEvent { event, mark, was_sent: false, done }).await.map_err(|_| Gone)?;
        Ok(outcome)
    }
}

/// Where a forwarder takes them. Outlives any one forwarder: a reload replaces it and hands this to the next. At most
/// one forwarder runs at a time.
#[derive(Clone, Debug)]
pub struct SideReceiver(Arc<Mutex<mpsc::Receiver<SideEvent>>>);

impl SideReceiver {
    fn try_recv(&self) -> Option<SideEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok()
    }

    /// The next event; never returns when there is no giver left. Cancel-safe.
    async fn recv(&self) -> SideEvent {
        poll_fn(|context| match self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(context) {
            Poll::Ready(Some(item)) => Poll::Ready(item),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// A lane's two ends.
pub fn channel() -> (SideSender, SideReceiver) {
    let (sender, receiver) = mpsc::channel(usize::from(INFLIGHT_MAX));
    (SideSender(sender), SideReceiver(Arc::new(Mutex::new(receiver))))
}

/// An event that is sent and not acknowledged.
#[derive(Debug)]
struct Flight {
    item: SideEvent,
    slot: u16,
    bytes: usize,
    sent: Instant,
}

/// The forwarder's side of the lane.
#[derive(Debug)]
pub struct SideLane {
    inbox: SideReceiver,
    /// To be sent, in order; mostly what a connection that ended has left.
    queued: VecDeque<SideEvent>,
    /// How many of them, from the front, the broker has refused for now since the last one was sent.
    returned: usize,
    /// In the order in which they were sent.
    flights: VecDeque<Flight>,
    inflight_bytes: usize,
    limit: usize,
    acked_since_growth: usize,
    suspect: Option<(Uuid, u32)>,
}

impl SideLane {
    /// An empty lane.
    pub fn new(inbox: SideReceiver) -> Self {
        Self {
            inbox,
            queued: VecDeque::new(),
            returned: 0,
            flights: VecDeque::new(),
            inflight_bytes: 0,
            limit: usize::from(INFLIGHT_MAX),
            acked_since_growth: 0,
            suspect: None,
        }
    }

    /// Events sent and not acknowledged on this connection.
    pub fn inflight(&self) -> usize {
        self.flights.len()
    }

    /// Whether [`SideLane::arrival`] is worth waiting for: there is room and nothing to fill it.
    pub fn wants_more(&self) -> bool {
        self.queued.is_empty() && self.has_room()
    }

    /// Returns when an event has been given; [`SideLane::peek`] then has it. Cancel-safe.
    pub async fn arrival(&mut self) {
        let item = self.inbox.recv().await;
        self.queued.push_back(item);
    }

    /// The event to send next, if one waits and there is room, and a slot for it: a number below [`INFLIGHT_MAX`] that no
    /// event in flight has, its packet id within the lane's share. It stays next until [`SideLane::on_outgoing`] or
    /// [`SideLane::refuse`].
    pub fn peek(&mut self) -> Option<(u16, Arc<Event>, Mark)> {
        if !self.has_room() {
            return None;
        }
        let is_free = |slot: &u16| self.flights.iter().all(|flight| flight.slot != *slot);
        let slot = (0..INFLIGHT_MAX).find(is_free)?;
        loop {
            if self.queued.is_empty() {
                self.queued.push_back(self.inbox.try_recv()?);
            }
            match self.queued.front() {
                // Nobody waits for it any more.
                Some(item) if item.done.is_closed() => drop(self.queued.pop_front()),
                Some(item) => return Some((slot, Arc::clone(&item.event), item.mark)),
                None => {}
            }
        }
    }

    /// The next event has left with this slot and payload size. Returns whether it did before.
    pub fn on_outgoing(&mut self, slot: u16, bytes: usize, now: Instant) -> bool {
        let Some(mut item) = self.queued.pop_front() else { return false };
        let was_sent = std::mem::replace(&mut item.was_sent, true);
        self.returned = 0;
        self.inflight_bytes += bytes;
        self.flights.push_back(Flight { item, slot, bytes, sent: now });
        was_sent
    }

    /// The next event cannot be sent, ever.
    pub fn refuse(&mut self, why: String) {
        if let Some(item) = self.queued.pop_front() {
            settle(item, Outcome::Refused(why));
        }
    }

    /// The broker has acknowledged this slot; false when no event in flight has it.
    pub fn on_puback(&mut self, slot: u16) -> bool {
        let Some(place) = self.flights.iter().position(|flight| flight.slot == slot) else { return false };
        let Some(flight) = self.flights.remove(place) else { return false };
        self.inflight_bytes -= flight.bytes;
        if self.suspect.is_some_and(|(suspect, _)| suspect == flight.item.event.id) {
            self.suspect = None;
        }
        self.grow();
        settle(flight.item, Outcome::Delivered);
        true
    }

    /// The broker has refused this slot: for now (`why` is none; it is sent again, alone), or for good. False when no
    /// event in flight has it.
    pub fn on_refusal(&mut self, slot: u16, why: Option<String>) -> bool {
        let Some(place) = self.flights.iter().position(|flight| flight.slot == slot) else { return false };
        let Some(flight) = self.flights.remove(place) else { return false };
        self.inflight_bytes -= flight.bytes;
        match why {
            Some(why) => settle(flight.item, Outcome::Refused(why)),
            None => {
                // Nothing more is sent while others are in flight, so they come back in the order in which they left.
                self.queued.insert(self.returned.min(self.queued.len()), flight.item);
                self.returned += 1;
                self.limit = 1;
                self.acked_since_growth = 0;
            }
        }
        true
    }

    /// Whether an event in flight has waited for its acknowledgement for this long.
    pub fn is_overdue(&self, now: Instant, limit: Duration) -> bool {
        self.flights.front().is_some_and(|flight| now.saturating_duration_since(flight.sent) >= limit)
    }

    /// The connection has ended: what was in flight is to be sent again. `suspicious` says that the broker may have
    /// ended it because of what we sent. Then events go one at a time, and one that was alone in flight at the end of
    /// three such connections is refused, with what `why` says. Queue events may have been in flight beside it: to pass
    /// over something that is only sent again costs less than to hold up the queue. Returns whether one was refused.
    pub fn on_connection_lost(&mut self, suspicious: bool, why: impl FnOnce() -> String) -> bool {
        let was_alone = self.flights.len() == 1 && self.returned == 0;
        let returned = std::mem::take(&mut self.returned).min(self.queued.len());
        while let Some(flight) = self.flights.pop_back() {
            self.queued.insert(returned, flight.item);
            if suspicious {
                self.limit = 1;
                self.acked_since_growth = 0;
            }
        }
        self.inflight_bytes = 0;
        if !(suspicious && was_alone) {
            return false;
        }
        let Some(id) = self.queued.front().map(|item| item.event.id) else { return false };
        let attempts = self.suspect.filter(|(suspect, _)| *suspect == id).map_or(0, |(_, attempts)| attempts) + 1;
        self.suspect = Some((id, attempts));
        let is_at_fault = attempts >= SUSPICIONS_MAX;
        if is_at_fault {
            self.suspect = None;
            self.refuse(format!("{attempts} connections in a row ended when it was sent; last: {}", why()));
        }
        is_at_fault
    }

    fn has_room(&self) -> bool {
        self.flights.len() < self.limit && (self.flights.is_empty() || self.inflight_bytes < INFLIGHT_BYTES_MAX)
    }

    /// Doubles a small limit after it has been acknowledged once over.
    fn grow(&mut self) {
        let limit_max = usize::from(INFLIGHT_MAX);
        if self.limit == limit_max {
            return;
        }
        self.acked_since_growth += 1;
        if self.acked_since_growth >= self.limit {
            self.limit = (self.limit * 2).min(limit_max);
            self.acked_since_growth = 0;
        }
    }
}

/// A giver that does not wait any more has no use for it.
fn settle(item: SideEvent, outcome: Outcome) {
    let _ = item.done.send(outcome);
}

#[cfg(test)]
#[path = "side_tests.rs"]
mod tests;
