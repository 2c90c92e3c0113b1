//! The gateway's status: what an operator asks first.
//!
//! Owns the shape that `tidegate status` prints and `/v1/status` answers. Made from published snapshots and counters
//! at each asking; never asks the data path.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::{BootTime, ClockState, SystemClock, WallTime};
use crate::counters::Counters;
use crate::forward::backoff::STABLE;
use crate::forward::tls::expiry::Certificate;
use crate::forward::{UpstreamView, breaker};
use crate::ops::wear::{self, Wear, WearShown};
use crate::replay::{ReplayView, Replays};
use crate::store::handle::StoreStatus;

/// Everything, at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Our version.
    pub version: String,
    /// `gateway.id`
    pub gateway: String,
    /// By name.
    pub sources: BTreeMap<String, SourceStatus>,
    /// The pipeline.
    pub readings: ReadingStatus,
    /// The wall clock; `None` from a gateway of an earlier version.
    #[serde(default)]
    pub clock: Option<ClockShown>,
    /// Where events wait.
    pub store: StoreShown,
    /// What the disk had to write; `None` where the kernel does not tell.
    #[serde(default)]
    pub wear: Option<WearShown>,
    /// Where they go; `None` without `[upstream]`.
    pub upstream: Option<UpstreamShown>,
    /// The local page; `None` when it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpShown>,
    /// The replay under way, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayView>,
}

/// One source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Connected or open.
    pub up: bool,
    /// While it is counted as lost: since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// And why, as it was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Messages, lines or frames received.
    pub messages: u64,
    /// Readings decoded.
    pub readings: u64,
    /// Values passed over as configured sentinels.
    pub ignored: u64,
    /// Refused input by reason.
    pub rejects: BTreeMap<String, u64>,
}

/// What became of the readings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadingStatus {
    /// Evaluated by the engine.
    pub evaluated: u64,
    /// Older than the newest of their sensor.
    pub late: u64,
    /// Of sensors beyond the bound.
    pub refused: u64,
    /// Kept by `[record]`.
    #[serde(default)]
    pub recorded: u64,
    /// To be kept, but the disk was too slow or could not be written.
    #[serde(default)]
    pub not_recorded: u64,
    /// Why nothing can be kept at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_fault: Option<String>,
}

/// The wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockShown {
    /// What it says, RFC 3339.
    pub time: String,
    /// What it is worth.
    pub state: ClockState,
    /// Who confirmed it: a time service, or an earlier run in the same boot.
    pub confirmed_by: Option<String>,
    /// Since when `state` is so, RFC 3339 by the clock as it is now.
    pub since: String,
    /// How often it was set by more than two seconds since the start.
    pub jumps: u64,
    /// The last time that happened.
    pub last_jump: Option<JumpShown>,
    /// Events sent with times that were repaired.
    pub repaired: u64,
}

/// The wall clock was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JumpShown {
    /// What it said before, RFC 3339.
    pub before: String,
    /// What it said then, RFC 3339.
    pub after: String,
}

/// The store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreShown {
    /// Events waiting to be delivered.
    pub waiting: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// `store.max_bytes`
    pub max_bytes: u64,
    /// Bytes of delivered events that are kept, part of `bytes`.
    pub retained_bytes: u64,
    /// `store.retain_delivered`
    pub retain_delivered: u64,
    /// Highest sequence number given.
    pub last_sequence: u64,
    /// Everything up to here has been delivered, evicted or set aside.
    pub delivered: u64,
    /// Takes nothing more.
    pub full: bool,
    /// The fault it works around, in words.
    pub fault: Option<String>,
    /// Events given up since the start.
    pub lost: u64,
    /// Events set aside since the start.
    pub dead: u64,
    /// Dead letters there are now.
    #[serde(default)]
    pub dead_letters: u64,
    /// How many of them wait to be sent again.
    #[serde(default)]
    pub dead_retries: u64,
}

