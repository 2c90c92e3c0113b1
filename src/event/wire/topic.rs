//! The topic an event is published to.
//!
//! Owns the mapping of names to the characters and shape that a broker takes, as [`TopicRules`] say. Never knows which
//! broker that is: `forward::profile` makes the rules.

use std::fmt;

use crate::config::model::{EventPart, Template, TemplatePart};
use crate::event::{Event, EventData};

/// What a topic may be like.
#[derive(Clone, Copy, Debug)]
pub struct TopicRules {
    /// Most slashes.
    pub slashes_max: usize,
    /// Longest topic, bytes of UTF-8.
    pub bytes_max: usize,
    /// Whether a level may hold a character. Never asked about the slash.
    pub allows: fn(char) -> bool,
}

impl TopicRules {
    /// What every large broker takes: `[A-Za-z0-9_/-]`, at most 7 slashes and 255 bytes.
    pub const PORTABLE: Self = Self { slashes_max: 7, bytes_max: 255, allows: is_portable };

    /// Why a finished topic breaks the rules, if it does.
    pub fn fault(&self, topic: &str) -> Option<TopicError> {
        let slashes = slashes(topic);
        if slashes > self.slashes_max {
            return Some(TopicError::TooManyLevels { slashes, max: self.slashes_max });
        }
        if topic.len() > self.bytes_max {
            return Some(TopicError::TooLong { bytes: topic.len(), max: self.bytes_max });
        }
        if let Some(character) = self.forbidden(topic) {
            return Some(TopicError::Forbidden(character));
        }
        topic.is_empty().then_some(TopicError::Empty)
    }

    /// The first character of a text that no level may hold.
    pub fn forbidden(&self, text: &str) -> Option<char> {
        text.chars().find(|&character| character != '/' && !(self.allows)(character))
    }
}

/// Letters and digits of ASCII, `_` and `-`.
fn is_portable(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// How many slashes a text has.
fn slashes(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'/').count()
}

/// What `{alarm}` is for an event that no alarm made.
const NO_ALARM: &str = "gateway";

/// Why an event has no topic. Trying again does not help: the event is to be set aside, or the template changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// The template's own text has too many slashes.
    TooManyLevels {
        /// Slashes in the topic.
        slashes: usize,
        /// [`TopicRules::slashes_max`]
        max: usize,
    },
    /// Too long.
    TooLong {
        /// Its length, bytes.
        bytes: usize,
        /// [`TopicRules::bytes_max`]
        max: usize,
    },
    /// The template's own text holds a character that no level may have.
    Forbidden(char),
    /// Nothing is left of it.
    Empty,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLevels { slashes, max } => {
                write!(f, "the topic has {slashes} slashes, the broker takes {max}: shorten `topic`")
            }
            Self::TooLong { bytes, max } => {
                write!(f, "the topic is {bytes} bytes long, the broker takes {max}: shorten `topic` or the names")
            }
            Self::Forbidden(character) => {
                write!(f, "the topic holds {character:?}, which the broker does not take: remove it from `topic`")
            }
            Self::Empty => f.write_str("the topic is empty: give `topic` some text"),
        }
    }
}

impl std::error::Error for TopicError {}

/// Expands `template` for `event` into `out`, which is cleared first. Returns whether a name had to be changed.
///
/// The template's own text stays as it is. In what is filled in, characters that the rules do not allow become `_`; only
/// `{sensor}` keeps its slashes, and of those only as many as the topic has room for: the surplus becomes `_` too, so
/// that a deep sensor name costs levels and not the event. `{type}` has `-` for the dots. An event that no alarm made
/// has its subject for `{sensor}` and `gateway` for `{alarm}`.
///
/// Names that differ only in what is changed get the same topic: `a b` and `a_b` both become `a_b` where a space is not
/// allowed. The event says in `subject` which sensor it is about; `forward::profile::Namesakes` finds such pairs.
///
/// # Errors
///
/// [`TopicError`]; `out` then holds what was made so far and must not be used as a topic.
pub fn topic(
    template: &Template,
    event: &Event,
    gateway: &str,
    rules: &TopicRules,
    out: &mut String,
) -> Result<bool, TopicError> {
    out.clear();
    let own_slashes: usize = template.0.iter().map(own_slashes).sum();
    let mut room = rules.slashes_max.saturating_sub(own_slashes);
    let mut changed = false;
    for part in &template.0 {
        match part {
            TemplatePart::Text(text) => push_own(text, rules, out)?,
            TemplatePart::Event(EventPart::Gateway) => changed |= push_mapped(gateway, rules, &mut 0, out),
            TemplatePart::Event(EventPart::Severity) => out.push_str(event.severity.as_str()),
            TemplatePart::Event(EventPart::Sensor) => changed |= push_mapped(&event.subject, rules, &mut room, out),
            TemplatePart::Event(EventPart::Type) => {
                out.extend(
                    event
                        .data
                        .event_type()
                        .chars()
                        .map(|character| if is_portable(character) { character } else { '-' }),
                );
            }
            TemplatePart::Event(EventPart::Alarm) => changed |= push_mapped(alarm(event), rules, &mut 0, out),
            // Places of source templates; the configuration refuses them in an upstream topic.
            TemplatePart::Topic | TemplatePart::TopicLevel(_) | TemplatePart::TopicFrom(_) => {}
            TemplatePart::Payload(_) | TemplatePart::Match(_) => {}
        }
    }
    if own_slashes > rules.slashes_max {
        return Err(TopicError::TooManyLevels { slashes: slashes(out), max: rules.slashes_max });
    }
    match out.len() {
        0 => Err(TopicError::Empty),
        bytes if bytes > rules.bytes_max => Err(TopicError::TooLong { bytes, max: rules.bytes_max }),
        _ => Ok(changed),
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
        TemplatePart::Text(text) => slashes(text),
        _ => 0,
    }
}

fn push_own(text: &str, rules: &TopicRules, out: &mut String) -> Result<(), TopicError> {
    match rules.forbidden(text) {
        Some(character) => Err(TopicError::Forbidden(character)),
        None => {
            out.push_str(text);
            Ok(())
        }
    }
}

/// Appends `name` with every character that is not allowed replaced, and slashes beyond `room` as well. Returns whether
/// there were any.
fn push_mapped(name: &str, rules: &TopicRules, room: &mut usize, out: &mut String) -> bool {
    let mut changed = false;
    for character in name.chars() {
        out.push(match character {
            '/' if *room > 0 => {
                *room -= 1;
                '/'
            }
            '/' => {
                changed = true;
                '_'
            }
            _ if (rules.allows)(character) => character,
            _ => {
                changed = true;
                '_'
            }
        });
    }
    changed
}
