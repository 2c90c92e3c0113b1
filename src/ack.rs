//! The acknowledgement that travels with a message from its source to the store and back.
//!
//! Owns the promise that it is released by the store, after the commit is on disk (P1), or by the pipeline, where the
//! message caused nothing that would have to be stored. Dropping an [`Ack`] without releasing it leaves the message
//! unacknowledged: its broker keeps it and sends it again.

use tokio::sync::mpsc;

/// One message's claim to be acknowledged.
///
/// The channel is unbounded, but what travels in it is bounded: a source takes no more than its `inflight_max`
/// messages before it has seen them come back.
#[derive(Debug)]
pub struct Ack {
    released: mpsc::UnboundedSender<u64>,
    token: u64,
}

impl Ack {
    /// An acknowledgement that, once released, sends `token` back to its source.
    pub fn new(released: mpsc::UnboundedSender<u64>, token: u64) -> Self {
        Self { released, token }
    }

    /// Says that everything the message caused is on stable storage.
    pub fn release(self) {
        // A source that is gone cannot acknowledge any more; its broker will send the message again.
        let _ = self.released.send(self.token);
    }
}
