//! Events on the wire: CloudEvents 1.0 in structured mode, as JSON and as CBOR, and the topic they are published to.
//!
//! Owns the names in an encoded event. JSON Schemas of them are in `config/schema/`; within a version of a type fields
//! are added, never renamed and never given another type. JSON is written by hand, since every event is written so by
//! default; a test keeps it and the CBOR form equal. Never does I/O, never reads a clock. The size of an event is
//! bounded by its parts: the decoder bounds names, texts and attributes, the configuration bounds the context.
//!
//! Layout, in this order:
//!
//! | attribute | value |
//! |---|---|
//! | `specversion` | `1.0` |
//! | `id` | UUIDv7; the same whenever the event is sent again |
//! | `source` | `/tidegate/<gateway>` |
//! | `type` | `tidegate.threshold.exceeded.v1` and so on |
//! | `subject` | the sensor, `gateway`, or `source/<name>` |
//! | `time` | RFC 3339, UTC |
//! | `datacontenttype` | `application/json`; `application/cbor` in the CBOR form |
//! | `dataschema` | `urn:tidegate:schema:<type without "tidegate.">`, the `$id` of the schema of `data` |
//! | `sequence` | 20 decimal digits: the extension asks for a text that sorts as the numbers do |
//! | `partitionkey` | the subject: events of one sensor keep their order |
//! | `correlationid` | the episode, where there is one |
//! | `severity`, `clock`, `backlog` | our own extensions: texts, and a boolean |
//! | `replayed` | `true` when an operator had the event sent again; absent otherwise |
//! | `data` | by type |

use super::Event;
use crate::config::model::Encoding;

mod binary;
mod cbor;
mod json;
mod topic;

pub use binary::{ATTRIBUTES, attributes, encode_data};
pub use topic::{TopicError, TopicRules, topic};

/// Begins the name of every event type of ours.
const TYPE_PREFIX: &str = "tidegate.";

/// Begins the name of every gateway as a source.
const SOURCE_PREFIX: &str = "/tidegate/";

/// Begins the name of every schema of ours.
const SCHEMA_PREFIX: &str = "urn:tidegate:schema:";

/// The content type of a whole encoded event.
pub fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/cloudevents+json",
        Encoding::Cbor => "application/cloudevents+cbor",
    }
}

/// The content type of the data of an event alone, as binary mode sends it.
pub fn data_content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json",
        Encoding::Cbor => "application/cbor",
    }
}

/// What an encoded event says of how it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// It waited for an outage.
    pub backlog: bool,
    /// An operator had it sent again.
    pub replayed: bool,
}

/// Encodes a whole event into `out`, which is cleared first. `backlog` says that it waited for an outage.
pub fn encode(event: &Event, gateway: &str, encoding: Encoding, backlog: bool, out: &mut Vec<u8>) {
    write(event, gateway, encoding, Marks { backlog, replayed: false }, out);
}

/// Encodes a whole event that has been delivered before, marked as replayed. It is marked as backlog too: a consumer
/// that knows only `backlog` must not take it for news either.
pub fn encode_replayed(event: &Event, gateway: &str, encoding: Encoding, out: &mut Vec<u8>) {
    write(event, gateway, encoding, Marks { backlog: true, replayed: true }, out);
}

fn write(event: &Event, gateway: &str, encoding: Encoding, marks: Marks, out: &mut Vec<u8>) {
    out.clear();
    match encoding {
        Encoding::Json => json::write(event, gateway, marks, out),
        Encoding::Cbor => cbor::write(event, gateway, marks, out),
    }
}

/// What the name of a schema has of an event type.
fn schema_name(event_type: &str) -> &str {
    event_type.strip_prefix(TYPE_PREFIX).unwrap_or(event_type)
}

/// A number as 20 digits, which any `u64` fits.
fn padded(number: u64, buffer: &mut [u8; 20]) -> &str {
    let mut rest = number;
    for place in buffer.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    std::str::from_utf8(buffer).unwrap_or_default()
}

#[cfg(test)]
mod tests;
