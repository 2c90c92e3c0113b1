//! One connection upstream, from CONNACK to its end.
//!
//! Owns the packet flow: fill the window, write, take acknowledgements, tell the store. Everything that must outlive
//! the connection is in the [`Forwarder`]'s window and feed; the MQTT library's own queues are thrown away with it.
//!
//! Packets are handed to the library's state and network directly instead of through its request channel, for two
//! reasons: the packet id comes back at once, so it is never guessed, and a window's worth of events goes out in a few
//! TLS records and system calls instead of one each.

mod ahead;
mod side;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{ConnectionError, EventLoop, Incoming, Packet, Publish, QoS, Request, StateError};
use tokio::time::Instant;

use super::client::Forwarder;
use super::ending::{End, Lost};
use super::options::queue_ids;
use super::scout::Scout;
use super::side::Mark;
use super::status;
use super::window::{Ending, Puback};
use crate::event::{Event, wire};
use crate::store::handle::{Closed, DeadAttempt, Refusal};

/// How often deadlines are looked at, and how long the store may wait for the delivered mark.
const TICK: Duration = Duration::from_millis(250);

/// Polls in one go before anything else gets its turn: a full window of acknowledgements and some.
const POLLS_MAX: usize = 128;

/// While stopping: how long without an acknowledgement before the rest is left in the store.
const DRAIN_STALL_MAX: Duration = Duration::from_secs(3);

/// How long the farewell may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Acknowledgements after which the store is told even in the middle of a tick.
const DELIVERED_REPORT_EVENTS: u64 = 1_000;

/// An event on its way to the dead letters.
struct SettingAside {
    sequence: u64,
    done: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>,
}

/// A connection that is up.
pub struct Session<'a> {
    forwarder: &'a mut Forwarder,
    link: EventLoop,
    /// Events up to here were in the store before the connection came up.
    backlog_through: u64,
    /// The last packet id of the queue's share.
    last_id: u16,
    /// Packet id of a status message that is not acknowledged yet.
    status_packet: Option<u16>,
    /// The broker has acknowledged our birth (or, without a status, an event before): it takes messages from us.
    trusted: bool,
    setting_aside: Option<SettingAside>,
    last_progress: Instant,
    stopping: bool,
    /// Looks after better brokers.
    scout: Scout,
    /// The better broker that we move to as soon as everything in flight is acknowledged; nothing new is sent.
    leaving: Option<usize>,
    payload_bytes_hint: usize,
}

impl<'a> Session<'a> {
    /// Takes over a connection right after its CONNACK.
    pub fn new(forwarder: &'a mut Forwarder, link: EventLoop) -> Self {
        let backlog_through = forwarder.feed.status().last_sequence;
        forwarder.lookout.ahead.on_connected(backlog_through);
        let scout = Scout::start(&forwarder.upstream, forwarder.failover.at(), forwarder.clock.earliest());
        let trusted = forwarder.upstream.status_topic.is_none() && forwarder.has_delivered;
        Self {
            forwarder,
            link,
            backlog_through,
            last_id: 0,
            status_packet: None,
            // Without a status the broker cannot show on each connection that it takes something from us; that it ever
            // did must do.
            trusted,
            setting_aside: None,
            last_progress: Instant::now(),
            stopping: false,
            scout,
            leaving: None,
            payload_bytes_hint: 1024,
        }
    }

    /// Forwards until the connection ends. Returns why, and what that says about the events in flight.
    pub async fn run(mut self) -> (End, Ending) {
        let mut end = self.forward().await;
        // Acknowledgements that arrived together with the end count.
        self.take_events();
        self.report_delivered(true);
        if let End::Lost(lost) = end {
            let is_unborn = self.status_packet.is_some() && !self.trusted && !self.forwarder.window.has_progress();
            end = End::Lost(if is_unborn { lost.before_anything() } else { lost });
        }
        self.forwarder.counters.upstream_inflight.set(0);
        // With the side lane's events in flight beside it no event of the queue is alone.
        let beside = self.leave_side(&end) + self.leave_ahead(&end);
        let ending = match &end {
            End::Lost(lost) if self.trusted && lost.is_by_broker() && beside == 0 => Ending::Suspicious,
            End::Lost(lost) if !self.trusted && lost.is_closed() && beside == 0 => Ending::Abrupt,
            _ => Ending::Blameless,
        };
        (end, ending)
    }

    async fn forward(&mut self) -> End {
        match self.work().await {
            Ok(end) => end,
            Err(lost) => End::Lost(lost),
        }
    }

