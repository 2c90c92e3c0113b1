//! What goes ahead of the queue on a connection, see [`crate::forward::ahead`], and how fast everything goes.
//!
//! Owns when the line may send beside the queue, and the packet ids of its share: those after the side lane's.

use std::sync::Arc;

use tokio::time::Instant;

use super::Session;
use crate::event::Event;
use crate::forward::ahead::{RUN_MAX, Whose};
use crate::forward::client::Forwarder;
use crate::forward::ending::{End, Lost};
use crate::forward::options::side_ids;

impl Forwarder {
    /// The queue has handed out everything up to here.
    pub(super) fn passed(&self) -> u64 {
        self.feed.passed()
    }

    /// Hands the queue's next events to the window, up to the first that is to be sent. False when there is none, or
    /// when it has come to an event that is under way ahead of it.
    /// `events_max`: how many may wait there to be sent, for a message of so many.
    pub(super) fn offer_next(&mut self, events_max: usize) -> bool {
        while self.window.wants_company(events_max) {
            let Some(event) = self.feed.pop() else { return false };
            let ahead = &mut self.lookout.ahead;
            // What the queue has passed over as evicted must not come after it.
            ahead.settle(self.feed.settled());
            match ahead.whose(event.sequence) {
                Whose::Queue => return self.window.offer(event.sequence, event),
                Whose::Delivered => self.window.offer_done(event.sequence, event),
                Whose::Ahead => {
                    self.feed.put_back(event);
                    return false;
                }
            }
        }
        false
    }

    /// Whether the line has had its run, and the queue has something to send or to pass over.
    fn is_queues_turn(&self) -> bool {
        self.lookout.run >= RUN_MAX
            && self.window.wants_more()
            && self.feed.front().is_some_and(|sequence| self.lookout.ahead.whose(sequence) != Whose::Ahead)
    }
}

impl Session<'_> {
    /// Whether the connection is a call by the schedule, and that is over: everything is sent, or its time is up.
    pub(super) fn is_call_over(&self) -> bool {
        let forwarder = &*self.forwarder;
        if !self.is_heard() || self.stopping || !forwarder.calls.is_planned() {
            return false;
        }
        // The store has to know as well, or what was urgent would still seem to wait, and be called in again.
        let is_known = forwarder.feed.settled() >= forwarder.window.delivered();
        let is_drained = self.is_drained() && !self.expects_puback() && is_known;
        let is_urgent = forwarder.calls.is_urgent(&forwarder.feed.status());
        forwarder.calls.is_over(forwarder.clock.boot(), is_drained, is_urgent)
    }

    /// The broker takes messages from us, as far as it can show that.
    fn is_heard(&self) -> bool {
        self.trusted || self.forwarder.upstream.status_topic.is_none()
    }

    /// When the next event may leave; `None` when it may now.
    pub(super) fn held_until(&mut self) -> Option<Instant> {
        self.forwarder.pace.wait(Instant::now())
    }

    /// Counts an event of the queue, or beside it, against the limits, and the line's run as over.
    pub(super) fn pay_for_queue(&mut self) {
        self.pay();
        self.forwarder.lookout.run = 0;
    }

    /// Counts the event that is drafted against the limits.
    fn pay(&mut self) {
        self.forwarder.pace.pay(self.draft.bytes());
    }

    /// Whether the line may send: the queue has sent again what was in flight before, and the broker takes its events; one
    /// under suspicion goes alone.
    fn ahead_may_send(&mut self) -> bool {
        let window = &self.forwarder.window;
        self.is_heard()
            && self.setting_aside.is_none()
            && !self.is_paused()
            && self.has_credit()
            && window.is_all_sent()
            && (window.is_empty() || (window.limit() > 1 && window.has_progress()))
            && !self.forwarder.is_queues_turn()
            && self.held_until().is_none()
    }

    /// Publishes events of the line until it is the queue's turn; true when something was written.
    pub(super) async fn publish_ahead(&mut self) -> Result<bool, Lost> {
        if !self.forwarder.lookout.ahead.is_on() {
            return Ok(false);
        }
        self.forwarder.lookout.ahead.settle(self.forwarder.feed.settled());
        let mut wrote = false;
        while self.ahead_may_send() {
            let Some((slot, sequence, event)) = self.forwarder.lookout.ahead.next() else { break };
            if let Err(reason) = self.encode(&event, None) {
                // The queue sets it aside when it comes to it.
                tracing::debug!(sequence, reason, "an event is left to the queue: it cannot be sent");
                self.forwarder.lookout.ahead.leave();
                continue;
            }
            self.pay();
            let packet_id = self.register(side_ids(&self.forwarder.upstream).saturating_add(1).saturating_add(slot))?;
            self.forwarder.lookout.ahead.on_outgoing(slot, self.draft.payload.len(), Instant::now());
            self.forwarder.lookout.run += 1;
            self.forwarder.counters.events_published.add(1);
            let settled = self.forwarder.feed.settled();
            let is_retry = self.forwarder.again.on_ahead(sequence, settled);
            self.forwarder.counters.upstream_retries.add(u64::from(is_retry));
            self.publish_draft(packet_id).await?;
            wrote = true;
        }
        Ok(wrote)
    }

    /// Takes an acknowledgement if it is the line's, and gives the event it is for.
    pub(super) fn on_ahead_puback(&mut self, packet_id: u16) -> Option<Arc<Event>> {
        let slot = packet_id.checked_sub(side_ids(&self.forwarder.upstream).saturating_add(1));
        slot.and_then(|slot| self.forwarder.lookout.ahead.on_puback(slot))
    }

    /// Ends a connection on which an event of the line waits for its acknowledgement in vain.
    pub(super) fn check_ahead(&self) -> Result<(), Lost> {
        let is_overdue = self.forwarder.lookout.ahead.is_overdue(Instant::now(), self.forwarder.upstream.ack_timeout);
        if is_overdue { Err(Lost::NoAcknowledgement) } else { Ok(()) }
    }

    /// Tells the line that the connection has ended. Returns how many of its events were in flight.
    pub(super) fn leave_ahead(&mut self, end: &End) -> usize {
        let ahead = &mut self.forwarder.lookout.ahead;
        let inflight = ahead.inflight();
        let is_suspicious = match end {
            End::Lost(lost) => self.trusted && (lost.is_by_broker() || matches!(lost, Lost::PacketIds)),
            _ => false,
        };
        ahead.on_connection_lost(is_suspicious);
        inflight
    }
}
