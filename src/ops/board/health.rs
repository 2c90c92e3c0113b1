//! Whether the gateway makes progress, as a health check is told.
//!
//! Owns the last time that the evidence of the watchdog (`ops::progress`) was good, and what is waited for before the
//! gateway is ready.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::BootTime;

/// No progress for this long is worth a word: one sync of a slow SD card takes less.
pub const STANDSTILL: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub struct Health {
    moved: AtomicU64,
    /// What is waited for; `None` once all is started.
    waiting_for: Mutex<Option<Arc<str>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { moved: AtomicU64::new(0), waiting_for: Mutex::new(Some("the gateway is starting".into())) }
    }
}

impl Health {
    /// The pipeline has moved since the last look, or waits rightly.
    pub fn note_progress(&self, now: BootTime) {
        self.moved.store(now.0, Ordering::Relaxed);
    }

    /// Says what is waited for; `None`: the store is open and the sources are started.
    pub fn wait_for(&self, what: Option<&str>) {
        *self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner) = what.map(Arc::from);
    }

    /// How long nothing has moved, when that is too long.
    pub fn standstill(&self, now: BootTime) -> Option<Duration> {
        let still = now.since(BootTime(self.moved.load(Ordering::Relaxed)));
        (still >= STANDSTILL).then_some(still)
    }

    /// What is waited for.
    pub fn waiting_for(&self) -> Option<Arc<str>> {
        self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_is_told_after_a_while_and_over_with_the_next_move() {
        let health = Health::default();
        let start = BootTime(1_000_000_000_000);
        health.note_progress(start);
        assert_eq!(health.standstill(start.after(STANDSTILL / 2)), None);
        assert_eq!(health.standstill(start.after(STANDSTILL)), Some(STANDSTILL));
        health.note_progress(start.after(STANDSTILL));
        assert_eq!(health.standstill(start.after(STANDSTILL)), None);
    }

    #[test]
    fn it_is_not_ready_before_somebody_says_so() {
        let health = Health::default();
        assert!(health.waiting_for().is_some());
        health.wait_for(None);
        assert!(health.waiting_for().is_none());
    }
}
