//! Between connections: connect, hand over to the [`Session`], see how it ended, wait, again.
//!
//! Owns the task, the window, the read-ahead and the back-off, and says in the log and in [`UpstreamView`] how things
//! are. Retries for ever, whatever the fault: credentials are read anew at each attempt, so repairs on disk work without
//! a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{Backoff, STABLE};
use super::breaker::{self, Breaker};
use super::ending::End;
use super::explain::{self, Explanation, Phase};
use super::feed::Feed;
use super::link::{Fault, Link, Options};
use super::network::Network;
use super::nudge::Nudge;
use super::options::connection_options;
use super::repeats::{Repeats, Say};
use super::session::Session;
use super::side::{SideLane, SideReceiver};
use super::sniff;
use super::tls;
use super::window::{Quarantine, Window};
use crate::clock::{BootTime, SystemClock};
use crate::config::model::Upstream;
use crate::counters::Counters;
use crate::event::Event;
use crate::shutdown::Shutdown;
use crate::store::handle::{Closed, DeadAttempt, Refusal, StoreHandle};

/// How things are upstream, for status and the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamView {
    /// Whether the broker has accepted us and the connection is up.
    pub connected: bool,
    /// Since when that is so; by the boot clock, since the wall clock may be set meanwhile.
    pub since: BootTime,
    /// Why the last connection failed or ended, in words; stays until the next one does.
    pub last_error: Option<Arc<str>>,
    /// When the next attempt is due; `None` while connected or connecting.
    pub next_attempt: Option<BootTime>,
    /// Failures since the last connection that lasted.
    pub failures: u32,
    /// What is thought of the broker.
    pub breaker: breaker::State,
    /// Events that may be in flight at the moment; smaller than configured after connections without progress.
    pub window: usize,
}

/// The task's state.
pub struct Forwarder {
    pub(super) upstream: Upstream,
    pub(super) gateway: Arc<str>,
    pub(super) store: StoreHandle,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) shutdown: Shutdown,
    pub(super) window: Window<Arc<Event>>,
    pub(super) feed: Feed,
    pub(super) side: SideLane,
    /// The delivered mark as last told to the store.
    pub(super) reported: u64,
    /// The event under suspicion, and how its attempts ended: as many as it takes to set it aside.
    attempts: (u64, Vec<DeadAttempt>),
    backoff: Backoff,
    pub(super) breaker: Breaker,
    nudge: Nudge,
    network: Network,
    repeats: Repeats,
    /// What was told of events set aside, of pauses that the broker wants, and of our status.
    set_aside: Repeats,
    pauses: Repeats,
    refused_status: Repeats,
    /// The last thing said was that we are not connected.
    said_down: bool,
    warned: Vec<String>,
    view: watch::Sender<UpstreamView>,
}

/// How an attempt ended.
enum Attempt {
    /// The task is over.
    Over,
    /// A connection failed, or ended after this long.
    Failed(Explanation, Duration),
}

impl Forwarder {
    /// Sets everything up; nothing happens before [`Forwarder::run`].
    #[allow(clippy::too_many_arguments, reason = "called once; a struct would only repeat the names")]
    pub fn new(
        upstream: Upstream,
        gateway: Arc<str>,
        store: StoreHandle,
        side: SideReceiver,
        nudge: Nudge,
        counters: Arc<Counters>,
        clock: Arc<SystemClock>,
        shutdown: Shutdown,
    ) -> (Self, watch::Receiver<UpstreamView>) {
        let feed = Feed::new(store.clone());
        let delivered = feed.settled();
        let window = Window::new(usize::from(upstream.window), delivered);
        let (view, receiver) =
            watch::channel(UpstreamView { since: clock.boot(), window: window.limit(), ..UpstreamView::default() });
        let backoff = Backoff::new(upstream.backoff_min, upstream.backoff_max);
        let forwarder = Self {
            upstream,
            gateway,
            store,
            counters,
            clock,
            shutdown,
            window,
            feed,
            side: SideLane::new(side),
            reported: delivered,
            attempts: (0, Vec::new()),
            backoff,
            breaker: Breaker::default(),
            nudge,
            network: Network::of_this_machine(),
            repeats: Repeats::default(),
            set_aside: Repeats::default(),
            pauses: Repeats::default(),
            refused_status: Repeats::default(),
            said_down: true,
            warned: Vec::new(),
            view,
        };
        (forwarder, receiver)
    }

