//! The delivery window: which events are in flight upstream, and what to do when one is acknowledged or the connection
//! ends.
//!
//! Owns the packet-id bookkeeping, the delivered mark, the size of the window and the count of suspicions against an
//! event. Never does I/O, never reads a clock and never touches the store: callers report what happened and carry out
//! what is returned. Order: events leave in sequence order on every connection, acknowledged ones are not sent again,
//! so the first deliveries of one sensor are in sequence order too. A message may hold several events (see `company`);
//! the window counts messages.

mod company;
mod refusals;
mod search;
mod verdict;

use std::collections::VecDeque;

pub use refusals::RUN_MAX;
use refusals::Run;
use search::Trace;
pub use verdict::{Ending, Puback, Quarantine, Refusal, Refused};

/// Connections in a row that an event must have ended on its own before it is set aside. One may be chance and two bad
/// luck; with three, and a broker that acknowledged something else on each of them, the event is what it refuses.
pub const SUSPICIONS_MAX: u32 = 3;

/// Most payload bytes in flight. MQTT keeps them in memory until they are acknowledged; a window of full-sized payloads
/// would not fit into a small gateway. A single larger event still goes, alone.
pub const INFLIGHT_BYTES_MAX: usize = 1024 * 1024;

/// What part of the window must be free before more is written, when there is more to send than fits. Brokers
/// acknowledge one message at a time; answering each with the next one would make each a TLS record and a system call.
const REFILL_SHARE: usize = 8;

/// Times that the broker may refuse an event without a reason that speaks against the event, before it is set aside.
pub const REFUSALS_MAX: u32 = 3;

/// One event in the window.
#[derive(Debug)]
struct Flight<T> {
    sequence: u64,
    item: T,
    state: State,
    /// It has left behind another event in the same message, and so takes no place of its own.
    is_follower: bool,
    /// How often the broker has refused it without saying why.
    refusals: u32,
}

/// How far an event has come on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent.
    Queued,
    /// Sent, not acknowledged. Of a message with several events the first has its bytes; `more` follow in it.
    Sent { packet_id: u16, bytes: usize, more: bool },
    /// Refused for good; holds its place until it is in the dead letters.
    Refused,
    /// Refused by a broker that takes nothing else either: waits until it is asked about again, or is blamed after all.
    Kept,
    /// Acknowledged or set aside; waits for those before it.
    Done,
}

/// The window over events of type `T` (an `Arc` in the gateway, so that a clone is cheap).
///
/// `flights` holds, in sequence order, everything taken and not yet below the delivered mark; its first is never done.
/// Before `cursor` nothing waits to be sent; from it on something may have been sent only if the broker refused what
/// stands at the cursor.
#[derive(Debug)]
pub struct Window<T> {
    flights: VecDeque<Flight<T>>,
    cursor: usize,
    /// Followers before the cursor.
    followers: usize,
    /// Events up to here leave each in a message of its own.
    single_through: u64,
    limit: usize,
    limit_max: usize,
    /// What the broker of this connection takes at a time.
    bound: usize,
    delivered: u64,
    /// Messages sent and not acknowledged.
    inflight: usize,
    inflight_bytes: usize,
    sent_on_connection: u64,
    acked_on_connection: u64,
    acked_since_growth: usize,
    suspect: Option<(u64, u32)>,
    trace: Option<Trace>,
    /// While the delivered mark is below this, the window stays at one: an event that ended connections is among those
    /// up to here.
    narrow_through: u64,
    /// Whether the broker has acknowledged an event since the last one was set aside.
    takes_events: bool,
    run: Run,
}

impl<T: Clone> Window<T> {
    /// An empty window of at most `limit_max` events, when everything up to `delivered` is delivered.
    pub fn new(limit_max: usize, delivered: u64) -> Self {
        let limit_max = limit_max.max(1);
        Self {
            flights: VecDeque::new(),
            cursor: 0,
            followers: 0,
            single_through: 0,
            limit: limit_max,
            limit_max,
            bound: limit_max,
            delivered,
            inflight: 0,
            inflight_bytes: 0,
            sent_on_connection: 0,
            acked_on_connection: 0,
            acked_since_growth: 0,
            suspect: None,
            trace: None,
            narrow_through: 0,
            takes_events: false,
            run: Run::default(),
        }
    }

    /// Highest sequence number below which nothing is outstanding.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Events sent and not acknowledged on this connection.
    pub fn inflight(&self) -> usize {
        self.inflight
    }

