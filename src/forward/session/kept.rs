//! Events that the broker refuses while it takes nothing else: kept, told, and asked about again.
//!
//! Owns when that is, and the reasons given until then. Which events those are, and what becomes of them, is the
//! window's to say.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::aside::Condemned;
use crate::event::Event;
use crate::forward::link::Puback;
use crate::forward::window::{Quarantine, RUN_MAX};

/// How old a refusal may be when a later event is sent that blames the refused one if it is taken. The broker's rules may
/// be repaired meanwhile; what was refused longer ago is asked about again first.
const REFUSAL_FRESH_MAX: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Plans to ask again about what is refused, on this connection or an earlier one, unless that is planned. Returns
    /// how long that takes.
    pub(super) fn plan_asking_again(&mut self) -> Option<Duration> {
        if self.ask_at.is_some() || !self.forwarder.window.is_refused() {
            return None;
        }
        let wait = self.pauses.after(Duration::ZERO, fastrand::f64());
        self.ask_at = Some(Instant::now() + wait);
        Some(wait)
    }

    /// An event was refused, and nothing shows that the broker takes others.
    pub(super) fn keep(&mut self, puback: &Puback, sequence: u64, event: &Event) {
        let why = self.words_for(puback, event);
        if let Some(wait) = self.plan_asking_again() {
            self.forwarder.tell_refused(&why, wait);
        }
        self.forwarder.is_refused = true;
        self.forwarder.kept.insert(sequence, why);
    }

    /// Has the oldest event kept sent again.
    pub(super) fn ask_again(&mut self) {
        self.ask_at = None;
        self.last_progress = Instant::now();
        // What was evicted meanwhile is announced as lost, and not sent any more.
        let settled = self.forwarder.feed.settled();
        self.forwarder.window.forget_through(settled);
        self.forwarder.window.ask_again();
        let open = self.forwarder.window.delivered().saturating_add(1);
        self.forwarder.kept = self.forwarder.kept.split_off(&open);
    }

    /// Whether later events wait until the broker has been asked again about those it refuses. With few of those, a later
    /// one is a reason to ask at once.
    pub(super) fn waits_to_ask(&mut self) -> bool {
        if !self.is_refusal_old() {
            return false;
        }
        let forwarder = &*self.forwarder;
        let has_more = !forwarder.window.is_all_sent() || forwarder.feed.front().is_some();
        if self.stopping || !has_more || forwarder.window.kept() >= RUN_MAX {
            return true;
        }
        self.ask_again();
        false
    }

    /// Whether the last refusal is too old to blame those kept.
    pub(super) fn is_refusal_old(&self) -> bool {
        self.forwarder.window.is_past_kept() && self.last_progress.elapsed() >= REFUSAL_FRESH_MAX
    }

    /// The broker has acknowledged an event: sets aside what it refuses nevertheless.
    pub(super) fn on_taken(&mut self) {
        if !std::mem::take(&mut self.forwarder.is_refused) {
            return;
        }
        self.ask_at = None;
        while let Some(Quarantine { sequence, item, attempts }) = self.forwarder.window.take_blamed() {
            let reason = self.forwarder.kept.remove(&sequence).unwrap_or_default();
            self.condemned.push_back(Condemned { sequence, event: item, reason, attempts });
        }
        self.forwarder.kept.clear();
        self.forwarder.tell_taken();
    }
}
