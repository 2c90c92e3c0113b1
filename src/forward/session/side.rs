//! The side lane's part in a connection: when its events may go, and what their acknowledgements and the connection's
//! end mean to them.
//!
//! Owns the rule that the queue comes first. Never touches the window or the delivered mark.

use tokio::time::Instant;

use super::Session;
use crate::forward::ending::{End, Lost};
use crate::forward::options::queue_ids;

impl Session<'_> {
    /// Whether the queue leaves the connection to the side lane: everything in the store has been sent. On a connection
    /// on which events of the queue wait for the first acknowledgement it does not: one of them may be what the broker
    /// refuses, and that shows only when it is alone. Events that wait for company leave the link free.
    pub(super) fn side_may_send(&self) -> bool {
        let window = &self.forwarder.window;
        self.trusted
            && !self.stopping
            && self.leaving.is_none()
            && self.setting_aside.is_none()
            && self.condemned.is_empty()
            && !self.is_paused()
            && !window.is_refused()
            && (window.is_all_sent() || self.is_gathering())
            && (window.is_empty() || window.has_progress())
            && self.forwarder.feed.is_drained()
    }

    /// Publishes what the side lane has and may send; true when something was written.
    pub(super) async fn publish_side(&mut self) -> Result<bool, Lost> {
        let mut wrote = false;
        while self.side_may_send() && self.has_credit() && self.held_until().is_none() {
            let Some((slot, event, mark)) = self.forwarder.side.peek() else { break };
            if let Err(why) = self.encode(&event, Some(mark)) {
                self.forwarder.side.refuse(why);
                self.forwarder.counters.side_refused.add(1);
                continue;
            }
            self.pay_for_queue();
            let packet_id =
                self.register(queue_ids(&self.forwarder.upstream).saturating_add(1).saturating_add(slot))?;
            let is_retry = self.forwarder.side.on_outgoing(slot, self.draft.payload.len(), Instant::now());
            self.forwarder.counters.side_published.add(1);
            self.forwarder.counters.upstream_retries.add(u64::from(is_retry));
            self.publish_draft(packet_id).await?;
            wrote = true;
        }
        Ok(wrote)
    }

    /// Takes an acknowledgement if it is the side lane's.
    pub(super) fn on_side_puback(&mut self, packet_id: u16) -> bool {
        let slot = packet_id.checked_sub(queue_ids(&self.forwarder.upstream).saturating_add(1));
        slot.is_some_and(|slot| self.forwarder.side.on_puback(slot))
    }

    /// Ends a connection on which an event of the lane waits for its acknowledgement in vain, whatever else the broker
    /// acknowledges: the lane must find out which event it is.
    pub(super) fn check_side(&self) -> Result<(), Lost> {
        if !self.forwarder.side.is_overdue(Instant::now(), self.forwarder.upstream.ack_timeout) {
            return Ok(());
        }
        Err(if self.is_waiting() { Lost::PacketIds } else { Lost::NoAcknowledgement })
    }

    /// Tells the lane that the connection has ended. Returns how many of its events were in flight.
    pub(super) fn leave_side(&mut self, end: &End) -> usize {
        let forwarder = &mut *self.forwarder;
        let inflight = forwarder.side.inflight();
        if let End::Lost(lost) = end {
            let is_suspicious = self.trusted && (lost.is_by_broker() || matches!(lost, Lost::PacketIds));
            let upstream = &forwarder.upstream;
            if forwarder.side.on_connection_lost(is_suspicious, || lost.explain(upstream).text) {
                forwarder.counters.side_refused.add(1);
            }
        }
        inflight
    }
}