    /// How many events may be outstanding at the moment.
    pub fn limit(&self) -> usize {
        if self.run.is_on() { 1 } else { self.limit.min(self.bound) }
    }

    /// A connection begins on which the broker takes at most so many events at a time.
    pub fn on_connected(&mut self, bound: usize) {
        self.bound = bound.max(1);
    }

    /// Whether every event taken is delivered or set aside.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Whether everything taken has been sent on this connection.
    pub fn is_all_sent(&self) -> bool {
        self.cursor == self.flights.len()
    }

    /// Whether the broker has acknowledged an event on this connection.
    pub fn has_progress(&self) -> bool {
        self.acked_on_connection > 0
    }

    /// Whether another event may be sent. What is acknowledged out of order still takes its place until those before it
    /// are, so packet ids of the window never come round to one that is still in use.
    fn has_room(&self) -> bool {
        if self.run.is_on() {
            return self.inflight == 0 && self.run.may_ask();
        }
        self.cursor - self.followers < self.limit()
            && self.inflight < self.limit()
            && (self.inflight == 0 || self.inflight_bytes < INFLIGHT_BYTES_MAX)
    }

    /// Whether sending is better put off until more is acknowledged: less than a share of the window is free, and there
    /// is more to send than fits (`ready` events besides those taken). While anything is in flight an acknowledgement
    /// comes and makes room, or the connection ends.
    pub fn waits_for_room(&self, ready: usize) -> bool {
        let room = self.limit().saturating_sub(self.cursor - self.followers);
        let queued = self.flights.len() - self.cursor;
        self.inflight > 0 && room < self.limit() / REFILL_SHARE && queued + ready > room
    }

    /// Takes an event that follows all taken before. A number that is not higher than theirs is a repeat and refused.
    pub fn offer(&mut self, sequence: u64, item: T) -> bool {
        let last = self.flights.back().map_or(self.delivered, |flight| flight.sequence);
        if sequence <= last {
            return false;
        }
        self.flights.push_back(Flight { sequence, item, state: State::Queued, is_follower: false, refusals: 0 });
        true
    }

    /// Takes an event that has already arrived, ahead of those before it: it only waits for them.
    pub fn offer_done(&mut self, sequence: u64, item: T) {
        if self.offer(sequence, item)
            && let Some(flight) = self.flights.back_mut()
        {
            flight.state = State::Done;
            self.skip_sent();
            self.advance();
        }
    }

    /// The event to send next, if one waits and there is room. It stays next until [`Window::on_outgoing`] or
    /// [`Window::set_aside`].
    pub fn next(&self) -> Option<(u64, T)> {
        if !self.has_room() {
            return None;
        }
        self.flights.get(self.cursor).map(|flight| (flight.sequence, flight.item.clone()))
    }

    /// The next event has left with this packet id and payload size.
    pub fn on_outgoing(&mut self, packet_id: u16, bytes: usize) {
        let Some(flight) = self.flights.get_mut(self.cursor) else { return };
        flight.state = State::Sent { packet_id, bytes, more: false };
        flight.is_follower = false;
        self.inflight += 1;
        self.inflight_bytes += bytes;
        self.sent_on_connection += 1;
        self.cursor += 1;
        self.skip_sent();
    }

    /// The broker has acknowledged this packet id.
    pub fn on_puback(&mut self, packet_id: u16) -> Puback<T> {
        let Some(place) = self.land(packet_id) else { return Puback::Unknown };
        let items = self.finish(place);
        self.acked_on_connection += 1;
        self.takes_events = true;
        self.end_run(place);
        self.grow();
        self.advance();
        items
    }

    /// Takes what has this packet id out of the air; returns its place.
    fn land(&mut self, packet_id: u16) -> Option<usize> {
        let (place, landed) = self.flights.iter().enumerate().find_map(|(place, flight)| match flight.state {
            State::Sent { packet_id: sent, bytes, .. } if sent == packet_id => Some((place, bytes)),
            _ => None,
        })?;
        self.inflight -= 1;
        self.inflight_bytes -= landed;
        Some(place)
    }

