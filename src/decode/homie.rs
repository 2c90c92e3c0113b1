//! `format = "homie"`: the Homie convention, versions 3 to 5.
//!
//! Owns the memory of what properties are: their units and types come on topics of their own (`$unit`, `$datatype`), or
//! in the device's `$description` (version 5). Sensors are `device/node/property`. `$` topics and `/set` are no
//! readings; with `online` the device's `$state` is one. Bounded: [`PROPERTIES_MAX`].

use crate::reading::Unit;
use std::collections::HashMap;

use super::Format;
use super::item::Item;
use super::name::Refusal;
use super::sink::Sink;
use super::tree::{Tree, from_json};
use super::value::{Raw, parse, quote};
use crate::counters::Reject;

/// Most properties remembered. At about 200 bytes each this is 800 kB.
const PROPERTIES_MAX: usize = 4_096;

/// Longest type or unit that is one.
const WORD_BYTES_MAX: usize = 32;

#[derive(Debug, Default)]
struct Property {
    unit: Option<Unit>,
    datatype: Option<Box<str>>,
}

/// What properties are, by their names.
#[derive(Debug)]
pub(super) struct Homie {
    online: bool,
    known: HashMap<Box<str>, Property>,
}

impl Homie {
    pub(super) fn new(online: bool) -> Self {
        Self { online, known: HashMap::new() }
    }

    fn property(&mut self, name: &str, sink: &mut Sink<'_>) -> Option<&mut Property> {
        if !self.known.contains_key(name) {
            if self.known.len() >= PROPERTIES_MAX {
                sink.refuse(Reject::TooManySensors, format!("more than {PROPERTIES_MAX} properties"));
                return None;
            }
            self.known.insert(name.into(), Property::default());
        }
        self.known.get_mut(name)
    }

    fn attribute(&mut self, name: &str, attribute: &str, payload: &str, sink: &mut Sink<'_>) {
        if payload.len() > WORD_BYTES_MAX || !matches!(attribute, "$unit" | "$datatype") {
            return;
        }
        if let Some(property) = self.property(name, sink) {
            match attribute {
                "$unit" => property.unit = Some(super::units::spelled(payload).into()),
                _ => property.datatype = Some(payload.into()),
            }
        }
    }

    /// Version 5: everything about a device in one document.
    fn description(&mut self, device: &str, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let tree = from_json(payload).map_err(|why| (Reject::Malformed, format!("$description: {why}")))?;
        let members = |tree: Option<&Tree>| match tree {
            Some(Tree::Object(members)) => members.clone(),
            _ => Vec::new(),
        };
        for (node, about) in members(tree.get("nodes")) {
            for (property, about) in members(about.get("properties")) {
                let name = format!("{device}/{node}/{property}");
                for (key, attribute) in [("unit", "$unit"), ("datatype", "$datatype")] {
                    if let Some(Tree::Text(text)) = about.get(key) {
                        self.attribute(&name, attribute, text, sink);
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&self, name: &str, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let property = self.known.get(name);
        let datatype = property.and_then(|property| property.datatype.as_deref());
        let payload = payload.trim();
        let raw = match datatype {
            Some("integer" | "float" | "percent") => Raw::Bare { text: payload, strip_unit: false },
            Some("boolean") => match payload {
                "true" => Raw::Bool(true),
                "false" => Raw::Bool(false),
                other => return Err((Reject::NotANumber, format!("{name}: {} is no boolean", quote(other)))),
            },
            Some(_) => Raw::Text(payload),
            // Not told yet: as it looks.
            None => match payload {
                "true" => Raw::Bool(true),
                "false" => Raw::Bool(false),
                text if parse(text, false).is_some() => Raw::Bare { text, strip_unit: false },
                text => Raw::Text(text),
            },
        };
        let unit = property.and_then(|property| property.unit.clone());
        if matches!(raw, Raw::Bare { text, .. } if parse(text, false).is_none()) {
            return Err((Reject::NotANumber, format!("{name}: {} is no number", quote(payload))));
        }
        sink.item(Item { unit, ..Item::new(name, raw) });
        Ok(())
    }
}

impl Format for Homie {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let topic = sink.message.topic.unwrap_or_default();
        let levels: Vec<&str> = topic.split('/').skip(1).collect();
        // From version 5 on the version is a level of the topic.
        let levels = if levels.first() == Some(&"5") { &levels[1..] } else { &levels[..] };
        match levels {
            [device, "$state"] if self.online => {
                let state = Raw::Bool(payload.trim() == "ready");
                sink.item(Item::new(&format!("{device}/online"), state));
            }
            [device, "$description"] => self.description(device, payload, sink)?,
            [device, node, property, attribute] if attribute.starts_with('$') => {
                self.attribute(&format!("{device}/{node}/{property}"), attribute, payload, sink);
            }
            [device, node, property] if levels.iter().all(|level| !level.starts_with('$')) => {
                self.value(&format!("{device}/{node}/{property}"), payload, sink)?;
            }
            // Attributes, commands, targets, broadcasts.
            _ => sink.out.ignored += 1,
        }
        Ok(())
    }
}
