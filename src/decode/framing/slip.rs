//! SLIP, RFC 1055: a frame ends at 0xC0; inside, 0xDB 0xDC stands for 0xC0 and 0xDB 0xDD for 0xDB.
//!
//! A frame with any other escape is refused as a whole. Many senders also begin a frame with 0xC0: an empty frame.

use std::time::Duration;

use super::{Cut, Each, Gate, too_long};
use crate::config::model::Common;
use crate::counters::Reject;

const END: u8 = 0xc0;
const ESCAPE: u8 = 0xdb;
const ESCAPED_END: u8 = 0xdc;
const ESCAPED_ESCAPE: u8 = 0xdd;

/// Collects a frame, its escapes undone.
#[derive(Debug)]
pub(super) struct Slip {
    gate: Gate,
    frame: Vec<u8>,
    escaped: bool,
    /// In the rest of a frame that was refused.
    dropping: bool,
}

impl Slip {
    pub(super) fn new(common: &Common) -> Self {
        Self { gate: Gate::new(common), frame: Vec::new(), escaped: false, dropping: false }
    }

    fn begin(&mut self) {
        self.frame.clear();
        self.escaped = false;
        self.dropping = false;
    }

    fn drop_frame(&mut self, reject: Reject, what: String, each: &mut Each<'_>) {
        self.begin();
        self.dropping = true;
        self.gate.refuse(reject, what, each);
    }
}

impl Cut for Slip {
    fn reset(&mut self, _now: Duration) {
        self.begin();
        self.gate.reset();
    }

    fn push(&mut self, bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        for byte in bytes {
            let plain = match (*byte, self.escaped) {
                (END, escaped) => {
                    if escaped && !self.dropping {
                        self.drop_frame(Reject::Malformed, "it ends inside an escape".to_owned(), each);
                    } else if !self.frame.is_empty() && !self.dropping {
                        self.gate.pass(&self.frame, each);
                    }
                    self.gate.first = false;
                    self.begin();
                    continue;
                }
                _ if self.dropping => continue,
                (ESCAPE, false) => {
                    self.escaped = true;
                    continue;
                }
                (ESCAPED_END, true) => END,
                (ESCAPED_ESCAPE, true) => ESCAPE,
                (other, true) => {
                    self.drop_frame(Reject::Malformed, format!("DB {other:02X} is no escape"), each);
                    continue;
                }
                (other, false) => other,
            };
            self.escaped = false;
            if self.frame.len() == self.gate.common.max_bytes {
                let max = self.gate.common.max_bytes;
                self.drop_frame(Reject::TooLong, too_long(max), each);
            } else {
                self.frame.push(plain);
            }
        }
    }
}
