//! An MQTT broker as a source: subscribe, take, acknowledge once it is stored.
//!
//! Owns the connection's loop. rumqttc brings the packets and TLS; its event loop is not used here, because it writes
//! each acknowledgement on its own, pings only while it reads, and is stalled for good by one message that is too
//! large and by a QoS 2 release that outlived a connection.
//!
//! - **Acknowledged after commit.** A message is acknowledged when its [`Ack`] comes back from the store, in the order
//!   of the messages (`ledger`); one that makes no reading at once, in its turn. The session is persistent, so what
//!   was not acknowledged when a connection ends comes again: readings may repeat, none is lost.
//! - **Bounded.** Nothing is read from the socket while `inflight_max` messages are unacknowledged, while a message
//!   waits for room in the engine's channel or while a whole one is here that is not taken yet; what is in flight then
//!   stays with TCP and the broker. Pings go on all the while, so the broker does not give us up; whether *it* still
//!   lives is not judged until we read again.
//! - **Never stalled.** A message over `packet_bytes_max`, with a topic that is no text or of a subscription that is
//!   not ours any more is refused, counted and acknowledged.
//! - QoS 2 is acknowledged by PUBREC after commit; any PUBREL is answered. It is at-least-once here as well.

mod connect;
mod ledger;
mod packets;
mod rebirth;
mod subscription;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{Packet, QoS};
use tokio::io::{AsyncReadExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use self::connect::{Connection, Stream};
use self::ledger::Ledger;
use self::packets::{Inbox, Incoming, Outgoing, Publish};
use self::rebirth::Rebirths;
use self::subscription::{Granted, SUBSCRIBE_ID};
use super::outbox::EngineGone;
use super::{FromSource, Parts, Room};
use crate::ack::Ack;
use crate::config::model::MqttSource;
use crate::config::pattern;
use crate::counters::Reject;
use crate::decode::rebirth_request;
use crate::forward::backoff::Backoff;
use crate::forward::explain::{self, Explanation, Phase};
use crate::forward::link::Fault;
use crate::moderation::{self, Moderation, UNDER_WAY_MIN};

/// Shortest and longest wait before a broker is tried again. It is near, often on this very machine, and restarts in a
/// second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How long a stop waits for the store to release what was taken. What is not released by then comes again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for the broker to close the connection.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection, or the attempt at one, ended.
enum End {
    /// By fault.
    Lost(Explanation),
    /// By the word to stop, or because there is no engine.
    Stop,
}

impl From<EngineGone> for End {
    fn from(_: EngineGone) -> Self {
        Self::Stop
    }
}

/// The source's task.
struct Task {
    config: MqttSource,
    parts: Parts,
    ledger: Ledger,
    releases: mpsc::UnboundedReceiver<u64>,
    /// Lent to each [`Ack`].
    release: mpsc::UnboundedSender<u64>,
    /// What the broker granted each topic when it was last told.
    granted: Vec<Granted>,
    /// Whether a topic of an earlier subscription has been told of.
    stray_told: bool,
    /// Sparkplug nodes to be asked for their birth.
    rebirths: Rebirths,
}

/// Runs an MQTT source until shutdown.
pub(super) async fn run(config: MqttSource, parts: Parts) {
    let (release, releases) = mpsc::unbounded_channel();
    let granted = vec![Some(config.qos); config.topics.len()];
    let (ledger, rebirths) = (Ledger::default(), Rebirths::default());
    let mut task = Task { config, parts, ledger, releases, release, granted, stray_told: false, rebirths };
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let mut clock = task.parts.intake.clock.changes();
        let (lasted, end) = task.connection().await;
        task.ledger.forget();
        let End::Lost(why) = end else { break };
        task.parts.intake.counts.disconnects.add(1);
        if let Some(lost) = task.parts.link.lost(&why)
            && task.parts.outbox.push(lost).is_err()
        {
            break;
        }
        let wait = backoff.after(lasted, fastrand::f64());
        // What failed by the time may work by another.
        let pause = async { drop(timeout(wait, clock.changed()).await) };
        if task.attend(pause).await.is_err() {
            break;
        }
    }
    debug!(source = %task.parts.intake.name, "MQTT source ended");
}

