//! What the broker acknowledges: whose it is, what is counted, and when the store is told.
//!
//! Owns the packet ids' return. What is refused is in `refused`.

use tokio::time::Instant;

use super::{Session, refused};
use crate::event::Event;
use crate::forward::backoff::Backoff;
use crate::forward::ending::Lost;
use crate::forward::link::Puback;
use crate::forward::window;

/// Polls in one go before anything else gets its turn: a full window of acknowledgements and some.
const POLLS_MAX: usize = 128;

/// Acknowledgements after which the store is told even in the middle of a tick.
const DELIVERED_REPORT_EVENTS: u64 = 1_000;

impl Session<'_> {
    /// Takes everything that has already arrived, so that the next write fills all the room there is at once.
    pub(super) async fn take_what_is_there(&mut self) -> Result<(), Lost> {
        for _ in 0..POLLS_MAX {
            self.take_read()?;
            if !self.expects_puback() {
                break;
            }
            tokio::select! {
                biased;
                puback = self.link.next() => self.on_puback(puback?)?,
                () = std::future::ready(()) => break,
            }
        }
        Ok(())
    }

    /// Takes what has been read and not looked at yet.
    pub(super) fn take_read(&mut self) -> Result<(), Lost> {
        while let Some(puback) = self.link.take()? {
            self.on_puback(puback)?;
        }
        Ok(())
    }

    pub(super) fn on_puback(&mut self, puback: Puback) -> Result<(), Lost> {
        let packet_id = puback.packet_id;
        match self.in_use.get_mut(usize::from(packet_id)) {
            Some(in_use) if *in_use => *in_use = false,
            _ => return Err(refused::unsolicited(packet_id)),
        }
        self.messages_inflight -= 1;
        if self.status_packet == Some(packet_id) {
            self.status_packet = None;
            self.trusted = true;
            self.last_progress = Instant::now();
            if puback.reason >= refused::FAILURES_FROM {
                self.tell_status_refused(&puback);
            }
            return Ok(());
        }
        if puback.reason >= refused::FAILURES_FROM {
            self.on_refusal(&puback);
            return Ok(());
        }
        if self.on_side_puback(packet_id) {
            self.forwarder.counters.side_delivered.add(1);
        } else if let Some(event) = self.on_ahead_puback(packet_id) {
            self.forwarder.again.on_arrived(event.sequence);
            self.count_delivered(&event);
        } else {
            match self.forwarder.window.on_puback(packet_id) {
                window::Puback::Delivered(event) => self.count_delivered(&event),
                window::Puback::DeliveredTogether(events) => {
                    events.iter().for_each(|event| self.count_delivered(event));
                }
                window::Puback::Unknown => return Ok(()),
            }
            self.forwarder.has_delivered = true;
            self.trusted |= self.forwarder.upstream.status_topic.is_none();
            self.last_progress = Instant::now();
            self.on_taken();
        }
        self.pauses = Backoff::new(self.forwarder.upstream.backoff_min, refused::PAUSE_MAX);
        if puback.reason == refused::NO_SUBSCRIBERS {
            self.forwarder.counters.upstream_unmatched.add(1);
        }
        Ok(())
    }

    /// Counts an event that has arrived, and how long that took. What was made before the machine was started last is
    /// known by the wall clock only.
    fn count_delivered(&self, event: &Event) {
        let (counters, clock) = (&self.forwarder.counters, &self.forwarder.clock);
        counters.events_delivered.add(1);
        let after = match event.boot_id == clock.boot_id {
            true => Some(clock.boot().since(event.boot)),
            false => clock.wall().since(event.time),
        };
        if let Some(after) = after {
            counters.delivered_after.observe(after);
        }
    }

    /// Tells the store how far we are: at once when nothing is in flight, else now and then.
    pub(super) fn report_delivered(&mut self, now: bool) {
        let mark = self.forwarder.window.delivered();
        let fresh = mark.saturating_sub(self.forwarder.reported);
        if fresh == 0 || !(now || fresh >= DELIVERED_REPORT_EVENTS || self.forwarder.window.inflight() == 0) {
            return;
        }
        // A store that is gone is noticed by the feed.
        if self.forwarder.store.delivered(mark).is_ok() {
            self.forwarder.reported = mark;
        }
    }
}