    async fn work(&mut self) -> Result<End, Lost> {
        let waiting = self.forwarder.feed.status().waiting;
        let birth = status::online(self.forwarder.clock.wall(), waiting);
        self.within(FlowLimit::Acknowledgement, Write::Status(birth)).await?;
        let tick = tokio::time::sleep(TICK);
        tokio::pin!(tick);
        loop {
            if self.setting_aside.is_none() && (self.leaving.is_none() || self.stopping) {
                self.within(FlowLimit::Acknowledgement, Write::Events).await?;
            }
            self.report_delivered(false);
            if self.is_proven() {
                self.forwarder.tell_acknowledged();
            }
            let inflight = self.forwarder.window.inflight() + self.forwarder.lookout.ahead.inflight();
            self.forwarder.counters.upstream_inflight.set(inflight as u64);
            if self.stopping && (self.is_drained() || self.last_progress.elapsed() >= DRAIN_STALL_MAX) {
                let text = status::stopped(self.forwarder.clock.wall());
                self.farewell(text).await?;
                return Ok(End::Stopped);
            }
            if self.is_call_over() {
                let text = status::between_calls(self.forwarder.clock.wall());
                self.farewell(text).await?;
                return Ok(End::HungUp);
            }
            if let Some(better) = self.leaving
                && !self.stopping
                && !self.expects_puback()
                && self.setting_aside.is_none()
            {
                let text = status::moved(self.forwarder.clock.wall());
                self.farewell(text).await?;
                return Ok(End::Moved(better));
            }
            let busy =
                self.forwarder.calls.is_planned() || self.expects_puback() || self.stopping || self.has_unreported();
            let side_wanted = self.side_may_send() && self.forwarder.side.wants_more();
            let (passed, pause) = (self.forwarder.passed(), self.forwarder.pace.take_held_until());
            tokio::select! {
                polled = self.link.poll() => {
                    self.on_polled(polled)?;
                    self.take_what_is_there().await?;
                }
                turned = self.forwarder.feed.turn() => {
                    if turned.is_err() {
                        return Ok(End::StoreGone);
                    }
                }
                scouted = self.forwarder.lookout.turn(passed) => {
                    if scouted.is_err() {
                        return Ok(End::StoreGone);
                    }
                }
                () = tokio::time::sleep_until(pause.unwrap_or(self.last_progress)), if pause.is_some() => {}
                () = self.forwarder.side.arrival(), if side_wanted => {}
                better = self.scout.better(), if self.leaving.is_none() && !self.stopping => self.leaving = Some(better),
                done = set_aside_done(&mut self.setting_aside), if self.setting_aside.is_some() => {
                    let Ok(sequence) = done else { return Ok(End::StoreGone) };
                    self.setting_aside = None;
                    self.forwarder.window.set_aside(sequence);
                }
                () = self.forwarder.shutdown.wait(), if !self.stopping => {
                    self.stopping = true;
                    self.last_progress = Instant::now();
                }
                () = &mut tick, if busy => {
                    tick.as_mut().reset(Instant::now() + TICK);
                    self.report_delivered(true);
                    if self.is_waiting() && self.last_progress.elapsed() >= self.forwarder.upstream.ack_timeout {
                        return Err(Lost::NoAcknowledgement);
                    }
                    self.check_side()?;
                    self.check_ahead()?;
                }
            }
        }
    }

    /// Whether something is to be acknowledged, the side lane's events included.
    fn expects_puback(&self) -> bool {
        self.is_waiting() || self.forwarder.side.inflight() > 0 || self.forwarder.lookout.ahead.inflight() > 0
    }

    /// Whether something of the queue, or a status, is to be acknowledged.
    fn is_waiting(&self) -> bool {
        self.forwarder.window.inflight() > 0 || self.status_packet.is_some()
    }

    /// Whether the broker has shown on this connection that it takes what we send: an event, or that we are here when
    /// there is none.
    fn is_proven(&self) -> bool {
        self.forwarder.window.has_progress() || (self.trusted && self.is_drained())
    }

    fn is_drained(&self) -> bool {
        self.forwarder.window.is_empty() && self.setting_aside.is_none() && self.forwarder.feed.is_drained()
    }

    fn has_unreported(&self) -> bool {
        self.forwarder.window.delivered() > self.forwarder.reported
    }

    /// Writes, but no longer than the broker may take to acknowledge: one that reads nothing is as good as gone.
    async fn within(&mut self, limit: FlowLimit, write: Write) -> Result<(), Lost> {
        let limit = match limit {
            FlowLimit::Acknowledgement => self.forwarder.upstream.ack_timeout,
            FlowLimit::Farewell => FAREWELL_MAX,
        };
        let work = async {
            match write {
                Write::Events => self.publish_what_fits().await,
                Write::Status(text) => self.publish_status(text).await,
            }
        };
        // Most turns write nothing or never wait: only one that does pays for the timer.
        tokio::pin!(work);
        tokio::select! {
            biased;
            result = &mut work => result,
            () = tokio::time::sleep(limit) => Err(Lost::NotTaken),
        }
    }

