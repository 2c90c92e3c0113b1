//! `format = "vedirect"`: the `KEY\tVALUE` lines of a Victron text block.
//!
//! Values are whole numbers in small units (mV, mA, 0.01 kWh), hexadecimal with `0x`, or words. Some devices send their
//! values in several blocks in turn, so a block without any wanted key is no fault.

use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::Raw;
use crate::counters::Reject;

/// What is wanted, by key.
#[derive(Debug)]
pub(super) struct VeDirect(Vec<(String, Vec<Slot>)>);

impl VeDirect {
    pub(super) fn new(wants: &[Want]) -> Self {
        Self(super::by_name(wants))
    }
}

impl Format for VeDirect {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let (mut pairs, mut fields) = (0_usize, 0_usize);
        for line in payload.lines() {
            let Some((key, text)) = line.split_once('\t') else { continue };
            pairs += 1;
            let raw = raw(text.trim());
            match self.0.iter().find(|(wanted, _)| wanted == key) {
                Some((_, slots)) => {
                    for slot in slots {
                        fields += usize::from(matches!(slot, Slot::Field(_)));
                        sink.put(*slot, &raw);
                    }
                }
                None if sink.takes_all() => {
                    fields += 1;
                    sink.other(key, &raw);
                }
                None => {}
            }
        }
        if pairs == 0 {
            return Err((Reject::Malformed, "no key and value in it".to_owned()));
        }
        if fields > 0 {
            sink.end_record();
        }
        Ok(())
    }
}

fn raw(text: &str) -> Raw<'_> {
    match text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(number) => Raw::Unsigned(number),
        None => Raw::Bare { text, strip_unit: false },
    }
}
