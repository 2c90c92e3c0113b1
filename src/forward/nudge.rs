//! A word to the forwarder that the next attempt need not wait: from a technician who has repaired the cable.
//!
//! Owns nothing but the way there. A nudge while no attempt is waited for has no effect, now or later; it never ends a
//! connection and never resets the back-off, so nudging again and again costs the broker one attempt each and no more.

use std::sync::Arc;

use tokio::sync::Notify;

/// Both ends of the way; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Attempt now, if one is waited for.
    pub fn attempt_now(&self) {
        self.0.notify_waiters();
    }

    /// Returns at the next nudge from now on.
    pub async fn nudged(&self) {
        self.0.notified().await;
    }
}
