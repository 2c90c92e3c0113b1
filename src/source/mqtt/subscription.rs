//! The one subscription of a connection: all topics of the source.
//!
//! Owns the request, and what is told when the broker grants a topic otherwise than before.

use rumqttc::{Packet, QoS, Subscribe, SubscribeFilter, SubscribeReasonCode};
use tracing::{error, info, warn};

use super::packets::Outgoing;
use super::{End, Task, connect};
use crate::forward::explain::{self, Explanation};

/// Packet id of the one SUBSCRIBE of a connection.
pub(super) const SUBSCRIBE_ID: u16 = 1;

/// A QoS, or `None` for a refusal.
pub(super) type Granted = Option<u8>;

impl Task {
    /// Asks for all topics.
    pub(super) fn subscribe(&self, outgoing: &mut Outgoing) -> Result<(), End> {
        let qos = match self.config.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let filters = self.config.topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), qos));
        let mut subscribe = Subscribe::new_many(filters);
        subscribe.pkid = SUBSCRIBE_ID;
        let added = outgoing.packet(&Packet::Subscribe(subscribe));
        added.map_err(|error| End::Lost(connect::violation(&self.config, &error)))
    }

    /// Tells of topics that the broker grants otherwise than before.
    pub(super) fn subscribed(&mut self, codes: &[SubscribeReasonCode]) -> Result<(), End> {
        let source = &self.parts.intake.name;
        let asked = self.config.qos;
        for ((topic, before), code) in self.config.topics.iter().zip(&mut self.granted).zip(codes) {
            let now = match code {
                SubscribeReasonCode::Success(qos) => Some(*qos as u8),
                SubscribeReasonCode::Failure => None,
            };
            if std::mem::replace(before, now) == now {
                continue;
            }
            match now {
                None => {
                    let help = "allow it in the broker's access rules, or take it out of `topics`";
                    error!(%source, topic, help, "the broker refuses a topic");
                }
                Some(granted) if granted < asked => {
                    let help = "messages may be lost while this gateway or the broker is away";
                    warn!(%source, topic, asked, granted, help, "the broker grants a lower QoS");
                }
                Some(granted) => info!(%source, topic, granted, "the broker grants a topic again"),
            }
        }
        let place = explain::place(&connect::view(&self.config));
        if codes.iter().all(|code| *code == SubscribeReasonCode::Failure) {
            return Err(End::Lost(Explanation::plain(format!(
                "{place} refuses every topic of this source; allow them in the broker's access rules"
            ))));
        }
        // Only now: a broker that lets us in and gives us nothing is no better than none.
        if let Some(restored) = self.parts.link.up(&format!("subscribed at {place}")) {
            self.parts.outbox.push(restored)?;
        }
        Ok(())
    }
}
