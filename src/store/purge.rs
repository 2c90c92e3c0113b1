//! Giving up events that wait, as told by an operator.
//!
//! Owns which events a portion takes and how that is written: the numbers, as changes of dead letters write them
//! (removed), and their announcement (`EventsLost` with the reason "purged") are one commit, so after a kill either
//! both are there or neither. An announcement of earlier losses that is purged is made again in the same commit. Part
//! of [`Writer`].
//!
//! What was handed to the forwarder may be on its way upstream; such an announcement does not cover its whole range
//! for certain (`whole_range` is false), as with an eviction.

use super::dead::{Gone, Step};
use super::handle::{Purge, PurgeRefused, Purged};
use super::writer::Writer;
use crate::config::pattern;
use crate::event::{Event, EventData, EventsLost};

/// Events looked at for one portion: some milliseconds of the writer thread on a PC, a tenth of a second on the smallest
/// box.
const PORTION_EVENTS_MAX: usize = 2_048;

/// Stored bytes looked at for one portion.
const PORTION_BYTES_MAX: usize = 1024 * 1024;

/// Most numbers that are given up while events before them wait. Each takes some bytes of memory and of every
/// checkpoint until the events before it are delivered.
const SCATTERED_MAX: usize = 20_000;

/// The reason in the announcement.
const REASON: &str = "purged";

impl Writer {
    /// Gives up a portion.
    pub(super) fn purge(&mut self, purge: &Purge) -> Result<Purged, PurgeRefused> {
        let from = purge.from.max(self.state.delivered + 1);
        let events = self.read(from, PORTION_EVENTS_MAX, PORTION_BYTES_MAX);
        let Some(last) = events.last().map(|event| event.sequence) else {
            return Ok(Purged { events: 0, next: None });
        };
        let next = (last < purge.through).then_some(last + 1);
        let mut losses: Vec<EventsLost> = Vec::new();
        let mut steps = Vec::new();
        for event in events.iter().filter(|event| is_meant(purge, event)) {
            let sequence = event.sequence;
            if let EventData::EventsLost(lost) = &event.data {
                losses.push(lost.clone());
            }
            losses.push(EventsLost {
                reason: REASON.to_owned(),
                count: 1,
                first_sequence: sequence,
                last_sequence: sequence,
                whole_range: sequence > self.handed_out,
            });
            steps.push(Step::Remove(sequence, Gone::Purged));
        }
        let count = steps.len();
        if count == 0 {
            return Ok(Purged { events: 0, next });
        }
        if self.state.dead.settled().len() + count > SCATTERED_MAX {
            return Err(PurgeRefused::TooScattered);
        }
        if self.ring.newest.is_none() || !self.has_room_for_marks() {
            return Err(PurgeRefused::NoRoom);
        }
        // One that could not be written is tried again by itself; its events must not be announced twice.
        if self.group.dead.iter().any(|step| matches!(step, Step::Remove(_, Gone::Purged))) {
            return Err(PurgeRefused::NoRoom);
        }
        self.group.dead.extend(steps);
        self.group.losses.extend(losses);
        if let Err(fault) = self.commit_dead() {
            // It may be on disk. The group has it and is tried again, as one.
            self.break_off(&fault);
        }
        // Who asks next is to see it done.
        self.publish();
        Ok(Purged { events: count as u64, next })
    }
}

fn is_meant(purge: &Purge, event: &Event) -> bool {
    event.sequence <= purge.through
        && purge.before.is_none_or(|before| event.time < before)
        && purge.sensor.as_deref().is_none_or(|sensor| pattern::matches(sensor, &event.subject))
}
