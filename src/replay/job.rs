//! A replay as an operator asked for it, and how far it is. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::State;
use crate::clock::WallTime;
use crate::config::pattern;
use crate::event::Event;

/// One replay. Its serialised form is what the file holds; fields are added, never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Events from this time on, itself included.
    pub since: WallTime,
    /// Events up to this time, itself included.
    pub until: Option<WallTime>,
    /// A sensor's name or a pattern of names; `None` for all events.
    pub sensor: Option<Arc<str>>,
    /// When it was asked for.
    pub started: WallTime,
    /// The delivered mark at the start: nothing above it.
    pub through: u64,
    /// Everything up to here is done.
    pub cursor: u64,
    /// The time of the last event that was sent.
    pub cursor_time: Option<WallTime>,
    /// How many events match; `None` until they are counted.
    pub of: Option<u64>,
    /// Acknowledged by the broker.
    pub sent: u64,
    /// Passed over because they cannot be sent or the broker does not take them.
    pub refused: u64,
    /// The time of the oldest event that was there when it was counted.
    pub kept_since: Option<WallTime>,
}

impl Job {
    /// A new one.
    pub fn new(
        since: WallTime,
        until: Option<WallTime>,
        sensor: Option<Arc<str>>,
        now: WallTime,
        through: u64,
    ) -> Self {
        Self {
            since,
            until,
            sensor,
            started: now,
            through,
            cursor: 0,
            cursor_time: None,
            of: None,
            sent: 0,
            refused: 0,
            kept_since: None,
        }
    }

    /// Whether an event is to be sent again. `dead` are the numbers of the dead letters.
    pub fn wants(&self, event: &Event, dead: &BTreeSet<u64>) -> bool {
        self.since <= event.time
            && self.until.is_none_or(|until| event.time <= until)
            && self.sensor.as_ref().is_none_or(|pattern| pattern::matches(pattern, &event.subject))
            && !dead.contains(&event.sequence)
    }

    /// Matching events that were no longer there when it was their turn.
    pub fn gone(&self, state: State) -> u64 {
        let left = self.of.unwrap_or(0).saturating_sub(self.sent).saturating_sub(self.refused);
        if state == State::Done { left } else { 0 }
    }
}

/// The counting of what matches, event by event in order.
#[derive(Debug, Default)]
pub struct Count {
    matching: u64,
    first: Option<u64>,
    last: u64,
    kept_since: Option<WallTime>,
}

impl Count {
    /// Looks at the next event.
    pub fn add(&mut self, job: &Job, event: &Event, dead: &BTreeSet<u64>) {
        self.kept_since.get_or_insert(event.time);
        if job.wants(event, dead) {
            self.matching += 1;
            self.first.get_or_insert(event.sequence);
            self.last = event.sequence;
        }
    }

    /// Tells the job, which then has no need to look beyond the first and last that match.
    pub fn finish(self, job: &mut Job) {
        job.of = Some(self.matching);
        job.cursor = self.first.map_or(job.through, |first| first.saturating_sub(1));
        job.through = self.last.max(job.cursor);
        job.kept_since = self.kept_since;
    }
}
