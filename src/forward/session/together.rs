//! Several of the queue's events in one message, see [`crate::forward::batch`].
//!
//! Owns what is gathered on this connection, and when it leaves. What is gathered waits in the window, unsent; it goes
//! with the connection, and is gathered anew on the next.

use std::sync::Arc;

use tokio::time::Instant;

use super::draft::Draft;
use super::{Session, TICK};
use crate::config::model::{Severity, Upstream};
use crate::event::Event;
use crate::forward::batch::{Batch, Offer};
use crate::forward::ending::Lost;
use crate::forward::explain_mqtt5::refused_event;
use crate::forward::link::{Link, Puback};

/// What the queue has for the next message.
enum Next {
    /// Nothing that is to leave now.
    Nothing,
    /// The next event, alone.
    One,
    /// What is gathered.
    Together,
}

/// The batches of a connection, if there are to be any.
pub(super) fn batch_for(upstream: &Upstream, link: &Link, draft: &Draft) -> Option<Batch> {
    let plan = upstream.batch.clone()?;
    let packet_bytes_max = link.terms().packet_bytes_max.map(|max| usize::try_from(max).unwrap_or(usize::MAX));
    let bytes_max = draft.batch_bytes_max(&plan.topic, packet_bytes_max);
    Some(Batch::new(plan, upstream.encoding, bytes_max))
}

impl Session<'_> {
    /// Publishes the queue's next message; false when there is none now.
    pub(super) async fn publish_message(&mut self) -> Result<bool, Lost> {
        let Some(mut batch) = self.batch.take() else { return self.publish_next().await };
        let next = self.gather(&mut batch);
        let published = match next {
            Next::Nothing => Ok(false),
            Next::One => {
                batch.clear();
                self.publish_next().await
            }
            Next::Together => self.publish_batch(&mut batch).await,
        };
        self.batch = Some(batch);
        published
    }

    /// Adds to what is gathered as long as there is something to add.
    fn gather(&mut self, batch: &mut Batch) -> Next {
        if let Some(first) = batch.sequences().first() {
            match self.forwarder.window.next() {
                None => return Next::Nothing,
                Some((sequence, _)) if sequence != *first => batch.clear(),
                Some(_) => {}
            }
        }
        while !batch.is_full() {
            let Some((sequence, event)) = self.next_behind(batch) else {
                let is_due = batch.is_due(Instant::now()) || self.is_in_a_hurry();
                if batch.sequences().is_empty() || !is_due {
                    return Next::Nothing;
                }
                break;
            };
            let shares = event.severity < Severity::Critical && self.forwarder.window.may_share(sequence);
            // One that cannot be sent is dealt with when its turn has come.
            let shares = shares && self.encode_plain(&event, None).is_ok();
            match batch.offer(sequence, &self.draft.payload, shares, Instant::now()) {
                Offer::Taken => {}
                Offer::After => break,
                Offer::Alone => return Next::One,
            }
        }
        if batch.sequences().len() > 1 { Next::Together } else { Next::One }
    }

    /// The queue's next event behind those gathered.
    fn next_behind(&mut self, batch: &Batch) -> Option<(u64, Arc<Event>)> {
        let Some(last) = batch.sequences().last() else { return self.next_event() };
        loop {
            if let Some(next) = self.forwarder.window.next_after(*last) {
                return Some(next);
            }
            if !self.forwarder.offer_next(batch.plan().events_max) {
                return None;
            }
        }
    }

    /// Whether waiting for company would hold something up: the end, a call that is paid by the minute, or what is to go
    /// ahead of the queue as soon as that has sent all it holds.
    fn is_in_a_hurry(&self) -> bool {
        let ahead = &self.forwarder.lookout.ahead;
        self.stopping || self.forwarder.calls.is_planned() || (ahead.is_on() && ahead.next().is_some())
    }

    async fn publish_batch(&mut self, batch: &mut Batch) -> Result<bool, Lost> {
        let packet_id = self.number()?;
        let payload = batch.close();
        let bytes = payload.len();
        let topic = self.forwarder.upstream.batch.as_ref().map(|plan| Arc::clone(&plan.topic));
        self.draft.batch(topic.as_deref().unwrap_or_default(), payload);
        self.draft.compress();
        self.begin_message();
        self.forwarder.window.on_outgoing_together(packet_id, bytes, batch.sequences());
        self.count_published(batch.sequences());
        self.forwarder.counters.upstream_batches.observe(batch.sequences().len());
        batch.clear();
        self.publish_draft(packet_id).await?;
        Ok(true)
    }

    /// Whether events wait for company.
    pub(super) fn is_gathering(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.sequences().is_empty())
    }

    /// Forgets what is gathered; its events still wait in the window.
    pub(super) fn gather_anew(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.clear();
        }
    }

    /// When to look at what is gathered again. What is overdue is held up by something else; it is looked at every now
    /// and then.
    pub(super) fn batch_due(&self) -> Option<Instant> {
        let (due, now) = (self.batch.as_ref()?.due()?, Instant::now());
        Some(if due > now { due } else { now + TICK })
    }

    /// The broker has refused a batch: its events go one by one, so that it says which it means.
    pub(super) fn tell_split(&mut self, puback: &Puback) {
        let topic = self.forwarder.upstream.batch.as_ref().map(|plan| Arc::clone(&plan.topic));
        let why = refused_event(puback.reason, puback.text.as_deref(), topic.as_deref().unwrap_or_default());
        if std::mem::replace(&mut self.told_split, true) {
            tracing::debug!(why, "the broker refuses a batch again");
        } else {
            tracing::warn!(why, "the broker refuses a batch: its events are sent one by one");
        }
    }
}