    /// Publishes as long as the window has room and there are events, then what the side lane may send, and flushes once.
    async fn publish_what_fits(&mut self) -> Result<(), Lost> {
        let mut wrote = self.publish_ahead().await?;
        if self.forwarder.window.waits_for_room(self.forwarder.feed.ready()) {
            return if wrote { self.flush().await } else { Ok(()) };
        }
        // With a window of one an event stands under suspicion: send it only when the broker has shown that it takes
        // other messages on this connection.
        let shows_trust = self.forwarder.upstream.status_topic.is_some();
        while self.trusted || !shows_trust || self.forwarder.window.limit() > 1 {
            if self.pause().is_some() {
                break;
            }
            let Some((sequence, event)) = self.next_event() else { break };
            let publish = match self.encode(&event, None) {
                Ok(publish) => publish,
                Err(reason) => {
                    self.set_aside(sequence, event, reason);
                    break;
                }
            };
            if !self.is_waiting() {
                self.last_progress = Instant::now();
            }
            let bytes = publish.payload.len();
            self.pay_for_queue(&publish);
            let (packet_id, packet) = self.number(publish)?;
            self.forwarder.window.on_outgoing(packet_id, bytes);
            self.forwarder.counters.events_published.add(1);
            self.write(packet).await?;
            wrote = true;
            self.publish_ahead().await?;
        }
        // Without the queue in between the line may go on.
        wrote |= self.publish_ahead().await?;
        wrote |= self.publish_side().await?;
        if wrote {
            self.flush().await?;
        }
        Ok(())
    }

    /// The next event: one to be sent again, or a new one from the feed.
    fn next_event(&mut self) -> Option<(u64, Arc<Event>)> {
        let forwarder = &mut *self.forwarder;
        loop {
            if let Some(next) = forwarder.window.next() {
                return Some(next);
            }
            if !forwarder.offer_next() {
                return None;
            }
        }
    }

    /// The PUBLISH of an event, of the side lane if it has a mark, or why there can be none.
    fn encode(&mut self, event: &Event, mark: Option<Mark>) -> Result<Publish, String> {
        let event = &*self.forwarder.clock.repaired(event, &self.forwarder.counters.events_repaired);
        let upstream = &self.forwarder.upstream;
        let mut topic = String::new();
        let rules = upstream.profile.topic_rules();
        let changed = wire::topic(&upstream.topic, event, &self.forwarder.gateway, &rules, &mut topic)
            .map_err(|error| format!("no valid topic: {error}"))?;
        if let Some(other) = self.forwarder.namesakes.meet(&topic, &event.subject, changed) {
            tracing::warn!(topic, %other, sensor = %event.subject, "two sensors have one topic; rename one of them");
        }
        let mut payload = Vec::with_capacity(self.payload_bytes_hint);
        let gateway = &self.forwarder.gateway;
        if mark == Some(Mark::Replayed) {
            wire::encode_replayed(event, gateway, upstream.encoding, &mut payload);
        } else {
            let backlog = mark.is_some() || event.sequence <= self.backlog_through;
            wire::encode(event, gateway, upstream.encoding, backlog, &mut payload);
        }
        let payload_bytes_max = upstream.payload_bytes_max.min(upstream.profile.payload_bytes_max());
        if payload.len() > payload_bytes_max {
            return Err(format!(
                "the payload has {} bytes, more than `payload_bytes_max` ({payload_bytes_max})",
                payload.len(),
            ));
        }
        self.payload_bytes_hint = payload.len() + payload.len() / 8;
        Ok(Publish::new(topic, QoS::AtLeastOnce, payload))
    }

    /// Sends an event to the dead letters; publishing waits until it is there, acknowledgements do not.
    fn set_aside(&mut self, sequence: u64, event: Arc<Event>, reason: String) {
        let correlation_id = event.correlation.map(tracing::field::display);
        tracing::warn!(
            sequence,
            event_id = %event.id,
            sensor = %event.subject,
            correlation_id,
            reason,
            "event set aside: it cannot be sent"
        );
        let store = self.forwarder.store.clone();
        let attempt = DeadAttempt { time: self.forwarder.clock.wall(), text: format!("not sent: {reason}") };
        let refusal = Refusal { reason, attempts: 0, history: vec![attempt] };
        let done = Box::pin(async move { store.dead_letter(event, refusal).await });
        self.setting_aside = Some(SettingAside { sequence, done });
    }

