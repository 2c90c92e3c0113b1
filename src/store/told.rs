//! Which announcements of losses each generation holds, so that dropping one need not read it.
//!
//! Owns that memory, for the generations begun since the start: while the store makes room each of them holds about
//! one. Those of earlier runs are read when it comes to that. Never does I/O.

use std::collections::BTreeMap;

use crate::event::{Event, EventData, EventsLost};

/// The announcements, with their sequence numbers, by generation.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The first generation of which all is known.
    since: Option<u64>,
    by_generation: BTreeMap<u64, Vec<(u64, EventsLost)>>,
}

impl Told {
    /// A generation was begun with these events.
    pub(super) fn begin<'a>(&mut self, generation: u64, events: impl IntoIterator<Item = &'a Event>) {
        self.since.get_or_insert(generation);
        self.note(generation, events);
    }

    /// Numbered events have been stored in a generation.
    pub(super) fn note<'a>(&mut self, generation: u64, events: impl IntoIterator<Item = &'a Event>) {
        for event in events {
            if let EventData::EventsLost(lost) = &event.data {
                self.by_generation.entry(generation).or_default().push((event.sequence, lost.clone()));
            }
        }
    }

    /// What a generation announces after `delivered`; `None` when it must be read to know.
    pub(super) fn untold(&self, generation: u64, delivered: u64) -> Option<Vec<EventsLost>> {
        if self.since.is_none_or(|since| generation < since) {
            return None;
        }
        let told = self.by_generation.get(&generation).into_iter().flatten();
        Some(told.filter(|(sequence, _)| *sequence > delivered).map(|(_, lost)| lost.clone()).collect())
    }

    /// A generation holds none any more, or is no more.
    pub(super) fn forget(&mut self, generation: u64) {
        self.by_generation.remove(&generation);
    }

    /// All generations below this one are no more.
    pub(super) fn forget_below(&mut self, generation: u64) {
        self.by_generation = self.by_generation.split_off(&generation);
    }
}
