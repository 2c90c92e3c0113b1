//! Forwarding: events from the store to the upstream broker, at least once, in order, over TLS MQTT, 3.1.1 or 5.
//!
//! The pure parts are [`window`] (what is in flight), [`ahead`] (what goes before its turn), [`pace`] (how fast),
//! [`batch`] (what shares a message), [`calls`] (when to be connected), [`side`] (what goes beside the queue),
//! [`backoff`] (how long to wait), [`breaker`] (how much to send at first), [`failover`] (which broker), [`profile`]
//! (what it takes), [`explain`] (what to tell people) and [`status`] (our sign of life). [`tls`] reads credentials,
//! `feed` reads ahead in the store, `session` is one connection and `client` all of them. Never sends an event that is
//! not on stable storage, and never lets go of one that is not acknowledged.

mod again;
pub mod ahead;
pub mod backoff;
pub mod batch;
pub mod breaker;
pub mod calls;
mod client;
mod ending;
pub mod explain;
mod explain_mqtt5;
mod explain_time;
mod explain_tls;
pub mod failover;
mod feed;
pub mod link;
mod lookout;
mod network;
pub mod nudge;
pub(crate) mod options;
pub mod pace;
mod probe;
pub mod profile;
pub mod repeats;
pub mod retry;
mod scout;
mod session;
pub mod side;
mod sniff;
pub mod status;
pub mod tls;
pub mod window;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::config::model::Upstream;
use crate::counters::Counters;
use crate::shutdown::Shutdown;
use crate::store::handle::StoreHandle;
use nudge::Nudge;
use side::SideReceiver;

pub use client::UpstreamView;
pub use probe::probe;

/// What forwarding works with, whatever the upstream.
#[derive(Clone)]
pub struct Means {
    /// The gateway's id.
    pub gateway: Arc<str>,
    /// Where events wait.
    pub store: StoreHandle,
    /// Brings events that are sent while the queue has none.
    pub side: SideReceiver,
    /// Ends a wait for the next attempt.
    pub nudge: Nudge,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// What time it is.
    pub clock: Arc<SystemClock>,
}

/// Starts forwarding. The task ends after `shutdown` once the store is drained or draining stalls (abort it when the
/// grace time is over; what is left stays in the store), or when the store is gone.
pub fn spawn(upstream: Upstream, means: Means, shutdown: Shutdown) -> (JoinHandle<()>, watch::Receiver<UpstreamView>) {
    let credentials = upstream.credentials.clone();
    let (counters, clock) = (Arc::clone(&means.counters), Arc::clone(&means.clock));
    let (forwarder, view) = client::Forwarder::new(upstream, means, shutdown);
    let seen = view.borrow().certificates.clone();
    let forwarding = async move {
        tokio::select! {
            () = forwarder.run() => {}
            never = tls::watch::run(credentials, seen, counters, clock) => match never {},
        }
    };
    (tokio::spawn(forwarding), view)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
