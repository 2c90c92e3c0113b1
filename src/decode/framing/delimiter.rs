//! Messages that end at a sequence of bytes.
//!
//! An empty message is passed over; one longer than the bound is dropped to its end and told once.

use std::time::Duration;

use super::{Cut, Each, Gate, too_long};
use crate::config::model::Common;
use crate::counters::Reject;

/// Collects a message and the beginning of its end.
#[derive(Debug)]
pub(super) struct Delimited {
    delimiter: Vec<u8>,
    gate: Gate,
    buffer: Vec<u8>,
    /// In the rest of a message that was too long.
    dropping: bool,
}

impl Delimited {
    pub(super) fn new(delimiter: &[u8], common: &Common) -> Self {
        Self { delimiter: delimiter.to_vec(), gate: Gate::new(common), buffer: Vec::new(), dropping: false }
    }
}

impl Cut for Delimited {
    fn reset(&mut self, _now: Duration) {
        self.buffer.clear();
        self.dropping = false;
        self.gate.reset();
    }

    fn push(&mut self, bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        let max = self.gate.common.max_bytes;
        for byte in bytes {
            self.buffer.push(*byte);
            if self.buffer.ends_with(&self.delimiter) {
                let length = self.buffer.len() - self.delimiter.len();
                if length > 0 && !self.dropping {
                    self.gate.pass(&self.buffer[..length], each);
                }
                self.gate.first = false;
                self.dropping = false;
                self.buffer.clear();
            } else if self.buffer.len() >= max + self.delimiter.len() {
                // What may be the beginning of the end stays.
                self.buffer.drain(..=self.buffer.len() - self.delimiter.len());
                if !std::mem::replace(&mut self.dropping, true) {
                    self.gate.refuse(Reject::TooLong, too_long(max), each);
                }
            } else if self.dropping && self.buffer.len() >= self.delimiter.len() {
                self.buffer.remove(0);
            }
        }
    }
}