    async fn publish_status(&mut self, text: Vec<u8>) -> Result<(), Lost> {
        let upstream = &self.forwarder.upstream;
        let Some(topic) = &upstream.status_topic else { return Ok(()) };
        let mut publish = Publish::new(&**topic, QoS::AtLeastOnce, text);
        publish.retain = upstream.profile.retains();
        let (packet_id, packet) = self.number(publish)?;
        self.status_packet = Some(packet_id);
        self.last_progress = Instant::now();
        self.write(packet).await?;
        self.flush().await
    }

    /// Gives a PUBLISH the next packet id of the queue's share, and shows it to the library.
    fn number(&mut self, mut publish: Publish) -> Result<(u16, Packet), Lost> {
        self.last_id = self.last_id % queue_ids(&self.forwarder.upstream) + 1;
        publish.pkid = self.last_id;
        self.register(publish)
    }

    /// Shows a PUBLISH with its packet id to the library.
    fn register(&mut self, publish: Publish) -> Result<(u16, Packet), Lost> {
        match self.link.state.handle_outgoing_packet(Request::Publish(publish))? {
            Some(Packet::Publish(publish)) => Ok((publish.pkid, Packet::Publish(publish))),
            // The id is still in use: it belongs to a message that was never acknowledged while a whole window of
            // others was.
            _ => Err(Lost::PacketIds),
        }
    }

    async fn write(&mut self, packet: Packet) -> Result<(), Lost> {
        match &mut self.link.network {
            Some(network) => Ok(network.write(packet).await?),
            None => Err(StateError::ConnectionAborted.into()),
        }
    }

    async fn flush(&mut self) -> Result<(), Lost> {
        match &mut self.link.network {
            Some(network) => Ok(network.flush().await?),
            None => Err(StateError::ConnectionAborted.into()),
        }
    }

    /// Takes everything that has already arrived, so that the next write fills all the room there is at once.
    async fn take_what_is_there(&mut self) -> Result<(), Lost> {
        for _ in 0..POLLS_MAX {
            self.take_events();
            if !self.expects_puback() {
                break;
            }
            tokio::select! {
                biased;
                polled = self.link.poll() => self.on_polled(polled)?,
                () = std::future::ready(()) => break,
            }
        }
        Ok(())
    }

    /// Takes what the library has put aside for later polls.
    fn take_events(&mut self) {
        while let Some(event) = self.link.state.events.pop_front() {
            self.on_event(&event);
        }
    }

    fn on_polled(&mut self, polled: Result<rumqttc::Event, ConnectionError>) -> Result<(), Lost> {
        self.on_event(&polled?);
        Ok(())
    }

    fn on_event(&mut self, event: &rumqttc::Event) {
        let rumqttc::Event::Incoming(Incoming::PubAck(puback)) = event else { return };
        if self.status_packet == Some(puback.pkid) {
            self.status_packet = None;
            self.trusted = true;
            self.last_progress = Instant::now();
        } else if self.on_side_puback(puback.pkid) {
            self.forwarder.counters.side_delivered.add(1);
        } else if let Some(event) = self.on_ahead_puback(puback.pkid) {
            self.count_delivered(&event);
        } else if let Puback::Delivered(event) = self.forwarder.window.on_puback(puback.pkid) {
            self.count_delivered(&event);
            self.forwarder.has_delivered = true;
            self.trusted |= self.forwarder.upstream.status_topic.is_none();
            self.last_progress = Instant::now();
        }
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
    fn report_delivered(&mut self, now: bool) {
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

    /// Says that we go, waits for the acknowledgement, and disconnects so that the broker drops our last will.
    async fn farewell(&mut self, text: Vec<u8>) -> Result<(), Lost> {
        self.report_delivered(true);
        self.within(FlowLimit::Farewell, Write::Status(text)).await?;
        let until = Instant::now() + FAREWELL_MAX;
        while self.status_packet.is_some() {
            match tokio::time::timeout_at(until, self.link.poll()).await {
                Ok(polled) => self.on_polled(polled)?,
                Err(_) => return Err(Lost::NoAcknowledgement),
            }
        }
        if let Some(packet) = self.link.state.handle_outgoing_packet(Request::Disconnect(rumqttc::Disconnect))? {
            self.write(packet).await?;
            self.flush().await?;
        }
        // The broker closes; leaving before it has read everything could cost the DISCONNECT.
        let closed = async { while self.link.poll().await.is_ok() {} };
        let _ = tokio::time::timeout_at(until, closed).await;
        Ok(())
    }
}

/// What bounds a write.
enum FlowLimit {
    Acknowledgement,
    Farewell,
}

/// What is written.
enum Write {
    Events,
    Status(Vec<u8>),
}

/// Waits until an event is in the dead letters.
async fn set_aside_done(setting_aside: &mut Option<SettingAside>) -> Result<u64, Closed> {
    match setting_aside {
        Some(aside) => aside.done.as_mut().await.map(|()| aside.sequence),
        None => std::future::pending().await,
    }
}
