//! Building a carried JSON value within its bound.
//!
//! Owns the walk that stops building once the bound is reached and reads the rest over, so that a large member that
//! somebody asked to carry costs no more memory than a small one.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::sink::CARRIED_NODE_BYTES;

/// How much a value counts for.
pub(super) fn size(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    CARRIED_NODE_BYTES
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(members) => members.iter().map(|(key, member)| key.len() + size(member)).sum(),
            _ => 0,
        }
}

/// Reads a key as text, borrowed where it has no escapes.
pub(super) struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Builds a value as long as the budget lasts; `None` once it is used up, with the rest read over.
pub(super) struct BudgetSeed<'b> {
    pub(super) budget: &'b mut usize,
}

impl BudgetSeed<'_> {
    fn spend(&mut self, bytes: usize) -> bool {
        let enough = *self.budget >= bytes;
        *self.budget = self.budget.saturating_sub(bytes);
        enough
    }

    fn leaf<E>(mut self, value: serde_json::Value) -> Result<Option<serde_json::Value>, E> {
        Ok(self.spend(CARRIED_NODE_BYTES).then_some(value))
    }
}

impl<'de> DeserializeSeed<'de> for BudgetSeed<'_> {
    type Value = Option<serde_json::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BudgetSeed<'_> {
    type Value = Option<serde_json::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, state: bool) -> Result<Self::Value, E> {
        self.leaf(state.into())
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Self::Value, E> {
        self.leaf(whole.into())
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Self::Value, E> {
        self.leaf(whole.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        self.leaf(number.into())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Self::Value, E> {
        Ok(self.spend(CARRIED_NODE_BYTES + text.len()).then(|| text.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        self.leaf(serde_json::Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = serde_json::Map::new();
        let mut whole = self.spend(CARRIED_NODE_BYTES);
        while whole && let Some(key) = members.next_key_seed(TextSeed)? {
            whole = self.spend(key.len());
            match members.next_value_seed(BudgetSeed { budget: &mut *self.budget })? {
                Some(value) if whole => {
                    object.insert(key.into_owned(), value);
                }
                _ => whole = false,
            }
        }
        if !whole {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        }
        Ok(whole.then_some(serde_json::Value::Object(object)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        let mut whole = self.spend(CARRIED_NODE_BYTES);
        while whole && let Some(item) = items.next_element_seed(BudgetSeed { budget: &mut *self.budget })? {
            match item {
                Some(item) => list.push(item),
                None => whole = false,
            }
        }
        if !whole {
            while items.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(whole.then_some(serde_json::Value::Array(list)))
    }
}