    /// Forwards until told to stop or the store is gone.
    pub async fn run(mut self) {
        self.network.look();
        while !self.shutdown.is_stopping() {
            let mut clock_set = self.clock.changes();
            let (explanation, lasted) = match self.attempt().await {
                Attempt::Over => break,
                Attempt::Failed(explanation, lasted) => (explanation, lasted),
            };
            self.counters.upstream_disconnects.add(1);
            let wait = self.backoff.after(lasted, fastrand::f64());
            let opened = self.breaker.on_failure(lasted);
            self.tell_failure(explanation, lasted, wait);
            if opened {
                self.tell_open();
            }
            // What came up while a connection was there is no news; what did during an attempt is.
            if !lasted.is_zero() {
                self.network.look();
            }
            let nudge = self.nudge.clone();
            let mut shutdown = self.shutdown.clone();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.network.gained(fastrand::f64()) => {
                    tracing::info!("this machine has got a network connection: connecting upstream");
                }
                () = nudge.nudged() => tracing::info!("told to connect upstream now"),
                // What failed by the time may work by another.
                _ = clock_set.changed() => self.clock.settled().await,
                () = shutdown.wait() => {}
            }
        }
        self.view.send_modify(|view| {
            view.connected = false;
            view.next_attempt = None;
            view.since = self.clock.boot();
        });
    }

    /// One connection, from reading the credentials to its end.
    async fn attempt(&mut self) -> Attempt {
        let probe = self.breaker.on_attempt();
        self.view.send_modify(|view| {
            view.next_attempt = None;
            view.breaker = self.breaker.state();
        });
        let options = match self.options().await {
            Ok(options) => options,
            Err(error) => return Attempt::Failed(Explanation::plain(error.to_string()), Duration::ZERO),
        };
        let mut shutdown = self.shutdown.clone();
        let connected = tokio::select! {
            connected = tokio::time::timeout(self.upstream.connect_timeout, Link::connect(&options)) => connected,
            () = shutdown.wait() => return Attempt::Over,
        };
        let link = match connected {
            Ok(Ok(link)) => link,
            Ok(Err(fault)) => {
                return Attempt::Failed(self.why(&fault).await, Duration::ZERO);
            }
            Err(_) => return Attempt::Failed(explain::timeout(&self.upstream, Phase::Connecting), Duration::ZERO),
        };
        let since = Instant::now();
        if let Some(events) = probe {
            self.window.start_small(events);
        }
        self.tell_connected();
        // What was evicted while we were away is not sent again.
        self.window.forget_through(self.feed.settled());
        let (end, ending) = Session::new(self, link).run().await;
        self.counters.upstream_up.set(0);
        let lost = match end {
            End::Stopped => {
                let waiting = self.feed.status().waiting;
                tracing::info!(waiting, "disconnected upstream: the gateway is stopping");
                return Attempt::Over;
            }
            End::StoreGone => return Attempt::Over,
            End::Lost(lost) => lost,
        };
        let explanation = lost.explain(&self.upstream);
        let before = self.window.suspect();
        let quarantine = self.window.on_connection_lost(ending);
        if self.window.suspect() != before {
            self.note_attempt(&explanation);
        }
        if let Some(quarantine) = quarantine
            && self.quarantine(quarantine, &explanation).await.is_err()
        {
            return Attempt::Over;
        }
        Attempt::Failed(explanation, since.elapsed())
    }

    /// Why there was no connection, in words; asks what else answers there where that is the trouble.
    async fn why(&mut self, fault: &Fault) -> Explanation {
        if explain::is_other_protocol(fault)
            && let Some(explanation) = sniff::explain(&self.upstream).await
        {
            return explanation;
        }
        explain::time_of_fault(fault, &self.clock.view(), self.clock.wall())
            .unwrap_or_else(|| explain::fault(fault, &self.upstream, Phase::Connecting))
    }

    /// Reads the credentials aside, since files may lie on a slow disk and parsing keys takes its time.
    async fn options(&mut self) -> Result<Options, tls::TlsError> {
        let (upstream, gateway, clock) = (self.upstream.clone(), Arc::clone(&self.gateway), Arc::clone(&self.clock));
        let read = tokio::task::spawn_blocking(move || {
            let options = connection_options(&upstream, &gateway, &clock)?;
            Ok((options, tls::warnings(&upstream.credentials, clock.wall().max(clock.earliest()))))
        });
        let (options, warnings) = read.await.unwrap_or_else(|error| {
            Err(tls::TlsError {
                file: None,
                found: format!("reading the credentials failed: {error}"),
                help: "it is tried again".to_owned(),
            })
        })?;
        for warning in warnings.iter().filter(|warning| !self.warned.contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.warned = warnings;
        Ok(options)
    }

    /// Remembers how a connection ended on which an event was sent alone.
    fn note_attempt(&mut self, why: &Explanation) {
        let Some((sequence, _)) = self.window.suspect() else { return };
        if self.attempts.0 != sequence {
            self.attempts = (sequence, Vec::new());
        }
        self.attempts.1.push(DeadAttempt { time: self.clock.wall(), text: why.text.clone() });
    }

    /// Puts an event that the broker does not take into the dead letters.
    async fn quarantine(&mut self, event: Quarantine<Arc<Event>>, why: &Explanation) -> Result<(), Closed> {
        let Quarantine { sequence, item, attempts } = event;
        let reason = format!("{attempts} connections in a row ended when it was sent alone; last: {}", why.text);
        tracing::error!(sequence, subject = %item.subject, reason, "event set aside: the broker does not take it");
        let history = std::mem::take(&mut self.attempts.1);
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            biased;
            done = self.store.dead_letter(item, Refusal { reason, attempts, history }) => done?,
            // The request was sent above and is carried out before the store closes.
            () = shutdown.wait() => return Err(Closed),
        }
        self.window.set_aside(sequence);
        let mark = self.window.delivered();
        self.store.delivered(mark)?;
        self.reported = mark;
        Ok(())
    }

    /// An event goes to the dead letters. A broker that refuses a topic refuses many: the same is told now and then.
    pub(super) fn tell_set_aside(&mut self, sequence: u64, event: &Event, reason: &str) {
        let subject = &event.subject;
        match self.set_aside.note(reason, self.clock.boot()) {
            Say::First => tracing::warn!(sequence, %subject, reason, "event set aside: it cannot be sent"),
            Say::Again { times, over } => {
                let over = explain::human(Duration::from_secs(over.as_secs()));
                tracing::warn!(sequence, %subject, times, over, reason, "events still set aside: they cannot be sent");
            }
            Say::Nothing => tracing::debug!(sequence, %subject, reason, "event set aside: it cannot be sent"),
        }
    }

    /// The broker wants a pause.
    pub(super) fn tell_pause(&mut self, why: &str, wait: Duration) {
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

    /// The broker does not take our status.
    pub(super) fn tell_refused_status(&mut self, why: &str) {
        if self.refused_status.note(why, self.clock.boot()) == Say::First {
            tracing::warn!("the gateway's status is refused, events go on: {why}");
        }
    }

    /// Enough has failed that the next connection only probes.
    fn tell_open(&mut self) {
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
    pub(super) fn tell_acknowledged(&mut self) {
        if !self.breaker.on_acknowledged() {
            return;
        }
        self.view.send_modify(|view| view.breaker = self.breaker.state());
        let failures = self.breaker.failures();
        if self.repeats.note("breaker closed", self.clock.boot()) == Say::First {
            tracing::info!(failures, "circuit breaker closed: the broker acknowledges again");
        }
    }

    fn tell_connected(&mut self) {
        self.counters.upstream_connects.add(1);
        self.counters.upstream_up.set(1);
        let waiting = self.feed.status().waiting;
        let broker = explain::place(&self.upstream);
        if std::mem::take(&mut self.said_down) {
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

    fn tell_failure(&mut self, explanation: Explanation, lasted: Duration, wait: Duration) {
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
