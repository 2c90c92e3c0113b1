//! Consistent overhead byte stuffing (Cheshire and Baker 1999): a frame ends at a zero byte and holds none.
//!
//! A frame is a row of groups: a code byte `n` and `n - 1` bytes, with a zero behind each group but the last and those
//! of code 0xFF.

use std::time::Duration;

use super::checksum::dump;
use super::{Cut, Each, Gate, too_long};
use crate::config::model::Common;
use crate::counters::Reject;

/// Code of a group of 254 bytes that no zero follows.
const NO_ZERO: u8 = 0xff;

/// Collects a frame as it was sent.
#[derive(Debug)]
pub(super) struct Cobs {
    gate: Gate,
    sent: Vec<u8>,
    frame: Vec<u8>,
    /// In the rest of a frame that was too long.
    dropping: bool,
}

impl Cobs {
    pub(super) fn new(common: &Common) -> Self {
        Self { gate: Gate::new(common), sent: Vec::new(), frame: Vec::new(), dropping: false }
    }

    fn end(&mut self, each: &mut Each<'_>) {
        if self.sent.is_empty() || self.dropping {
            return;
        }
        if !decode(&self.sent, &mut self.frame) {
            let what = format!("a group of {} bytes goes beyond its end: {}", self.sent.len(), dump(&self.sent));
            self.gate.refuse(Reject::Malformed, what, each);
        } else if !self.frame.is_empty() {
            self.gate.pass(&self.frame, each);
        }
    }
}

impl Cut for Cobs {
    fn reset(&mut self, _now: Duration) {
        self.sent.clear();
        self.dropping = false;
        self.gate.reset();
    }

    fn push(&mut self, mut bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        loop {
            let end = bytes.iter().position(|byte| *byte == 0);
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let max = self.gate.common.max_bytes;
            if !self.dropping && self.sent.len() + piece.len() > max {
                self.sent.clear();
                self.dropping = true;
                self.gate.refuse(Reject::TooLong, too_long(max), each);
            } else if !self.dropping {
                self.sent.extend_from_slice(piece);
            }
            let Some(end) = end else { return };
            self.end(each);
            self.gate.first = false;
            self.sent.clear();
            self.dropping = false;
            bytes = &bytes[end + 1..];
        }
    }
}

/// Undoes the stuffing; false where a group is not whole.
fn decode(sent: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut rest = sent;
    while let Some((code, after)) = rest.split_first() {
        let Some(group) = after.get(..usize::from(*code) - 1) else { return false };
        out.extend_from_slice(group);
        rest = &after[group.len()..];
        if *code != NO_ZERO && !rest.is_empty() {
            out.push(0);
        }
    }
    true
}
