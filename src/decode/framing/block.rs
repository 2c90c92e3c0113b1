//! Messages known by their bytes: a start, a length (fixed, or told by a field) or an end mark, and a checksum.
//!
//! Anything can look like a start, so nothing is believed before all of it fits: when it does not, the search goes on
//! at the byte behind the false start, and what was inside is found. A start whose length says more than `max_bytes` is
//! false. Between two marks the message is what stands between them. What is refused is told once: failures inside
//! bytes that were already told of are not.

use std::time::Duration;

use super::checksum::{dump, verify};
use super::{Cut, Each, Frame};
use crate::config::model::{Block, BlockLength};
use crate::counters::Reject;

/// Bytes of a stretch of junk that are kept to be shown.
const JUNK_BYTES_KEPT: usize = 17;

/// Collects what may become a message.
#[derive(Debug)]
pub(super) struct Blocks {
    block: Block,
    buffer: Vec<u8>,
    /// Up to where in the buffer there is no end mark.
    searched: usize,
    /// The stretch of bytes that belong to no message: how many, and the first of them.
    skipped: usize,
    junk: Vec<u8>,
    /// Whether all of them may stand between messages.
    is_filler: bool,
    /// Whether a refusal has told of this stretch.
    told: bool,
    /// So many bytes from here on belong to a candidate that has been told of.
    quiet: usize,
    /// No message has been found yet.
    first: bool,
    last: Duration,
}

/// What stands at a place in the buffer.
enum Look {
    /// It needs more bytes to tell.
    Wait,
    /// Nothing; with what is wrong when it looked like a message, and how long that was.
    Skip(Option<(Reject, String, usize)>),
    /// A message so long.
    Message(usize),
}

impl Blocks {
    pub(super) fn new(block: &Block) -> Self {
        Self {
            block: block.clone(),
            buffer: Vec::new(),
            searched: 0,
            skipped: 0,
            junk: Vec::new(),
            is_filler: true,
            told: false,
            quiet: 0,
            first: true,
            last: Duration::ZERO,
        }
    }

    fn look(&mut self, at: usize) -> Look {
        let block = &self.block;
        let rest = &self.buffer[at..];
        if rest.len() < block.start.len() {
            return if block.start.starts_with(rest) { Look::Wait } else { Look::Skip(None) };
        }
        if !rest.starts_with(&block.start) {
            return Look::Skip(None);
        }
        let refused = |reject, what: String, long: usize| Look::Skip(Some((reject, what, long)));
        let length = match block.length {
            BlockLength::Bytes(bytes) => bytes,
            BlockLength::Field { at, width, big_endian, add } => {
                let Some(field) = rest.get(at..at + width) else { return Look::Wait };
                let push = |value: i64, byte: &u8| value << 8 | i64::from(*byte);
                let value = if big_endian { field.iter().fold(0, push) } else { field.iter().rev().fold(0, push) };
                let least = (at + width).max(block.start.len() + block.end.len()).max(1);
                match usize::try_from(value.saturating_add(add)) {
                    Ok(length) if (least..=block.max_bytes).contains(&length) => length,
                    _ => {
                        let what = format!("its length field says {value}, which cannot be: {}", dump(rest));
                        return refused(Reject::Malformed, what, block.start.len());
                    }
                }
            }
            BlockLength::UntilEnd { after } => {
                let from = (at + block.start.len()).max(self.searched.saturating_sub(block.end.len() - 1));
                let found = self.buffer.get(from..).and_then(|bytes| find(bytes, &block.end));
                match found {
                    Some(end) => from - at + end + block.end.len() + after,
                    None if rest.len() >= block.max_bytes => {
                        self.searched = self.buffer.len();
                        let what = format!("no end after {} bytes (`max_bytes`)", block.max_bytes);
                        return refused(Reject::TooLong, what, block.start.len());
                    }
                    None => {
                        self.searched = self.buffer.len();
                        return Look::Wait;
                    }
                }
            }
        };
        if length > block.max_bytes {
            return refused(Reject::TooLong, format!("{length} bytes, at most {}", block.max_bytes), block.start.len());
        }
        let Some(message) = rest.get(..length) else { return Look::Wait };
        if let BlockLength::UntilEnd { after } = block.length {
            // Without a checksum the innermost start is the likeliest.
            let inside = &message[block.start.len()..length - after];
            if block.checksum.is_none() && !block.start.is_empty() && find(inside, &block.start).is_some() {
                return refused(Reject::Malformed, format!("it begins anew inside: {}", dump(message)), length);
            }
        } else if !message.ends_with(&block.end) {
            return refused(Reject::Malformed, format!("it has not the end that it should: {}", dump(message)), length);
        }
        match block.checksum.as_ref().map(|checksum| verify(checksum, message)) {
            Some(Err(what)) => refused(Reject::Checksum, what, length),
            _ => Look::Message(length),
        }
    }

