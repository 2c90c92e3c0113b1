//! `format = "number"`: the whole payload is one value ("21.5", or "ON" with a map).

use super::Format;
use super::item::Item;
use super::name::{Refusal, expand};
use super::sink::{Sink, Slot};
use super::value::Raw;
use crate::config::model::Template;

/// What is left of the settings at run time.
#[derive(Debug)]
pub(super) struct Number {
    /// The quantity, where the key of the one field follows the topic.
    pub(super) quantity: Option<Template>,
}

impl Format for Number {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let raw = Raw::Bare { text: payload.trim(), strip_unit: sink.rules.strip_unit };
        match &self.quantity {
            None => {
                sink.put(Slot::Field(0), &raw);
                sink.end_record();
            }
            Some(template) => {
                let mut name = String::new();
                expand(template, sink.message.topic, &[], &mut name)?;
                sink.item(Item { rule: Some(0), ..Item::new(&name, raw) });
            }
        }
        Ok(())
    }
}