/// The upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamShown {
    /// The broker has accepted us.
    pub connected: bool,
    /// The broker whose turn it is, `host:port`.
    #[serde(default)]
    pub broker: Option<String>,
    /// Its number in `urls`, from 1; 0 before the first attempt.
    #[serde(default)]
    pub broker_number: usize,
    /// How many brokers there are.
    #[serde(default)]
    pub brokers: usize,
    /// Since when that is so, RFC 3339.
    pub since: String,
    /// Why the last connection failed or ended.
    pub last_error: Option<String>,
    /// When the next attempt is due, RFC 3339.
    pub next_attempt: Option<String>,
    /// Not connected because `connect_when` says so; `next_attempt` is the next call.
    #[serde(default)]
    pub between_calls: bool,
    /// What is thought of the broker after failures; closed from a gateway of an earlier version.
    #[serde(default)]
    pub breaker: BreakerShown,
    /// Events that may be in flight at the moment; 0 from a gateway of an earlier version.
    #[serde(default)]
    pub window: usize,
    /// Events in flight.
    pub inflight: u64,
    /// Events acknowledged since the start.
    pub delivered: u64,
    /// Of them, events that nobody at the broker subscribes to (known with MQTT 5 only).
    #[serde(default)]
    pub unmatched: u64,
    /// How often the broker has refused an event in its acknowledgement (MQTT 5 only).
    #[serde(default)]
    pub refusals: u64,
    /// How many times an event was sent again.
    #[serde(default)]
    pub retries: u64,
    /// Of the certificates that the connection depends on, the one that ends first; `None` where none is known.
    #[serde(default)]
    pub certificate: Option<CertificateShown>,
}

/// The local page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpShown {
    /// `http.listen`
    pub listen: SocketAddr,
    /// Why it is not served there at the moment, in words.
    pub fault: Option<String>,
}

/// A certificate that will end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateShown {
    /// Whose it is: "client certificate", "CA certificate" or "broker's certificate".
    pub what: String,
    /// The file it lies in; `None` for the broker's.
    pub file: Option<String>,
    /// Whom it is for.
    pub subject: String,
    /// Until when it is valid, RFC 3339.
    pub expires: String,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
    /// What is to be said about that: it is over, or will be within 30 days.
    pub notice: Option<String>,
}

impl CertificateShown {
    fn new(one: &Certificate, now: WallTime) -> Self {
        Self {
            what: one.whose.as_str().to_owned(),
            file: one.file.as_ref().map(|file| file.display().to_string()),
            subject: one.subject.clone(),
            expires: one.not_after.to_string(),
            days_left: one.days_left(now),
            notice: one.notice(now),
        }
    }
}

/// The circuit breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerShown {
    /// closed: as usual; open: waits for the next attempt; half-open: an attempt, or a connection that must first prove
    /// itself with a few events.
    pub state: breaker::State,
    /// Failures in a row: since the last connection that lasted a minute.
    pub failures: u32,
    /// When the next attempt is due, RFC 3339; `None` while connected or connecting.
    pub next_attempt: Option<String>,
}

/// Where a status is made from.
#[derive(Clone, Debug)]
pub struct StatusSources {
    /// `gateway.id`
    pub gateway: Arc<str>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Tells how long a day is.
    pub clock: Arc<SystemClock>,
    /// What was written when.
    pub wear: Arc<Wear>,
    /// The store's own view.
    pub store: watch::Receiver<StoreStatus>,
    /// Changes with a reload: the sources' names, the upstream's view, the store's limits.
    pub configured: watch::Receiver<Configured>,
    /// The replay, if one was asked for.
    pub replays: Replays,
}

/// What a reload may change about a status.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// The sources that run.
    pub sources: Vec<Arc<str>>,
    /// The forwarder's view.
    pub upstream: Option<watch::Receiver<UpstreamView>>,
    /// The gateway is a source of its own readings.
    pub watches_itself: bool,
    /// `store.max_bytes`
    pub store_bytes_max: u64,
    /// `store.retain_delivered`
    pub retain_delivered: u64,
}

