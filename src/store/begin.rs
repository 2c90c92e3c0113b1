//! Beginning generations, and what is done with old ones.
//!
//! Owns the order in which a new generation comes into being and others go: nothing is removed before a checkpoint
//! without it is on stable storage under its lasting name. Part of [`Writer`].

use super::Fault;
use super::commit::{Attempt, FLUSH_BYTES, event_frame, event_frames};
use super::frame::{Frame, Place};
use super::generation::Generation;
use super::recover::Newest;
use super::ring::decode;
use super::state::Entry;
use super::writer::Writer;
use crate::event::{Event, EventData};

/// Frames of one commit when a generation is begun with the events of another.
const CARRY_FRAMES: usize = 1_000;

impl Writer {
    /// Seals the newest generation and begins the next, with room for `bytes` at least.
    pub(super) fn rotate(&mut self, bytes: u64) -> Result<Attempt, Fault> {
        if !self.make_room(bytes)? {
            return Ok(Attempt::Full);
        }
        self.ring.seal();
        self.begin_generation(None)?;
        Ok(Attempt::Done)
    }

    /// Begins a generation: a checkpoint, what is to be announced, and the undelivered events of `carry` (all of them
    /// where delivered ones are kept), which must be the last sealed one. Generations that nobody needs any more are
    /// removed when it is on stable storage.
    pub(super) fn begin_generation(&mut self, carry: Option<&Newest>) -> Result<(), Fault> {
        self.take_place()?;
        let delivered = self.state.delivered;
        let queue = self.ring.queue().to_owned();
        let number = self.ring.next_number();
        // What is kept anyway goes along whole, so that restarts do not leave many small generations to keep.
        let carried_from = if self.retains() { 0 } else { delivered };
        let carried: Vec<usize> = carry.map_or_else(Vec::new, |carry| {
            let heads = carry.frames.frames().enumerate();
            heads.filter(|(_, (_, last, _))| *last > carried_from).map(|(index, _)| index).collect()
        });
        let events = {
            let mut events = self.announcement_events(&self.losses_with_checkpoint());
            for (event, sequence) in events.iter_mut().zip(self.state.next_sequence..) {
                event.sequence = sequence;
            }
            events
        };
        let next_sequence = self.state.next_sequence + events.len() as u64;
        let mut newest = Generation::create(&queue, number, 1, next_sequence, self.hook.clone())?;

        let mut own = newest.entry;
        let announced: Vec<Frame> = event_frames(&events);
        if let Some(carry) = carry {
            let heads = carry.frames.frames().filter(|(_, last, _)| *last > carried_from);
            heads.for_each(|(first, last, counts)| own.include(counts, first, last));
        }
        for frame in &announced {
            own.include(frame.counts, frame.first, frame.first + u64::from(frame.span));
        }
        let carry_commits = carried.len().div_ceil(CARRY_FRAMES) as u64;
        let created = self.next_commit + carry_commits + u64::from(!announced.is_empty());
        let before = self.ring.sealed.clone();
        let needless = self.take_needless(carry.is_some());
        let meta = self.meta(own, created, next_sequence);
        let checkpoint = [self.state.checkpoint(&meta)];
        let mut carried_over = Vec::new();
        let result = self
            .write_creation(&mut newest, &checkpoint)
            .and_then(|()| {
                carry.map_or(Ok(()), |carry| self.carry_over(&mut newest, carry, &carried, &mut carried_over))
            })
            // Last: they have the highest numbers.
            .and_then(|()| self.write_creation(&mut newest, &announced))
            .and_then(|()| newest.sync())
            .and_then(|()| newest.publish());
        self.counters.store_syncs.add(1);
        if let Err(fault) = result {
            self.ring.sealed = before;
            return Err(fault);
        }
        self.ring.newest = Some(newest);
        let mut gone = std::mem::take(&mut self.gone);
        gone.extend(self.depart());
        gone.extend(needless);
        gone.sort_unstable_by_key(|entry| entry.number);
        self.told.forget_below(self.ring.sealed.front().map_or(number, |entry| entry.number));
        self.told.begin(number, carried_over.iter().chain(&events));
        self.created_commit = created;
        self.synced_commit = created;
        self.generation_commits = 0;
        self.states_bytes = 0;
        self.durable_delivered = delivered;
        self.marks_deadline = None;
        self.state.next_sequence = next_sequence;
        self.announcements.clear();
        // The checkpoint has them.
        self.kept.clear();
        self.keep_mark(false);
        self.counters.stored(&events);
        self.remember(events);
        self.ring.clear_removed();
        for entry in gone {
            self.discard(&entry, carry.filter(|carry| carry.frames.id == (entry.number, entry.revision)));
        }
        Ok(())
    }

    /// Inserts one commit of a generation's creation.
    fn write_creation(&mut self, newest: &mut Generation, frames: &[Frame]) -> Result<(), Fault> {
        if frames.is_empty() {
            return Ok(());
        }
        let packed = self.pack(frames, self.next_commit);
        self.next_commit += 1;
        packed.iter().try_for_each(|frame| newest.insert(frame))
    }

    /// Inserts frames of an older generation, and gives the announcements of losses in them. One that cannot be read
    /// any more ends it: then all of them stay where they are.
    fn carry_over(
        &mut self,
        newest: &mut Generation,
        from: &Newest,
        frames: &[usize],
        announcements: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        let mut unflushed = 0;
        for commit in frames.chunks(CARRY_FRAMES) {
            let parts = u16::try_from(commit.len()).expect("invariant: CARRY_FRAMES fits");
            for (&index, part) in commit.iter().zip(0..) {
                let place = Place { commit: self.next_commit, synced: self.synced_commit, part, parts };
                let events = from.frames.read(index).and_then(decode).map_err(Fault::from)?;
                let events: Vec<Event> = events.iter().map(|event| Event::clone(event)).collect();
                let packed = self.packer.pack(&event_frame(&events), place);
                unflushed += packed.bytes();
                newest.insert(&packed)?;
                announcements.extend(events.into_iter().filter(|event| matches!(event.data, EventData::EventsLost(_))));
                if unflushed > FLUSH_BYTES {
                    unflushed = 0;
                    newest.sync()?;
                }
            }
            self.next_commit += 1;
        }
        Ok(())
    }

    /// Takes out of the catalogue what need not outlive the next checkpoint.
    fn take_needless(&mut self, carried: bool) -> Vec<Entry> {
        let mut needless = Vec::new();
        if carried {
            needless.extend(self.ring.sealed.pop_back());
        }
        // To be kept is decided later: a delivered generation moves when its mark is on disk.
        let needed_from = if self.retains() { 0 } else { self.state.delivered };
        self.ring.sealed.retain(|entry| {
            let is_needed = entry.last > needed_from && entry.events() > 0;
            if !is_needed {
                needless.push(*entry);
            }
            is_needed
        });
        needless
    }

    /// Removes a generation from disk, or sets it aside when it was damaged.
    pub(super) fn discard(&mut self, entry: &Entry, carried: Option<&Newest>) {
        let dir = self.ring.dir(entry);
        if (carried.is_some_and(|carried| carried.is_damaged) || self.ring.is_kept(entry)) && dir.exists() {
            self.quarantine(&dir);
        } else if let Err(fault) = self.ring.remove(entry) {
            tracing::warn!(%fault, "a generation that is done with cannot be removed; it is tried again later");
            self.gone.push(*entry);
        }
    }
}
