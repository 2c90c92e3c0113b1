//! How things are upstream, as others see it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::BootTime;
use crate::forward::breaker;
use crate::forward::tls::expiry::Certificates;

/// How things are upstream, for status and the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamView {
    /// Whether the broker has accepted us and the connection is up.
    pub connected: bool,
    /// The broker whose turn it is, `host:port`; `None` before the first attempt.
    pub broker: Option<Arc<str>>,
    /// Its number in `urls`, from 1; 0 before the first attempt.
    pub broker_number: usize,
    /// How many brokers there are.
    pub brokers: usize,
    /// Since when that is so; by the boot clock, since the wall clock may be set meanwhile.
    pub since: BootTime,
    /// Why the last connection failed or ended, in words; stays until the next one does.
    pub last_error: Option<Arc<str>>,
    /// What the broker says to the events it refuses while it takes none, and what to do; they are kept. `None` once it
    /// has taken one.
    pub refused: Option<Arc<str>>,
    /// When the next attempt is due; `None` while connected or connecting.
    pub next_attempt: Option<BootTime>,
    /// Failures since the last connection that lasted.
    pub failures: u32,
    /// Not connected because the schedule says so; `next_attempt` is when the next call is due.
    pub between_calls: bool,
    /// What is thought of the broker.
    pub breaker: breaker::State,
    /// When the certificates end that the connection depends on.
    pub certificates: Certificates,
    /// Events that may be in flight at the moment; smaller than configured after connections without progress.
    pub window: usize,
}

/// Whether two times are not the same for people.
pub(super) fn shows_otherwise(a: BootTime, b: BootTime) -> bool {
    a.since(b).max(b.since(a)) >= Duration::from_secs(1)
}
