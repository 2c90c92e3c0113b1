//! One connection upstream, from CONNACK to its end.
//!
//! Owns the packet flow: fill the window, write, take acknowledgements, tell the store. Everything that must outlive
//! the connection is in the [`Forwarder`]'s window and feed; the [`Link`] is thrown away with it.

mod draft;
mod refused;
mod side;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::client::Forwarder;
use super::ending::{End, Lost};
use super::link::{Link, Message, Puback};
use super::options::queue_ids;
use super::side::{INFLIGHT_MAX, Mark};
use super::status;
use super::window::{self, Ending};
use crate::event::Event;
use crate::store::handle::{Closed, DeadAttempt, Refusal};
use draft::Draft;

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

/// An event that is to go to the dead letters.
struct Condemned {
    sequence: u64,
    event: Arc<Event>,
    reason: String,
    attempts: u32,
}

/// An event on its way to the dead letters.
struct SettingAside {
    sequence: u64,
    done: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>,
}

/// A connection that is up.
pub struct Session<'a> {
    forwarder: &'a mut Forwarder,
    link: Link,
    /// Events up to here were in the store before the connection came up.
    backlog_through: u64,
    /// The last packet id of the queue's share.
    last_id: u16,
    /// Packet id of a status message that is not acknowledged yet.
    status_packet: Option<u16>,
    /// The broker has acknowledged our birth: it takes messages from us.
    trusted: bool,
    setting_aside: Option<SettingAside>,
    /// To be set aside after it; at most a window.
    condemned: VecDeque<Condemned>,
    /// Which packet ids are in use, by number.
    in_use: Vec<bool>,
    messages_inflight: usize,
    /// Nothing new is published before this: the broker asked for a pause.
    paused_until: Option<Instant>,
    pauses: Backoff,
    last_progress: Instant,
    stopping: bool,
    draft: Draft,
}

impl<'a> Session<'a> {
    /// Takes over a connection right after its CONNACK.
    pub fn new(forwarder: &'a mut Forwarder, link: Link) -> Self {
        let backlog_through = forwarder.feed.status().last_sequence;
        let draft = Draft::new(&forwarder.upstream);
        let ids = usize::from(queue_ids(&forwarder.upstream)) + usize::from(INFLIGHT_MAX);
        let pauses = Backoff::new(forwarder.upstream.backoff_min, refused::PAUSE_MAX);
        // One place is left for a status.
        forwarder.window.on_connected(usize::from(link.terms().receive_maximum).saturating_sub(1));
        Self {
            forwarder,
            link,
            backlog_through,
            last_id: 0,
            status_packet: None,
            trusted: false,
            setting_aside: None,
            condemned: VecDeque::new(),
            in_use: vec![false; ids + 1],
            messages_inflight: 0,
            paused_until: None,
            pauses,
            last_progress: Instant::now(),
            stopping: false,
            draft,
        }
    }

