//! `format = "jq"`: JSON through an expression in the jq language, which yields the readings.
//!
//! Owns what an output means: an object with `value`, named by `sensor` or by `device` and `quantity`, with `unit` and
//! `ts` if it has them. The language is jq's without definitions, regular expressions, assignments and input: what is
//! left always ends, and steps and memory are bounded ([`eval::STEPS_MAX`]). `$topic` is the message's topic.

mod ast;
mod eval;
mod functions;
mod lex;
mod operators;
mod parse;
mod plain;
mod scope;
mod value;

use std::rc::Rc;

use self::ast::Ast;
use self::eval::{Run, Stop};
use self::value::Value;
use super::Format;
use super::item::Item;
use super::name::Refusal;
use super::sink::{READINGS_PER_MESSAGE_MAX, Sink};
use super::tree::{Tree, from_json};
use super::units;
use super::value::{Raw, parse as number};
use crate::counters::Reject;

/// An expression, ready to run.
#[derive(Debug)]
pub(super) struct Jq {
    program: Ast,
}

impl Jq {
    /// Reads an expression; the error says where it is wrong.
    pub(super) fn new(expression: &str) -> Result<Self, String> {
        Ok(Self { program: parse::parse(expression)? })
    }
}

impl Format for Jq {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let tree = from_json(payload).map_err(|why| (Reject::Malformed, why))?;
        let topic = Tree::Text(sink.message.topic.unwrap_or_default().into());
        let mut run = Run::new(sink.message.arrival);
        let mut outputs: Vec<Value<'_>> = Vec::new();
        let ended = run.program(&self.program, &tree, Rc::new(topic), &mut |output| {
            if outputs.len() > READINGS_PER_MESSAGE_MAX {
                return Err(Stop::Limit("too many outputs".to_owned()));
            }
            outputs.push(output);
            Ok(())
        });
        // What came before a mistake stands; the mistake is told.
        let found = !outputs.is_empty();
        for output in outputs {
            self::output(output.tree(), sink);
        }
        match ended {
            Ok(()) if found => Ok(()),
            Ok(()) => Err((Reject::MissingField, "the expression yields nothing for this message".to_owned())),
            Err(Stop::Error(why)) => Err((Reject::Malformed, format!("the expression: {}", why.text()))),
            Err(Stop::Limit(why)) => Err((Reject::TooManyReadings, format!("the expression: {why}"))),
            Err(Stop::Enough) => Ok(()),
        }
    }
}

/// Makes a reading of an output.
fn output(tree: &Tree, sink: &mut Sink<'_>) {
    let Tree::Object(_) = tree else {
        return sink.refuse(Reject::Malformed, "the expression yields something that is no object".to_owned());
    };
    let name = |key: &str| tree.get(key).and_then(Tree::name);
    let sensor = match (name("sensor").or_else(|| name("name")), name("device"), name("quantity")) {
        (Some(sensor), None, None) => sensor,
        (Some(sensor), None, Some(quantity)) => format!("{sensor}/{quantity}"),
        (None, Some(device), Some(quantity)) => format!("{device}/{quantity}"),
        (Some(sensor), Some(device), _) => format!("{device}/{sensor}"),
        (None, None, Some(quantity)) => quantity,
        (None, _, None) => {
            return sink
                .refuse(Reject::MissingField, "an output without `sensor`, or `device` and `quantity`".to_owned());
        }
    };
    let raw = match tree.get("value").map(Tree::raw) {
        None => return sink.refuse(Reject::MissingField, format!("{sensor}: an output without `value`")),
        // Devices write numbers as texts; one that looks like a number is one.
        Some(Raw::Text(text)) if number(text, sink.rules.decimal_comma).is_some() => {
            Raw::Bare { text, strip_unit: false }
        }
        Some(raw) => raw,
    };
    let unit = name("unit").filter(|unit| unit.len() <= 32).map(|unit| units::spelled(&unit).into());
    let stamp = tree.get("ts").or_else(|| tree.get("time")).and_then(|value| sink.rules.time.read(&value.raw()));
    sink.item(Item { unit, stamp, ..Item::new(&sensor, raw) });
}

#[cfg(test)]
mod tests;
