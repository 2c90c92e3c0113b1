//! The word to stop, and how tasks hear it.
//!
//! Owns one bit. A task holds a [`Shutdown`] and selects on [`Shutdown::wait`]; the app holds the [`Trigger`].
//! Dropping the trigger stops everybody, so an app that ends early never leaves tasks behind.

use tokio::sync::watch;

/// Whoever holds this says when to stop.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Whoever holds this can wait for the word.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A fresh pair.
pub fn channel() -> (Trigger, Shutdown) {
    let (tx, rx) = watch::channel(false);
    (Trigger(tx), Shutdown(rx))
}

impl Trigger {
    /// Says it. Saying it twice is the same as once.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the word has been said.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns when the word has been said or the trigger is gone. Cancel-safe.
    pub async fn wait(&mut self) {
        // An error means that the trigger is gone, which says the same.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}
