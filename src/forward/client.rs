//! Between connections: connect, hand over to the [`Session`], see how it ended, wait, again.
//!
//! Owns the task, the window, the read-ahead and the back-off, and says in the log and in [`UpstreamView`] how things
//! are. Retries for ever, whatever the fault: credentials are read anew at each attempt, so repairs on disk work without
//! a restart.

mod suspected;
mod tell;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Means;
use super::again::Again;
use super::backoff::Backoff;
use super::breaker::Breaker;
use super::calls::{Calls, Decision};
use super::ending::End;
use super::explain::{self, Explanation, Phase};
use super::failover::Failover;
use super::feed::Feed;
use super::link::{Fault, Link, Options};
use super::lookout::Lookout;
use super::network::Network;
use super::nudge::Nudge;
use super::options::connection_options;
use super::pace::Pace;
use super::profile::Namesakes;
use super::repeats::Repeats;
use super::session::Session;
use super::side::SideLane;
use super::sniff;
use super::tls;
use super::window::{Ending, Window};
use crate::clock::SystemClock;
use crate::config::model::Upstream;
use crate::counters::Counters;
use crate::event::Event;
use crate::shutdown::Shutdown;
use crate::store::handle::{Closed, DeadAttempt, StoreHandle};
pub use view::UpstreamView;
use view::shows_otherwise;

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
    pub(super) again: Again,
    pub(super) side: SideLane,
    pub(super) lookout: Lookout,
    pub(super) pace: Pace,
    pub(super) calls: Calls,
    /// Sensors whose topics became the same.
    pub(super) namesakes: Namesakes,
    /// The broker has acknowledged an event since the start.
    pub(super) has_delivered: bool,
    /// The delivered mark as last told to the store.
    pub(super) reported: u64,
    /// The broker has refused events and taken none since.
    pub(super) is_refused: bool,
    /// Why the broker refuses the events that the window keeps meanwhile, by sequence number.
    pub(super) kept: BTreeMap<u64, String>,
    /// The event under suspicion, and how its attempts ended: as many as it takes to set it aside.
    attempts: (u64, Vec<DeadAttempt>),
    /// Which broker's turn it is; `upstream.url` is its address.
    pub(super) failover: Failover,
    backoff: Backoff,
    pub(super) breaker: Breaker,
    nudge: Nudge,
    network: Network,
    /// The last connection ended in the search for one bad event.
    isolating: bool,
    repeats: Repeats,
    /// The broker that was last said to be connected.
    told_broker: Option<usize>,
    /// What was told of events set aside, of pauses that the broker wants, of events it refuses, and of our status.
    set_aside: Repeats,
    pauses: Repeats,
    refused: Repeats,
    said_refused: bool,
    refused_status: Repeats,
    /// The last thing said was that we are not connected.
    said_down: bool,
    view: watch::Sender<UpstreamView>,
}

/// How an attempt ended.
enum Attempt {
    /// The task is over.
    Over,
    /// The call is over; there is another one.
    HungUp,
    /// A connection failed, or ended after this long.
    Failed(Explanation, Duration),
    /// This broker was left for a better one.
    Moved(usize),
}

impl Forwarder {
    /// Sets everything up; nothing happens before [`Forwarder::run`].
    pub fn new(upstream: Upstream, means: Means, shutdown: Shutdown) -> (Self, watch::Receiver<UpstreamView>) {
        let Means { gateway, store, side, nudge, counters, clock } = means;
        let feed = Feed::new(store.clone());
        let delivered = feed.settled();
        let window = Window::new(usize::from(upstream.window), delivered);
        let (view, receiver) = watch::channel(UpstreamView {
            since: clock.boot(),
            window: window.limit(),
            brokers: upstream.urls.len(),
            ..UpstreamView::default()
        });
        let lookout = Lookout::new(upstream.order, store.clone(), delivered);
        let pace = Pace::new(upstream.rate_limit, Instant::now());
        let calls = Calls::new(upstream.calls.clone());
        let backoff = Backoff::new(upstream.backoff_min, upstream.backoff_max);
        let namesakes = Namesakes::new(&upstream.topic);
        let failover = Failover::new(upstream.urls.len());
        let forwarder = Self {
            failover,
            upstream,
            gateway,
            store,
            counters,
            clock,
            shutdown,
            window,
            feed,
            again: Again::default(),
            side: SideLane::new(side),
            lookout,
            pace,
            calls,
            namesakes,
            has_delivered: false,
            reported: delivered,
            is_refused: false,
            kept: BTreeMap::new(),
            attempts: (0, Vec::new()),
            backoff,
            breaker: Breaker::default(),
            nudge,
            network: Network::of_this_machine(),
            isolating: false,
            repeats: Repeats::default(),
            told_broker: None,
            set_aside: Repeats::default(),
            pauses: Repeats::default(),
            refused: Repeats::default(),
            said_refused: false,
            refused_status: Repeats::default(),
            said_down: true,
            view,
        };
        (forwarder, receiver)
    }

