//! `format = "senml"`: sensor measurement lists (RFC 8428), as JSON or CBOR, told apart by their first byte.
//!
//! Owns the resolution of a pack: base name, time, unit, value and sum stay in force for all later records; a time
//! below 2^28 is relative to arrival. A pack that a newer version made, or with a field that must be understood and is
//! not (its name ends in `_`), is refused whole, as the RFC asks.

use crate::reading::Unit;

use super::BinaryFormat;
use super::item::Item;
use super::name::Refusal;
use super::sink::Sink;
use super::text::text_bytes;
use super::time::Stamp;
use super::tree::{Tree, from_cbor, from_json};
use super::value::Raw;
use crate::counters::Reject;

/// The version that RFC 8428 describes.
const VERSION: f64 = 10.0;

/// Times below are seconds relative to now.
const ABSOLUTE_FROM_S: f64 = (1_u64 << 28) as f64;

/// The format has no settings.
#[derive(Debug)]
pub(super) struct Senml;

/// The values of a pack that stay in force.
#[derive(Default)]
struct Base {
    name: String,
    time: f64,
    unit: Option<Unit>,
    value: Option<f64>,
    sum: Option<f64>,
}

impl BinaryFormat for Senml {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let malformed = |why: String| (Reject::Malformed, why);
        let text = text_bytes(payload);
        let tree = match text.trim_ascii_start().first() {
            Some(b'[' | b'{') => {
                let text = std::str::from_utf8(text)
                    .map_err(|error| (Reject::NotUtf8, format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
                from_json(text).map_err(malformed)?
            }
            _ => from_cbor(payload).map_err(malformed)?,
        };
        let Tree::List(records) = &tree else {
            return Err(malformed("a SenML pack is a list of records".to_owned()));
        };
        for record in records {
            check(record).map_err(malformed)?;
        }
        let mut base = Base::default();
        let mut found = false;
        for record in records {
            found |= base.record(record, sink);
        }
        match found {
            true => Ok(()),
            false => Err((Reject::MissingField, "no record of the pack has a value".to_owned())),
        }
    }
}

/// A field by its name in JSON and its number in CBOR.
fn field<'t>(record: &'t Tree, name: &str, number: &str) -> Option<&'t Tree> {
    record.get(name).or_else(|| record.get(number))
}

fn number(value: Option<&Tree>) -> Option<f64> {
    match value? {
        Tree::Integer(whole) => Some(*whole as f64),
        Tree::Unsigned(whole) => Some(*whole as f64),
        Tree::Real(number) => Some(*number),
        _ => None,
    }
}

fn text(value: Option<&Tree>) -> Option<&str> {
    match value? {
        Tree::Text(text) => Some(text),
        _ => None,
    }
}

fn check(record: &Tree) -> Result<(), String> {
    let Tree::Object(members) = record else {
        return Err("a SenML record is an object".to_owned());
    };
    if let Some(version) = number(field(record, "bver", "-1"))
        && version > VERSION
    {
        return Err(format!("SenML version {version}, and {VERSION} is the newest known"));
    }
    match members.iter().find(|(name, _)| name.ends_with('_')) {
        Some((name, _)) => Err(format!("field `{name}` must be understood, and is not")),
        None => Ok(()),
    }
}

impl Base {
    /// Takes a record's base fields and makes a reading of its value; false where it has none.
    fn record(&mut self, record: &Tree, sink: &mut Sink<'_>) -> bool {
        if let Some(name) = text(field(record, "bn", "-2")) {
            name.clone_into(&mut self.name);
        }
        if let Some(time) = number(field(record, "bt", "-3")) {
            self.time = time;
        }
        if let Some(unit) = text(field(record, "bu", "-4")) {
            self.unit = Some(unit.into());
        }
        self.value = number(field(record, "bv", "-5")).or(self.value);
        self.sum = number(field(record, "bs", "-6")).or(self.sum);
        let name = format!("{}{}", self.name, text(field(record, "n", "0")).unwrap_or_default());
        let name = name.trim_matches('/');
        let own_unit = || text(field(record, "u", "1")).map(Unit::from);
        let stamp = self.stamp(number(field(record, "t", "6")), sink);
        let mut found = false;
        let mut put = |name: &str, raw: Raw<'_>, unit: Option<Unit>| {
            found = true;
            match name {
                "" => sink.refuse(Reject::MissingField, "a SenML record without a name".to_owned()),
                name => sink.item(Item { unit, stamp, ..Item::new(name, raw) }),
            }
        };
        let states = [("vb", "4"), ("vs", "3"), ("vd", "8")];
        if let Some(state) = states.iter().find_map(|(name, number)| field(record, name, number)) {
            put(name, state.raw(), own_unit());
        } else {
            let value = field(record, "v", "2");
            let unit = || own_unit().or_else(|| self.unit.clone());
            match (value, number(value), self.value) {
                (Some(value), _, None) => put(name, value.raw(), unit()),
                (Some(_), Some(value), Some(base)) => put(name, Raw::Number(base + value), unit()),
                (Some(value), None, _) => put(name, value.raw(), unit()),
                (None, ..) => {}
            }
            let sum = number(field(record, "s", "5"));
            if sum.is_some() {
                let sum = sum.unwrap_or_default() + self.sum.unwrap_or_default();
                put(&format!("{name}/sum"), Raw::Number(sum), None);
            }
        }
        found
    }

    /// The time of a record; none where it is now.
    fn stamp(&self, time: Option<f64>, sink: &Sink<'_>) -> Option<Stamp> {
        let seconds = self.time + time.unwrap_or_default();
        if seconds == 0.0 {
            return None;
        }
        let whole = seconds.floor();
        // An f64 of today's seconds resolves a quarter of a microsecond.
        let micros = ((seconds - whole) * 1e6).round();
        if !whole.is_finite() || whole.abs() > 9e9 {
            return Some(Stamp::Unreadable);
        }
        let nanos = whole as i64 * 1_000_000_000 + micros as i64 * 1_000;
        let from = if seconds < ABSOLUTE_FROM_S { sink.message.arrival.0 } else { 0 };
        Some(from.checked_add(nanos).map_or(Stamp::Unreadable, Stamp::At))
    }
}
