//! Setting events aside, sending them again and dropping them: what of it is written when, and how it is announced.
//!
//! Owns the steps from a request to the disk. The letters themselves are in [`super::dead`]; what is done where the disk
//! has no room for them, in [`super::kept`]. Part of [`Writer`].
//!
//! A letter and its announcement (`EventsLost` with the reason "dead-letter") are one commit, so a consumer that counts
//! sees it as lost from then on. What becomes of it later is not announced: a retry that succeeds makes the announced
//! event arrive after all, which is the one way this happens; dropped or pushed out by newer ones it stays lost. So in
//! the counters each event is, at any time, delivered, lost, waiting or a dead letter. An announcement of losses that
//! is refused itself becomes a letter without a new announcement, or there would be no end to it; but when newer letters push that out, what
//! it tells is announced again in the same commit, and its own number with it.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Fault;
use super::commit::event_frames;
use super::dead::{Gone, Step, write_steps};
use super::frame::{Frame, kind};
use super::handle::{DeadLetter, DeadRequest, Which};
use super::state::encode_delivered;
use super::writer::{MARK_DELAY, Writer};
use crate::counters::tally::LossReason;
use crate::event::{Event, EventData, EventsLost};

/// The reason in the announcement.
const REASON: &str = "dead-letter";

impl Writer {
    /// Takes a request in. What changes anything is answered when it is on disk, or kept where there is no room.
    pub(super) fn take_dead(&mut self, request: DeadRequest) {
        let now = self.clock.wall();
        match request {
            DeadRequest::List(reply) => {
                // A reader that has gone away wants nothing.
                let _ = reply.send(self.state.dead.iter().cloned().collect());
            }
            DeadRequest::NextRetry(from, reply) => {
                let next = self.state.dead.iter().find(|letter| letter.retry && letter.event.sequence >= from);
                // As above.
                let _ = reply.send(next.cloned());
            }
            DeadRequest::SetAside(event, why, done) => {
                let before = self.letter(event.sequence).cloned();
                if before.is_none() && self.state.dead.settled().contains(&event.sequence) {
                    // It was given up while it was on its way, and is announced.
                    let _ = done.send(1);
                    return;
                }
                let is_new = before.is_none();
                let mut letter = before.unwrap_or_else(|| DeadLetter {
                    announced: is_announcement(&event),
                    event,
                    reason: String::new(),
                    attempts: 0,
                    time: now,
                    history: Vec::new(),
                    retry: false,
                });
                letter.refused(why, now);
                self.take_steps(vec![Step::Put { letter, is_new }], done, 1);
            }
            DeadRequest::Refused(sequence, why, done) => {
                // It may have been dropped while it was on its way: then it stays so.
                let letter = self.letter(sequence).cloned().map(|mut letter| {
                    letter.refused(why, now);
                    Step::Put { letter, is_new: false }
                });
                self.take_steps(letter.into_iter().collect(), done, 1);
            }
            DeadRequest::Delivered(sequence, done) => {
                let step = self.letter(sequence).map(|_| Step::Remove(sequence, Gone::Delivered));
                self.take_steps(step.into_iter().collect(), done, 1);
            }
            DeadRequest::Retry(which, done) => {
                let meant = self.meant(which);
                let steps = meant.iter().map(|&sequence| Step::Mark(sequence)).collect();
                self.take_steps(steps, done, meant.len() as u64);
            }
            DeadRequest::Drop(which, done) => {
                let meant = self.meant(which);
                let steps = meant.iter().map(|&sequence| Step::Remove(sequence, Gone::Dropped)).collect();
                self.take_steps(steps, done, meant.len() as u64);
            }
        }
    }

    fn take_steps(&mut self, steps: Vec<Step>, done: oneshot::Sender<u64>, count: u64) {
        if steps.is_empty() {
            // Whoever asked may have stopped waiting.
            let _ = done.send(count);
            return;
        }
        self.group.dead.extend(steps);
        self.group.done.push((done, count));
        self.group.deadline = Some(Instant::now());
    }

    /// A letter as it is after the steps that wait for the disk, but for its mark.
    fn letter(&self, sequence: u64) -> Option<&DeadLetter> {
        for step in self.group.dead.iter().rev() {
            match step {
                Step::Put { letter, .. } if letter.event.sequence == sequence => return Some(letter),
                Step::Remove(removed, _) if *removed == sequence => return None,
                _ => {}
            }
        }
        self.state.dead.get(sequence)
    }

    /// The sequence numbers of the letters that are meant, as they are after the steps that wait.
    fn meant(&self, which: Which) -> Vec<u64> {
        let mut all: BTreeMap<u64, Uuid> =
            self.state.dead.iter().map(|letter| (letter.event.sequence, letter.event.id)).collect();
        for step in &self.group.dead {
            match step {
                Step::Put { letter, .. } => drop(all.insert(letter.event.sequence, letter.event.id)),
                Step::Remove(sequence, _) => drop(all.remove(sequence)),
                Step::Mark(_) => {}
            }
        }
        all.retain(|sequence, id| match which {
            Which::All => true,
            Which::Sequence(meant) => *sequence == meant,
            Which::Id(meant) => *id == meant,
        });
        all.into_keys().collect()
    }

