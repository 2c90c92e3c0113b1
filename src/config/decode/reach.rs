//! The keys that reach beyond plain fields: several values a path, units by name, packed texts, expressions.

use std::sync::Arc;

use super::{PATH_BYTES_MAX, UNIT_BYTES_MAX};
use crate::config::general::pattern_fault;
use crate::config::model::{ENTRY_TYPE_BYTES_MAX, Entries, EntryKind, EntrySize, Format, Packing, Reach, Records};
use crate::config::pattern;
use crate::config::section::Section;
use crate::config::suggest::one_of;
use crate::config::text::{text, wrong_type};
use crate::config::tree::{Context, Data, Entry};
use crate::config::value;

/// Filters of one `decode`.
const TOPICS_MAX: usize = 64;
/// Entries of `units`.
const UNITS_MAX: usize = 256;
/// Entries of `skip` and `unpack`.
const PATHS_MAX: usize = 64;
/// Entries of `when`.
const WHEN_MAX: usize = 16;
/// Types in `entries`; Milesight's whole family has some hundred.
const ENTRIES_MAX: usize = 256;
/// Largest fixed size of an entry's value, and bytes before the first entry.
const ENTRY_BYTES_MAX: usize = 1024;
const ENTRIES_AT_MAX: i64 = 1024;
/// Longest pattern, bytes.
const PATTERN_BYTES_MAX: usize = 1024;
/// Longest expression, bytes.
const EXPRESSION_BYTES_MAX: usize = 4 * 1024;

/// Reads the keys. `topics`: the filters of an MQTT source, `None` for a port.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>, topics: Option<&[String]>) -> Reach {
    Reach {
        topics: filters(ctx, section, topics),
        when: when(ctx, section),
        each: section.filled_text(ctx, "each", PATH_BYTES_MAX).map(|text| text.value),
        others: section.boolean(ctx, "others").unwrap_or(false),
        units: units(ctx, section),
        skip: section.texts(ctx, "skip", PATHS_MAX).unwrap_or_default().into_iter().map(|text| text.value).collect(),
        unpack: unpack(ctx, section),
        entries: entries(ctx, section),
        records: records(ctx, section),
        // Of key-value it is the format's own key.
        strip_unit: section.boolean(ctx, "strip_unit").unwrap_or(false),
        latin1: section.choice(ctx, "charset", &[("utf-8", false), ("latin-1", true)]).unwrap_or(false),
        online: section.boolean(ctx, "online").unwrap_or(false),
        no_rebirth: section.boolean(ctx, "rebirth") == Some(false),
        ts_format: section.filled_text(ctx, "ts_format", PATH_BYTES_MAX).map(|text| text.value),
    }
}