impl StatusSources {
    /// Makes a status.
    pub fn status(&self) -> Status {
        let counters = &self.counters;
        let configured = self.configured.borrow().clone();
        let store = self.store.borrow().clone();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            gateway: self.gateway.to_string(),
            sources: configured.sources.iter().map(|name| (name.to_string(), self.source(name))).collect(),
            readings: ReadingStatus {
                evaluated: counters.readings.get(),
                late: counters.readings_late.get(),
                refused: counters.readings_refused.get(),
                recorded: counters.record.written.get(),
                not_recorded: counters.record.dropped.get(),
                record_fault: counters.record.fault.get(),
            },
            clock: Some(self.clock()),
            store: StoreShown {
                waiting: store.waiting,
                bytes: store.bytes,
                max_bytes: configured.store_bytes_max,
                retained_bytes: counters.retained_bytes.get(),
                retain_delivered: configured.retain_delivered,
                last_sequence: store.last_sequence,
                delivered: store.delivered,
                full: store.full,
                fault: store.fault.map(|fault| fault.to_string()),
                lost: counters.events_lost.get(),
                dead: counters.events_dead.get(),
                dead_letters: store.dead,
                dead_retries: store.retries,
            },
            wear: wear::written_bytes()
                .map(|written| self.wear.show(self.clock.boot(), written, counters.events_stored.get())),
            upstream: configured.upstream.map(|view| {
                let view = view.borrow().clone();
                let next_attempt = view.next_attempt.map(|at| to_the_second(self.clock.wall_at(at)));
                let is_stable = view.connected && self.clock.boot().since(view.since) >= STABLE;
                UpstreamShown {
                    connected: view.connected,
                    broker: view.broker.map(|broker| broker.to_string()),
                    broker_number: view.broker_number,
                    brokers: view.brokers,
                    since: to_the_second(self.clock.wall_at(view.since)),
                    last_error: view.last_error.map(|error| error.to_string()),
                    between_calls: view.between_calls,
                    breaker: BreakerShown {
                        state: view.breaker,
                        failures: if is_stable { 0 } else { view.failures },
                        next_attempt: next_attempt.clone(),
                    },
                    next_attempt,
                    window: view.window,
                    inflight: counters.upstream_inflight.get(),
                    delivered: counters.events_delivered.get(),
                    certificate: view
                        .certificates
                        .by_end()
                        .first()
                        .map(|one| CertificateShown::new(one, self.clock.wall().max(self.clock.earliest()))),
                    unmatched: counters.upstream_unmatched.get(),
                    refusals: counters.upstream_refusals.get(),
                    retries: counters.upstream_retries.get(),
                }
            }),
            http: counters.board.serving().map(|serving| HttpShown { listen: serving.listen, fault: serving.fault }),
            replay: self.replays.view().filter(ReplayView::is_active),
        }
    }

    fn clock(&self) -> ClockShown {
        let (view, now) = (self.clock.view(), self.clock.now());
        ClockShown {
            time: to_the_second(now.wall),
            state: now.clock,
            confirmed_by: view.by.map(|by| by.as_str().to_owned()),
            since: to_the_second(self.clock.wall_at(view.since)),
            jumps: view.jumps,
            last_jump: view
                .jump
                .map(|jump| JumpShown { before: to_the_second(jump.before), after: to_the_second(jump.after) }),
            repaired: self.counters.events_repaired.get(),
        }
    }

    fn source(&self, name: &Arc<str>) -> SourceStatus {
        let counters = self.counters.source(name);
        SourceStatus {
            up: counters.up.get() > 0,
            since: (counters.lost_since.get() > 0)
                .then(|| to_the_second(self.clock.wall_at(BootTime(counters.lost_since.get())))),
            reason: counters.lost_reason.get(),
            messages: counters.messages.get(),
            readings: counters.readings.get(),
            ignored: counters.ignored.get(),
            rejects: counters.rejects().into_iter().map(|(why, count)| (why.as_str().to_owned(), count)).collect(),
        }
    }
}

/// For people: nobody reads an attempt's microseconds.
fn to_the_second(time: WallTime) -> String {
    WallTime(time.0 - time.0.rem_euclid(1_000_000_000)).to_string()
}
