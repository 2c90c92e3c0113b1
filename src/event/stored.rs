//! Events and alarm records as the store keeps them: version 1 of the stored form.
//!
//! Owns the bytes inside a frame; the frame itself (checksum, compression) is the store's. Every version that was ever
//! released stays readable; `tests/fixtures/` holds bytes of each. Never does I/O. Bytes from a damaged disk end in an
//! [`Error`]: no panic, and no memory beyond a small multiple of the input.
//!
//! The form is made for little flash wear: what repeats within a batch is written once, what can be foretold is
//! written as the difference, and fields of one kind stand together so that the frame's compression finds them alike.
//!
//! Layout: one CBOR array. Its first item is the version, the others are byte strings ("columns"), each a sequence of
//! CBOR items without further wrapping.
//!
//! ```text
//! events  = [1, strings, shapes, refs, subjects, ...]      every column of `columns::Column`, in that order
//! records = [1, strings, items]                             items: alarm, sensor (string numbers), state (bytes), ...
//! ```
//!
//! - *strings*: each text once, in the order of first use, as `[prefix, suffix, middle]`: how many bytes it shares with
//!   the start and the end of the text before it, and what is new. A string is referred to by its number; the next
//!   number that has not been used means "read one more".
//! - *shapes*: what is the same for many events (severity, alarm, limit, delays, states, and the flags of `columns::How`
//!   that say how the rest is written), numbered like strings.
//! - Times are nanoseconds, written as differences in the coarsest of ms, us and ns that is exact, with the unit in the
//!   low two bits (`items::Writer::span`).
//! - Values are whole numbers with the shape's count of decimals where that is exact, else plain CBOR.
//! - Context samples that the same batch already holds for the subject are referred to.

use std::fmt;

use super::{AlarmRecord, Event};

mod columns;
mod decode;
mod encode;
mod items;
mod json;
mod records;
mod shape;
mod strings;
#[cfg(test)]
mod tests;

/// The version this program writes.
pub const VERSION: u64 = 1;

/// Why stored bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Written by a newer program: keep the bytes, a newer program can read them.
    UnknownVersion(u64),
    /// Not what was written: salvage around them. Says what could not be read.
    Damaged(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVersion(version) => {
                write!(f, "stored form {version} is not known, this program knows 1 to {VERSION}: use a newer tidegate")
            }
            Self::Damaged(what) => write!(f, "stored bytes are damaged: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// Encodes events. Any number in any order can be encoded; events that follow each other in time take least.
pub fn encode_events(events: &[Event]) -> Vec<u8> {
    encode::events(events)
}

/// Decodes what [`encode_events`] wrote, bit for bit.
///
/// # Errors
///
/// [`Error`]; nothing is returned of a batch that is damaged in part.
pub fn decode_events(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    decode::events(bytes)
}

/// Encodes alarm records.
pub fn encode_records(records: &[AlarmRecord]) -> Vec<u8> {
    records::encode(records)
}

/// Decodes what [`encode_records`] wrote.
///
/// # Errors
///
/// [`Error`], as for events.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<AlarmRecord>, Error> {
    records::decode(bytes)
}
