//! `format = "key-value"`: `OK node=7 t=21.5C h=48%`.
//!
//! A pair is a key, the assign character and a value, with blanks allowed after the assign character
//! (`Temperature: 21.5`) where what follows looks like a number. Pieces without one are passed over. Where nobody said
//! that `,` separates, a number with a comma and digits right behind it (`t=61,5`) may be 61.5: that pair is refused.

use super::Format;
use super::name::Refusal;
use super::present::Present;
use super::sink::{Sink, Slot, Want};
use super::value::{Raw, parse, quote};
use crate::counters::Reject;

/// Longest key told in a refusal, characters.
const KEY_CHARS_MAX: usize = 40;

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
        let mut pieces = self.pieces(payload).peekable();
        let mut pairs = 0_usize;
        while let Some(Piece { text: piece, .. }) = pieces.next() {
            let (key, mut text) = match piece.split_once(assigns) {
                Some(pair) => pair,
                // "t = 21.5": the assign character stands alone behind its key.
                None => match pieces.next_if(|next| next.text.starts_with(assigns)) {
                    Some(next) => (piece, next.text.strip_prefix(assigns).unwrap_or_default()),
                    None => continue,
                },
            };
            text = text.trim();
            if text.is_empty() {
                let value = pieces.next_if(|next| begins_number(next.text) && !next.text.contains(assigns));
                text = value.map_or("", |value| value.text);
            }
            pairs += 1;
            let fraction = pieces.next_if(|next| next.is_fraction && parse(text, false).is_some());
            match fraction {
                None => self.pair(key.trim(), text, sink),
                Some(fraction) => self.doubtful(key.trim(), text, fraction.text, sink),
            }
        }
        if pairs == 0 {
            return Err((Reject::Malformed, "no key and value in it".to_owned()));
        }
        sink.end_record_of(|| {
            let texts = self.pieces(payload).map(|piece| piece.text);
            Present::of_names(texts.filter_map(|text| text.split_once(assigns)).map(|(key, _)| key.trim()))
        });
        Ok(())
    }
}

/// What stands between two separators.
struct Piece<'p> {
    text: &'p str,
    /// A comma alone parts it from a digit before it, and it is digits and perhaps a unit: it may be the decimals of
    /// what stands before it.
    is_fraction: bool,
}

impl KeyValue {
    /// The pieces that are not empty.
    fn pieces<'p>(&self, payload: &'p str) -> impl Iterator<Item = Piece<'p>> {
        let mut is_behind_number = false;
        let pieces = payload.split_inclusive(|character| self.is_separator(character)).map(move |whole| {
            let text = whole.trim_end_matches(|character| self.is_separator(character)).trim();
            let is_fraction = is_behind_number && self.is_decimals(whole, text);
            let before = whole.strip_suffix(',').unwrap_or_default();
            is_behind_number = self.separator.is_none() && before.ends_with(|last: char| last.is_ascii_digit());
            Piece { text, is_fraction }
        });
        pieces.filter(|piece| !piece.text.is_empty())
    }

    fn is_decimals(&self, whole: &str, text: &str) -> bool {
        let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
        whole.starts_with(|first: char| first.is_ascii_digit())
            && !unit.contains(|character: char| character.is_ascii_digit() || self.is_assign(character))
    }

    /// A number whose decimals may stand behind the comma: what is measured is refused, a name is still a name.
    fn doubtful(&self, key: &str, text: &str, fraction: &str, sink: &mut Sink<'_>) {
        let found = self.wants.iter().find(|(wanted, _)| wanted == key);
        let is_measured = match found {
            Some((_, slots)) => sink.take_back(slots),
            None => sink.takes_all() && sink.take_back_other(key),
        };
        if is_measured {
            let number = quote(&format!("{text},{fraction}"));
            let what = "looks like a decimal comma; set decimal_comma = true, or separator = \",\"";
            let key: String = key.chars().take(KEY_CHARS_MAX).collect();
            sink.refuse(Reject::NotANumber, format!("{key}: {number} {what}"));
        }
        for slot in found.iter().flat_map(|(_, slots)| slots).filter(|slot| !matches!(slot, Slot::Field(_))) {
            sink.put(*slot, &Raw::Bare { text, strip_unit: self.strip_unit });
        }
    }

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
