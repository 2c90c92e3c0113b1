//! Letting go: what is delivered or set aside is noted on disk, and its space given back.
//!
//! Owns when the delivered mark and dead letters are written on their own, also while nothing else may be. Part of
//! [`Writer`].

use std::time::Instant;

use super::writer::{MARK_DELAY, Writer};

/// A drained generation is given back once it has this many bytes; below, the disk has more to do with the change than
/// with keeping it.
const DRAINED_BYTES_MIN: u64 = 1024 * 1024;

/// What letters take on disk beside their own bytes: announcements, removals, and what sled makes of them.
const TELLING_BYTES: u64 = 96 * 1024;

impl Writer {
    /// Writes the delivered mark when it is time. A store that cannot take events writes it only when that lets a
    /// generation go, so that marks do not fill the last bytes.
    pub(super) fn mark(&mut self, is_closing: bool) {
        // A letter that was kept is told at the end, or its event would be sent once more.
        let is_last_word = is_closing && !self.kept.is_empty();
        if (self.state.delivered <= self.durable_delivered && !is_last_word) || self.ring.newest.is_none() {
            if self.state.delivered <= self.durable_delivered {
                self.marks_deadline = None;
            }
            return;
        }
        let is_time = is_closing || self.marks_deadline.is_none_or(|deadline| deadline <= Instant::now());
        if !is_time {
            return;
        }
        let frees = self.ring.sealed.front().is_some_and(|entry| entry.last <= self.state.delivered);
        let is_drained = self.ring.newest.as_ref().is_some_and(|newest| newest.entry.last <= self.state.delivered);
        let tells = self.has_to_tell();
        let has_room = self.has_room_for_marks() && (!tells || self.has_room_to_tell());
        let may_close = is_closing && (has_room || (is_last_word && self.has_room_to_tell()));
        if (self.is_full || self.is_disk_full || !has_room) && !(frees || is_drained || may_close) {
            self.marks_deadline = Some(Instant::now() + MARK_DELAY);
            return;
        }
        // A mark passes nothing that is still to be told.
        if let Err(fault) = if tells { self.commit_dead() } else { self.commit_mark() } {
            self.break_off(&fault);
        }
    }

    /// Writes dead letters while nothing else may be written, or keeps them where there is no room even for that: the
    /// forwarder waits for them, and nothing but its going on makes room.
    pub(super) fn let_dead_letters_through(&mut self) {
        if self.group.dead.is_empty() {
            return;
        }
        let has_room = self.ring.newest.is_some() && self.has_room_for_marks() && self.has_room_to_tell();
        if has_room && let Err(fault) = self.commit_dead() {
            self.break_off(&fault);
        }
        self.keep_letters();
    }

    /// Whether all letters there may be find room within the limit: they do once, with the mark that frees a generation.
    fn has_room_to_tell(&self) -> bool {
        self.total_bytes() + self.limits.dead_bytes as u64 + TELLING_BYTES <= self.limits.max_bytes
    }

    /// Whether the newest generation may grow by a little in which nothing new is taken.
    pub(super) fn has_room_for_marks(&self) -> bool {
        let newest_bytes = self.ring.newest.as_ref().map_or(0, |newest| newest.entry.bytes);
        newest_bytes < self.limits.marks_bytes() && self.total_bytes() < self.limits.max_bytes
    }

    /// Gives back what is delivered, once the mark that says so is on disk.
    pub(super) fn give_back(&mut self) {
        while let Some(entry) = self.ring.sealed.front().copied().filter(|entry| entry.last <= self.durable_delivered) {
            // After a fault the newest is sealed too, and has the only checkpoint: alarm states and numbers.
            if self.ring.newest.is_none() && self.ring.sealed.len() == 1 {
                break;
            }
            self.ring.sealed.pop_front();
            // What is not what it should be is kept for a person, not as history.
            if self.ring.is_kept(&entry) || !self.retain(&entry) {
                self.discard(&entry, None);
            }
        }
        self.bound_retained();
        // The newest too, when it is drained and has grown.
        let is_drained = self.ring.newest.as_ref().is_some_and(|newest| {
            let bytes = (self.limits.generation_bytes / 4).max(DRAINED_BYTES_MIN);
            newest.entry.last <= self.durable_delivered && newest.entry.bytes > bytes && self.generation_commits > 0
        });
        if is_drained && self.ring.sealed.is_empty() {
            self.ring.seal();
            if let Err(fault) = self.begin_generation(None) {
                self.break_off(&fault);
            }
        }
        self.let_delivered_go();
        if self.is_disk_full && self.retry_at.is_none() {
            self.keep_reserve();
        }
    }
}
