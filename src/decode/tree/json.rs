//! A JSON text as a [`Tree`].

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::super::carry::TextSeed;
use super::super::lenient;
use super::super::value::quote;
use super::{Budget, DEPTH_MAX, Tree, too_many};

/// Characters told of what is no JSON at all.
const BEGINNING_CHARS_MAX: usize = 20;

/// Reads a text that is one JSON value; with the slips of home-made firmwares, see [`lenient`].
pub(in crate::decode) fn read(text: &str) -> Result<Tree, String> {
    strict(text).or_else(|why| {
        let repaired = lenient::repaired(text).and_then(|repaired| strict(&repaired).ok());
        repaired.map(lenient::marked).ok_or(why)
    })
}

/// Reads a text that is one JSON value and nothing else.
pub(in crate::decode) fn strict(text: &str) -> Result<Tree, String> {
    let mut document = serde_json::Deserializer::from_str(text);
    let mut budget = Budget::new();
    let told = |error: serde_json::Error| fault(text, &error);
    let tree = TreeSeed { depth: 0, budget: &mut budget }.deserialize(&mut document).map_err(told)?;
    document.end().map_err(told)?;
    Ok(tree)
}

/// Why a text is no JSON, in words: most often it is none at all, or only a part of one.
pub(in crate::decode) fn fault(text: &str, error: &serde_json::Error) -> String {
    let text = text.trim();
    let begins = |first: char| matches!(first, '{' | '[' | '"' | '-') || first.is_ascii_digit();
    match error.classify() {
        Category::Syntax | Category::Eof if !text.is_empty() && !text.starts_with(begins) => {
            let word = text.split_whitespace().next().unwrap_or_default();
            let whole: String = word.chars().take(BEGINNING_CHARS_MAX).collect();
            format!("no JSON: it begins with {}", quote(&whole))
        }
        Category::Eof => format!("no JSON: cut off, it ends in the middle ({} bytes)", text.len()),
        Category::Syntax => format!("no JSON: {error}"),
        Category::Data | Category::Io => error.to_string(),
    }
}

struct TreeSeed<'b> {
    depth: usize,
    budget: &'b mut Budget,
}

impl TreeSeed<'_> {
    fn leaf<E: Error>(self, value: Tree) -> Result<Tree, E> {
        if self.budget.take() { Ok(value) } else { Err(E::custom(too_many())) }
    }

    fn inside(&mut self) -> TreeSeed<'_> {
        TreeSeed { depth: self.depth + 1, budget: self.budget }
    }
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        if self.depth > DEPTH_MAX {
            // Read over without recursion, so that any depth does no harm.
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            return self.leaf(Tree::Object(Vec::new()));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, state: bool) -> Result<Tree, E> {
        self.leaf(Tree::Bool(state))
    }

    fn visit_i64<E: Error>(self, whole: i64) -> Result<Tree, E> {
        self.leaf(Tree::Integer(whole))
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Tree, E> {
        self.leaf(i64::try_from(whole).map_or(Tree::Unsigned(whole), Tree::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        self.leaf(Tree::Real(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        self.leaf(Tree::Text(text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        self.leaf(Tree::Null)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Tree, A::Error> {
        let mut object: Vec<(Box<str>, Tree)> = Vec::new();
        while let Some(key) = members.next_key_seed(TextSeed)? {
            let value = members.next_value_seed(self.inside())?;
            object.push((key.into(), value));
        }
        self.leaf(Tree::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inside())? {
            list.push(item);
        }
        self.leaf(Tree::List(list))
    }
}
