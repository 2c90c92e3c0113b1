//! `format = "number"`: the whole payload is one value ("21.5", or "ON" with a map).

use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot};
use super::value::Raw;

/// The format has no settings of its own left at run time.
#[derive(Debug)]
pub(super) struct Number;

impl Format for Number {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        sink.put(Slot::Field(0), &Raw::Bare { text: payload.trim_ascii(), strip_unit: false });
        sink.end_record();
        Ok(())
    }
}
