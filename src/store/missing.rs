//! What of a generation's events ought to be there and is not.
//!
//! Owns the comparison of a generation with the catalogue. Announcing what is missing is for others.

use std::sync::Arc;

use super::ring::decode;
use super::sealed::Sealed;
use super::state::Entry;
use crate::event::{Event, EventsLost};

/// Events that ought to be there and are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// The range they lie in.
    pub first: u64,
    /// Its end.
    pub last: u64,
    /// How many.
    pub count: u64,
    /// Whether it is all of the range.
    pub whole: bool,
}

impl Missing {
    /// Says so in the log.
    pub(super) fn tell(&self, reason: &str) {
        let Self { first, last, count, .. } = *self;
        tracing::warn!(reason, count, first_sequence = first, last_sequence = last, "events lost");
    }

    /// The words for upstream.
    pub(super) fn announced(&self, reason: &str) -> EventsLost {
        let Self { first, last, count, whole } = *self;
        let (first_sequence, last_sequence) = (first, last);
        EventsLost { reason: reason.to_owned(), count, first_sequence, last_sequence, whole_range: whole }
    }
}

/// Events up to and including `through` in a sealed generation.
pub(super) fn found_through(sealed: &Sealed, through: u64) -> u64 {
    let (whole, straddling) = sealed.events_through(through);
    let part = straddling.and_then(|index| decode(sealed.read(index).ok()?).ok());
    whole + part.map_or(0, |events| count_through(&events, through))
}

/// What of `expected` events, numbered from `entry.first` to `entry.last`, is not delivered and not found.
pub(super) fn missing_from(entry: &Entry, expected: u64, sealed: &Sealed, delivered: u64) -> Option<Missing> {
    if sealed.events() >= expected || entry.last <= delivered {
        return None;
    }
    let first = entry.first.max(delivered + 1);
    let range = entry.last + 1 - first;
    let through = found_through(sealed, delivered);
    let wanted = if delivered < entry.first {
        expected
    } else if expected == entry.last + 1 - entry.first {
        range
    } else {
        expected.saturating_sub(through).min(range)
    };
    let found = sealed.events() - through;
    let count = wanted.saturating_sub(found);
    (count > 0).then_some(Missing { first, last: entry.last, count, whole: count == range })
}

/// How many of these are numbered up to and including `through`.
pub(super) fn count_through(events: &[Arc<Event>], through: u64) -> u64 {
    events.partition_point(|event| event.sequence <= through) as u64
}