/// The expression of format = "jq"; its grammar is checked by the decoder.
pub fn expression(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Format> {
    let text = section.text(ctx, "expression")?;
    if text.value.trim().is_empty() || text.value.len() > EXPRESSION_BYTES_MAX {
        ctx.error(text.spot, format!("an expression has 1 to {EXPRESSION_BYTES_MAX} bytes"));
        return None;
    }
    Some(Format::Jq { expression: text.value })
}

/// The pattern of format = "pattern".
pub fn pattern(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Format> {
    let text = section.text(ctx, "pattern")?;
    if text.value.is_empty() || text.value.len() > PATTERN_BYTES_MAX {
        ctx.error(text.spot, format!("a pattern has 1 to {PATTERN_BYTES_MAX} bytes"));
        return None;
    }
    match regex_lite::Regex::new(&text.value) {
        Ok(regex) if regex.capture_names().any(|name| name.is_some()) => Some(Format::Pattern { pattern: text.value }),
        Ok(_) => {
            ctx.error(text.spot, "the pattern has no named group")
                .label("what is to be read stands in `(?<name>...)`")
                .help("pattern = 'T(?<temperature>[-+.0-9]+)H(?<humidity>[0-9]+)'");
            None
        }
        Err(error) => {
            ctx.error(text.spot, format!("this is no regular expression: {error}"))
                .help("write it in single quotes, where a backslash stands for itself");
            None
        }
    }
}

fn filters(ctx: &mut Context<'_>, section: &Section<'_>, topics: Option<&[String]>) -> Vec<String> {
    let Some(texts) = section.texts(ctx, "topics", TOPICS_MAX) else {
        return Vec::new();
    };
    if topics.is_none() {
        ctx.error(section.spot("topics"), "messages of a serial port have no topic");
        return Vec::new();
    }
    if texts.is_empty() && section.list(ctx, "topics", TOPICS_MAX).is_some_and(<[_]>::is_empty) {
        ctx.error(section.spot("topics"), "`topics` is empty").label("leave it out for all messages of the source");
    }
    let mut filters = Vec::new();
    for text in texts {
        match pattern::check(&text.value) {
            Ok(()) => filters.push(text.value),
            Err(fault) => pattern_fault(ctx, &text, fault, "MQTT filter"),
        }
    }
    filters
}

/// `when`: places and what must stand there, as texts.
fn when(ctx: &mut Context<'_>, section: &Section<'_>) -> Vec<(String, Vec<String>)> {
    let Some(entry) = section.entry("when") else {
        return Vec::new();
    };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`when`", "a table such as { model = \"WH65B\" } or { \"0:u8\" = 0x02 }");
        return Vec::new();
    };
    if entries.is_empty() || entries.len() > WHEN_MAX {
        ctx.error(entry.value.spot, format!("`when` holds {} entries", entries.len()))
            .label(format!("1 to {WHEN_MAX} are useful"));
    }
    let mut when = Vec::new();
    for entry in entries.iter().take(WHEN_MAX) {
        let items = match &entry.value.data {
            Data::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        let what = format!("what `{}` must be", entry.name);
        let values = items.iter().filter_map(|item| value::read(ctx, item, &what)).map(|value| value.to_string());
        when.push((entry.name.clone(), values.collect()));
    }
    when
}

fn units(ctx: &mut Context<'_>, section: &Section<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let Some(entry) = section.entry("units") else {
        return Vec::new();
    };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`units`", "a table such as { temperature = \"°C\", humidity = \"%\" }");
        return Vec::new();
    };
    if entries.len() > UNITS_MAX {
        ctx.error(entry.value.spot, format!("`units` holds {} entries", entries.len()))
            .label(format!("at most {UNITS_MAX}"));
        return Vec::new();
    }
    let mut units: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for entry in entries {
        let Some(unit) = text(ctx, &entry.value, &format!("the unit of `{}`", entry.name)) else { continue };
        if unit.value.is_empty() || unit.value.len() > UNIT_BYTES_MAX || unit.value.chars().any(char::is_control) {
            ctx.error(unit.spot, "this is no unit").label(format!("1 to {UNIT_BYTES_MAX} bytes, on one line"));
        } else {
            units.push((entry.name.as_str().into(), unit.value.into()));
        }
    }
    units
}

fn unpack(ctx: &mut Context<'_>, section: &Section<'_>) -> Vec<(String, Packing)> {
    let Some(entry) = section.entry("unpack") else {
        return Vec::new();
    };
    let words = [
        ("json", Packing::Json),
        ("base64", Packing::Base64),
        ("hex", Packing::Hex),
        ("base64-cbor", Packing::Cbor),
        ("base64-cayenne-lpp", Packing::Lpp { hex: false }),
        ("hex-cayenne-lpp", Packing::Lpp { hex: true }),
        ("base64-bthome", Packing::BtHome { hex: false }),
        ("hex-bthome", Packing::BtHome { hex: true }),
        ("base64-entries", Packing::Entries { hex: false }),
        ("hex-entries", Packing::Entries { hex: true }),
    ];
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`unpack`", "a table such as { data = \"base64\" }");
        return Vec::new();
    };
    if entries.len() > PATHS_MAX {
        ctx.error(entry.value.spot, format!("`unpack` holds {} entries", entries.len()))
            .label(format!("at most {PATHS_MAX}"));
        return Vec::new();
    }
    let mut unpack = Vec::new();
    for entry in entries {
        let Some(word) = text(ctx, &entry.value, &format!("the packing of `{}`", entry.name)) else { continue };
        let mut chars = word.value.chars();
        if let (Some(sign), None) = (chars.next(), chars.next()) {
            unpack.push((entry.name.clone(), Packing::List(sign)));
            continue;
        }
        match words.iter().find(|(known, _)| *known == word.value) {
            Some((_, Packing::Entries { .. })) if section.lacks(ctx, "entries") => {
                ctx.error(word.spot, "what entries there are is not declared")
                    .help("give their types and sizes: entries = { 0175 = 1, 0367 = 2 }");
            }
            Some((_, packing)) => unpack.push((entry.name.clone(), *packing)),
            None => {
                let known = words.map(|(word, _)| word);
                ctx.error(word.spot, "unknown packing")
                    .label(format!("expected {}, or the one character between values", one_of(&known, "\"")));
            }
        }
    }
    unpack
}