/// The source's broker as what connects upstream wants it.
pub(super) fn view(config: &MqttSource) -> crate::config::model::Upstream {
    connect::view(config)
}

/// Connects, logs in and leaves again, under a client id of its own.
pub(super) async fn probe(config: &MqttSource) -> Result<String, String> {
    crate::forward::probe(&connect::view(config)).await
}

impl Task {
    /// One connection from beginning to end, and how long it lasted.
    async fn connection(&mut self) -> (Duration, End) {
        let (config, clock) = (self.config.clone(), Arc::clone(&self.parts.intake.clock));
        let connection = match self.attend(connect::connect(&config, &clock)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(why)) => return (Duration::ZERO, End::Lost(why)),
            Err(end) => return (Duration::ZERO, end),
        };
        let since = Instant::now();
        let end = self.session(connection).await.err().unwrap_or(End::Stop);
        (since.elapsed(), end)
    }

    /// Does something that takes time, and meanwhile what has to go on.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.parts.shutdown.wait() => return Err(End::Stop),
                result = &mut work => return Ok(result),
                Some(token) = self.releases.recv() => self.ledger.release(token),
                flushed = self.parts.outbox.flush(), if !self.parts.outbox.is_empty() => flushed?,
            }
        }
    }

    /// Subscribes and takes messages until something ends it.
    async fn session(&mut self, connection: Connection) -> Result<(), End> {
        let Connection { stream, mut inbox, session_present } = connection;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut outgoing = Outgoing::default();
        self.parts.intake.counts.connects.add(1);
        debug!(source = %self.parts.intake.name, session_present, "accepted by the broker");
        self.subscribe(&mut outgoing)?;
        let result = self.take_messages(&mut inbox, &mut outgoing, &mut reader, &mut writer).await;
        if matches!(result, Err(End::Stop)) {
            self.drain(&mut outgoing, &mut reader, &mut writer).await;
        }
        result
    }

    async fn take_messages(
        &mut self,
        inbox: &mut Inbox,
        outgoing: &mut Outgoing,
        reader: &mut ReadHalf<Box<dyn Stream>>,
        writer: &mut WriteHalf<Box<dyn Stream>>,
    ) -> Result<(), End> {
        let mut tick = Instant::now() + self.config.keep_alive;
        // Since the last tick: whether something was heard, and whether we listened all the time.
        let (mut heard, mut listened) = (true, true);
        let (mut moderation, mut read_at) = (Moderation::default(), None);
        // The most the broker has had under way here, as far as we have seen.
        let mut under_way = 0;
        loop {
            let (taken, is_hungry) = self.take_whole(inbox, outgoing)?;
            if let Some(at) = read_at.take() {
                under_way = under_way.max(taken).max(self.ledger.len());
                // With more here than can be taken it is us who are slow.
                let may_pause = is_hungry && under_way > UNDER_WAY_MIN;
                if moderation.after_read(taken, may_pause, at) {
                    moderation::pause();
                }
            }
            while let Some(acknowledgement) = self.ledger.next() {
                outgoing.acknowledge(acknowledgement);
            }
            if !is_hungry && self.may_take() {
                // That has made room for what is already here.
                continue;
            }
            // Only what is missing of a packet is read: what waits here would be bounded by the broker alone.
            let may_read = is_hungry && self.may_take();
            listened &= may_read;
            let (asks, ask) = self.rebirths.next_due().map_or((false, tick), |due| (true, due));
            tokio::select! {
                biased;
                () = self.parts.shutdown.wait() => return Err(End::Stop),
                written = outgoing.write(writer), if !outgoing.is_empty() => written.map_err(|error| self.broken(&error))?,
                Some(token) = self.releases.recv() => {
                    self.ledger.release(token);
                    while let Ok(token) = self.releases.try_recv() {
                        self.ledger.release(token);
                    }
                }
                flushed = self.parts.outbox.flush(), if !self.parts.outbox.is_empty() => flushed?,
                () = sleep_until(ask), if asks => {
                    while let Some(node) = self.rebirths.take(Instant::now()) {
                        self.ask_for_birth(&node, outgoing)?;
                    }
                }
                () = sleep_until(tick) => {
                    if listened && !heard {
                        let silent = Fault::NoPong(self.config.keep_alive);
                        return Err(End::Lost(explain::fault(&silent, &connect::view(&self.config), Phase::Connected)));
                    }
                    (heard, listened) = (false, true);
                    tick = Instant::now() + self.config.keep_alive;
                    let ping = Packet::PingReq;
                    outgoing.packet(&ping).map_err(|error| End::Lost(connect::violation(&self.config, &error)))?;
                }
                bytes = reader.read_buf(inbox.room()), if may_read => match bytes {
                    Ok(0) => return Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => {
                        heard = true;
                        read_at = Some(Instant::now().into_std());
                        inbox.arrived();
                    }
                    Err(error) => return Err(self.broken(&error)),
                },
            }
        }
    }

    /// Takes the packets that are here, as long as another message can be held. How many these were, and true when no
    /// whole one is left.
    fn take_whole(&mut self, inbox: &mut Inbox, outgoing: &mut Outgoing) -> Result<(usize, bool), End> {
        let mut taken = 0;
        while self.may_take() {
            match inbox.next() {
                Ok(Some(packet)) => self.packet(packet, outgoing)?,
                Ok(None) => return Ok((taken, true)),
                Err(error) => return Err(End::Lost(connect::violation(&self.config, &error))),
            }
            taken += 1;
        }
        Ok((taken, false))
    }

    /// Whether another message can be held.
    fn may_take(&self) -> bool {
        self.parts.outbox.is_empty() && self.ledger.len() < usize::from(self.config.inflight_max)
    }

    fn broken(&self, error: &io::Error) -> End {
        End::Lost(explain::io(error, &connect::view(&self.config), Phase::Connected))
    }

    fn packet(&mut self, packet: Incoming, outgoing: &mut Outgoing) -> Result<(), End> {
        match packet {
            Incoming::Publish(publish) => self.publish(&publish)?,
            // Also of a message of an earlier connection: the broker waits for this and for nothing else.
            Incoming::Control(Packet::PubRel(release)) => outgoing.complete(release.pkid),
            Incoming::Control(Packet::SubAck(ack)) if ack.pkid == SUBSCRIBE_ID => self.subscribed(&ack.return_codes)?,
            Incoming::Control(Packet::PingResp) => {}
            Incoming::Control(other) => debug!(source = %self.parts.intake.name, ?other, "packet passed over"),
        }
        Ok(())
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), EngineGone> {
        let readings = self.readings(publish);
        let token = publish.acknowledgement().map(|acknowledgement| self.ledger.take(acknowledgement));
        if readings.is_empty() {
            if let Some(token) = token {
                self.ledger.release(token);
            }
            return Ok(());
        }
        let ack = token.map(|token| Ack::new(self.release.clone(), token));
        let arrived = self.parts.intake.arrived;
        self.parts.outbox.push(FromSource::Readings { readings, arrived, ack, room: Room::default() })
    }

    /// Asks a Sparkplug node for its birth.
    fn ask_for_birth(&self, node: &str, outgoing: &mut Outgoing) -> Result<(), End> {
        let intake = &self.parts.intake;
        let Some((topic, payload)) = rebirth_request(node, intake.clock.wall()) else { return Ok(()) };
        intake.counts.rebirths.add(1);
        info!(source = %intake.name, node, "its birth is missing; asked for it (Node Control/Rebirth)");
        let request = Packet::Publish(rumqttc::Publish::new(topic, QoS::AtMostOnce, payload));
        outgoing.packet(&request).map_err(|error| End::Lost(connect::violation(&self.config, &error)))
    }

    /// What a message says; nothing where it is refused.
    fn readings(&mut self, publish: &Publish) -> Vec<crate::reading::Reading> {
        let intake = &mut self.parts.intake;
        let Some(topic) = publish.topic() else {
            intake.counts.messages.add(1);
            intake.refuse(Reject::NotUtf8, None, "the topic is not UTF-8", publish.payload());
            return Vec::new();
        };
        if let Some(bytes) = publish.skipped {
            intake.counts.messages.add(1);
            // As Zigbee2MQTT's `bridge/devices` of a large network: it would not have been looked at.
            if intake.decoder.passes_over(topic) {
                intake.counts.ignored.add(1);
                return Vec::new();
            }
            let what = format!("{bytes} bytes, `packet_bytes_max` is {}", self.config.packet_bytes_max);
            intake.refuse(Reject::TooLong, Some(topic), &what, &[]);
            return Vec::new();
        }
        if !self.config.topics.iter().any(|filter| matches(filter, topic)) {
            intake.counts.messages.add(1);
            intake.counts.ignored.add(1);
            if !std::mem::replace(&mut self.stray_told, true) {
                let source = &intake.name;
                let help = "the broker remembers a subscription that is configured no more; passed over";
                warn!(%source, topic, help, "message of another topic");
            }
            return Vec::new();
        }
        let readings = intake.take(Some(topic), publish.payload(), publish.retain);
        for birth in intake.decoded.births.drain(..) {
            self.rebirths.note(birth, Instant::now());
        }
        readings
    }

    /// Hands on what waits, acknowledges what the store still releases, and says goodbye.
    async fn drain(
        &mut self,
        outgoing: &mut Outgoing,
        reader: &mut ReadHalf<Box<dyn Stream>>,
        writer: &mut WriteHalf<Box<dyn Stream>>,
    ) {
        // Without a sender of our own the channel ends when the last acknowledgement is released or dropped.
        let (closed, _) = mpsc::unbounded_channel();
        self.release = closed;
        let drained = timeout(DRAIN_TIMEOUT, async {
            while !self.parts.outbox.is_empty() && self.parts.outbox.flush().await.is_ok() {}
            // The engine sees the end of the readings.
            self.parts.outbox.close();
            loop {
                while let Some(acknowledgement) = self.ledger.next() {
                    outgoing.acknowledge(acknowledgement);
                }
                while !outgoing.is_empty() {
                    outgoing.write(writer).await?;
                }
                if self.ledger.len() == 0 {
                    break;
                }
                match self.releases.recv().await {
                    Some(token) => self.ledger.release(token),
                    None => break,
                }
            }
            outgoing.packet(&Packet::Disconnect).map_err(|error| io::Error::other(error.0))?;
            while !outgoing.is_empty() {
                outgoing.write(writer).await?;
            }
            Ok::<(), io::Error>(())
        });
        if !matches!(drained.await, Ok(Ok(()))) || self.ledger.len() > 0 {
            let left = self.ledger.len();
            info!(source = %self.parts.intake.name, left, "messages not acknowledged; the broker sends them again");
        }
        // The broker closes when it has read all that we said. One that has not, and meets our next start first, would
        // send again what we have just acknowledged.
        let mut rest = [0_u8; 512];
        let _ = timeout(GOODBYE_TIMEOUT, async { while reader.read(&mut rest).await.is_ok_and(|count| count > 0) {} })
            .await;
    }
}

/// Whether a topic matches a filter, `$share/group/filter` included (MQTT 3.1.1, 4.7).
fn matches(filter: &str, topic: &str) -> bool {
    let filter = pattern::without_share(filter);
    // A wildcard at the start does not reach the broker's own topics.
    let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    !hidden && pattern::matches(filter, topic)
}
