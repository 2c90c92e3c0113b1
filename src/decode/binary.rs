//! `format = "binary"`: one fixed layout, its values at declared places (see [`super::layout`]).

use super::BinaryFormat;
use super::layout::{Place, parse};
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use crate::counters::Reject;

/// What is wanted, and where it is.
#[derive(Debug)]
pub(super) struct Binary(Vec<(Place, Slot, String)>);

impl Binary {
    pub(super) fn new(wants: &[Want]) -> Result<Self, String> {
        if !wants.iter().any(|want| matches!(want.slot, Slot::Field(_))) {
            return Err("format \"binary\" needs `fields` with the places of the values".to_owned());
        }
        let place = |want: &Want| Ok((parse(&want.path)?, want.slot, want.path.clone()));
        Ok(Self(wants.iter().map(place).collect::<Result<_, String>>()?))
    }
}

impl BinaryFormat for Binary {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        for (place, slot, path) in &self.0 {
            match place.read(payload) {
                Some(raw) => sink.put(*slot, &raw),
                None => {
                    return Err((Reject::Malformed, format!("{} bytes, too few for `{path}`", payload.len())));
                }
            }
        }
        sink.end_record();
        Ok(())
    }
}
