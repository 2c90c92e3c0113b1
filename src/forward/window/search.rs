//! The search for an event that the broker does not take, by where connections end.
//!
//! Owns when the window narrows to one, and how long it stays so. Pure.

use super::{Flight, State, Window};

/// Suspicious ends within one window's worth of events after which the window narrows. The first may be chance; a link
/// that is merely bad gets past a window's worth between two ends, or fails without being suspicious.
const ENDS_MAX: u32 = 3;

/// Where connections have ended suspiciously of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    /// The oldest event in flight at the last of these ends.
    first: u64,
    /// The newest event in flight at the first of them.
    through: u64,
    /// How many there were.
    ends: u32,
}

impl<T: Clone> Window<T> {
    /// Whether the search for one bad event is under way at a broker that takes the others: the window has narrowed,
    /// and the broker has acknowledged events since the last one was set aside. Then the next connection need not wait
    /// long. A broker that takes no event at all is not hurried: it would only have one good event after the other set
    /// aside sooner.
    pub fn is_isolating(&self) -> bool {
        self.takes_events && self.delivered < self.narrow_through
    }

    /// The event under suspicion, and how many connections it has ended on its own.
    pub fn suspect(&self) -> Option<(u64, u32)> {
        self.suspect
    }

    /// Keeps where the connection has ended, and narrows the window when that is where others have ended before.
    pub(super) fn note_suspicion(&mut self) {
        let sent = |flight: &&Flight<T>| matches!(flight.state, State::Sent { .. });
        let Some(first) = self.flights.iter().find(sent).map(|flight| flight.sequence) else { return };
        let last = self.flights.iter().rfind(sent).map_or(first, |flight| flight.sequence);
        let before = self.trace.filter(|trace| first <= trace.through);
        let ends = before.map_or(1, |trace| trace.ends.saturating_add(1));
        let again = before.is_some_and(|trace| trace.first == first);
        self.trace = Some(Trace { first, through: before.map_or(last, |trace| trace.through), ends });
        if again || ends >= ENDS_MAX {
            self.limit = 1;
            self.acked_since_growth = 0;
            self.narrow_through = self.narrow_through.max(last);
        }
    }
}
