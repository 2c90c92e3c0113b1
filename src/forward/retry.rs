//! Sending dead letters again: those that an operator has marked go through the side lane, one at a time.
//!
//! Owns the way from the store's marks to the lane and of the outcome back. The marks are in the store, so what was to
//! be sent again before a restart still is after it. Never decides what is tried again: that is the operator's.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::side::{Mark, Outcome, SideSender};
use crate::clock::SystemClock;
use crate::store::handle::{Closed, DeadAttempt, DeadLetter, Refusal, StoreHandle};

/// Sends what is marked until the store or the lane is gone.
pub async fn run(store: StoreHandle, lane: SideSender, clock: Arc<SystemClock>) {
    let retries = Retries { store, lane, clock };
    // Either end is gone only when the process is ending.
    let _ = retries.run().await;
}

struct Retries {
    store: StoreHandle,
    lane: SideSender,
    clock: Arc<SystemClock>,
}

impl Retries {
    async fn run(&self) -> Result<(), Closed> {
        let mut status = self.store.status();
        loop {
            status.wait_for(|status| status.retries > 0).await.map_err(|_| Closed)?;
            // The status is published after the letters have changed, so there mostly is one.
            match self.store.next_retry(0).await? {
                Some(letter) => self.send(letter).await?,
                None => status.changed().await.map_err(|_| Closed)?,
            }
        }
    }

    /// Sends one letter and has the store note what came of it.
    async fn send(&self, letter: DeadLetter) -> Result<(), Closed> {
        let sequence = letter.event.sequence;
        let event = &letter.event;
        let correlation_id = event.correlation.map(tracing::field::display);
        let sensor = &*event.subject;
        tracing::info!(sequence, event_id = %event.id, sensor, correlation_id, "a dead letter is sent again");
        let outcome = self.lane.give(letter.event, Mark::Plain).await.map_err(|_| Closed)?;
        tokio::select! {
            outcome = outcome => self.note(sequence, outcome).await,
            // The lane does not send what nobody waits for.
            withdrawn = self.withdrawn(sequence) => withdrawn,
        }
    }

    async fn note(&self, sequence: u64, outcome: Result<Outcome, oneshot::error::RecvError>) -> Result<(), Closed> {
        match outcome {
            Ok(Outcome::Delivered) => self.store.dead_delivered(sequence).await,
            Ok(Outcome::Refused(reason)) => {
                tracing::warn!(sequence, reason, "a dead letter is refused again");
                let history = vec![DeadAttempt { time: self.clock.wall(), text: format!("sent again: {reason}") }];
                self.store.dead_refused(sequence, Refusal { reason, attempts: 1, history }).await
            }
            // The forwarder was replaced meanwhile: the mark is still there, and it is given again.
            Err(_) => Ok(()),
        }
    }

    /// Returns when a letter is no longer to be sent again: an operator has dropped it.
    async fn withdrawn(&self, sequence: u64) -> Result<(), Closed> {
        let mut status = self.store.status();
        loop {
            let seen = {
                let status = status.borrow_and_update();
                (status.dead, status.retries)
            };
            let next = self.store.next_retry(sequence).await?;
            if next.is_none_or(|letter| letter.event.sequence != sequence) {
                return Ok(());
            }
            // Every commit publishes a status; only one that touched the letters matters.
            status.wait_for(|status| (status.dead, status.retries) != seen).await.map_err(|_| Closed)?;
        }
    }
}
