//! What a connection sends: the queue's events while there is room, what goes before and after them, and our status.
//!
//! Owns the order of the three lanes, the packet ids and the checks of one message against the broker's limits. Never
//! decides what an acknowledgement means.

use std::sync::Arc;

use tokio::time::Instant;

use super::Session;
use super::aside::Condemned;
use super::draft::Draft;
use crate::event::Event;
use crate::event::wire::Marks;
use crate::forward::client::Forwarder;
use crate::forward::ending::Lost;
use crate::forward::link::Message;
use crate::forward::options::queue_ids;
use crate::forward::side::Mark;

impl Session<'_> {
    /// Publishes as long as the window has room and there are events, then what the side lane may send, and flushes once.
    pub(super) async fn publish_what_fits(&mut self) -> Result<(), Lost> {
        let mut wrote = self.publish_ahead().await?;
        if self.forwarder.window.waits_for_room(self.forwarder.feed.ready()) {
            return if wrote { Ok(self.link.flush().await?) } else { Ok(()) };
        }
        // With a window of one an event stands under suspicion: send it only when the broker has shown that it takes
        // other messages on this connection.
        let shows_trust = self.forwarder.upstream.status_topic.is_some();
        while (self.trusted || !shows_trust || self.forwarder.window.limit() > 1) && self.has_credit() {
            if self.held_until().is_some() {
                break;
            }
            if !self.publish_message().await? {
                break;
            }
            wrote = true;
            self.publish_ahead().await?;
        }
        // Without the queue in between the line may go on.
        wrote |= self.publish_ahead().await?;
        wrote |= self.publish_side().await?;
        if wrote {
            self.link.flush().await?;
        }
        Ok(())
    }

    /// Publishes the queue's next event in a message of its own; false when there is none, or it cannot be sent.
    pub(super) async fn publish_next(&mut self) -> Result<bool, Lost> {
        let Some((sequence, event)) = self.next_event() else { return Ok(false) };
        if let Err(reason) = self.encode(&event, None) {
            self.condemned.push_back(Condemned { sequence, event, reason, attempts: 0 });
            self.set_next_aside();
            return Ok(false);
        }
        let packet_id = self.number()?;
        self.begin_message();
        self.forwarder.window.on_outgoing(packet_id, self.draft.payload.len());
        self.count_published(&[sequence]);
        self.publish_draft(packet_id).await?;
        Ok(true)
    }

    /// Counts events of the queue that leave, those among them that did before as retries, too.
    pub(super) fn count_published(&mut self, sequences: &[u64]) {
        let Forwarder { again, counters, .. } = &mut *self.forwarder;
        counters.events_published.add(sequences.len() as u64);
        counters.upstream_retries.add(again.on_queue(sequences));
    }

    /// What is drafted leaves next.
    pub(super) fn begin_message(&mut self) {
        if !self.is_waiting() {
            self.last_progress = Instant::now();
        }
        self.pay_for_queue();
    }

    /// The next event: one to be sent again, or a new one from the feed.
    pub(super) fn next_event(&mut self) -> Option<(u64, Arc<Event>)> {
        let forwarder = &mut *self.forwarder;
        loop {
            if let Some(next) = forwarder.window.next() {
                return Some(next);
            }
            if !forwarder.offer_next(1) {
                return None;
            }
        }
    }

    /// Drafts the PUBLISH of an event, of the side lane if it has a mark, or says why there can be none.
    pub(super) fn encode(&mut self, event: &Event, mark: Option<Mark>) -> Result<(), String> {
        self.encode_plain(event, mark)?;
        self.draft.compress();
        Ok(())
    }

    /// The same without compression.
    pub(super) fn encode_plain(&mut self, event: &Event, mark: Option<Mark>) -> Result<(), String> {
        let forwarder = &mut *self.forwarder;
        let event = &*forwarder.clock.repaired(event, &forwarder.counters.events_repaired);
        let marks = Marks {
            backlog: mark.is_some() || event.sequence <= self.backlog_through,
            replayed: mark == Some(Mark::Replayed),
        };
        let changed = self.draft.event(event, &forwarder.gateway, &forwarder.upstream, marks)?;
        let topic = &self.draft.topic;
        if let Some(other) = forwarder.namesakes.meet(topic, &event.subject, changed) {
            tracing::warn!(topic, %other, sensor = %event.subject, "two sensors have one topic; rename one of them");
        }
        let bytes = self.link.publish_bytes(topic, &self.draft.payload, &self.draft.properties);
        match self.link.terms().packet_bytes_max {
            Some(max) if bytes > usize::try_from(max).unwrap_or(usize::MAX) => {
                Err(format!("the message has {bytes} bytes, more than the {max} that the broker takes"))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is drafted.
    pub(super) async fn publish_draft(&mut self, packet_id: u16) -> Result<(), Lost> {
        let Draft { topic, payload, properties, encoded_bytes, .. } = &self.draft;
        self.forwarder.counters.upstream_encoded_bytes.add(*encoded_bytes as u64);
        self.forwarder.counters.upstream_payload_bytes.add(payload.len() as u64);
        let message = Message { topic, payload, retain: false, packet_id, properties };
        Ok(self.link.publish(message).await?)
    }

    /// Publishes our status, if there is one to publish.
    pub(super) async fn publish_status(&mut self, text: Vec<u8>) -> Result<(), Lost> {
        let Some(topic) = self.forwarder.upstream.status_topic.clone() else { return Ok(()) };
        let packet_id = self.number()?;
        self.status_packet = Some(packet_id);
        self.last_progress = Instant::now();
        let retain = self.forwarder.upstream.profile.retains() && self.link.terms().retains;
        let properties = &self.draft.status_properties;
        self.link.publish(Message { topic: &topic, payload: &text, retain, packet_id, properties }).await?;
        Ok(self.link.flush().await?)
    }

    /// The next packet id of the queue's share.
    pub(super) fn number(&mut self) -> Result<u16, Lost> {
        self.last_id = self.last_id % queue_ids(&self.forwarder.upstream) + 1;
        self.register(self.last_id)
    }

    /// Takes a packet id into use.
    pub(super) fn register(&mut self, packet_id: u16) -> Result<u16, Lost> {
        match self.in_use.get_mut(usize::from(packet_id)) {
            Some(in_use) if !*in_use => {
                *in_use = true;
                self.messages_inflight += 1;
                Ok(packet_id)
            }
            // The id belongs to a message that was never acknowledged while a whole window of others was.
            _ => Err(Lost::PacketIds),
        }
    }
}
