//! What the forwarder says of its connections, in the log and in [`super::UpstreamView`].
//!
//! Owns the words and which of them are told again. Changes nothing but what is shown.

use std::sync::Arc;
use std::time::Duration;

use super::{Explanation, Forwarder};
use crate::event::Event;
use crate::forward::backoff::STABLE;
use crate::forward::repeats::Say;
use crate::forward::window::Ending;
use crate::forward::{breaker, explain};

impl Forwarder {
    /// An event goes to the dead letters. A broker that refuses a topic refuses many: the same is told now and then.
    pub(in crate::forward) fn tell_set_aside(&mut self, sequence: u64, event: &Event, reason: &str) {
        let (event_id, sensor) = (&event.id, &event.subject);
        let correlation_id = event.correlation.map(tracing::field::display);
        match self.set_aside.note(reason, self.clock.boot()) {
            Say::First => {
                tracing::warn!(
                    sequence,
                    %event_id,
                    %sensor,
                    correlation_id,
                    reason,
                    "event set aside: it cannot be sent"
                );
            }
            Say::Again { times, over } => {
                let over = explain::human(Duration::from_secs(over.as_secs()));
                tracing::warn!(
                    sequence,
                    %event_id,
                    %sensor,
                    correlation_id,
                    times,
                    over,
                    reason,
                    "events still set aside: they cannot be sent"
                );
            }
            Say::Nothing => {
                tracing::debug!(sequence, %event_id, %sensor, reason, "event set aside: it cannot be sent");
            }
        }
    }

    /// The broker wants a pause.
    pub(in crate::forward) fn tell_pause(&mut self, why: &str, wait: Duration) {
        let wait = explain::human(wait);
        match self.pauses.note(why, self.clock.boot()) {
            Say::First => tracing::warn!(wait, "the broker wants a pause: {why}"),
            Say::Again { times, over } => {
                let over = explain::human(Duration::from_secs(over.as_secs()));
                tracing::warn!(wait, times, over, "the broker still wants pauses: {why}");
            }
            Say::Nothing => tracing::debug!(wait, "the broker wants a pause: {why}"),
        }
    }

    /// The broker refuses events and takes none; they are asked about again after this long.
    pub(in crate::forward) fn tell_refused(&mut self, why: &str, wait: Duration) {
        let client_id = &self.upstream.client_id;
        let text = format!("{why} (this gateway is client \"{client_id}\"); the events are kept and sent again");
        let (retry_in, waiting) = (explain::human(wait), self.feed.status().waiting);
        match self.refused.note("refused", self.clock.boot()) {
            Say::First => {
                self.said_refused = true;
                tracing::warn!(waiting, retry_in, "the broker refuses events and has taken none since: {text}");
            }
            Say::Again { times, over } => {
                let over = explain::human(Duration::from_secs(over.as_secs()));
                self.said_refused = true;
                tracing::warn!(waiting, times, over, "the broker still refuses events and takes none: {text}");
            }
            Say::Nothing => tracing::debug!(waiting, retry_in, "the broker refuses events and takes none: {text}"),
        }
        let text: Arc<str> = text.into();
        self.view.send_if_modified(|view| view.refused.replace(Arc::clone(&text)).as_ref() != Some(&text));
    }

    /// The broker takes events again.
    pub(in crate::forward) fn tell_taken(&mut self) {
        if std::mem::take(&mut self.said_refused) {
            let waiting = self.feed.status().waiting;
            tracing::info!(waiting, "the broker takes events again");
        }
        self.view.send_modify(|view| view.refused = None);
    }

    /// The broker does not take our status.
    pub(in crate::forward) fn tell_refused_status(&mut self, why: &str) {
        if self.refused_status.note(why, self.clock.boot()) == Say::First {
            tracing::warn!("the gateway's status is refused, events go on: {why}");
        }
    }

    /// Enough has failed that the next connection only probes.
    pub(super) fn tell_open(&mut self) {
        let failures = self.breaker.failures();
        if self.repeats.note("breaker open", self.clock.boot()) == Say::First {
            tracing::warn!(
                failures,
                "circuit breaker open: the next connection starts with {} events in flight",
                breaker::PROBE_EVENTS
            );
        }
    }

    /// The broker has acknowledged an event, or there is none and it has acknowledged that we are here.
    pub(in crate::forward) fn tell_acknowledged(&mut self) {
        if !self.breaker.on_acknowledged() {
            return;
        }
        self.view.send_modify(|view| view.breaker = self.breaker.state());
        let failures = self.breaker.failures();
        if self.repeats.note("breaker closed", self.clock.boot()) == Say::First {
            tracing::info!(failures, "circuit breaker closed: the broker acknowledges again");
        }
    }

    pub(super) fn tell_connected(&mut self) {
        self.counters.upstream_connects.add(1);
        self.counters.upstream_up.set(1);
        let waiting = self.feed.status().waiting;
        let broker = explain::place(&self.upstream);
        let is_another = self.told_broker.replace(self.failover.at()) != Some(self.failover.at());
        if std::mem::take(&mut self.said_down) || is_another {
            tracing::info!(broker, tls = self.upstream.url.tls, waiting, "connected upstream");
        } else {
            tracing::debug!(broker, waiting, "connected upstream again");
        }
        self.view.send_modify(|view| {
            view.connected = true;
            view.since = self.clock.boot();
            view.window = self.window.limit();
        });
    }

    /// The connection was ended by ourselves: what is in flight is sent again with the next one.
    pub(super) fn tell_hung_up(&mut self) {
        let _ = self.window.on_connection_lost(Ending::Blameless);
        self.calls.on_hung_up();
        self.said_down = true;
        let waiting = self.feed.status().waiting;
        tracing::info!(waiting, "disconnected upstream until the next call");
        let now = self.clock.boot();
        self.view.send_modify(|view| {
            view.connected = false;
            view.since = now;
            view.last_error = None;
        });
    }

    pub(super) fn tell_failure(&mut self, explanation: Explanation, lasted: Duration, wait: Duration) {
        if lasted >= STABLE {
            self.repeats.clear();
        }
        let waiting = self.feed.status().waiting;
        let retry_in = explain::human(Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
        match self.repeats.note(&explanation.key, self.clock.boot()) {
            Say::First => {
                self.said_down = true;
                tracing::warn!(waiting, retry_in, "not connected upstream: {}", explanation.text);
            }
            Say::Again { times, over } => {
                self.said_down = true;
                let over = explain::human(Duration::from_secs(over.as_secs()));
                tracing::warn!(waiting, times, over, "still not connected upstream: {}", explanation.text);
            }
            Say::Nothing => tracing::debug!(waiting, retry_in, "not connected upstream: {}", explanation.text),
        }
        let now = self.clock.boot();
        let (failures, breaker) = (self.breaker.failures(), self.breaker.state());
        self.view.send_modify(|view| {
            if view.connected {
                view.connected = false;
                view.since = now;
            }
            view.last_error = Some(explanation.text.into());
            view.next_attempt = Some(now.after(wait));
            view.failures = failures;
            view.breaker = breaker;
            view.window = self.window.limit();
        });
    }
}
