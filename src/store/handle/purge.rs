//! Giving up what waits: the request and its answer.
//!
//! Owns the types and the handle's side. A purge is asked for in portions, so that the writer thread does nothing else
//! for no longer than one takes; each portion is on disk, its announcement with it, when it is answered.

use tokio::sync::oneshot;

use super::{Closed, Request, StoreHandle};
use crate::clock::WallTime;

/// What is to be given up, and from where on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// No event with a lower sequence number.
    pub from: u64,
    /// No event with a higher one.
    pub through: u64,
    /// Only events that happened before this.
    pub before: Option<WallTime>,
    /// Only events about this sensor, or sensors that match this pattern.
    pub sensor: Option<String>,
}

/// What a portion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Events given up.
    pub events: u64,
    /// Where the next portion begins; `None` when there is no more.
    pub next: Option<u64>,
}

/// Why nothing was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeRefused {
    /// The disk takes nothing at the moment.
    NoRoom,
    /// As many single events as can be remembered are given up between others that wait.
    TooScattered,
}

impl StoreHandle {
    /// Gives up a portion of what waits for delivery.
    pub async fn purge(&self, purge: Purge) -> Result<Result<Purged, PurgeRefused>, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Purge(purge, reply))?;
        answer.await.map_err(|_| Closed)
    }

    /// The numbers above the delivered mark whose events are not to be sent: purged, or letters that are gone.
    pub async fn settled(&self) -> Result<Vec<u64>, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Settled(reply))?;
        answer.await.map_err(|_| Closed)
    }
}