    /// This event is in the dead letters: it counts as done.
    pub fn set_aside(&mut self, sequence: u64) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.sequence == sequence) {
            if let State::Sent { bytes, .. } = flight.state {
                self.inflight -= 1;
                self.inflight_bytes -= bytes;
            }
            flight.state = State::Done;
        }
        if self.suspect.is_some_and(|(suspect, _)| suspect == sequence) {
            self.suspect = None;
            self.trace = None;
            self.narrow_through = 0;
            self.takes_events = false;
        }
        self.skip_sent();
        self.advance();
    }

    /// Starts a connection with no more than `limit` events in flight; it grows by what is acknowledged.
    pub fn start_small(&mut self, limit: usize) {
        self.limit = self.limit.min(limit.max(1));
        self.acked_since_growth = 0;
    }

    /// Everything up to here was evicted from the store meanwhile. Between connections only: what is in flight stays.
    pub fn forget_through(&mut self, sequence: u64) {
        for flight in self.flights.iter_mut().take_while(|flight| flight.sequence <= sequence) {
            if matches!(flight.state, State::Queued | State::Kept) {
                flight.state = State::Done;
            }
        }
        self.delivered = self.delivered.max(sequence.min(self.before_first()));
        self.skip_sent();
        self.advance();
    }

    /// The connection has ended: what was in flight is to be sent again. Halves the window when the connection brought
    /// no progress, and shrinks it to one when suspicious ends come back to the same place: the event that was the oldest
    /// in flight, or one close behind it, is what the broker does not take. Returns an event that is to be set aside.
    pub fn on_connection_lost(&mut self, ending: Ending) -> Option<Quarantine<T>> {
        let progress = self.acked_on_connection > 0;
        let lone = self.sent_on_connection == 1 && !progress;
        let fruitless = self.inflight > 0 && !progress;
        let mut quarantine = None;
        if lone && ending == Ending::Suspicious {
            // Of several in one message none is known to be to blame.
            let sent = self.flights.iter().find(|flight| matches!(flight.state, State::Sent { .. }));
            let sent = sent.filter(|flight| matches!(flight.state, State::Sent { more: false, .. }));
            if let Some(flight) = sent {
                let before = self.suspect.filter(|(suspect, _)| *suspect == flight.sequence).map_or(0, |(_, n)| n);
                let attempts = before + 1;
                self.suspect = Some((flight.sequence, attempts));
                if attempts >= SUSPICIONS_MAX {
                    quarantine = Some(Quarantine { sequence: flight.sequence, item: flight.item.clone(), attempts });
                }
            }
        }
        if fruitless {
            self.limit = (self.limit / 2).max(1);
            self.acked_since_growth = 0;
        }
        if ending != Ending::Blameless {
            self.note_suspicion();
        }
        for flight in &mut self.flights {
            if matches!(flight.state, State::Sent { .. } | State::Refused) {
                flight.state = State::Queued;
                flight.is_follower = false;
            }
        }
        self.cursor = 0;
        self.followers = 0;
        self.inflight_bytes = 0;
        let has_one_answer = self.sent_on_connection == self.inflight as u64 + 1;
        self.inflight = 0;
        self.sent_on_connection = 0;
        self.acked_on_connection = 0;
        self.skip_sent();
        self.carry_run_over(has_one_answer && ending != Ending::Blameless);
        quarantine
    }

    /// Doubles a small window after it has been acknowledged once over.
    fn grow(&mut self) {
        if self.limit == self.limit_max || self.delivered < self.narrow_through {
            return;
        }
        self.acked_since_growth += 1;
        if self.acked_since_growth >= self.limit {
            self.limit = (self.limit * 2).min(self.limit_max);
            self.acked_since_growth = 0;
        }
    }

    /// Moves the cursor past what needs no sending.
    fn skip_sent(&mut self) {
        while let Some(flight) = self.flights.get(self.cursor).filter(|flight| flight.state != State::Queued) {
            self.followers += usize::from(flight.is_follower);
            self.cursor += 1;
        }
    }

    /// Moves the delivered mark over what is done at the front.
    fn advance(&mut self) {
        while let Some(flight) = self.flights.front() {
            if flight.state != State::Done {
                break;
            }
            self.delivered = self.delivered.max(flight.sequence);
            if self.cursor > 0 {
                self.followers -= usize::from(flight.is_follower);
                self.cursor -= 1;
            }
            self.flights.pop_front();
        }
    }

    /// The highest mark that passes no event that is still outstanding.
    fn before_first(&self) -> u64 {
        let first = self.flights.iter().find(|flight| flight.state != State::Done);
        first.map_or(u64::MAX, |flight| flight.sequence.saturating_sub(1))
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "window_refusal_tests.rs"]
mod refusal_tests;

#[cfg(test)]
#[path = "window_search_tests.rs"]
mod search_tests;

#[cfg(test)]
#[path = "window_company_tests.rs"]
mod company_tests;

#[cfg(test)]
#[path = "window_model_tests.rs"]
mod model_tests;
