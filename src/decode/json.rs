//! `format = "json"`: wanted paths of a JSON document, in one walk.
//!
//! Owns a tree of the wanted paths; plain documents take a short way (see [`plain`]). The document is never built in memory: what is not wanted is skipped as it is
//! read, and only carried fields become values, within their bound. Nesting deeper than 128 on the way to a wanted
//! value is an error; in what is skipped any depth does no harm.

mod plain;

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Format;
use super::carry::{BudgetSeed, TextSeed, size};
use super::name::Refusal;
use super::path::{self, Step};
use super::present::Present;
use super::sink::{Sink, Slot, Want};
use super::tree::json_fault;
use super::value::Raw;
use crate::counters::Reject;

/// The wanted paths.
#[derive(Debug)]
pub(super) struct Json {
    root: Node,
}

/// What is wanted at one place of the document, and below it.
#[derive(Debug, Default)]
struct Node {
    slots: Vec<Slot>,
    keys: Vec<(Box<str>, Node)>,
    items: Vec<(usize, Node)>,
}

impl Json {
    pub(super) fn new(wants: &[Want]) -> Result<Self, String> {
        let mut root = Node::default();
        for want in wants {
            let mut node = &mut root;
            let steps = path::parse(&want.path)?;
            if path::is_wild(&steps) {
                return Err(format!("path `{}`: a wildcard here needs a field whose path has one", want.path));
            }
            for step in steps {
                node = node.child_mut(step);
            }
            node.slots.push(want.slot);
        }
        Ok(Self { root })
    }
}

impl Format for Json {
    fn read_plain(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> bool {
        let mark = sink.mark();
        let is_plain = plain::read(payload, &self.root, sink).is_some();
        match is_plain {
            true => sink.end_record_of(|| Present::of_json(std::str::from_utf8(payload).unwrap_or_default())),
            false => sink.back_to(mark),
        }
        is_plain
    }

    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let mut document = serde_json::Deserializer::from_str(payload);
        let malformed = |error: serde_json::Error| (Reject::Malformed, json_fault(payload, &error));
        NodeSeed { node: &self.root, root: true, sink }.deserialize(&mut document).map_err(malformed)?;
        document.end().map_err(malformed)?;
        sink.end_record_of(|| Present::of_json(payload));
        Ok(())
    }
}

impl Node {
    fn child_mut(&mut self, step: Step) -> &mut Self {
        match step {
            Step::Key(key) => {
                let at = self.keys.iter().position(|(known, _)| **known == *key).unwrap_or_else(|| {
                    self.keys.push((key.into(), Self::default()));
                    self.keys.len() - 1
                });
                &mut self.keys[at].1
            }
            Step::Item(index) => {
                let at = self.items.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
                    self.items.push((index, Self::default()));
                    self.items.len() - 1
                });
                &mut self.items[at].1
            }
            Step::Any | Step::Deep => unreachable!("wildcards are refused by the constructor"),
        }
    }

    /// What is wanted of a member. `next` is where to look first: devices keep to an order, often that of the fields.
    fn key(&self, key: &[u8], next: &mut usize) -> Option<&Self> {
        let is_it = |(known, _): &(Box<str>, Self)| known.as_bytes() == key;
        let at = match self.keys.get(*next) {
            Some(likely) if is_it(likely) => *next,
            _ => self.keys.iter().position(is_it)?,
        };
        *next = at + 1;
        Some(&self.keys[at].1)
    }

    fn item(&self, index: usize) -> Option<&Self> {
        self.items.iter().find(|(known, _)| *known == index).map(|(_, node)| node)
    }

    fn carried(&self) -> Option<usize> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Carry(index) => Some(*index),
            _ => None,
        })
    }

    /// Hands a value to everything that wants it.
    fn put(&self, raw: &Raw<'_>, sink: &mut Sink<'_>) {
        for slot in &self.slots {
            sink.put(*slot, raw);
        }
    }

    /// Walks a carried value for what is wanted inside it.
    fn walk(&self, value: &serde_json::Value, sink: &mut Sink<'_>) {
        use serde_json::Value;
        let inside = |node: &Self, value: &Value, sink: &mut Sink<'_>| match value {
            Value::Null => node.put(&Raw::Null, sink),
            Value::Bool(state) => node.put(&Raw::Bool(*state), sink),
            Value::Number(number) => node.put(&raw_number(number), sink),
            Value::String(text) => node.put(&Raw::Text(text), sink),
            Value::Array(_) | Value::Object(_) => node.composite(value, sink),
        };
        match value {
            Value::Object(members) => {
                for (key, node) in &self.keys {
                    if let Some(member) = members.get(&**key) {
                        inside(node, member, sink);
                    }
                }
            }
            Value::Array(items) => {
                for (index, node) in &self.items {
                    if let Some(item) = items.get(*index) {
                        inside(node, item, sink);
                    }
                }
            }
            _ => {}
        }
    }

    /// A carried object or list: to the attributes it goes whole, for all else it is no value.
    fn composite(&self, value: &serde_json::Value, sink: &mut Sink<'_>) {
        for slot in &self.slots {
            match slot {
                Slot::Carry(index) => sink.carry(*index, value.clone(), size(value)),
                other => sink.put(*other, &Raw::Composite),
            }
        }
        self.walk(value, sink);
    }
}

