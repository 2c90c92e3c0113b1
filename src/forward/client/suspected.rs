//! The event over which connections end: what was tried with it, and its way into the dead letters.
//!
//! Owns the history that goes with the letter. Which event it is, and when it is enough, is the window's to say.

use std::sync::Arc;

use super::{Explanation, Forwarder};
use crate::event::Event;
use crate::forward::window::Quarantine;
use crate::store::handle::{Closed, DeadAttempt, Refusal};

impl Forwarder {
    /// Remembers how a connection ended on which an event was sent alone.
    pub(super) fn note_attempt(&mut self, why: &Explanation) {
        let Some((sequence, _)) = self.window.suspect() else { return };
        if self.attempts.0 != sequence {
            self.attempts = (sequence, Vec::new());
        }
        self.attempts.1.push(DeadAttempt { time: self.clock.wall(), text: why.text.clone() });
    }

    /// Puts an event that the broker does not take into the dead letters. If the store does not take it in the time that
    /// a broker has for as much, it is sent once more.
    pub(super) async fn quarantine(&mut self, event: Quarantine<Arc<Event>>, why: &Explanation) -> Result<(), Closed> {
        let Quarantine { sequence, item, attempts } = event;
        let reason = format!("{attempts} connections in a row ended when it was sent alone; last: {}", why.text);
        let correlation_id = item.correlation.map(tracing::field::display);
        tracing::error!(
            sequence,
            event_id = %item.id,
            sensor = %item.subject,
            correlation_id,
            reason,
            "event set aside: the broker does not take it"
        );
        let history = std::mem::take(&mut self.attempts.1);
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            biased;
            done = tokio::time::timeout(
                self.upstream.ack_timeout,
                self.store.dead_letter(item, Refusal { reason, attempts, history }),
            ) => match done {
                Ok(done) => done?,
                Err(_) => {
                    tracing::warn!(sequence, "the store does not take the event that is to be set aside; tried again");
                    return Ok(());
                }
            },
            // The request was sent above and is carried out before the store closes.
            () = shutdown.wait() => return Err(Closed),
        }
        self.window.set_aside(sequence);
        let mark = self.window.delivered();
        self.store.delivered(mark)?;
        self.reported = mark;
        Ok(())
    }
}
