//! One connection upstream, from CONNACK to its end.
//!
//! Owns the packet flow: fill the window, write, take acknowledgements, tell the store. Everything that must outlive
//! the connection is in the [`Forwarder`]'s window and feed; the [`Link`] is thrown away with it. What is sent is in
//! `publish`, what cannot be in `aside`, what the broker says of it in `acknowledged` and `refused`, and what it refuses
//! for now in `kept`.

mod acknowledged;
mod ahead;
mod aside;
mod draft;
mod kept;
mod publish;
mod refused;
mod side;
mod together;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::ahead as ahead_line;
use super::backoff::Backoff;
use super::batch::Batch;
use super::client::Forwarder;
use super::ending::{End, Lost};
use super::link::Link;
use super::lookout::read_on;
use super::options::side_ids;
use super::scout::Scout;
use super::status;
use super::window::Ending;
use aside::{Condemned, SettingAside, set_aside_done};
use draft::Draft;

/// How often deadlines are looked at, and how long the store may wait for the delivered mark.
const TICK: Duration = Duration::from_millis(250);

/// While stopping: how long without an acknowledgement before the rest is left in the store.
const DRAIN_STALL_MAX: Duration = Duration::from_secs(3);

/// How long the farewell may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

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
    /// The broker has acknowledged our birth (or, without a status, an event before): it takes messages from us.
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
    /// When the broker is asked again about the events that it refuses.
    ask_at: Option<Instant>,
    last_progress: Instant,
    stopping: bool,
    /// Looks after better brokers.
    scout: Scout,
    /// The better broker that we move to as soon as everything in flight is acknowledged; nothing new is sent.
    leaving: Option<usize>,
    draft: Draft,
    /// The message of several events under construction, if there are such.
    batch: Option<Batch>,
    told_split: bool,
}

impl<'a> Session<'a> {
    /// Takes over a connection right after its CONNACK.
    pub fn new(forwarder: &'a mut Forwarder, link: Link) -> Self {
        let backlog_through = forwarder.feed.status().last_sequence;
        forwarder.lookout.ahead.on_connected(backlog_through);
        let scout = Scout::start(&forwarder.upstream, forwarder.failover.at(), forwarder.clock.earliest());
        let trusted = forwarder.upstream.status_topic.is_none() && forwarder.has_delivered;
        let draft = Draft::new(&forwarder.upstream);
        let batch = together::batch_for(&forwarder.upstream, &link, &draft);
        let ids = usize::from(side_ids(&forwarder.upstream)) + usize::from(ahead_line::INFLIGHT_MAX);
        let pauses = Backoff::new(forwarder.upstream.backoff_min, refused::PAUSE_MAX);
        // One place is left for a status.
        forwarder.window.on_connected(usize::from(link.terms().receive_maximum).saturating_sub(1));
        let mut session = Self {
            forwarder,
            link,
            backlog_through,
            last_id: 0,
            status_packet: None,
            // Without a status the broker cannot show on each connection that it takes something from us; that it ever
            // did must do.
            trusted,
            setting_aside: None,
            condemned: VecDeque::new(),
            in_use: vec![false; ids + 1],
            messages_inflight: 0,
            paused_until: None,
            pauses,
            ask_at: None,
            last_progress: Instant::now(),
            stopping: false,
            scout,
            leaving: None,
            draft,
            batch,
            told_split: false,
        };
        session.plan_asking_again();
        session
    }

    /// Forwards until the connection ends. Returns why, and what that says about the events in flight.
    pub async fn run(mut self) -> (End, Ending) {
        let mut end = self.forward().await;
        // Acknowledgements that arrived together with the end count.
        let _ = self.take_read();
        if self.is_refusal_old() {
            self.ask_again();
        }
        self.set_rest_aside().await;
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
            self.set_next_aside();
            let may_publish =
                self.setting_aside.is_none() && !self.is_paused() && (self.leaving.is_none() || self.stopping);
            if may_publish && !self.waits_to_ask() {
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
                && self.condemned.is_empty()
            {
                let text = status::moved(self.forwarder.clock.wall());
                self.farewell(text).await?;
                return Ok(End::Moved(better));
            }
            let passed = self.forwarder.passed();
            if self.forwarder.lookout.step(passed).await.is_err() {
                return Ok(End::StoreGone);
            }
            let busy =
                self.forwarder.calls.is_planned() || self.expects_puback() || self.stopping || self.has_unreported();
            let side_wanted = self.side_may_send() && self.has_credit() && self.forwarder.side.wants_more();
            let held_until = self.forwarder.pace.take_held_until();
            let (paused_until, batch_due, ask_at) = (self.paused_until, self.batch_due(), self.ask_at);
            let may_ask = ask_at.is_some() && !self.stopping && self.forwarder.window.inflight() == 0;
            tokio::select! {
                puback = self.link.next() => {
                    self.on_puback(puback?)?;
                    self.take_what_is_there().await?;
                }
                turned = read_on(&mut self.forwarder.feed, &mut self.forwarder.lookout) => {
                    if turned.is_err() {
                        return Ok(End::StoreGone);
                    }
                }
                () = until(held_until), if held_until.is_some() => {}
                () = until(batch_due), if batch_due.is_some() => {}
                () = until(paused_until), if paused_until.is_some() => self.paused_until = None,
                () = until(ask_at), if may_ask => self.ask_again(),
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

    /// Says that we go, waits for the acknowledgement, and disconnects so that the broker drops our last will.
    async fn farewell(&mut self, text: Vec<u8>) -> Result<(), Lost> {
        self.report_delivered(true);
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

/// Waits until then; for ever without a time.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
