//! Events by type and severity, and losses by reason: what a total alone does not tell.
//!
//! Owns the closed sets of types and reasons. Counting never blocks, never allocates and never fails.

use super::Counter;
use crate::config::model::Severity;
use crate::event::{Event, EventData};

/// All types there are, as in [`EventData::event_type`].
pub const EVENT_TYPES: [&str; 9] = [
    "tidegate.threshold.exceeded.v1",
    "tidegate.threshold.cleared.v1",
    "tidegate.threshold.repeated.v1",
    "tidegate.sensor.stale.v1",
    "tidegate.sensor.recovered.v1",
    "tidegate.gateway.started.v1",
    "tidegate.events.lost.v1",
    "tidegate.source.lost.v1",
    "tidegate.source.restored.v1",
];

/// Events by type and severity.
#[derive(Debug, Default)]
pub struct EventTally([[Counter; Severity::ALL.len()]; EVENT_TYPES.len()]);

impl EventTally {
    /// Counts an event.
    pub fn count(&self, event: &Event) {
        let row = self.0.get(type_number(&event.data));
        if let Some(counter) = row.and_then(|row| row.get(event.severity as usize)) {
            counter.add(1);
        }
    }

    /// All counts: type, severity, events.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Severity, u64)> {
        EVENT_TYPES.iter().zip(&self.0).flat_map(|(kind, row)| {
            Severity::ALL.into_iter().zip(row).map(move |(severity, counter)| (*kind, severity, counter.get()))
        })
    }
}

fn type_number(data: &EventData) -> usize {
    let kind = data.event_type();
    EVENT_TYPES.iter().position(|known| *known == kind).unwrap_or(EVENT_TYPES.len())
}

/// Why events were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// They made room for newer ones (`when_full`).
    Evicted,
    /// They were not among what could be read of a damaged store.
    Salvaged,
    /// The file they were in was set aside.
    Quarantined,
    /// Dead letters that made room for newer ones.
    DeadLetterPushedOut,
    /// Dead letters that an operator has dropped.
    DeadLetterDropped,
    /// They waited, and an operator gave them up.
    Purged,
}

impl LossReason {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Evicted,
        Self::Salvaged,
        Self::Quarantined,
        Self::DeadLetterPushedOut,
        Self::DeadLetterDropped,
        Self::Purged,
    ];

    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Salvaged => "salvaged",
            Self::Quarantined => "quarantined",
            Self::DeadLetterPushedOut => "dead-letter-pushed-out",
            Self::DeadLetterDropped => "dead-letter-dropped",
            Self::Purged => "purged",
        }
    }

    /// From the reason of an announcement; what is none of ours counts as salvaged, the store's word for "not there".
    pub fn of(announced: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == announced).unwrap_or(Self::Salvaged)
    }
}

/// Events given up, by reason.
#[derive(Debug, Default)]
pub struct LossTally([Counter; LossReason::ALL.len()]);

impl LossTally {
    /// Counts `count` events.
    pub fn add(&self, reason: LossReason, count: u64) {
        self.0[reason as usize].add(count);
    }

    /// All counts.
    pub fn all(&self) -> impl Iterator<Item = (LossReason, u64)> {
        LossReason::ALL.into_iter().zip(&self.0).map(|(reason, counter)| (reason, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    proptest::proptest! {
        #[test]
        fn every_event_is_counted_under_its_own_type_and_severity(event in samples::any_event()) {
            let tally = EventTally::default();
            tally.count(&event);
            let counted: Vec<_> = tally.all().filter(|(_, _, count)| *count > 0).collect();
            proptest::prop_assert_eq!(counted, vec![(event.data.event_type(), event.severity, 1)]);
        }
    }

    #[test]
    fn losses_are_counted_by_the_reason_that_is_announced() {
        let tally = LossTally::default();
        tally.add(LossReason::of("evicted"), 3);
        tally.add(LossReason::of("quarantined"), 2);
        tally.add(LossReason::of("from another version"), 1);
        let counts: Vec<u64> = tally.all().map(|(_, count)| count).collect();
        assert_eq!(counts, [3, 1, 2, 0, 0, 0]);
    }
}
