//! A whole document in memory, bounded: what wildcards, siblings and expressions need.
//!
//! Owns the value type that JSON and CBOR are read into, and the bounds: values a document and nesting. Plain JSON
//! paths do without it (`json` walks the text once). What is nested deeper than [`DEPTH_MAX`] is read over and stands as
//! an empty object; a document of more than [`NODES_MAX`] values is refused.

mod cbor;
mod json;

pub(super) use cbor::read as from_cbor;
pub(super) use json::{fault as json_fault, read as from_json, strict as from_strict_json};

use super::value::Raw;

/// Most values of a document. At 32 bytes each that is 4 MiB, and a body of 200 kB that is all digits and commas fits.
const NODES_MAX: usize = 128 * 1024;

/// Deepest nesting that is kept; devices nest to six or so.
pub(super) const DEPTH_MAX: usize = 64;

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    /// Above `i64::MAX`.
    Unsigned(u64),
    /// May be NaN or infinite.
    Real(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    List(Vec<Tree>),
    /// In the document's order; of a key that is there twice the last one counts.
    Object(Vec<(Box<str>, Tree)>),
}

impl Tree {
    /// A member of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Tree> {
        match self {
            Self::Object(members) => members.iter().rev().find(|(name, _)| **name == *key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// An item of a list.
    pub(super) fn item(&self, index: usize) -> Option<&Tree> {
        match self {
            Self::List(items) => items.get(index),
            _ => None,
        }
    }

    /// The value as the rules of a field take it.
    pub(super) fn raw(&self) -> Raw<'_> {
        match self {
            Self::Null => Raw::Null,
            Self::Bool(state) => Raw::Bool(*state),
            Self::Integer(whole) => Raw::Integer(*whole),
            Self::Unsigned(whole) => Raw::Unsigned(*whole),
            Self::Real(number) => Raw::Number(*number),
            Self::Text(text) => Raw::Text(text),
            Self::Bytes(_) | Self::List(_) | Self::Object(_) => Raw::Composite,
        }
    }

    /// Whether it has parts, or none that a reading could be.
    pub(super) fn is_composite(&self) -> bool {
        matches!(self, Self::List(_) | Self::Object(_) | Self::Bytes(_))
    }

    /// The value as a part of a name; none where there is nothing to name with.
    pub(super) fn name(&self) -> Option<String> {
        Some(match self {
            Self::Bool(state) => state.to_string(),
            Self::Integer(whole) => whole.to_string(),
            Self::Unsigned(whole) => whole.to_string(),
            Self::Real(number) => number.to_string(),
            Self::Text(text) if !text.is_empty() => text.to_string(),
            _ => return None,
        })
    }

    /// The value as an attribute of an event.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(state) => (*state).into(),
            Self::Integer(whole) => (*whole).into(),
            Self::Unsigned(whole) => (*whole).into(),
            Self::Real(number) => (*number).into(),
            Self::Text(text) => (**text).into(),
            Self::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect::<Vec<_>>().into(),
            Self::Object(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect())
            }
        }
    }
}

/// Counts the values of a document.
#[derive(Debug)]
struct Budget(usize);

impl Budget {
    fn new() -> Self {
        Self(NODES_MAX)
    }

    /// Takes one; false when there are none left.
    fn take(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

/// What a document of too many values is refused with.
fn too_many() -> String {
    format!("more than {NODES_MAX} values in one message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_and_cbor_of_the_same_document_are_the_same_tree() {
        let json = r#"{"a":[1,-2,2.5,"x",null,true],"b":{"c":18446744073709551615}}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).unwrap();
        assert_eq!(from_cbor(&bytes).unwrap(), from_json(json).unwrap());
        assert_eq!(from_json(json).unwrap().to_json(), value);
    }

    #[test]
    fn what_is_nested_too_deeply_is_read_over_and_the_rest_stays() {
        let deep = format!("{{\"d\":{}1{},\"t\":21.5}}", "[".repeat(90_000), "]".repeat(90_000));
        assert_eq!(from_json(&deep).unwrap().get("t"), Some(&Tree::Real(21.5)));
        let mut bytes = vec![0xa2, 0x61, b'd'];
        bytes.extend(std::iter::repeat_n(0x81, 90_000));
        bytes.extend([0x01, 0x61, b't', 0x02]);
        assert_eq!(from_cbor(&bytes).unwrap().get("t"), Some(&Tree::Integer(2)));
    }

    #[test]
    fn a_document_of_too_many_values_is_refused() {
        let many = format!("[{}1]", "1,".repeat(NODES_MAX));
        assert!(from_json(&many).unwrap_err().contains("more than"));
        let mut bytes = vec![0x9f];
        bytes.extend(std::iter::repeat_n(0x01, NODES_MAX + 1));
        bytes.push(0xff);
        assert!(from_cbor(&bytes).unwrap_err().contains("more than"));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_a_tree_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_cbor(&bytes);
            let _ = from_json(&String::from_utf8_lossy(&bytes));
        }
    }
}
