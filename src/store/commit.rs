//! Group commits.
//!
//! Owns the order of steps that the promises of the store rest on. Part of [`Writer`]; the loop around is in
//! [`super::writer`].

use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::dead::{Step, write_steps};
use super::frame::{Frame, Packed, Place, kind};
use super::gather::Held;
use super::state::{Entry, Meta, State, encode_delivered};
use super::tail::weight;
use super::writer::Writer;
use super::{Fault, frame};
use crate::ack::Ack;
use crate::clock::BootTime;
use crate::event::{AlarmRecord, Event, EventData, EventsLost, stored};

/// Bytes of events in one frame, unless a single event has more: what a reader that wants one of them decodes.
const FRAME_EVENT_BYTES_MAX: usize = 512 * 1024;

/// Bytes inserted between two flushes when much is written at once: bounds what sled holds in memory.
pub(super) const FLUSH_BYTES: u64 = 1024 * 1024;

/// What goes to disk together, from one or more commits.
#[derive(Default)]
pub(super) struct Group {
    /// In order; numbered when they are written.
    pub events: Vec<Event>,
    /// In order.
    pub records: Vec<AlarmRecord>,
    /// When the readings arrived that caused some of the events.
    pub arrivals: Vec<BootTime>,
    /// Released in order afterwards.
    pub acks: Vec<Ack>,
    /// Dropped afterwards.
    pub permits: Vec<OwnedSemaphorePermit>,
    /// What becomes of dead letters, in order.
    pub dead: Vec<Step>,
    /// What is announced in the same commit as these steps.
    pub losses: Vec<EventsLost>,
    /// Told afterwards, with how many letters it was about.
    pub done: Vec<(oneshot::Sender<u64>, u64)>,
    /// When it must go at the latest; `None` while nothing in it needs the disk.
    pub deadline: Option<Instant>,
}

impl Group {
    /// Events and alarm states in it.
    pub(super) fn size(&self) -> usize {
        self.events.len() + self.records.len()
    }

    /// How much waits in it.
    pub(super) fn held(&self) -> Held {
        Held { size: self.size(), acks: self.acks.len() }
    }

    /// Whether anything in it needs the disk.
    pub(super) fn needs_disk(&self) -> bool {
        !(self.events.is_empty() && self.records.is_empty() && self.dead.is_empty())
    }
}

/// How an attempt to commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// On stable storage.
    Done,
    /// The store is full and rejects.
    Full,
}

impl Writer {
    /// Writes the group, and the delivered mark with it, and lets go what waited for it. On an error the group stays.
    pub(super) fn commit_group(&mut self) -> Result<Attempt, Fault> {
        if !self.group.needs_disk() && self.announcements.is_empty() {
            self.release_group();
            return Ok(Attempt::Done);
        }
        self.prepare_letters();
        self.announcements_into_group();
        let next = self.number_group();
        let frames = self.frames_of_group(next);
        let mut packed = self.pack(&frames, self.next_commit);
        let bytes = stored_bytes(&packed);
        if self.needs_rotation(bytes) {
            if self.rotate(bytes)? == Attempt::Full {
                self.announcements_out_of_group();
                return Ok(Attempt::Full);
            }
            // The new generation took commit numbers, and may have taken sequence numbers for announcements.
            let next = self.number_group();
            let frames = self.frames_of_group(next);
            packed = self.pack(&frames, self.next_commit);
        }
        let delivered = self.state.delivered;
        self.write(&packed)?;
        self.counters.store_commits.add(1);

        self.state.next_sequence += self.group.events.len() as u64;
        self.durable_delivered = self.durable_delivered.max(delivered);
        self.marks_deadline = None;
        let records = std::mem::take(&mut self.group.records);
        self.state.apply_records(&records);
        if !records.is_empty() {
            self.states_bytes = self.states_bytes.saturating_add(packed.last().map_or(0, Packed::bytes));
        }
        self.counters.stored(&self.group.events);
        self.observe_arrivals();
        self.kept.clear();
        self.apply_dead();
        self.remember_told();
        let events = std::mem::take(&mut self.group.events);
        self.remember(events);
        self.checkpoint_if_due()?;
        Ok(Attempt::Done)
    }

