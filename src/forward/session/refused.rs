//! Events that the broker refuses in its acknowledgement (MQTT 5): which are sent again, when, and which never.
//!
//! Owns the meaning of PUBACK reason codes (MQTT 5, table 3-4) and the pause that a broker asks for. What is refused is
//! never dropped: it is sent again or goes to the dead letters.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::aside::Condemned;
use crate::event::{Event, wire};
use crate::forward::ending::Lost;
use crate::forward::explain_mqtt5::refused_event;
use crate::forward::link::{Fault, Puback};
use crate::forward::options::{queue_ids, side_ids};
use crate::forward::window::{Quarantine, Refusal, Refused};

/// Reason codes from here on are failures.
pub(super) const FAILURES_FROM: u8 = 0x80;

/// The message was taken, and nobody subscribes to its topic.
pub(super) const NO_SUBSCRIBERS: u8 = 0x10;

/// The longest pause: a quota that is renewed by the minute is used soon after, one by the day is not asked for too
/// often.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);

/// An acknowledgement of nothing.
pub(super) fn unsolicited(packet_id: u16) -> Lost {
    Fault::Violation(format!("it acknowledges message {packet_id}, which was not in flight")).into()
}

/// What a reason code means for the event.
fn meaning(reason: u8) -> Refusal {
    match reason {
        // Not authorised: a rule about this topic, or a mistake in the rules that hits all there are.
        0x87 => Refusal::Forbidden,
        // Topic name invalid, packet too large, payload format invalid.
        0x90 | 0x95 | 0x99 => Refusal::Never,
        // Server busy, message rate too high, quota exceeded.
        0x89 | 0x96 | 0x97 => Refusal::NotNow,
        _ => Refusal::Unclear,
    }
}

impl Session<'_> {
    /// The broker has refused an event.
    pub(super) fn on_refusal(&mut self, puback: &Puback) {
        self.forwarder.counters.upstream_refusals.add(1);
        self.last_progress = Instant::now();
        let meaning = meaning(puback.reason);
        if let Some(slot) = puback.packet_id.checked_sub(side_ids(&self.forwarder.upstream).saturating_add(1)) {
            // What is not to be sent again as it is goes back to the queue, which finds out what becomes of it.
            self.forwarder.lookout.ahead.on_refusal(slot, meaning == Refusal::NotNow);
            if meaning == Refusal::NotNow {
                self.rest(puback);
            }
            return;
        }
        let side = puback.packet_id.checked_sub(queue_ids(&self.forwarder.upstream).saturating_add(1));
        if let Some(slot) = side {
            let why = (meaning != Refusal::NotNow).then(|| self.words(puback));
            if why.is_some() {
                self.forwarder.counters.side_refused.add(1);
            } else {
                self.rest(puback);
            }
            self.forwarder.side.on_refusal(slot, why);
            return;
        }
        // What waits for company may no longer be what comes next.
        self.gather_anew();
        match self.forwarder.window.on_refusal(puback.packet_id, meaning) {
            Refused::Split => self.tell_split(puback),
            Refused::Again => self.rest(puback),
            Refused::Kept(sequence, item) => self.keep(puback, sequence, &item),
            Refused::SetAside(Quarantine { sequence, item, attempts }) => {
                let reason = self.words_for(puback, &item);
                self.condemned.push_back(Condemned { sequence, event: item, reason, attempts });
                // It may be one that was asked about again, and others are kept beside it.
                self.plan_asking_again();
            }
            Refused::Unknown => {}
        }
    }

    /// Publishes nothing for a while, longer each time until an event is taken. Refusals of what was in flight together
    /// are one.
    fn rest(&mut self, puback: &Puback) {
        if self.is_paused() {
            return;
        }
        let wait = self.pauses.after(Duration::ZERO, fastrand::f64());
        self.paused_until = Some(Instant::now() + wait);
        let words = refused_event(puback.reason, puback.text.as_deref(), "");
        self.forwarder.tell_pause(&words, wait);
    }

    fn words(&self, puback: &Puback) -> String {
        refused_event(puback.reason, puback.text.as_deref(), "this event's topic")
    }

    pub(super) fn words_for(&self, puback: &Puback, event: &Event) -> String {
        let forwarder = &self.forwarder;
        let mut topic = String::new();
        // It was sent, so there is one.
        let rules = forwarder.upstream.profile.topic_rules();
        let _ = wire::topic(&forwarder.upstream.topic, event, &forwarder.gateway, &rules, &mut topic);
        refused_event(puback.reason, puback.text.as_deref(), &topic)
    }

    /// A gateway whose status is refused still forwards.
    pub(super) fn tell_status_refused(&mut self, puback: &Puback) {
        let topic = self.forwarder.upstream.status_topic.as_deref().unwrap_or_default();
        let why = refused_event(puback.reason, puback.text.as_deref(), topic);
        self.forwarder.tell_refused_status(&why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_mqtt_5_is_acted_on() {
        for (reason, expected) in [
            (0x80, Refusal::Unclear),
            (0x83, Refusal::Unclear),
            (0x87, Refusal::Forbidden),
            (0x90, Refusal::Never),
            (0x91, Refusal::Unclear),
            (0x95, Refusal::Never),
            (0x97, Refusal::NotNow),
            (0x99, Refusal::Never),
            (0xff, Refusal::Unclear),
        ] {
            assert_eq!(meaning(reason), expected, "{reason:#x}");
        }
    }
}
