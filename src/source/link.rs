//! Whether a source's device or broker is there, as told to people.
//!
//! Owns the one place where the change is logged and made into a message, once per change. A fault that lasts is
//! logged again only when it takes another form, or as a count once in a while.

use std::sync::Arc;

use tracing::{info, warn};

use super::FromSource;
use crate::clock::{BootTime, SystemClock};
use crate::counters::SourceCounters;
use crate::forward::explain::{Explanation, Repeats, Say};

/// The state, and what is needed to tell of it.
pub(super) struct Link {
    source: Arc<str>,
    counts: Arc<SourceCounters>,
    clock: Arc<SystemClock>,
    state: State,
    repeats: Repeats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has been tried yet.
    New,
    Up,
    Lost {
        since: BootTime,
    },
}

impl Link {
    pub(super) fn new(source: Arc<str>, counts: Arc<SourceCounters>, clock: Arc<SystemClock>) -> Self {
        // A reload may have repaired what was wrong: who was told of the loss must hear of the return.
        let state = match counts.lost_since.get() {
            0 => State::New,
            since => State::Lost { since: BootTime(since) },
        };
        Self { source, counts, clock, state, repeats: Repeats::default() }
    }

    /// It is gone, or could not be reached. Returns what to tell the engine if that is a change.
    pub(super) fn lost(&mut self, why: &Explanation) -> Option<FromSource> {
        self.counts.up.set(0);
        let now = self.clock.boot();
        let reason = why.text.as_str();
        self.counts.lost_reason.set(reason);
        match self.repeats.note(&why.key, now) {
            Say::First if matches!(self.state, State::Lost { .. }) => {
                warn!(source = %self.source, reason, "source still lost, for another reason");
            }
            Say::First => warn!(source = %self.source, reason, "source lost"),
            Say::Again { times, over } => {
                let over_s = over.as_secs();
                warn!(source = %self.source, reason, times, over_s, "source still lost");
            }
            Say::Nothing => {}
        }
        if matches!(self.state, State::Lost { .. }) {
            return None;
        }
        self.state = State::Lost { since: now };
        self.counts.lost_since.set(now.0);
        Some(FromSource::Lost { source: Arc::clone(&self.source), reason: why.text.clone() })
    }

    /// It is there. Returns what to tell the engine if it was lost before.
    pub(super) fn up(&mut self, how: &str) -> Option<FromSource> {
        self.counts.up.set(1);
        self.counts.lost_since.set(0);
        self.counts.lost_reason.clear();
        let before = std::mem::replace(&mut self.state, State::Up);
        match before {
            State::Up => None,
            State::New => {
                info!(source = %self.source, how, "source is there");
                None
            }
            State::Lost { since } => {
                self.repeats.clear();
                let away = self.clock.boot().since(since);
                info!(source = %self.source, how, away_s = away.as_secs(), "source restored");
                Some(FromSource::Restored { source: Arc::clone(&self.source), reason: how.to_owned(), away })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_return_are_told_once_per_change() {
        let counts = Arc::new(SourceCounters::default());
        let mut link = Link::new("s".into(), Arc::clone(&counts), Arc::new(SystemClock::new()));
        assert!(link.up("first").is_none(), "a source that comes up at start was never lost");
        assert_eq!(counts.up.get(), 1);
        let why = Explanation::plain("unplugged");
        assert!(matches!(link.lost(&why), Some(FromSource::Lost { reason, .. }) if reason == "unplugged"));
        assert!(link.lost(&why).is_none());
        assert!(link.lost(&Explanation::plain("not found")).is_none());
        assert_eq!((counts.up.get(), counts.lost_reason.get().as_deref()), (0, Some("not found")), "what it is now");
        assert!(matches!(link.up("back"), Some(FromSource::Restored { reason, .. }) if reason == "back"));
        assert!(link.up("back").is_none());
        assert_eq!(counts.lost_reason.get(), None);
        assert!(link.lost(&why).is_some());
    }

    #[test]
    fn a_loss_outlives_the_task_that_told_it() {
        let (counts, clock) = (Arc::new(SourceCounters::default()), Arc::new(SystemClock::new()));
        let link = || Link::new("s".into(), Arc::clone(&counts), Arc::clone(&clock));
        assert!(link().lost(&Explanation::plain("wrong port")).is_some());
        let mut second = link();
        assert!(second.lost(&Explanation::plain("wrong baud rate")).is_none(), "told already");
        assert!(link().up("repaired").is_some());
        assert!(link().up("as before").is_none());
    }

    #[test]
    fn a_first_attempt_that_fails_is_a_loss() {
        let mut link = Link::new("s".into(), Arc::default(), Arc::new(SystemClock::new()));
        assert!(link.lost(&Explanation::plain("not there")).is_some());
        assert!(link.up("there").is_some());
    }
}
