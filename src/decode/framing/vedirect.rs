//! Text blocks of Victron's VE.Direct: lines `\r\nKEY\tVALUE`, the last one `\r\nChecksum\t` and a byte that makes the
//! sum of all bytes of the block 0 (modulo 256).
//!
//! That byte may be any, so a block cannot be cut by lines. Hexadecimal messages (`:` to the line end) may come at any
//! place; they are passed over and are not in the sum. A message is the block's `KEY\tVALUE\n` lines.

use std::time::Duration;

use super::{Cut, Each, Frame, too_long};
use crate::counters::Reject;

/// Longest hexadecimal message. The longest answers are about 80 characters.
const HEX_BYTES_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the line end that begins a line.
    Outside,
    /// Behind a line end.
    LineStart,
    Key,
    Value,
    /// The next byte is the checksum.
    Checksum,
}

/// Collects a block.
#[derive(Debug)]
pub(super) struct TextBlocks {
    bytes_max: usize,
    state: State,
    block: Vec<u8>,
    /// Where the line at hand begins in the block.
    line: usize,
    sum: u8,
    /// In a hexadecimal message, so many bytes long.
    hex: Option<usize>,
    first: bool,
}

impl TextBlocks {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: State::Outside, block: Vec::new(), line: 0, sum: 0, hex: None, first: true }
    }

    fn begin(&mut self) {
        *self = Self { first: false, ..Self::new(self.bytes_max) };
    }

    fn end(&mut self, each: &mut Each<'_>) {
        let block = &self.block[..self.line];
        if self.sum == 0 && !block.is_empty() {
            each(Frame::Message(block));
        } else if self.first {
            each(Frame::Refused(Reject::Partial, format!("{} bytes of a block that began before", self.line)));
        } else {
            let what = format!("the sum of the block's bytes is {} and not 0: {}", self.sum, head(block));
            each(Frame::Refused(Reject::Checksum, what));
        }
        self.begin();
    }

    fn take(&mut self, byte: u8, each: &mut Each<'_>) {
        self.sum = self.sum.wrapping_add(byte);
        match (self.state, byte) {
            (State::Checksum, _) => return self.end(each),
            (State::Outside, b'\n') => self.state = State::LineStart,
            (State::Outside, _) | (State::LineStart, b'\r' | b'\n') => return,
            (State::Key, b'\t') if self.block[self.line..] == *b"Checksum" => self.state = State::Checksum,
            (State::Key, b'\t') => {
                self.block.push(byte);
                self.state = State::Value;
            }
            // A line without a value is none.
            (State::Key, b'\n') => {
                self.block.truncate(self.line);
                self.state = State::LineStart;
            }
            (State::Value, b'\n') => {
                self.block.push(byte);
                self.line = self.block.len();
                self.state = State::LineStart;
            }
            (State::LineStart, _) => {
                self.block.push(byte);
                self.state = State::Key;
            }
            (State::Key | State::Value, b'\r') => {}
            (State::Key | State::Value, _) => self.block.push(byte),
        }
        if self.block.len() > self.bytes_max {
            each(Frame::Refused(Reject::TooLong, too_long(self.bytes_max)));
            self.begin();
        }
    }
}

impl Cut for TextBlocks {
    fn reset(&mut self, _now: Duration) {
        *self = Self::new(self.bytes_max);
    }

    fn push(&mut self, bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        for byte in bytes {
            match self.hex {
                Some(_) if *byte == b'\n' => self.hex = None,
                Some(length) if length >= HEX_BYTES_MAX => self.begin(),
                Some(length) => self.hex = Some(length + 1),
                None if *byte == b':' && self.state != State::Checksum => self.hex = Some(0),
                None => self.take(*byte, each),
            }
        }
    }
}

/// The first keys, to show which block it was.
fn head(block: &[u8]) -> String {
    let text = String::from_utf8_lossy(&block[..block.len().min(40)]);
    text.replace('\t', "=").replace('\n', " ").trim().to_owned()
}
