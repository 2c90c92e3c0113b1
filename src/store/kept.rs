//! Steps of dead letters that the disk has no room for: taken in memory, and written with whatever is written next.
//!
//! Owns which letters differ from what the disk knows of them. A forwarder that waited for the disk here would wait for
//! ever, since nothing but its going on makes room. Nothing is at stake by it: the event of a letter that is not on disk
//! stays in its generation, for nothing that passes it (a delivered mark, a checkpoint, the mark of a clean stop) is
//! written without all of these steps and their announcements in the same commit. After a kill such an event waits
//! again, and is refused again. Part of [`Writer`].
//!
//! What is kept is bounded as letters are: at most one step for each that there is, for each that the disk has and that
//! is gone, and for each number above the delivered mark that is done with.

use std::collections::BTreeMap;

use super::dead::{Gone, Letters, Step};
use super::writer::Writer;

/// Numbers of letters that changed, and whether the disk has a letter with that number.
#[derive(Debug, Default)]
pub(super) struct Kept {
    changed: BTreeMap<u64, bool>,
}

impl Kept {
    /// Whether the disk knows all.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Whether a number is among them.
    pub(super) fn has(&self, sequence: u64) -> bool {
        self.changed.contains_key(&sequence)
    }

    /// Whether there is one from `first` to `last` of which the disk has nothing but the event.
    pub(super) fn has_event_in(&self, first: u64, last: u64) -> bool {
        first <= last && self.changed.range(first..=last).any(|(_, is_on_disk)| !is_on_disk)
    }

    /// All of them are on stable storage.
    pub(super) fn clear(&mut self) {
        self.changed.clear();
    }

    /// Notes that a step is about to be taken.
    fn note(&mut self, step: &Step, letters: &Letters) {
        let sequence = match step {
            Step::Put { letter, .. } => letter.event.sequence,
            Step::Remove(sequence, _) | Step::Mark(sequence) => *sequence,
        };
        self.changed.entry(sequence).or_insert_with(|| letters.get(sequence).is_some());
    }

    /// Forgets what a delivered mark tells as well: a letter that came and went without the disk.
    fn prune(&mut self, letters: &Letters, delivered: u64) {
        self.changed
            .retain(|&sequence, is_on_disk| *is_on_disk || sequence > delivered || letters.get(sequence).is_some());
    }

    /// The steps that make of what the disk has what there is.
    pub(super) fn steps(&self, letters: &Letters) -> Vec<Step> {
        let (there, gone): (Vec<u64>, Vec<u64>) =
            self.changed.keys().partition(|sequence| letters.get(**sequence).is_some());
        let gone = gone.into_iter().map(|sequence| Step::Remove(sequence, Gone::Dropped));
        let there = there.into_iter().filter_map(|sequence| letters.get(sequence).cloned());
        gone.chain(there.map(|letter| Step::Put { letter, is_new: false })).collect()
    }
}

impl Writer {
    /// Takes the group's steps as if they were on disk, and keeps them until they are. Their announcements wait with
    /// them.
    pub(super) fn keep_letters(&mut self) {
        if self.group.dead.is_empty() {
            return;
        }
        self.prepare_letters();
        for step in &self.group.dead {
            self.kept.note(step, &self.state.dead);
        }
        self.apply_dead();
        self.kept.prune(&self.state.dead, self.state.delivered);
        self.tell_done();
    }

    /// Whether there is anything that must not be told later than the delivered mark.
    pub(super) fn has_to_tell(&self) -> bool {
        !(self.kept.is_empty() && self.announcements.is_empty() && self.announced_in_group() == 0)
    }
}