fn raw_number(number: &serde_json::Number) -> Raw<'static> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => Raw::Integer(whole),
        (_, Some(whole), _) => Raw::Unsigned(whole),
        (.., Some(number)) => Raw::Number(number),
        _ => Raw::Null,
    }
}

/// Reads what stands at a node.
struct NodeSeed<'n, 's, 'm> {
    node: &'n Node,
    /// Whether unconfigured members are wanted here: those of the outermost object may be.
    root: bool,
    sink: &'s mut Sink<'m>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, state: bool) -> Result<(), E> {
        self.node.put(&Raw::Bool(state), self.sink);
        Ok(())
    }

    fn visit_i64<E>(self, whole: i64) -> Result<(), E> {
        self.node.put(&Raw::Integer(whole), self.sink);
        Ok(())
    }

    fn visit_u64<E>(self, whole: u64) -> Result<(), E> {
        let raw = i64::try_from(whole).map_or(Raw::Unsigned(whole), Raw::Integer);
        self.node.put(&raw, self.sink);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.node.put(&Raw::Number(number), self.sink);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.node.put(&Raw::Text(text), self.sink);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.node.put(&Raw::Null, self.sink);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if let Some(index) = self.node.carried() {
            let mut budget = self.sink.carry_budget();
            match (BudgetSeed { budget: &mut budget }).visit_map(members)? {
                Some(value) => self.node.composite(&value, self.sink),
                None => self.sink.too_much_carried(index),
            }
            return Ok(());
        }
        self.node.put(&Raw::Composite, self.sink);
        let mut next = 0;
        if self.root && self.sink.takes_all() {
            while let Some(key) = members.next_key_seed(TextSeed)? {
                match self.node.key(key.as_bytes(), &mut next) {
                    Some(node) => members.next_value_seed(NodeSeed { node, root: false, sink: self.sink })?,
                    None => members.next_value_seed(OtherSeed { key: &key, sink: self.sink })?,
                }
            }
            return Ok(());
        }
        while let Some(child) = members.next_key_seed(KeySeed { node: self.node, next: &mut next })? {
            match child {
                Some(node) => members.next_value_seed(NodeSeed { node, root: false, sink: self.sink })?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let Some(index) = self.node.carried() {
            let mut budget = self.sink.carry_budget();
            match (BudgetSeed { budget: &mut budget }).visit_seq(items)? {
                Some(value) => self.node.composite(&value, self.sink),
                None => self.sink.too_much_carried(index),
            }
            return Ok(());
        }
        self.node.put(&Raw::Composite, self.sink);
        for index in 0_usize.. {
            let more = match self.node.item(index) {
                Some(node) => items.next_element_seed(NodeSeed { node, root: false, sink: self.sink })?.is_some(),
                None => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// Reads a key and finds its node, without keeping the text.
struct KeySeed<'n, 'k> {
    node: &'n Node,
    next: &'k mut usize,
}

impl<'de, 'n> DeserializeSeed<'de> for KeySeed<'n, '_> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'n> Visitor<'de> for KeySeed<'n, '_> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.node.key(key.as_bytes(), self.next))
    }
}

/// Reads the value of a member that nothing is configured for.
struct OtherSeed<'k, 's, 'm> {
    key: &'k str,
    sink: &'s mut Sink<'m>,
}

impl<'de> DeserializeSeed<'de> for OtherSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OtherSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, state: bool) -> Result<(), E> {
        self.sink.other(self.key, &Raw::Bool(state));
        Ok(())
    }

    fn visit_i64<E>(self, whole: i64) -> Result<(), E> {
        self.sink.other(self.key, &Raw::Integer(whole));
        Ok(())
    }

    fn visit_u64<E>(self, whole: u64) -> Result<(), E> {
        let raw = i64::try_from(whole).map_or(Raw::Unsigned(whole), Raw::Integer);
        self.sink.other(self.key, &raw);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.sink.other(self.key, &Raw::Number(number));
        Ok(())
    }

    fn visit_str<E>(self, _text: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.sink.other(self.key, &Raw::Null);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