    /// Makes the group's steps complete: new letters are announced, each once however often the group is tried, and the
    /// oldest go where there are too many.
    pub(super) fn prepare_letters(&mut self) {
        let pushed_out = self.state.dead.too_many(&self.group.dead, self.limits.dead_bytes);
        let untold: Vec<(u64, EventsLost)> = pushed_out
            .iter()
            .filter_map(|&sequence| match &self.letter(sequence)?.event.data {
                EventData::EventsLost(lost) => Some((sequence, lost.clone())),
                _ => None,
            })
            .collect();
        for (sequence, lost) in untold {
            // Nobody upstream has seen it, and nobody will.
            self.merge(lost);
            self.announce_letter(sequence);
        }
        self.group.dead.extend(pushed_out.into_iter().map(|sequence| Step::Remove(sequence, Gone::PushedOut)));
        let mut new = Vec::new();
        for step in &mut self.group.dead {
            if let Step::Put { letter, .. } = step
                && !letter.announced
            {
                letter.announced = true;
                new.push(letter.event.sequence);
            }
        }
        new.into_iter().for_each(|sequence| self.announce_letter(sequence));
        std::mem::take(&mut self.group.losses).into_iter().for_each(|lost| self.merge(lost));
    }

    /// Has letters announced that an earlier version stored, which did not.
    pub(super) fn announce_old_letters(&mut self) {
        for event in self.state.dead.take_unannounced() {
            if !is_announcement(&event) {
                self.announce_letter(event.sequence);
            }
        }
    }

    fn announce_letter(&mut self, sequence: u64) {
        let (first_sequence, last_sequence) = (sequence, sequence);
        self.merge(EventsLost {
            reason: REASON.to_owned(),
            count: 1,
            first_sequence,
            last_sequence,
            whole_range: true,
        });
    }

    /// Writes the group's dead letters, those that were kept, and all announcements without the rest of it, and the
    /// delivered mark with them.
    pub(super) fn commit_dead(&mut self) -> Result<(), Fault> {
        self.prepare_letters();
        self.announcements_into_group();
        let announced = self.announced_in_group();
        let next = self.number_group();
        let mut frames = event_frames(&self.group.events[..announced]);
        if frames.is_empty() {
            frames.push(Frame { first: next, ..Frame::default() });
        }
        let last = frames.last_mut().expect("invariant: at least one frame");
        write_steps(&self.kept.steps(&self.state.dead), last);
        write_steps(&self.group.dead, last);
        let delivered = self.state.delivered;
        last.add(kind::DELIVERED, &encode_delivered(delivered));
        let packed = self.pack(&frames, self.next_commit);
        self.write(&packed)?;
        self.durable_delivered = delivered;
        self.marks_deadline = None;
        self.state.next_sequence += announced as u64;
        self.counters.stored(&self.group.events[..announced]);
        if let Some(newest) = &self.ring.newest {
            self.told.note(newest.entry.number, &self.group.events[..announced]);
        }
        let events = self.group.events.drain(..announced).collect();
        self.remember(events);
        self.kept.clear();
        self.apply_dead();
        self.tell_done();
        Ok(())
    }

    /// Takes the group's steps, which are on disk now, or kept.
    pub(super) fn apply_dead(&mut self) {
        if self.group.dead.is_empty() {
            return;
        }
        let (mut dropped, mut pushed_out, mut purged) = (Vec::new(), Vec::new(), Vec::new());
        for step in std::mem::take(&mut self.group.dead) {
            match &step {
                Step::Put { letter, is_new: true } => {
                    self.counters.events_dead.add(1);
                    if is_announcement(&letter.event) {
                        let sequence = letter.event.sequence;
                        tracing::error!(
                            sequence,
                            "an announcement of lost events is set aside; it is made again only if newer dead letters push it out"
                        );
                    }
                }
                Step::Remove(sequence, Gone::Delivered) => {
                    tracing::info!(sequence, "a dead letter is delivered");
                    self.counters.events_delivered.add(1);
                }
                Step::Remove(sequence, Gone::Dropped) => dropped.push(*sequence),
                Step::Remove(sequence, Gone::PushedOut) => pushed_out.push(*sequence),
                Step::Remove(sequence, Gone::Purged) => purged.push(*sequence),
                _ => {}
            }
            self.state.dead.apply(step, self.state.delivered);
        }
        self.give_up(&dropped, LossReason::DeadLetterDropped, "dead letters dropped, as told by an operator");
        self.give_up(&pushed_out, LossReason::DeadLetterPushedOut, "the oldest dead letters made room for newer ones");
        self.give_up(&purged, LossReason::Purged, "events that waited are given up, as told by an operator");
        self.deliver(self.state.delivered);
    }

    /// Counts and logs what is gone for good; letters were announced when they became letters.
    fn give_up(&mut self, letters: &[u64], reason: LossReason, why: &str) {
        let (Some(first_sequence), Some(last_sequence)) = (letters.first(), letters.last()) else { return };
        let count = letters.len() as u64;
        tracing::warn!(count, first_sequence, last_sequence, "{why}");
        self.counters.lost(reason, count);
    }

    /// Moves the delivered mark.
    pub(super) fn deliver(&mut self, through: u64) {
        let before = self.state.delivered;
        self.state.deliver(through);
        if self.state.delivered > before {
            self.tail.forget(self.state.delivered);
            self.marks_deadline.get_or_insert_with(|| Instant::now() + MARK_DELAY);
        }
    }

    /// Answers those whose requests are on disk.
    pub(super) fn tell_done(&mut self) {
        for (done, count) in self.group.done.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = done.send(count);
        }
    }
}

fn is_announcement(event: &Event) -> bool {
    matches!(event.data, EventData::EventsLost(_))
}
