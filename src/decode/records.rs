//! Formats whose payloads are turned into documents: a query string, line protocol, a pattern's groups, tagged bytes.
//!
//! Owns nothing of a format but the way from its records to [`Document`]: every record is one document, and the fields'
//! paths, names, units and times are found in it as in JSON. Texts that are plain decimal numbers become numbers, so that
//! everything is taken where nothing is configured; "007", "1e5" and "21,5" stay texts.

use super::document::Document;
use super::name::Refusal;
use super::sink::Sink;
use super::tree::Tree;
use super::{BinaryFormat, Format, bthome, influx, lpp, query};
use crate::config::model;
use crate::counters::Reject;

/// Most records of one payload. A batch of line protocol has some thousand lines at most; readings are bounded anyway.
const RECORDS_MAX: usize = 10_000;

/// How a payload that is text becomes documents.
#[derive(Debug)]
enum Text {
    Query,
    Influx,
    Pattern(regex_lite::Regex, Vec<Option<Box<str>>>),
}

/// The reader of a payload that is text.
#[derive(Debug)]
pub(super) struct TextRecords {
    kind: Text,
    document: Document,
    /// "1.234" may be a thousand and more: only the rules of a field know.
    decimal_comma: bool,
}

impl TextRecords {
    pub(super) fn query(decode: &model::Decode) -> Result<Self, String> {
        Self::new(Text::Query, decode)
    }

    pub(super) fn influx(decode: &model::Decode) -> Result<Self, String> {
        Self::new(Text::Influx, decode)
    }

    pub(super) fn pattern(pattern: &str, decode: &model::Decode) -> Result<Self, String> {
        let regex = regex_lite::Regex::new(pattern).map_err(|error| format!("`pattern`: {error}"))?;
        let names = regex.capture_names().map(|name| name.map(Box::from)).collect();
        Self::new(Text::Pattern(regex, names), decode)
    }

    fn new(kind: Text, decode: &model::Decode) -> Result<Self, String> {
        Ok(Self { kind, document: Document::new(decode)?, decimal_comma: decode.decimal_comma })
    }
}

impl Format for TextRecords {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let malformed = |why: String| (Reject::Malformed, why);
        match &self.kind {
            Text::Query => self.document.read(query::read(payload, self.decimal_comma).map_err(malformed)?, sink),
            Text::Influx => {
                let lines = payload.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                for line in lines.take(RECORDS_MAX) {
                    let read = influx::read(line).map_err(malformed);
                    if let Err((reject, what)) = read.and_then(|tree| self.document.read(tree, sink)) {
                        sink.refuse(reject, what);
                    }
                }
                Ok(())
            }
            Text::Pattern(regex, names) => {
                let mut any = false;
                for found in regex.captures_iter(payload).take(RECORDS_MAX) {
                    any = true;
                    let groups = names.iter().enumerate().filter_map(|(index, name)| {
                        // A group that took no part has no value, which is not the same as a field that is missing.
                        let value = found
                            .get(index)
                            .map_or(Tree::Null, |group| scalar(group.as_str().trim(), self.decimal_comma));
                        Some((name.clone()?, value))
                    });
                    if let Err((reject, what)) = self.document.read(Tree::Object(groups.collect()), sink) {
                        sink.refuse(reject, what);
                    }
                }
                match any {
                    true => Ok(()),
                    false => {
                        Err(malformed(format!("{} does not fit the `pattern`", super::value::quote(payload.trim()))))
                    }
                }
            }
        }
    }
}

/// How a payload that is bytes becomes a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bytes {
    CayenneLpp,
    BtHome,
    /// As `entries` declares them.
    Entries,
}

/// The reader of a payload that is bytes.
#[derive(Debug)]
pub(super) struct ByteRecords {
    kind: Bytes,
    document: Document,
}

impl ByteRecords {
    pub(super) fn new(kind: Bytes, decode: &model::Decode) -> Result<Self, String> {
        Ok(Self { kind, document: Document::new(decode)? })
    }
}

impl BinaryFormat for ByteRecords {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let tree = match self.kind {
            Bytes::CayenneLpp => lpp::read(payload),
            Bytes::BtHome => bthome::read(payload),
            Bytes::Entries => Ok(self.document.entries(payload, sink)),
        };
        self.document.read(tree.map_err(|why| (Reject::Malformed, why))?, sink)
    }
}

/// A piece of text as a document's value: a number where it is written as one in its shortest form, nothing where it is
/// empty, else the text. With `decimal_comma` only whole numbers are numbers here.
pub(super) fn scalar(text: &str, decimal_comma: bool) -> Tree {
    if text.is_empty() {
        return Tree::Null;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(is_digits);
    match (is_plain, fraction) {
        (true, None) => text.parse().map_or_else(|_| Tree::Text(text.into()), Tree::Integer),
        (true, Some(_)) if !decimal_comma => text.parse().map_or_else(|_| Tree::Text(text.into()), Tree::Real),
        _ => Tree::Text(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_in_their_shortest_form_become_numbers() {
        assert_eq!(scalar("21.5", false), Tree::Real(21.5));
        assert_eq!(scalar("-7", false), Tree::Integer(-7));
        assert_eq!(scalar("0", false), Tree::Integer(0));
        assert_eq!(scalar("0.50", false), Tree::Real(0.5));
        assert_eq!(scalar("", false), Tree::Null);
        assert_eq!(scalar("1.234", true), Tree::Text("1.234".into()));
        for text in ["007", "1e5", "21,5", ".5", "5.", "-", "+1", "1.2.3", "99999999999999999999", "0x10"] {
            assert_eq!(scalar(text, false), Tree::Text(text.into()), "{text}");
        }
    }
}
