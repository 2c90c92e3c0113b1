//! Messages with a pause between them.
//!
//! A message ends when nothing has come for the gap. The first one after opening is whole only when the line had been
//! quiet for as long before it.

use std::time::Duration;

use super::{Cut, Each, Gate, too_long};
use crate::config::model::Common;
use crate::counters::Reject;

/// Collects a message.
#[derive(Debug)]
pub(super) struct Gaps {
    gap: Duration,
    gate: Gate,
    buffer: Vec<u8>,
    /// In the rest of a message that was too long.
    dropping: bool,
    last: Duration,
}

impl Gaps {
    pub(super) fn new(gap: Duration, common: &Common) -> Self {
        Self { gap, gate: Gate::new(common), buffer: Vec::new(), dropping: false, last: Duration::ZERO }
    }

    fn end(&mut self, each: &mut Each<'_>) {
        if !self.buffer.is_empty() && !self.dropping {
            self.gate.pass(&self.buffer, each);
        }
        self.buffer.clear();
        self.dropping = false;
        self.gate.first = false;
    }
}

impl Cut for Gaps {
    fn reset(&mut self, now: Duration) {
        self.buffer.clear();
        self.dropping = false;
        self.last = now;
        self.gate.reset();
    }

    fn push(&mut self, bytes: &[u8], now: Duration, each: &mut Each<'_>) {
        self.on_deadline(now, each);
        self.last = now;
        if self.dropping {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let max = self.gate.common.max_bytes;
        if self.buffer.len() > max {
            self.gate.refuse(Reject::TooLong, too_long(max), each);
            self.buffer.clear();
            self.dropping = true;
        }
    }

    fn deadline(&self) -> Option<Duration> {
        (self.dropping || !self.buffer.is_empty()).then(|| self.last + self.gap)
    }

    fn on_deadline(&mut self, now: Duration, each: &mut Each<'_>) {
        if now.saturating_sub(self.last) >= self.gap {
            self.end(each);
        }
    }
}
