//! The clean end, and the mark that says meanwhile how far the store has come.
//!
//! Part of [`Writer`].

use super::clean::CleanMarker;
use super::mark::Mark;
use super::writer::Writer;

impl Writer {
    /// Tells the mark how far the store has come.
    pub(super) fn keep_mark(&mut self, is_shut: bool) {
        let Some(newest) = &self.ring.newest else { return };
        let mark = Mark {
            store: self.state.store,
            newest: newest.entry.number,
            next_sequence: self.state.next_sequence,
            last_commit: self.synced_commit,
            delivered: self.durable_delivered,
            is_shut,
        };
        self.mark_keeper.keep(&self.config.path, mark);
    }

    /// The clean end.
    pub(super) fn close(mut self) {
        let pending = self.pending.iter().map(|(commit, _)| commit.events.len()).sum::<usize>();
        let events = self.group.events.len() + pending;
        if events > 0 {
            tracing::error!(
                events,
                "events not stored: the store takes nothing; the readings that caused them come again from brokers, \
                 and not from serial ports"
            );
        }
        if !self.has_to_tell() {
            self.durable_delivered = self.state.delivered;
        }
        let marker = CleanMarker {
            next_sequence: self.state.next_sequence,
            last_commit: self.next_commit - 1,
            // No further than what is told.
            delivered: self.durable_delivered,
        };
        let Some(mut newest) = self.ring.newest.take() else { return };
        // A checkpoint may still wait for a sync.
        if let Err(fault) = newest.sync() {
            tracing::error!(%fault, "the store could not be closed cleanly");
            return;
        }
        let dir = newest.dir().to_owned();
        self.synced_commit = marker.last_commit;
        self.ring.newest = Some(newest);
        self.keep_mark(true);
        self.ring.newest = None;
        if let Err(error) = marker.write(&dir) {
            tracing::error!(%error, "the store could not be marked as closed cleanly");
        }
    }
}