    /// Writes the delivered mark on its own.
    pub(super) fn commit_mark(&mut self) -> Result<(), Fault> {
        let delivered = self.state.delivered;
        let mut frame = Frame { first: self.state.next_sequence, ..Frame::default() };
        frame.add(kind::DELIVERED, &encode_delivered(delivered));
        let packed = self.pack(std::slice::from_ref(&frame), self.next_commit);
        self.write(&packed)?;
        self.durable_delivered = delivered;
        self.marks_deadline = None;
        Ok(())
    }

    /// Counts how long it took from the readings' arrival to this sync.
    fn observe_arrivals(&mut self) {
        if self.group.arrivals.is_empty() {
            return;
        }
        let now = self.clock.boot();
        for arrived in self.group.arrivals.drain(..) {
            self.counters.stored_after.observe(now.since(arrived));
        }
    }

    /// Notes which of the group's events, just written, announce losses.
    fn remember_told(&mut self) {
        if let Some(newest) = &self.ring.newest {
            self.told.note(newest.entry.number, &self.group.events);
        }
    }

    /// Writes the announcements of losses on their own.
    pub(super) fn commit_announcements(&mut self) -> Result<(), Fault> {
        let mut events = self.announcement_events(&self.announcements);
        for (event, sequence) in events.iter_mut().zip(self.state.next_sequence..) {
            event.sequence = sequence;
        }
        let packed = self.pack(&event_frames(&events), self.next_commit);
        self.write(&packed)?;
        self.announcements.clear();
        self.state.next_sequence += events.len() as u64;
        self.counters.stored(&events);
        if let Some(newest) = &self.ring.newest {
            self.told.note(newest.entry.number, &events);
        }
        self.remember(events);
        Ok(())
    }

    /// Lets go what waited for the group.
    pub(super) fn release_group(&mut self) {
        self.tell_done();
        let group = std::mem::take(&mut self.group);
        for ack in group.acks {
            ack.release();
        }
        drop(group.permits);
    }

    /// Puts what is to be announced before the group's other events.
    pub(super) fn announcements_into_group(&mut self) {
        let announced = self.announcement_events(&self.announcements);
        self.group.events.splice(0..0, announced);
        self.announcements.clear();
    }

    /// Takes them out again: what is written next may be a checkpoint that counts on what they tell.
    pub(super) fn announcements_out_of_group(&mut self) {
        let announced = self.announced_in_group();
        for event in self.group.events.drain(..announced).collect::<Vec<_>>() {
            if let EventData::EventsLost(lost) = event.data {
                self.merge(lost);
            }
        }
    }

    /// How many announcements stand before what came from the engine, which makes none.
    pub(super) fn announced_in_group(&self) -> usize {
        let is_ours = |event: &&Event| matches!(event.data, EventData::EventsLost(_));
        self.group.events.iter().take_while(is_ours).count()
    }

    /// Gives the group's events their numbers; the same again if it is tried again.
    pub(super) fn number_group(&mut self) -> u64 {
        let next = self.state.next_sequence;
        for (event, sequence) in self.group.events.iter_mut().zip(next..) {
            event.sequence = sequence;
        }
        next
    }

    /// The frames of the group. Alarm states go with the last one, so that they never count without the events.
    fn frames_of_group(&self, next: u64) -> Vec<Frame> {
        let mut frames: Vec<Frame> = event_frames(&self.group.events);
        if frames.is_empty() {
            frames.push(Frame { first: next, ..Frame::default() });
        }
        let last = frames.last_mut().expect("invariant: at least one frame");
        let records = last_of_each(&self.group.records);
        if !records.is_empty() {
            last.add(kind::RECORDS, &stored::encode_records(&records));
        }
        write_steps(&self.kept.steps(&self.state.dead), last);
        write_steps(&self.group.dead, last);
        if self.state.delivered > self.durable_delivered {
            last.add(kind::DELIVERED, &encode_delivered(self.state.delivered));
        }
        frames
    }

    /// Packs the frames of one commit.
    pub(super) fn pack(&mut self, frames: &[Frame], commit: u64) -> Vec<Packed> {
        let parts = u16::try_from(frames.len()).expect("invariant: a group is bounded far below 65,536 frames");
        let place = |part| Place { commit, synced: self.synced_commit, part, parts };
        frames.iter().zip(0..).map(|(frame, part)| self.packer.pack(frame, place(part))).collect()
    }

