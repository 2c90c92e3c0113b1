//! Generations that are to leave the ring for a new one: they go with its checkpoint, or stay.
//!
//! Owns the time between the decision and the checkpoint. In it nothing on disk tells that they are given up, and
//! nothing may be built upon it: on a disk that takes no new generation all of them come back, before anybody has seen
//! that they were to go. So what is delivered meanwhile is delivered in order, and no kill finds a loss that nobody was
//! told of. Part of [`Writer`].

use std::collections::BTreeSet;

use super::missing::Missing;
use super::state::Entry;
use super::writer::Writer;
use crate::counters::tally::LossReason;
use crate::event::EventsLost;

/// The reason in the announcement.
const REASON: &str = "evicted";

/// One of them.
#[derive(Debug)]
pub(super) struct Leaving {
    /// The generation.
    pub entry: Entry,
    /// What is lost with it; `None` when all of it is delivered.
    pub missing: Option<Missing>,
    /// The announcements in it that nobody upstream has seen yet.
    pub untold: Vec<EventsLost>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Departure {
    all: Vec<Leaving>,
    /// The delivered mark and what was settled above it, as they were before the first.
    before: Option<(u64, BTreeSet<u64>)>,
}

impl Departure {
    /// Bytes on disk of them.
    pub(super) fn bytes(&self) -> u64 {
        self.all.iter().map(|leaving| leaving.entry.bytes).sum()
    }
}

impl Writer {
    /// Has a generation leave that is no longer in the ring. The delivered mark must not have moved for it yet.
    pub(super) fn let_leave(&mut self, leaving: Leaving) {
        let state = &self.state;
        self.departure.before.get_or_insert_with(|| (state.delivered, state.dead.settled().clone()));
        self.departure.all.push(leaving);
    }

    /// What is to be announced with the next checkpoint: all that waits for it, and what goes with it.
    pub(super) fn losses_with_checkpoint(&self) -> Vec<EventsLost> {
        let mut losses = self.announcements.clone();
        for leaving in &self.departure.all {
            let missing = leaving.missing.as_ref().map(|missing| missing.announced(REASON));
            missing.into_iter().chain(leaving.untold.iter().cloned()).for_each(|lost| merge(&mut losses, lost));
        }
        losses
    }

    /// The checkpoint without them is on stable storage: they are gone.
    pub(super) fn depart(&mut self) -> Vec<Entry> {
        let mut gone = Vec::new();
        for Leaving { entry, missing, .. } in std::mem::take(&mut self.departure).all {
            self.told.forget(entry.number);
            if let Some(missing) = missing {
                missing.tell(REASON);
                self.counters.lost(LossReason::of(REASON), missing.count);
            }
            gone.push(entry);
        }
        gone
    }

    /// There is no such checkpoint: they stay. True when there were any.
    pub(super) fn stay(&mut self) -> bool {
        let Departure { all, before } = std::mem::take(&mut self.departure);
        let Some((delivered, settled)) = before else { return false };
        for Leaving { entry, .. } in all {
            let index = self.ring.sealed.partition_point(|other| other.number < entry.number);
            self.ring.sealed.insert(index, entry);
        }
        self.state.delivered = delivered;
        self.state.dead.restore_settled(settled);
        true
    }
}

/// One announcement a reason until the next commit, so that their number stays bounded.
pub(super) fn merge(announcements: &mut Vec<EventsLost>, lost: EventsLost) {
    let Some(same) = announcements.iter_mut().find(|same| same.reason == lost.reason) else {
        announcements.push(lost);
        return;
    };
    let touch = same.last_sequence.saturating_add(1) == lost.first_sequence
        || lost.last_sequence.saturating_add(1) == same.first_sequence;
    same.whole_range &= lost.whole_range && touch;
    same.count = same.count.saturating_add(lost.count);
    same.first_sequence = same.first_sequence.min(lost.first_sequence);
    same.last_sequence = same.last_sequence.max(lost.last_sequence);
}
