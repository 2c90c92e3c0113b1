//! Every key of the configuration, declared once.
//!
//! Owns the names, what they take, their defaults and meaning. The loader uses these lists to refuse unknown keys with
//! a suggestion, and [`super::reference()`] makes the reference page from them, so the two cannot drift apart.

mod alarm;
mod bulk;
mod decode;
mod framing;
mod general;
mod home_assistant;
mod http;
mod modbus;
mod source;
mod upstream;

pub use alarm::{ALARM, CONDITIONS, ON_EVENT};
pub use bulk::{BATCH, RATE_LIMIT};
pub use decode::{DECODE, FIELD, UNIT_PATH};
pub use framing::{CHECKSUM, FRAMING};
pub use general::{GATEWAY, RECORD, ROOT, STORE};
pub use home_assistant::HOME_ASSISTANT;
pub use http::HTTP;
pub use modbus::{REGISTER, UNIT};
pub use source::SOURCE;
pub use upstream::UPSTREAM;

/// What happens when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// It is refused.
    Required,
    /// Said in words.
    Words(&'static str),
    /// This value, as it would be written.
    Toml(&'static str),
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// The kind of value, in words.
    pub takes: &'static str,
    /// What happens without it.
    pub default: Default,
    /// What it does.
    pub meaning: &'static str,
    /// Other words for it, from manuals and other programs; suggested, never accepted.
    pub near: &'static [&'static str],
    /// The variants of the table (`type`, `format`) it belongs to; empty: all.
    pub only: &'static [&'static str],
    /// Where it is required: another key that may stand in its place, in variants that have both.
    pub instead: Option<&'static str>,
}

impl Key {
    const fn near(self, near: &'static [&'static str]) -> Self {
        Self { near, ..self }
    }

    const fn only(self, only: &'static [&'static str]) -> Self {
        Self { only, ..self }
    }

    const fn instead(self, other: &'static str) -> Self {
        Self { instead: Some(other), ..self }
    }

    /// Whether it belongs to a variant.
    pub fn belongs(&self, variant: &str) -> bool {
        self.only.is_empty() || self.only.contains(&variant)
    }
}

/// A table and its keys.
#[derive(Debug)]
pub struct KeyTable {
    /// As written: `[gateway]`, `[[source]]`, `decode`.
    pub title: &'static str,
    /// In a sentence: "an alarm".
    pub noun: &'static str,
    /// The key that chooses the variant.
    pub selector: &'static str,
    /// What the table is for.
    pub meaning: &'static str,
    /// The keys, in the order of the reference.
    pub keys: &'static [Key],
}

impl KeyTable {
    /// The key of a name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn required(name: &'static str, takes: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Default::Required, meaning, near: &[], only: &[], instead: None }
}

const fn optional(name: &'static str, takes: &'static str, without: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Default::Words(without), meaning, near: &[], only: &[], instead: None }
}

const fn with_default(name: &'static str, takes: &'static str, toml: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Default::Toml(toml), meaning, near: &[], only: &[], instead: None }
}

/// All tables that hold keys, in the order of the reference.
pub static TABLES: [&KeyTable; 18] = [
    &GATEWAY,
    &SOURCE,
    &UNIT,
    &REGISTER,
    &FRAMING,
    &CHECKSUM,
    &DECODE,
    &FIELD,
    &UNIT_PATH,
    &ALARM,
    &ON_EVENT,
    &STORE,
    &UPSTREAM,
    &RATE_LIMIT,
    &BATCH,
    &HTTP,
    &HOME_ASSISTANT,
    &RECORD,
];
