//! The topic an event is published to.
//!
//! Owns the mapping of names to the characters and shape that every broker takes: `[A-Za-z0-9_/-]`, at most
//! [`TOPIC_SLASHES_MAX`] slashes and [`TOPIC_BYTES_MAX`] bytes.

use std::fmt;

use crate::config::model::{EventPart, Template, TemplatePart};
use crate::event::{Event, EventData};

/// Most slashes in a topic: what the strictest of the large brokers takes.
pub const TOPIC_SLASHES_MAX: usize = 7;

/// Longest topic, bytes: what the strictest of the large brokers takes.
pub const TOPIC_BYTES_MAX: usize = 256;

/// What `{alarm}` is for an event that no alarm made.
const NO_ALARM: &str = "gateway";

/// Why an event has no topic. Trying again does not help: the event is to be set aside, or the template changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// The template's own text has more than [`TOPIC_SLASHES_MAX`] slashes.
    TooManyLevels {
        /// Slashes in the topic.
        slashes: usize,
    },
    /// Longer than [`TOPIC_BYTES_MAX`].
    TooLong {
        /// Its length, bytes.
        bytes: usize,
    },
    /// The template's own text holds a character that no topic may have.
    Forbidden(char),
    /// Nothing is left of it.
    Empty,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLevels { slashes } => {
                write!(f, "the topic has {slashes} slashes, brokers take {TOPIC_SLASHES_MAX}: shorten `topic`")
            }
            Self::TooLong { bytes } => {
                write!(
                    f,
                    "the topic is {bytes} bytes long, brokers take {TOPIC_BYTES_MAX}: shorten `topic` or the names"
                )
            }
            Self::Forbidden(character) => {
                write!(f, "the topic holds {character:?}, which MQTT does not allow: remove it from `topic`")
            }
            Self::Empty => f.write_str("the topic is empty: give `topic` some text"),
        }
    }
}

impl std::error::Error for TopicError {}

/// Expands `template` for `event` into `out`, which is cleared first.
///
/// The template's own text stays as it is. In what is filled in, characters outside `[A-Za-z0-9_-]` become `_`; only
/// `{sensor}` keeps its slashes, and of those only as many as the topic has room for: the surplus becomes `_` too, so
/// that a deep sensor name costs levels and not the event. `{type}` has `-` for the dots. An event that no alarm made
/// has its subject for `{sensor}` and `gateway` for `{alarm}`.
///
/// # Errors
///
/// [`TopicError`]; `out` then holds what was made so far and must not be used as a topic.
pub fn topic(template: &Template, event: &Event, gateway: &str, out: &mut String) -> Result<(), TopicError> {
    out.clear();
    let own_slashes: usize = template.0.iter().map(own_slashes).sum();
    let mut room = TOPIC_SLASHES_MAX.saturating_sub(own_slashes);
    for part in &template.0 {
        match part {
            TemplatePart::Text(text) => push_own(text, out)?,
            TemplatePart::Event(EventPart::Gateway) => push_mapped(gateway, '_', &mut 0, out),
            TemplatePart::Event(EventPart::Severity) => out.push_str(event.severity.as_str()),
            TemplatePart::Event(EventPart::Sensor) => push_mapped(&event.subject, '_', &mut room, out),
            TemplatePart::Event(EventPart::Type) => push_mapped(event.data.event_type(), '-', &mut 0, out),
            TemplatePart::Event(EventPart::Alarm) => push_mapped(alarm(event), '_', &mut 0, out),
            // Places of source templates; the configuration refuses them in an upstream topic.
            TemplatePart::Topic | TemplatePart::TopicLevel(_) | TemplatePart::TopicFrom(_) => {}
            TemplatePart::Payload(_) => {}
        }
    }
    if own_slashes > TOPIC_SLASHES_MAX {
        return Err(TopicError::TooManyLevels { slashes: out.bytes().filter(|byte| *byte == b'/').count() });
    }
    match out.len() {
        0 => Err(TopicError::Empty),
        bytes if bytes > TOPIC_BYTES_MAX => Err(TopicError::TooLong { bytes }),
        _ => Ok(()),
    }
}

fn alarm(event: &Event) -> &str {
    match &event.data {
        EventData::Alarm(alarm) => &alarm.alarm,
        _ => NO_ALARM,
    }
}

fn own_slashes(part: &TemplatePart) -> usize {
    match part {
        TemplatePart::Text(text) => text.bytes().filter(|byte| *byte == b'/').count(),
        _ => 0,
    }
}

fn push_own(text: &str, out: &mut String) -> Result<(), TopicError> {
    match text.chars().find(|character| matches!(character, '+' | '#' | '\0')) {
        Some(character) => Err(TopicError::Forbidden(character)),
        None => {
            out.push_str(text);
            Ok(())
        }
    }
}

/// Appends `name` with every character outside the portable set replaced, and slashes beyond `room` as well.
fn push_mapped(name: &str, replacement: char, room: &mut usize, out: &mut String) {
    for character in name.chars() {
        out.push(match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-' => character,
            '/' if *room > 0 => {
                *room -= 1;
                '/'
            }
            _ => replacement,
        });
    }
}
