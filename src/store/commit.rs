//! Writing: group commits, new generations, and making room for them.
//!
//! Owns the order of steps that the promises of the store rest on. Part of [`Writer`]; the loop around is in
//! [`super::writer`].

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::frame::{Frame, Packed, Place, kind};
use super::generation::Generation;
use super::handle::DeadLetter;
use super::quota::disk_bytes;
use super::recover::Newest;
use super::ring::{Missing, decode};
use super::state::{Entry, Meta, encode_dead, encode_delivered};
use super::writer::Writer;
use super::{Fault, frame};
use crate::ack::Ack;
use crate::config::model::{Severity, WhenFull};
use crate::event::{AlarmRecord, Event, EventData, EventsLost, stored};

/// Frames of one commit when a generation is begun with the events of another.
const CARRY_FRAMES: usize = 1_000;

/// Bytes inserted between two flushes when much is written at once: bounds what sled holds in memory.
const FLUSH_BYTES: u64 = 1024 * 1024;

/// What goes to disk together, from one or more commits.
#[derive(Default)]
pub(super) struct Group {
    /// In order; numbered when they are written.
    pub events: Vec<Event>,
    /// In order.
    pub records: Vec<AlarmRecord>,
    /// Released in order afterwards.
    pub acks: Vec<Ack>,
    /// Dropped afterwards.
    pub permits: Vec<OwnedSemaphorePermit>,
    /// Dead letters.
    pub dead: Vec<DeadLetter>,
    /// Told afterwards.
    pub done: Vec<oneshot::Sender<()>>,
    /// When it must go at the latest; `None` while nothing in it needs the disk.
    pub deadline: Option<Instant>,
}

