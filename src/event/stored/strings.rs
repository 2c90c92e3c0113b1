//! Texts, each written once and then referred to by number.

use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use super::items::{Reader, Writer};

/// Longest text of which a part is written as shared with the text before it, bytes: see `TextsRead`.
pub(super) const SHARED_BYTES_MAX: usize = 255;

/// Numbers texts in the order of first use.
#[derive(Default)]
pub(super) struct TextsWritten<'a> {
    numbers: HashMap<&'a str, u64>,
    last: &'a str,
}

impl<'a> TextsWritten<'a> {
    /// The number of a text that has one.
    pub(super) fn known(&self, text: &str) -> Option<u64> {
        self.numbers.get(text).copied()
    }

    /// The number of a text, which is written to `column` if it is new.
    pub(super) fn number(&mut self, text: &'a str, column: &mut Writer) -> u64 {
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            let (prefix, suffix) = shared(self.last, text);
            column.uint(prefix as u64);
            column.uint(suffix as u64);
            column.text(&text[prefix..text.len() - suffix]);
            self.last = text;
        }
        number
    }
}

/// How many bytes, whole characters, two texts have in common at the start and, beyond that, at the end.
fn shared(a: &str, b: &str) -> (usize, usize) {
    if a.len().max(b.len()) > SHARED_BYTES_MAX {
        return (0, 0);
    }
    let same = |(a, b): &(char, char)| a == b;
    let prefix = a.chars().zip(b.chars()).take_while(same).map(|(a, _)| a.len_utf8()).sum();
    let (rest_a, rest_b) = (&a[prefix..], &b[prefix..]);
    let suffix = rest_a.chars().rev().zip(rest_b.chars().rev()).take_while(same).map(|(a, _)| a.len_utf8()).sum();
    (prefix, suffix)
}

/// Texts in the order of first use.
#[derive(Default)]
pub(super) struct TextsRead(Vec<Arc<str>>);

impl TextsRead {
    /// The text that has `number`, read from `column` if it is the next new one.
    pub(super) fn get(&mut self, number: usize, column: &mut Reader<'_>) -> Result<Arc<str>, Error> {
        if number == self.0.len() {
            let text = self.read(column)?;
            self.0.push(text);
        }
        self.0.get(number).cloned().ok_or(Error::Damaged("a text that is not there"))
    }

    fn read(&self, column: &mut Reader<'_>) -> Result<Arc<str>, Error> {
        const WRONG: Error = Error::Damaged("a text shares what is not there");
        let (prefix, suffix) = (column.index()?, column.index()?);
        let middle = column.text()?;
        if prefix == 0 && suffix == 0 {
            return Ok(middle.into());
        }
        let last = self.0.last().ok_or(WRONG)?;
        // Sharing long texts would let few bytes ask for much memory.
        if last.len() > SHARED_BYTES_MAX || prefix > last.len() || suffix > last.len() - prefix {
            return Err(WRONG);
        }
        let start = last.get(..prefix).ok_or(WRONG)?;
        let end = last.get(last.len() - suffix..).ok_or(WRONG)?;
        Ok([start, middle, end].concat().into())
    }
}
