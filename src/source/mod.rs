//! Sources: reconnecting readers of MQTT brokers, serial ports and Modbus units.
//!
//! Each source is one task that receives, decodes and hands readings to the engine with the acknowledgement that only
//! the store releases. A source never waits for the network upstream, never gives up and never panics on input. What
//! it holds is bounded: see [`way`] and `outbox` (waiting for the engine), `mqtt::ledger` (not yet acknowledged).
//! Loss and return of a device or broker are told once per change, in words that say what to do.

mod link;
mod modbus;
mod mqtt;
mod outbox;
pub mod own;
mod parts;
mod serial;
#[cfg(test)]
mod testing;
pub mod way;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::ack::Ack;
use crate::clock::{BootTime, SystemClock};
use crate::config::model::{self, SourceKind};
use crate::counters::{Counters, Reject, SourceCounters};
use crate::decode::{Decoded, Decoder, Message};
use crate::forward::explain::{Repeats, Say};
use crate::reading::Reading;
use crate::shutdown::Shutdown;

use self::link::Link;
use self::outbox::Outbox;
use self::parts::Parts;
use self::way::{Room, ToEngine};

/// What a source says to the engine.
#[derive(Debug)]
pub enum FromSource {
    /// Readings of one message, at least one.
    Readings {
        /// In the order of the payload.
        readings: Vec<Reading>,
        /// When the message did.
        arrived: BootTime,
        /// To release when all that they cause is stored; `None` where nobody waits for it (QoS 0, serial).
        ack: Option<Ack>,
        /// What it takes of the way's room; dropped when the engine has stepped through all of it.
        room: Room,
    },
    /// The device or broker is gone.
    Lost {
        /// The source's name.
        source: Arc<str>,
        /// What happened and what to do.
        reason: String,
    },
    /// It is back.
    Restored {
        /// The source's name.
        source: Arc<str>,
        /// In words.
        reason: String,
        /// How long it was away, by the boot clock.
        away: Duration,
    },
}

/// The broker of an MQTT source as what connects upstream wants it.
pub fn broker_view(broker: &crate::config::model::MqttSource) -> crate::config::model::Upstream {
    mqtt::view(broker)
}

/// Starts a source. The task ends when `shutdown` says so (an MQTT source first waits a little for what it has taken
/// to be acknowledged) or when the engine's end of `out` is gone.
pub fn spawn(
    source: &model::Source,
    out: ToEngine,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    let counts = counters.source(&source.name);
    let link = Link::new(Arc::clone(&source.name), Arc::clone(&counts), Arc::clone(&clock));
    let mut outbox = Outbox::new(out);
    if let SourceKind::Modbus(config) = &source.kind {
        let parts = Parts { intake: Intake::new(source, (), &counters, clock), link, outbox, shutdown };
        return tokio::spawn(modbus::run(config.clone(), counters, parts));
    }
    let decoder = match Decoder::new(source) {
        Ok(decoder) => decoder,
        Err(reason) => {
            // The configuration's check refuses what cannot work, so this is a setting it does not know to be wrong.
            error!(source = %source.name, %reason, "source cannot be started");
            let lost = FromSource::Lost { source: Arc::clone(&source.name), reason };
            return tokio::spawn(async move {
                if outbox.push(lost).is_ok() && !outbox.is_empty() {
                    let _ = outbox.flush().await;
                }
            });
        }
    };
    let parts = Parts { intake: Intake::new(source, decoder, &counters, clock), link, outbox, shutdown };
    match source.kind.clone() {
        SourceKind::Mqtt(config) => tokio::spawn(mqtt::run(config, parts)),
        SourceKind::Serial(config) => tokio::spawn(serial::run(config, parts)),
        SourceKind::Modbus(_) => unreachable!("started above"),
    }
}

/// Tries a source's port or broker without disturbing a gateway that runs; says what was found.
///
/// # Errors
///
/// Why it cannot be reached, and what to do.
pub async fn probe(source: &model::Source) -> Result<String, String> {
    if !matches!(source.kind, SourceKind::Modbus(_)) {
        Decoder::new(source)?;
    }
    match &source.kind {
        SourceKind::Modbus(config) => modbus::probe(config).await,
        SourceKind::Mqtt(config) => mqtt::probe(config).await,
        SourceKind::Serial(config) => serial::probe(config).await,
    }
}

/// Decodes what a source receives; counts it and tells of what is refused.
struct Intake<D = Decoder> {
    name: Arc<str>,
    /// Of messages; a Modbus source has one a unit instead.
    decoder: D,
    decoded: Decoded,
    counts: Arc<SourceCounters>,
    /// For their board.
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
    repeats: Repeats,
    /// When the last message arrived.
    arrived: BootTime,
}

impl Intake {
    /// The readings of a message.
    fn take(&mut self, topic: Option<&str>, payload: &[u8], retained: bool) -> Vec<Reading> {
        self.counts.messages.add(1);
        if topic.is_some() && self.counts.tap.is_on() {
            self.counts.tap.bytes(&self.name, topic, payload, self.clock.wall());
        }
        self.decoded.clear();
        let now = self.clock.now();
        self.arrived = now.boot;
        self.decoder.set_clock(now.clock);
        let message = Message { topic, payload, retained, arrival: now.wall };
        self.decoder.decode(&message, &mut self.decoded);
        self.hand_out(topic, payload)
    }
}

impl<D> Intake<D> {
    fn new(source: &model::Source, decoder: D, counters: &Arc<Counters>, clock: Arc<SystemClock>) -> Self {
        Self {
            name: Arc::clone(&source.name),
            decoder,
            decoded: Decoded::default(),
            counts: counters.source(&source.name),
            counters: Arc::clone(counters),
            clock,
            repeats: Repeats::default(),
            arrived: BootTime::default(),
        }
    }

    /// The readings of what has been decoded from `payload`; the rest of it is counted and told.
    fn hand_out(&mut self, topic: Option<&str>, payload: &[u8]) -> Vec<Reading> {
        self.counts.readings.add(self.decoded.readings.len() as u64);
        if self.decoded.ignored > 0 {
            self.counts.ignored.add(self.decoded.ignored);
        }
        for (reject, what) in std::mem::take(&mut self.decoded.rejects) {
            self.refuse(reject, topic, &what, payload);
        }
        std::mem::take(&mut self.decoded.readings)
    }

    /// Counts a refusal and says it when it is news, or once in a while how often. `raw`: what came, as far as it is there.
    fn refuse(&mut self, reject: Reject, topic: Option<&str>, what: &str, raw: &[u8]) {
        self.counts.reject(reject);
        if self.counts.tap.is_on() {
            self.counts.tap.refused(&self.name, topic, reject, what);
        }
        if let Some(mut refused) = self.counters.board.note_refused() {
            refused.note(&self.name, topic, reject.as_str(), what, raw, self.clock.boot());
        }
        let topic = topic.unwrap_or("-");
        match self.repeats.note(reject.as_str(), self.clock.boot()) {
            Say::First => {
                warn!(source = %self.name, reason = reject.as_str(), topic, what, "input refused");
            }
            Say::Again { times, over } => {
                let over_s = over.as_secs();
                warn!(source = %self.name, reason = reject.as_str(), topic, what, times, over_s, "input refused again");
            }
            Say::Nothing => {}
        }
    }
}