    /// Forwards until told to stop or the store is gone.
    pub async fn run(mut self) {
        self.network.look();
        while !self.shutdown.is_stopping() {
            let mut clock_set = self.clock.changes();
            if self.next_call().await.is_err() {
                break;
            }
            let (explanation, lasted) = match self.attempt().await {
                Attempt::Over => break,
                Attempt::HungUp => continue,
                Attempt::Failed(explanation, lasted) => (explanation, lasted),
                Attempt::Moved(better) => {
                    self.failover.move_to(better);
                    continue;
                }
            };
            self.counters.upstream_disconnects.add(1);
            let round_is_over = self.failover.on_ended(lasted);
            let wait = if self.isolating {
                self.backoff.after_isolation(fastrand::f64())
            } else if round_is_over {
                self.backoff.after(lasted, fastrand::f64())
            } else {
                Duration::ZERO
            };
            // Connections that a bad event ends say nothing about the broker.
            let opened = !self.isolating && self.breaker.on_failure(lasted);
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
            let passed = self.feed.passed();
            tokio::select! {
                () = self.lookout.keep_up(passed) => {}
                () = tokio::time::sleep(wait) => {}
                () = self.network.gained(fastrand::f64()) => {
                    tracing::info!("this machine has got a network connection: connecting upstream");
                }
                () = nudge.nudged() => tracing::info!("told to connect upstream now"),
                // Whoever repairs a file sees it work at once.
                () = tls::watch::changed(&self.upstream.credentials) => {}
                // What failed by the time may work by another.
                _ = clock_set.changed() => self.clock.settled().await,
                () = shutdown.wait() => {}
            }
        }
        self.view.send_modify(|view| {
            view.connected = false;
            view.between_calls = false;
            view.next_attempt = None;
            view.since = self.clock.boot();
        });
    }

    /// Returns when it is time to connect.
    ///
    /// # Errors
    ///
    /// The process is ending.
    async fn next_call(&mut self) -> Result<(), Closed> {
        let mut status = self.store.status();
        let (mut shutdown, mut clock_set) = (self.shutdown.clone(), self.clock.changes());
        let nudge = self.nudge.clone();
        loop {
            let is_urgent = self.calls.is_urgent(&status.borrow_and_update());
            let now = self.clock.now();
            let Decision::Wait { due, ask } = self.calls.decide(now, is_urgent) else { break };
            self.view.send_if_modified(|view| {
                let is_new = !view.between_calls || view.next_attempt.is_none_or(|at| shows_otherwise(at, due));
                if is_new {
                    view.between_calls = true;
                    view.next_attempt = Some(due);
                }
                is_new
            });
            tokio::select! {
                () = tokio::time::sleep(ask.since(now.boot)) => {}
                changed = status.changed() => changed.map_err(|_| Closed)?,
                () = nudge.nudged() => {
                    tracing::info!("told to connect upstream now, between calls");
                    self.calls.begin(self.clock.now());
                }
                _ = clock_set.changed() => self.clock.settled().await,
                () = shutdown.wait() => return Err(Closed),
            }
        }
        self.view.send_if_modified(|view| std::mem::take(&mut view.between_calls));
        Ok(())
    }

    /// One connection, from reading the credentials to its end.
    async fn attempt(&mut self) -> Attempt {
        if let Some(url) = self.upstream.urls.get(self.failover.at()) {
            self.upstream.url.clone_from(url);
        }
        let broker: Arc<str> = explain::place(&self.upstream).into();
        let number = self.failover.at() + 1;
        let probe = self.breaker.on_attempt();
        self.counters.upstream_attempts.add(1);
        self.view.send_modify(|view| {
            view.next_attempt = None;
            view.breaker = self.breaker.state();
            view.broker = Some(broker);
            view.broker_number = number;
        });
        self.isolating = false;
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
            End::HungUp => {
                self.tell_hung_up();
                return Attempt::HungUp;
            }
            End::Moved(better) => return self.moved(better),
            End::Lost(lost) => lost,
        };
        let explanation = lost.explain(&self.upstream);
        let before = self.window.suspect();
        let quarantine = self.window.on_connection_lost(ending);
        self.isolating = self.window.is_isolating();
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

    /// Everything sent to this broker is acknowledged, and a better one is next.
    fn moved(&mut self, better: usize) -> Attempt {
        self.window.on_connection_lost(Ending::Blameless);
        let now = self.clock.boot();
        self.view.send_modify(|view| {
            view.connected = false;
            view.since = now;
        });
        Attempt::Moved(better)
    }

    /// Reads the credentials aside, since files may lie on a slow disk and parsing keys takes its time.
    async fn options(&mut self) -> Result<Options, tls::TlsError> {
        let (upstream, clock) = (self.upstream.clone(), Arc::clone(&self.clock));
        let seen = self.view.borrow().certificates.clone();
        let read = tokio::task::spawn_blocking(move || connection_options(&upstream, &clock, &seen));
        read.await.unwrap_or_else(|error| {
            Err(tls::TlsError {
                file: None,
                found: format!("reading the credentials failed: {error}"),
                help: "it is tried again".to_owned(),
            })
        })
    }
}
