//! Events that are not sent, or not again: their way to the dead letters.
//!
//! Owns the line of those that wait for it; they go one after the other, in order. Never decides which those are.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::Session;
use crate::event::Event;
use crate::store::handle::{Closed, DeadAttempt, Refusal};

/// An event that is to go to the dead letters.
pub(super) struct Condemned {
    pub(super) sequence: u64,
    pub(super) event: Arc<Event>,
    pub(super) reason: String,
    /// How often the broker has refused it; 0 when it was not sent.
    pub(super) attempts: u32,
}

/// An event on its way to the dead letters.
pub(super) struct SettingAside {
    sequence: u64,
    done: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>,
}

impl Session<'_> {
    /// Sends the next condemned event to the dead letters; publishing waits until it is there, acknowledgements do not.
    pub(super) fn set_next_aside(&mut self) {
        if self.setting_aside.is_some() {
            return;
        }
        let Some(Condemned { sequence, event, reason, attempts }) = self.condemned.pop_front() else { return };
        self.forwarder.tell_set_aside(sequence, &event, &reason);
        let store = self.forwarder.store.clone();
        let way = if attempts == 0 { "not sent" } else { "refused" };
        let attempt = DeadAttempt { time: self.forwarder.clock.wall(), text: format!("{way}: {reason}") };
        let refusal = Refusal { reason, attempts, history: vec![attempt] };
        let done = Box::pin(async move { store.dead_letter(event, refusal).await });
        self.setting_aside = Some(SettingAside { sequence, done });
    }

    /// Sees all that is condemned into the dead letters: on the next connection the broker would refuse it again. A
    /// store that takes its time does not keep the connection from ending; what is left then is sent once more.
    pub(super) async fn set_rest_aside(&mut self) {
        let until = Instant::now() + self.forwarder.upstream.ack_timeout;
        loop {
            self.set_next_aside();
            if self.setting_aside.is_none() {
                return;
            }
            let Ok(Ok(sequence)) = timeout_at(until, set_aside_done(&mut self.setting_aside)).await else { return };
            self.setting_aside = None;
            self.forwarder.window.set_aside(sequence);
        }
    }
}

/// Waits until an event is in the dead letters.
pub(super) async fn set_aside_done(setting_aside: &mut Option<SettingAside>) -> Result<u64, Closed> {
    match setting_aside {
        Some(aside) => aside.done.as_mut().await.map(|()| aside.sequence),
        None => std::future::pending().await,
    }
}