/// The key that says how bytes are divided, and how many bytes stand before that; the latter alone is a mistake.
fn divided<'t>(
    ctx: &mut Context<'_>,
    section: &Section<'t>,
    key: &'static str,
    at_key: &'static str,
) -> Option<(&'t Entry, usize)> {
    let head_bytes = section.integer(ctx, at_key, 0..=ENTRIES_AT_MAX).unwrap_or(0);
    let entry = section.entry(key);
    if let (None, Some(alone)) = (entry, section.entry(at_key)) {
        ctx.error(alone.key, format!("`{at_key}` has no meaning without `{key}`"));
    }
    entry.map(|entry| (entry, head_bytes))
}

/// `record_bytes` and `records_at`.
fn records(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Records> {
    let (entry, head_bytes) = divided(ctx, section, "record_bytes", "records_at")?;
    if section.has("entries") {
        let other = ctx.place(section.spot("entries"));
        ctx.error(entry.key, "`record_bytes` and `entries` both say how the bytes are divided")
            .note(other, "here, too")
            .help("remove one of them");
    }
    let bytes = section.integer(ctx, "record_bytes", 1..=ENTRIES_AT_MAX)?;
    Some(Records { bytes, head_bytes })
}

/// `entries` and `entries_at`: types of entries, and how long their values are.
fn entries(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Entries> {
    let (entry, head_bytes) = divided(ctx, section, "entries", "entries_at")?;
    let Data::Table(items) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`entries`", "a table such as { 0175 = 1, 0367 = 2 }");
        return None;
    };
    if items.is_empty() || items.len() > ENTRIES_MAX {
        ctx.error(entry.value.spot, format!("`entries` holds {} entries", items.len()))
            .label(format!("1 to {ENTRIES_MAX} are useful"));
        return None;
    }
    let words = [
        ("rest", EntrySize::Rest),
        ("u8", EntrySize::Counted { bytes: 1, big: true }),
        ("u16be", EntrySize::Counted { bytes: 2, big: true }),
        ("u16le", EntrySize::Counted { bytes: 2, big: false }),
    ];
    let mut kinds: Vec<EntryKind> = Vec::new();
    for item in items {
        let word = match &item.value.data {
            Data::Integer(Some(count)) => {
                usize::try_from(*count).ok().filter(|count| *count <= ENTRY_BYTES_MAX).map(EntrySize::Bytes)
            }
            Data::Text(_) => {
                let text = text(ctx, &item.value, &format!("the size of `{}`", item.name))?;
                words.iter().find(|(word, _)| *word == text.value).map(|(_, size)| *size)
            }
            _ => None,
        };
        let Some(size) = word else {
            ctx.error(item.value.spot, format!("this is no size of `{}`", item.name)).label(format!(
                "expected the bytes of its value, 0 to {ENTRY_BYTES_MAX}, or \"rest\", \"u8\", \"u16be\" or \"u16le\""
            ));
            continue;
        };
        match EntryKind::new(&item.name, size) {
            Some(kind) if kinds.iter().any(|known| known.digits == kind.digits) => {
                ctx.error(item.key, "this type is there twice");
            }
            Some(kind) => kinds.push(kind),
            None => {
                ctx.error(item.key, "this is no type of an entry").label(format!(
                    "expected 1 to {ENTRY_TYPE_BYTES_MAX} bytes in hexadecimal digits, as in 0367, with `?` for any digit"
                ));
            }
        }
    }
    (!kinds.is_empty()).then(|| Entries::new(kinds, head_bytes))
}