    /// Inserts one commit and syncs.
    pub(super) fn write(&mut self, packed: &[Packed]) -> Result<(), Fault> {
        let commit = self.next_commit;
        let newest = self.ring.newest.as_mut().ok_or_else(Fault::closed)?;
        // Counted before it is tried: a number that may be on disk is never used for something else.
        self.next_commit += 1;
        for frame in packed {
            newest.insert(frame)?;
        }
        newest.sync()?;
        self.counters.store_syncs.add(1);
        self.synced_commit = commit;
        self.generation_commits += 1;
        Ok(())
    }

    /// Adds a checkpoint when reading the alarm states after the last one would take long. It needs no sync of its own:
    /// whatever is synced next takes it along, and until then the states before it are there.
    fn checkpoint_if_due(&mut self) -> Result<(), Fault> {
        if self.states_bytes < (8 * self.state.checkpoint_bytes()).max(1024 * 1024) {
            return Ok(());
        }
        self.states_bytes = 0;
        let Some(newest) = &self.ring.newest else { return Ok(()) };
        let meta = self.meta(newest.entry, self.created_commit, self.state.next_sequence);
        let frame = self.state.checkpoint(&meta);
        let packed = self.pack(&[frame], self.next_commit);
        self.next_commit += 1;
        let newest = self.ring.newest.as_mut().ok_or_else(Fault::closed)?;
        packed.iter().try_for_each(|frame| newest.insert(frame))
    }

    pub(super) fn meta(&self, own: Entry, created: u64, next_sequence: u64) -> Meta {
        let catalogue = self.ring.sealed.iter().copied().chain([own]).collect();
        let State { delivered, store, .. } = self.state;
        Meta { next_sequence, delivered, created, catalogue, store }
    }

    /// Whether `bytes` more are too many for the newest generation or for the quota.
    fn needs_rotation(&self, bytes: u64) -> bool {
        let Some(newest) = &self.ring.newest else { return false };
        let grown = newest.entry.bytes + bytes > self.limits.generation_bytes && self.generation_commits > 0;
        grown || self.total_bytes() + bytes > self.limits.bytes_while_growing(self.state.checkpoint_bytes())
    }
}

/// Frames of numbered events, bounded by count and bytes.
pub(super) fn event_frames(mut events: &[Event]) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(events.len().div_ceil(frame::FRAME_EVENTS_MAX));
    while !events.is_empty() {
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += weight(event);
            bytes <= FRAME_EVENT_BYTES_MAX
        };
        let count = events.iter().take(frame::FRAME_EVENTS_MAX).take_while(fits).count().max(1);
        let (these, rest) = events.split_at(count);
        frames.push(event_frame(these));
        events = rest;
    }
    frames
}

/// One frame of numbered events, at most [`frame::FRAME_EVENTS_MAX`].
pub(super) fn event_frame(events: &[Event]) -> Frame {
    let mut frame = Frame::default();
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        frame.first = first.sequence;
        frame.span = u16::try_from(last.sequence - first.sequence)
            .expect("invariant: a frame's events were at most 64 numbers apart when they were first written");
        for event in events {
            frame.counts[event.severity as usize] += 1;
            if matches!(event.data, EventData::EventsLost(_)) {
                frame.kinds |= kind::ANNOUNCES;
            }
        }
        frame.add(kind::EVENTS, &stored::encode_events(events));
    }
    frame
}

/// The last record of each alarm and sensor, in order.
fn last_of_each(records: &[AlarmRecord]) -> Vec<AlarmRecord> {
    let mut seen = std::collections::HashSet::new();
    let mut last: Vec<_> =
        records.iter().rev().filter(|record| seen.insert((&record.alarm, &record.sensor))).cloned().collect();
    last.reverse();
    last
}

/// What packed frames take on disk: sled writes each value once, with some bytes for itself (a tree's list of names
/// among them), and pads a segment that they do not fit in.
fn stored_bytes(packed: &[Packed]) -> u64 {
    packed.iter().map(Packed::bytes).sum::<u64>() * 5 / 4 + 64 * 1024
}
