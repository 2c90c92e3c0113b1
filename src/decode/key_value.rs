//! `format = "key-value"`: `OK node=7 t=21.5C h=48%`.
//!
//! A pair is a key, the assign character and a value, with blanks allowed after the assign character
//! (`Temperature: 21.5`) where what follows looks like a number. Pieces without one are passed over.

use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::Raw;
use crate::counters::Reject;

/// The separators and the wanted keys.
#[derive(Debug)]
pub(super) struct KeyValue {
    separator: Option<char>,
    assign: Option<char>,
    strip_unit: bool,
    /// Whether `,` separates pairs by default; it cannot where it is the decimal point.
    comma_separates: bool,
    wants: Vec<(String, Vec<Slot>)>,
}

impl KeyValue {
    pub(super) fn new(
        separator: Option<char>,
        assign: Option<char>,
        strip_unit: bool,
        decimal_comma: bool,
        wants: &[Want],
    ) -> Self {
        Self { separator, assign, strip_unit, comma_separates: !decimal_comma, wants: super::by_name(wants) }
    }

    fn is_separator(&self, character: char) -> bool {
        match self.separator {
            Some(separator) => character == separator,
            None => character.is_whitespace() || character == ';' || (character == ',' && self.comma_separates),
        }
    }

    fn is_assign(&self, character: char) -> bool {
        match self.assign {
            Some(assign) => character == assign,
            None => matches!(character, '=' | ':'),
        }
    }
}

impl Format for KeyValue {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let assigns = |character| self.is_assign(character);
        let mut pieces = payload
            .split(|character| self.is_separator(character))
            .map(str::trim)
            .filter(|piece| !piece.is_empty())
            .peekable();
        let mut pairs = 0_usize;
        while let Some(piece) = pieces.next() {
            let (key, mut text) = match piece.split_once(assigns) {
                Some(pair) => pair,
                // "t = 21.5": the assign character stands alone behind its key.
                None => match pieces.next_if(|next| next.starts_with(assigns)) {
                    Some(next) => (piece, next.strip_prefix(assigns).unwrap_or_default()),
                    None => continue,
                },
            };
            text = text.trim();
            if text.is_empty() {
                text = pieces.next_if(|next| begins_number(next) && !next.contains(assigns)).unwrap_or_default();
            }
            pairs += 1;
            self.pair(key.trim(), text, sink);
        }
        if pairs == 0 {
            return Err((Reject::Malformed, "no key and value in it".to_owned()));
        }
        sink.end_record();
        Ok(())
    }
}

impl KeyValue {
    fn pair(&self, key: &str, text: &str, sink: &mut Sink<'_>) {
        let raw = Raw::Bare { text, strip_unit: self.strip_unit };
        match self.wants.iter().find(|(wanted, _)| wanted == key) {
            Some((_, slots)) => {
                for slot in slots {
                    sink.put(*slot, &raw);
                }
            }
            None if sink.takes_all() => sink.other(key, &raw),
            None => {}
        }
    }
}

fn begins_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'))
}