impl Group {
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
        let announced = self.announcement_events();
        self.group.events.splice(0..0, announced);
        self.announcements.clear();
        let next = self.number_group();
        let frames = self.frames_of_group(next);
        let mut packed = self.pack(&frames, self.next_commit);
        let bytes = stored_bytes(&packed);
        if self.needs_rotation(bytes) {
            if self.rotate(bytes)? == Attempt::Full {
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
        self.counters.events_dead.add(self.group.dead.len() as u64);
        self.counters.events_stored.add(self.group.events.len() as u64);
        self.apply_dead();
        self.tail.extend(self.group.events.drain(..).map(Arc::new));
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

    /// Lets go what waited for the group.
    pub(super) fn release_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        for ack in group.acks {
            ack.release();
        }
        for done in group.done {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
        drop(group.permits);
    }

    /// Gives the group's events their numbers; the same again if it is tried again.
    fn number_group(&mut self) -> u64 {
        let next = self.state.next_sequence;
        for (event, sequence) in self.group.events.iter_mut().zip(next..) {
            event.sequence = sequence;
        }
        next
    }

    /// The frames of the group. Alarm states go with the last one, so that they never count without the events.
    fn frames_of_group(&self, next: u64) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.group.events.chunks(frame::FRAME_EVENTS_MAX).map(event_frame).collect();
        if frames.is_empty() {
            frames.push(Frame { first: next, ..Frame::default() });
        }
        let last = frames.last_mut().expect("invariant: at least one frame");
        let records = last_of_each(&self.group.records);
        if !records.is_empty() {
            last.add(kind::RECORDS, &stored::encode_records(&records));
        }
        if !self.group.dead.is_empty() {
            last.add(kind::DEAD, &encode_dead(&self.group.dead));
        }
        if self.state.delivered > self.durable_delivered {
            last.add(kind::DELIVERED, &encode_delivered(self.state.delivered));
        }
        frames
    }

    /// Packs the frames of one commit.
    fn pack(&mut self, frames: &[Frame], commit: u64) -> Vec<Packed> {
        let parts = u16::try_from(frames.len()).expect("invariant: a group is bounded far below 65,536 frames");
        let place = |part| Place { commit, synced: self.synced_commit, part, parts };
        frames.iter().zip(0..).map(|(frame, part)| self.packer.pack(frame, place(part))).collect()
    }

    /// Inserts one commit and syncs.
    fn write(&mut self, packed: &[Packed]) -> Result<(), Fault> {
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

    fn meta(&self, own: Entry, created: u64, next_sequence: u64) -> Meta {
        let catalogue = self.ring.sealed.iter().copied().chain([own]).collect();
        Meta { next_sequence, delivered: self.state.delivered, created, catalogue }
    }

    fn apply_dead(&mut self) {
        let letters = std::mem::take(&mut self.group.dead);
        for letter in self.state.apply_dead(letters, self.limits.dead_bytes) {
            let sequence = letter.event.sequence;
            let missing = Missing { first: sequence, last: sequence, count: 1, whole: true };
            self.announce(missing, "expired");
        }
    }

    /// Whether `bytes` more are too many for the newest generation or for the quota.
    fn needs_rotation(&self, bytes: u64) -> bool {
        let Some(newest) = &self.ring.newest else { return false };
        let grown = newest.entry.bytes + bytes > self.limits.generation_bytes && self.generation_commits > 0;
        grown || self.total_bytes() + bytes > self.limits.max_bytes
    }

    /// Seals the newest generation and begins the next, with room for `bytes` at least.
    pub(super) fn rotate(&mut self, bytes: u64) -> Result<Attempt, Fault> {
        if !self.make_room(bytes)? {
            return Ok(Attempt::Full);
        }
        self.ring.seal();
        self.begin_generation(None)?;
        Ok(Attempt::Done)
    }

    /// Begins a generation: a checkpoint, what is to be announced, and the undelivered events of `carry`, which must be
    /// the last sealed one. Generations that nobody needs any more are removed when it is on stable storage.
    pub(super) fn begin_generation(&mut self, carry: Option<&Newest>) -> Result<(), Fault> {
        let delivered = self.state.delivered;
        let queue = self.ring.queue().to_owned();
        let number = self.ring.next_number();
        let mut frames = Vec::new();
        if let Some(carry) = carry {
            // One that cannot be read any more counts as found damaged.
            let count = carry.frames.frames().count();
            frames
                .extend((0..count).filter(|&index| carry.frames.frames().nth(index).is_some_and(|f| f.1 > delivered)));
        }
        let events = {
            let mut events = self.announcement_events();
            for (event, sequence) in events.iter_mut().zip(self.state.next_sequence..) {
                event.sequence = sequence;
            }
            events
        };
        let next_sequence = self.state.next_sequence + events.len() as u64;
        let mut newest = Generation::create(&queue, number, 1, next_sequence, self.hook.clone())?;

        let mut own = newest.entry;
        let announced: Vec<Frame> = events.chunks(frame::FRAME_EVENTS_MAX).map(event_frame).collect();
        let heads: Vec<_> = carry.map(|carry| carry.frames.frames().collect()).unwrap_or_default();
        for &index in &frames {
            let (first, last, counts) = heads[index];
            own.include(counts, first, last);
        }
        for frame in &announced {
            own.include(frame.counts, frame.first, frame.first + u64::from(frame.span));
        }
        let carry_commits = frames.len().div_ceil(CARRY_FRAMES) as u64;
        let created = self.next_commit + carry_commits;
        let gone = self.take_gone(carry.is_some());
        let meta = self.meta(own, created, next_sequence);
        let mut first_commit = vec![self.state.checkpoint(&meta)];
        first_commit.extend(announced);
        let result = (|| {
            let packed = self.pack(&first_commit, self.next_commit);
            self.next_commit += 1;
            packed.iter().try_for_each(|frame| newest.insert(frame))?;
            let mut unflushed = 0;
            for commit in frames.chunks(CARRY_FRAMES) {
                let parts = u16::try_from(commit.len()).expect("invariant: CARRY_FRAMES fits");
                for (&index, part) in commit.iter().zip(0..) {
                    let place = Place { commit: self.next_commit, synced: self.synced_commit, part, parts };
                    let events = carry.map(|carry| carry.frames.read(index)).map(|read| decode(read?)).transpose();
                    let events = events.map_err(Fault::from)?.unwrap_or_default();
                    let events: Vec<Event> = events.iter().map(|event| Event::clone(event)).collect();
                    let packed = self.packer.pack(&event_frame(&events), place);
                    unflushed += packed.bytes();
                    newest.insert(&packed)?;
                    if unflushed > FLUSH_BYTES {
                        unflushed = 0;
                        newest.sync()?;
                    }
                }
                self.next_commit += 1;
            }
            newest.sync()?;
            newest.publish()
        })();
        self.counters.store_syncs.add(1);
        if let Err(fault) = result {
            self.put_back(gone, carry.is_some());
            return Err(fault);
        }
        self.ring.newest = Some(newest);
        self.created_commit = created;
        self.synced_commit = created;
        self.generation_commits = 0;
        self.states_bytes = 0;
        self.durable_delivered = delivered;
        self.marks_deadline = None;
        self.state.next_sequence = next_sequence;
        self.announcements.clear();
        self.counters.events_stored.add(events.len() as u64);
        self.tail.extend(events.into_iter().map(Arc::new));
        for entry in gone {
            self.discard(&entry, carry.filter(|carry| carry.frames.id == (entry.number, entry.revision)));
        }
        Ok(())
    }

    /// Takes out of the catalogue what need not outlive the next checkpoint.
    fn take_gone(&mut self, carried: bool) -> Vec<Entry> {
        let mut gone = std::mem::take(&mut self.gone);
        if carried {
            gone.extend(self.ring.sealed.pop_back());
        }
        let delivered = self.state.delivered;
        self.ring.sealed.retain(|entry| {
            let is_needed = entry.last > delivered && entry.events() > 0;
            if !is_needed {
                gone.push(*entry);
            }
            is_needed
        });
        gone
    }

    fn put_back(&mut self, mut gone: Vec<Entry>, carried: bool) {
        gone.sort_unstable_by_key(|entry| entry.number);
        if carried {
            self.ring.sealed.extend(gone.pop());
        }
        self.gone = gone;
    }

    /// Removes a generation from disk, or sets it aside when it was damaged.
    fn discard(&mut self, entry: &Entry, carried: Option<&Newest>) {
        if carried.is_some_and(|carried| carried.is_damaged) {
            self.quarantine(&self.ring.dir(entry));
        } else if let Err(fault) = self.ring.remove(entry) {
            tracing::warn!(%fault, "a generation that is done with cannot be removed; the next start tries again");
        }
    }

    /// Makes room for a new generation. False when the store is full and nothing may be dropped.
    fn make_room(&mut self, bytes: u64) -> Result<bool, Fault> {
        loop {
            let gone: u64 = self.gone.iter().map(|entry| entry.bytes).sum();
            let room = self.limits.bytes_before_rotation(bytes, self.state.checkpoint_bytes());
            if self.total_bytes() - gone <= room {
                return Ok(true);
            }
            if self.empty_quarantine() {
                continue;
            }
            let delivered = self.state.delivered;
            let removable: u64 = self.ring.sealed.iter().filter(|e| e.last <= delivered).map(|e| e.bytes).sum();
            if removable > 0 {
                let sealed = &mut self.ring.sealed;
                self.gone.extend(sealed.iter().filter(|entry| entry.last <= delivered));
                sealed.retain(|entry| entry.last > delivered);
                continue;
            }
            match self.config.when_full {
                WhenFull::Reject => return Ok(false),
                WhenFull::DropOldest => {
                    if !self.evict(0) {
                        return Ok(true);
                    }
                }
                WhenFull::DropLeastSevere => {
                    let Some((index, severity)) = self.least_severe() else { return Ok(true) };
                    if let Err(fault) = self.drop_severity(index, severity) {
                        tracing::warn!(%fault, "the least severe events cannot be picked out; dropping the oldest");
                        self.evict(0);
                    }
                }
            }
        }
    }

    /// Drops a sealed generation with all that is in it. False when there is none.
    fn evict(&mut self, index: usize) -> bool {
        let Some(entry) = self.ring.sealed.get(index).copied() else { return false };
        let delivered = self.state.delivered;
        let mut missing = Vec::new();
        let waiting = self.ring.waiting_in(index, delivered, &mut missing);
        // What was found damaged on this occasion is announced by itself.
        missing.into_iter().for_each(|missing| self.announce(missing, "salvaged"));
        let count = waiting.unwrap_or_else(|_| entry.events());
        let first = entry.first.max(delivered + 1);
        self.ring.sealed.remove(index);
        self.gone.push(entry);
        if count > 0 {
            let whole = count == entry.last + 1 - first;
            self.announce(Missing { first, last: entry.last, count, whole }, "evicted");
        }
        if index == 0 {
            self.state.delivered = self.state.delivered.max(entry.last);
            self.tail.forget(self.state.delivered);
        }
        true
    }

    /// The oldest sealed generation with events of the lowest severity there is.
    fn least_severe(&self) -> Option<(usize, usize)> {
        (0..Severity::ALL.len()).find_map(|severity| {
            let index = self.ring.sealed.iter().position(|entry| entry.counts[severity] > 0)?;
            Some((index, severity))
        })
    }

    /// Rewrites a sealed generation without the events of a severity. Each rewriting takes out one severity for good,
    /// so a generation is rewritten at most four times.
    fn drop_severity(&mut self, index: usize, severity: usize) -> Result<(), Fault> {
        let entry = self.ring.sealed[index];
        if entry.counts[severity] == entry.events() {
            self.evict(index);
            return Ok(());
        }
        let delivered = self.state.delivered;
        let queue = self.ring.queue().to_owned();
        let mut found = Vec::new();
        let mut copy = Generation::create(&queue, entry.number, entry.revision + 1, entry.first, self.hook.clone())?;
        let mut dropped: Option<Missing> = None;
        let packer = &mut self.packer;
        if let Some(sealed) = self.ring.opened(index, delivered, &mut found)? {
            let mut unflushed = 0;
            for (frame, number) in (0..sealed.frames().count()).zip(1_u64..) {
                let Ok(events) = sealed.read(frame).and_then(decode) else { continue };
                let mut kept = Vec::with_capacity(events.len());
                for event in events.iter().filter(|event| event.sequence > delivered) {
                    if event.severity as usize != severity {
                        kept.push(Event::clone(event));
                        continue;
                    }
                    let sequence = event.sequence;
                    let range = Missing { first: sequence, last: sequence, count: 0, whole: true };
                    let dropped = dropped.get_or_insert(range);
                    dropped.whole &= sequence <= dropped.last + 1;
                    dropped.last = sequence;
                    dropped.count += 1;
                }
                if kept.is_empty() {
                    continue;
                }
                let packed = packer.pack(&event_frame(&kept), Place { commit: number, synced: 0, part: 0, parts: 1 });
                unflushed += packed.bytes();
                copy.insert(&packed)?;
                if unflushed > FLUSH_BYTES {
                    unflushed = 0;
                    copy.sync()?;
                }
            }
        }
        copy.sync()?;
        copy.publish()?;
        let mut rewritten = copy.entry;
        drop(copy);
        rewritten.first = entry.first;
        rewritten.last = entry.last;
        rewritten.bytes = disk_bytes(&self.ring.dir(&rewritten));
        self.ring.sealed[index] = rewritten;
        if let Err(fault) = self.ring.remove(&entry) {
            tracing::warn!(%fault, "a generation that was rewritten cannot be removed; the next start tries again");
        }
        found.into_iter().for_each(|missing| self.announce(missing, "salvaged"));
        if let Some(missing) = dropped {
            self.announce(missing, "evicted");
        }
        Ok(())
    }

    /// Notes a loss: counted and logged now, stored as an event with the next commit.
    pub(super) fn announce(&mut self, missing: Missing, reason: &str) {
        let Missing { first, last, count, whole } = missing;
        tracing::warn!(reason, count, first_sequence = first, last_sequence = last, "events lost");
        self.counters.events_lost.add(count);
        self.announcements.push(EventsLost {
            reason: reason.to_owned(),
            count,
            first_sequence: first,
            last_sequence: last,
            whole_range: whole,
        });
    }

    fn announcement_events(&self) -> Vec<Event> {
        let now = self.clock.now();
        let event = |lost: &EventsLost| Event {
            sequence: 0,
            id: Uuid::now_v7(),
            subject: Arc::from("gateway"),
            time: now.wall,
            boot: now.boot,
            boot_id: self.clock.boot_id,
            clock: now.clock,
            severity: Severity::High,
            correlation: None,
            data: EventData::EventsLost(lost.clone()),
        };
        self.announcements.iter().map(event).collect()
    }
}

/// One frame of numbered events, at most [`frame::FRAME_EVENTS_MAX`].
fn event_frame(events: &[Event]) -> Frame {
    let mut frame = Frame::default();
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        frame.first = first.sequence;
        frame.span = u16::try_from(last.sequence - first.sequence)
            .expect("invariant: a frame's events were at most 64 numbers apart when they were first written");
        for event in events {
            frame.counts[event.severity as usize] += 1;
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

/// What packed frames take on disk: sled writes each value once, and again with its leaf's other values about every
/// tenth time, and pads a segment that they do not fit in.
fn stored_bytes(packed: &[Packed]) -> u64 {
    packed.iter().map(Packed::bytes).sum::<u64>() * 5 / 2 + 64 * 1024
}
