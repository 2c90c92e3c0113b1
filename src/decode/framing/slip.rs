//! SLIP, RFC 1055: a frame ends at 0xC0; inside, 0xDB 0xDC stands for 0xC0 and 0xDB 0xDD for 0xDB.
//!
//! HDLC's way (RFC 1662) is the same with other bytes: a frame stands between 0x7E, and 0x7D means that the next byte
//! has its sixth bit (0x20) turned over.
//!
//! A frame with any other escape is refused as a whole. Many senders also begin a frame with 0xC0: an empty frame.

use std::time::Duration;

use super::{Cut, Each, Gate, too_long};
use crate::config::model::Common;
use crate::counters::Reject;

/// What a byte behind an escape stands for; nothing where it may not be there.
type Unescape = fn(u8) -> Option<u8>;

/// A way of marking ends.
#[derive(Clone, Copy, Debug)]
struct Marks {
    end: u8,
    escape: u8,
    unescape: Unescape,
}

const SLIP: Marks = Marks {
    end: 0xc0,
    escape: 0xdb,
    unescape: |byte| match byte {
        0xdc => Some(0xc0),
        0xdd => Some(0xdb),
        _ => None,
    },
};

const HDLC: Marks = Marks { end: 0x7e, escape: 0x7d, unescape: |byte| Some(byte ^ 0x20) };

/// Collects a frame, its escapes undone.
#[derive(Debug)]
pub(super) struct Slip {
    marks: Marks,
    gate: Gate,
    frame: Vec<u8>,
    escaped: bool,
    /// In the rest of a frame that was refused.
    dropping: bool,
}

impl Slip {
    pub(super) fn new(common: &Common) -> Self {
        Self::marked(SLIP, common)
    }

    /// The same with HDLC's marks.
    pub(super) fn hdlc(common: &Common) -> Self {
        Self::marked(HDLC, common)
    }

    fn marked(marks: Marks, common: &Common) -> Self {
        Self { marks, gate: Gate::new(common), frame: Vec::new(), escaped: false, dropping: false }
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
                (byte, escaped) if byte == self.marks.end => {
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
                (byte, false) if byte == self.marks.escape => {
                    self.escaped = true;
                    continue;
                }
                (other, true) => match (self.marks.unescape)(other) {
                    Some(plain) => plain,
                    None => {
                        let what = format!("{:02X} {other:02X} is no escape", self.marks.escape);
                        self.drop_frame(Reject::Malformed, what, each);
                        continue;
                    }
                },
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
