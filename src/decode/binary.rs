//! `format = "binary"`: a fixed layout, its values at declared places (see [`super::layout`]).
//!
//! Owns where a message's records begin: one is the whole message, or each is so many bytes (`record_bytes`).

use super::BinaryFormat;
use super::layout::{Place, parse};
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use crate::config::model::Records;
use crate::counters::Reject;

/// What is wanted, and where it is.
#[derive(Debug)]
pub(super) struct Binary {
    wanted: Vec<(Place, Slot, String)>,
    /// How a message is divided; nothing: it is one record.
    records: Option<Records>,
}

impl Binary {
    pub(super) fn new(wants: &[Want], records: Option<Records>) -> Result<Self, String> {
        if !wants.iter().any(|want| matches!(want.slot, Slot::Field(_))) {
            return Err("format \"binary\" needs `fields` with the places of the values".to_owned());
        }
        let place = |want: &Want| Ok((parse(&want.path)?, want.slot, want.path.clone()));
        Ok(Self { wanted: wants.iter().map(place).collect::<Result<_, String>>()?, records })
    }

    fn record(&self, record: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        for (place, slot, path) in &self.wanted {
            match place.read(record) {
                Some(raw) => sink.put(*slot, &raw),
                None => {
                    return Err((Reject::Malformed, format!("{} bytes, too few for `{path}`", record.len())));
                }
            }
        }
        sink.end_record();
        Ok(())
    }
}

impl BinaryFormat for Binary {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let Some(Records { bytes, head_bytes }) = self.records else { return self.record(payload, sink) };
        let rest = payload.get(head_bytes..).unwrap_or_default();
        let records = rest.chunks_exact(bytes);
        let left_over = records.remainder().len();
        if rest.len() < bytes {
            return Err((Reject::Malformed, format!("{} bytes, too few for a record", payload.len())));
        }
        for record in records {
            self.record(record, sink)?;
        }
        match left_over {
            0 => Ok(()),
            _ => Err((Reject::Malformed, format!("{left_over} bytes at the end that are no whole record"))),
        }
    }
}