    /// Takes what is whole; with `silent` nothing more will come of what is not.
    fn cut(&mut self, silent: bool, each: &mut Each<'_>) {
        let mut at = 0;
        while at < self.buffer.len() {
            match self.look(at) {
                Look::Wait if silent => {
                    let rest = &self.buffer[at..];
                    let what = format!("it stopped after {} bytes: {}", rest.len(), dump(rest));
                    let long = rest.len();
                    self.skip(at, Some((Reject::Malformed, what, long)), each);
                    at += 1;
                }
                Look::Wait => break,
                Look::Skip(why) => {
                    self.skip(at, why, each);
                    at += 1;
                }
                Look::Message(length) => {
                    self.end_junk(each);
                    self.first = false;
                    self.quiet = 0;
                    match self.message(&self.buffer[at..at + length]) {
                        [] => each(Frame::Refused(Reject::Empty, "nothing between its marks".to_owned())),
                        message => each(Frame::Message(message)),
                    }
                    at += length;
                }
            }
        }
        self.buffer.drain(..at);
        self.searched = self.searched.saturating_sub(at);
    }

    /// A frame without what only marks or protects it. Where its length is known the marks stay, so that places in it
    /// count from its first byte.
    fn message<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        match (self.block.length, &self.block.checksum) {
            (BlockLength::UntilEnd { after }, _) => {
                let stop = frame.len() - after - self.block.end.len();
                let stop = stop - self.checksum_before_end(after).min(stop - self.block.start.len());
                &frame[self.block.start.len()..stop]
            }
            (_, Some(checksum)) => verify(checksum, frame).unwrap_or(frame),
            (_, None) => frame,
        }
    }

    /// How many bytes right before the end mark are the checksum.
    fn checksum_before_end(&self, after: usize) -> usize {
        let Some(checksum) = self.block.checksum.as_ref().filter(|_| after == 0) else { return 0 };
        let width = checksum.kind.bytes() * if checksum.hex { 2 } else { 1 };
        let is_before = checksum.at.is_some_and(|at| at.unsigned_abs() == width + self.block.end.len() && at < 0);
        if is_before { width } else { 0 }
    }

    /// Passes a byte over.
    fn skip(&mut self, at: usize, why: Option<(Reject, String, usize)>, each: &mut Each<'_>) {
        if let Some((reject, what, long)) = why
            && self.quiet == 0
        {
            // Where only the checksum shows how the stream is divided, it takes a message to find out.
            let finding = self.first && self.block.start.is_empty() && self.skipped == 0;
            each(Frame::Refused(if finding { Reject::Partial } else { reject }, what));
            self.told = true;
            self.quiet = long.max(1);
        }
        self.quiet = self.quiet.saturating_sub(1);
        self.skipped += 1;
        self.is_filler &= self.block.filler.contains(&self.buffer[at]);
        if self.junk.len() < JUNK_BYTES_KEPT {
            self.junk.push(self.buffer[at]);
        }
        if self.skipped >= self.block.max_bytes.max(JUNK_BYTES_KEPT) {
            self.first = false;
            self.end_junk(each);
        }
    }

    /// Tells of a stretch that belongs to no message.
    fn end_junk(&mut self, each: &mut Each<'_>) {
        if !self.is_filler && !self.told {
            let reject = if self.first { Reject::Partial } else { Reject::Malformed };
            each(Frame::Refused(reject, format!("{} bytes that begin no message: {}", self.skipped, dump(&self.junk))));
        }
        self.skipped = 0;
        self.is_filler = true;
        self.junk.clear();
        self.told = false;
    }

    fn is_late(&self, now: Duration) -> bool {
        self.block.gap.is_some_and(|gap| now.saturating_sub(self.last) >= gap) && !self.buffer.is_empty()
    }
}

impl Cut for Blocks {
    fn reset(&mut self, now: Duration) {
        *self = Self { last: now, ..Self::new(&self.block) };
    }

    fn push(&mut self, bytes: &[u8], now: Duration, each: &mut Each<'_>) {
        if self.is_late(now) {
            self.cut(true, each);
        }
        self.last = now;
        self.buffer.extend_from_slice(bytes);
        self.cut(false, each);
    }

    fn deadline(&self) -> Option<Duration> {
        self.block.gap.filter(|_| !self.buffer.is_empty()).map(|gap| self.last + gap)
    }

    fn on_deadline(&mut self, now: Duration, each: &mut Each<'_>) {
        if self.is_late(now) {
            self.cut(true, each);
        }
    }
}

/// Where a sequence begins.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