    /// Forwards until the connection ends. Returns why, and what that says about the events in flight.
    pub async fn run(mut self) -> (End, Ending) {
        let end = self.forward().await;
        // Acknowledgements that arrived together with the end count.
        let _ = self.take_read();
        self.set_rest_aside().await;
        self.report_delivered(true);
        self.forwarder.counters.upstream_inflight.set(0);
        // With the side lane's events in flight beside it no event of the queue is alone.
        let side_inflight = self.leave_side(&end);
        let ending = match &end {
            End::Lost(lost) if self.trusted && lost.is_by_broker() && side_inflight == 0 => Ending::Suspicious,
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
            self.set_next_aside();
            if self.setting_aside.is_none() && !self.is_paused() {
                self.within(FlowLimit::Acknowledgement, Write::Events).await?;
            }
            self.report_delivered(false);
            if self.is_proven() {
                self.forwarder.tell_acknowledged();
            }
            self.forwarder.counters.upstream_inflight.set(self.forwarder.window.inflight() as u64);
            if self.stopping && (self.is_drained() || self.last_progress.elapsed() >= DRAIN_STALL_MAX) {
                self.farewell().await?;
                return Ok(End::Stopped);
            }
            let busy = self.expects_puback() || self.stopping || self.has_unreported();
            let side_wanted = self.side_may_send() && self.has_credit() && self.forwarder.side.wants_more();
            let paused_until = self.paused_until;
            tokio::select! {
                puback = self.link.next() => {
                    self.on_puback(puback?)?;
                    self.take_what_is_there().await?;
                }
                turned = self.forwarder.feed.turn() => {
                    if turned.is_err() {
                        return Ok(End::StoreGone);
                    }
                }
                () = self.forwarder.side.arrival(), if side_wanted => {}
                () = pause_over(paused_until), if paused_until.is_some() => self.paused_until = None,
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
                }
            }
        }
    }

    /// Whether something is to be acknowledged, the side lane's events included.
    fn expects_puback(&self) -> bool {
        self.is_waiting() || self.forwarder.side.inflight() > 0
    }

    /// Whether something of the queue, or a status, is to be acknowledged.
    fn is_waiting(&self) -> bool {
        self.forwarder.window.inflight() > 0 || self.status_packet.is_some()
    }

    /// Whether the broker takes another message now; one place stays free for a status.
    fn has_credit(&self) -> bool {
        self.messages_inflight < usize::from(self.link.terms().receive_maximum).saturating_sub(1).max(1)
    }

    fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Whether the broker has shown on this connection that it takes what we send: an event, or that we are here when
    /// there is none.
    fn is_proven(&self) -> bool {
        self.forwarder.window.has_progress() || (self.trusted && self.is_drained())
    }

    fn is_drained(&self) -> bool {
        self.forwarder.window.is_empty()
            && self.condemned.is_empty()
            && self.setting_aside.is_none()
            && self.forwarder.feed.is_drained()
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
        if self.forwarder.window.waits_for_room(self.forwarder.feed.ready()) {
            return Ok(());
        }
        let mut wrote = false;
        // With a window of one an event stands under suspicion: send it only when the broker has shown that it takes
        // other messages on this connection.
        while (self.trusted || self.forwarder.window.limit() > 1) && self.has_credit() {
            let Some((sequence, event)) = self.next_event() else { break };
            if let Err(reason) = self.encode(&event, None) {
                self.condemned.push_back(Condemned { sequence, event, reason, attempts: 0 });
                self.set_next_aside();
                break;
            }
            if !self.is_waiting() {
                self.last_progress = Instant::now();
            }
            let packet_id = self.number()?;
            self.forwarder.window.on_outgoing(packet_id, self.draft.payload.len());
            self.forwarder.counters.events_published.add(1);
            self.publish_draft(packet_id).await?;
            wrote = true;
        }
        wrote |= self.publish_side().await?;
        if wrote {
            self.link.flush().await?;
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
            if !forwarder.window.wants_more() {
                return None;
            }
            let event = forwarder.feed.pop()?;
            forwarder.window.offer(event.sequence, event);
        }
    }

    /// Drafts the PUBLISH of an event, of the side lane if it has a mark, or says why there can be none.
    fn encode(&mut self, event: &Event, mark: Option<Mark>) -> Result<(), String> {
        let forwarder = &mut *self.forwarder;
        let event = &*forwarder.clock.repaired(event, &forwarder.counters.events_repaired);
        let backlog = mark.is_some() || event.sequence <= self.backlog_through;
        let replayed = mark == Some(Mark::Replayed);
        self.draft.event(event, &forwarder.gateway, &forwarder.upstream, backlog, replayed)?;
        let bytes = self.link.publish_bytes(&self.draft.topic, &self.draft.payload, &self.draft.properties);
        match self.link.terms().packet_bytes_max {
            Some(max) if bytes > usize::try_from(max).unwrap_or(usize::MAX) => {
                Err(format!("the message has {bytes} bytes, more than the {max} that the broker takes"))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is drafted.
    async fn publish_draft(&mut self, packet_id: u16) -> Result<(), Lost> {
        let Draft { topic, payload, properties, .. } = &self.draft;
        let message = Message { topic, payload, retain: false, packet_id, properties };
        Ok(self.link.publish(message).await?)
    }

    /// Sends the next condemned event to the dead letters; publishing waits until it is there, acknowledgements do not.
    fn set_next_aside(&mut self) {
        if self.setting_aside.is_some() {
            return;
        }
        let Some(Condemned { sequence, event, reason, attempts }) = self.condemned.pop_front() else { return };
        self.forwarder.tell_set_aside(sequence, &event, &reason);
        let store = self.forwarder.store.clone();
        let way = if attempts == 0 { "not sent" } else { "refused" };
        let attempt = DeadAttempt { time: self.forwarder.clock.wall(), text: format!("{way}: {reason}") };
        let refusal = Refusal { reason, attempts, history: vec![attempt] };
        let done = Box::pin(async move { store.dead_letter(event, refusal).await });
        self.setting_aside = Some(SettingAside { sequence, done });
    }

    /// Sees all that is condemned into the dead letters: on the next connection the broker would refuse it again.
    async fn set_rest_aside(&mut self) {
        loop {
            self.set_next_aside();
            let Ok(sequence) = (match self.setting_aside {
                Some(_) => set_aside_done(&mut self.setting_aside).await,
                None => return,
            }) else {
                return;
            };
            self.setting_aside = None;
            self.forwarder.window.set_aside(sequence);
        }
    }

    async fn publish_status(&mut self, text: Vec<u8>) -> Result<(), Lost> {
        let topic = status::topic(&self.forwarder.gateway);
        let packet_id = self.number()?;
        self.status_packet = Some(packet_id);
        self.last_progress = Instant::now();
        let retain = self.link.terms().retains;
        let properties = &self.draft.status_properties;
        self.link.publish(Message { topic: &topic, payload: &text, retain, packet_id, properties }).await?;
        Ok(self.link.flush().await?)
    }

    /// The next packet id of the queue's share.
    fn number(&mut self) -> Result<u16, Lost> {
        self.last_id = self.last_id % queue_ids(&self.forwarder.upstream) + 1;
        self.register(self.last_id)
    }

    /// Takes a packet id into use.
    fn register(&mut self, packet_id: u16) -> Result<u16, Lost> {
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

    /// Takes everything that has already arrived, so that the next write fills all the room there is at once.
    async fn take_what_is_there(&mut self) -> Result<(), Lost> {
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
    fn take_read(&mut self) -> Result<(), Lost> {
        while let Some(puback) = self.link.take()? {
            self.on_puback(puback)?;
        }
        Ok(())
    }

    fn on_puback(&mut self, puback: Puback) -> Result<(), Lost> {
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
        } else if let window::Puback::Delivered(_) = self.forwarder.window.on_puback(packet_id) {
            self.forwarder.counters.events_delivered.add(1);
            self.last_progress = Instant::now();
        } else {
            return Ok(());
        }
        self.pauses = Backoff::new(self.forwarder.upstream.backoff_min, refused::PAUSE_MAX);
        if puback.reason == refused::NO_SUBSCRIBERS {
            self.forwarder.counters.upstream_unmatched.add(1);
        }
        Ok(())
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
    async fn farewell(&mut self) -> Result<(), Lost> {
        self.report_delivered(true);
        let text = status::stopped(self.forwarder.clock.wall());
        self.within(FlowLimit::Farewell, Write::Status(text)).await?;
        let until = Instant::now() + FAREWELL_MAX;
        while self.status_packet.is_some() {
            match tokio::time::timeout_at(until, self.link.next()).await {
                Ok(puback) => self.on_puback(puback?)?,
                Err(_) => return Err(Lost::NoAcknowledgement),
            }
        }
        self.link.disconnect().await?;
        // The broker closes; leaving before it has read everything could cost the DISCONNECT.
        let closed = async { while self.link.next().await.is_ok() {} };
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

/// Waits until a pause is over.
async fn pause_over(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
