//! The entries of `fields`.

use crate::reading::Unit;
use std::sync::Arc;

use super::{FIELDS_MAX, Form, IGNORE_VALUES_MAX, MAP_MAX, PATH_BYTES_MAX, QUANTITY_BYTES_MAX, UNIT_BYTES_MAX};
use crate::config::keys::{FIELD, UNIT_PATH};
use crate::config::model::{Field, Written};
use crate::config::section::Section;
use crate::config::template::{self, Place};
use crate::config::text::{Text, number, text, wrong_type};
use crate::config::tree::{Context, Data, Entry, Node};
use crate::config::value;

/// `fields`: each with the text that its path comes from, for messages.
pub fn fields(ctx: &mut Context<'_>, section: &Section<'_>, form: Form) -> Vec<(Field, Text)> {
    let Some(entry) = section.entry("fields") else {
        return Vec::new();
    };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`fields`", "a table")
            .help("write the quantities with their units: fields = { temperature = \"°C\", humidity = \"%\" }");
        return Vec::new();
    };
    if entries.len() > FIELDS_MAX {
        ctx.error(entry.value.spot, format!("`fields` holds {} entries", entries.len()))
            .label(format!("at most {FIELDS_MAX}"));
        return Vec::new();
    }
    entries.iter().filter_map(|entry| field(ctx, entry, form)).collect()
}

fn field(ctx: &mut Context<'_>, entry: &Entry, form: Form) -> Option<(Field, Text)> {
    quantity_name(ctx, entry, "the place in the payload goes into `path`, the quantity is what you call it")?;
    let name = &entry.name;
    if (form.has_paths() || form == Form::Number)
        && name.contains('{')
        && let Err((_, why)) = template::parse(name, Place::Quantity)
    {
        ctx.error(entry.key, why);
        return None;
    }
    let own_name = Text::of_key(entry);
    let mut field = Field::plain(name);
    let entries = match &entry.value.data {
        Data::Table(entries) => entries,
        Data::Text(_) => {
            let unit = text(ctx, &entry.value, &format!("the unit of `{name}`"))?;
            field.unit = unit_of(ctx, unit);
            return Some((field, own_name));
        }
        _ => {
            wrong_type(
                ctx,
                &entry.value,
                &format!("field `{name}`"),
                "a unit such as \"°C\", or a table such as { unit = \"°C\", scale = 0.1 }",
            );
            return None;
        }
    };
    let section = Section::new(ctx, &FIELD, entry.value.spot, &[entries]);
    if form == Form::Number
        && let Some(entry) = section.entry("path")
    {
        ctx.error(entry.key, "`path` has no meaning with format = \"number\"").label("the whole payload is the value");
    }
    let path = section.filled_text(ctx, "path", PATH_BYTES_MAX);
    if let Some(path) = &path {
        field.path.clone_from(&path.value);
    }
    if section.has("bytes") && !form.has_paths() {
        ctx.error(section.spot("bytes"), "only in a JSON or CBOR document a path leads to bytes")
            .help("with format = \"binary\" the place goes into `path`");
    }
    field.bytes = section.filled_text(ctx, "bytes", PATH_BYTES_MAX).map(|place| place.value);
    if let Some(Node { spot, data: Data::Table(entries) }) = section.entry("unit").map(|entry| &entry.value) {
        let unit = Section::new(ctx, &UNIT_PATH, *spot, &[entries]);
        unit.require(ctx, "path");
        field.unit_path = unit.filled_text(ctx, "path", PATH_BYTES_MAX).map(|path| path.value);
        if !form.has_paths() {
            ctx.error(*spot, "only with format = \"json\" or \"cbor\" a unit can be named by the payload's own field");
        }
    } else {
        field.unit = unit(ctx, &section);
    }
    rules(ctx, &section, &mut field);
    field.text = section.boolean(ctx, "text").unwrap_or(false);
    field.written = Written {
        hex: section.boolean(ctx, "hex").unwrap_or(false),
        bits: bits(ctx, &section),
        signed: section.boolean(ctx, "signed").unwrap_or(false),
    };
    if field.written.signed && section.lacks(ctx, "bits") {
        ctx.error(section.spot("signed"), "`signed` has no meaning without `bits`")
            .help("say how wide the number is: bits = \"0-15\" for 16 bits");
    }
    Some((field, path.unwrap_or(own_name)))
}

/// `bits`: a number, or a text `LOW-HIGH`.
fn bits(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<(u32, u32)> {
    let entry = section.entry("bits")?;
    let (low, high) = match &entry.value.data {
        Data::Integer(Some(bit)) => (u32::try_from(*bit).ok(), u32::try_from(*bit).ok()),
        Data::Text(_) => {
            let text = text(ctx, &entry.value, "`bits`")?.value;
            let (low, high) = text.split_once('-').unwrap_or((&text, &text));
            (low.trim().parse().ok(), high.trim().parse().ok())
        }
        _ => (None, None),
    };
    match (low, high) {
        (Some(low), Some(high)) if low <= high && high <= 63 => Some((low, high - low + 1)),
        _ => {
            ctx.error(entry.value.spot, "these are no bits")
                .label("expected a bit from 0 to 63, or a range such as \"4-7\"");
            None
        }
    }
}

/// Reports a key that cannot be the name of a quantity.
pub fn quantity_name(ctx: &mut Context<'_>, entry: &Entry, help: &str) -> Option<()> {
    let name = &entry.name;
    if name.is_empty()
        || name.len() > QUANTITY_BYTES_MAX
        || name.contains(['+', '#', '/'])
        || name.chars().any(char::is_control)
    {
        ctx.error(entry.key, "this cannot be the name of a quantity")
            .label(format!("1 to {QUANTITY_BYTES_MAX} bytes, without `/`, `+` and `#`"))
            .help(help);
        return None;
    }
    Some(())
}

/// `unit`, as a text.
pub fn unit(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Unit> {
    section.text(ctx, "unit").and_then(|unit| unit_of(ctx, unit))
}

/// What is done with a raw value, whatever it was found in.
pub fn rules(ctx: &mut Context<'_>, section: &Section<'_>, field: &mut Field) {
    field.scale = section.number(ctx, "scale").unwrap_or(1.0);
    if field.scale == 0.0 {
        ctx.error(section.spot("scale"), "`scale` is 0").label("every value would be the same");
    }
    field.offset = section.number(ctx, "offset").unwrap_or(0.0);
    field.valid_range = section.range(ctx, "valid_range");
    let ignored = section.list(ctx, "ignore_values", IGNORE_VALUES_MAX).unwrap_or_default();
    for item in ignored {
        match &item.data {
            Data::Text(_) => field
                .ignore_texts
                .extend(text(ctx, item, "an entry of `ignore_values`").map(|text| Arc::from(text.value.trim()))),
            _ => field.ignore_values.extend(number(ctx, item, "an entry of `ignore_values`")),
        }
    }
    field.map = map(ctx, section);
}

fn unit_of(ctx: &mut Context<'_>, unit: Text) -> Option<Unit> {
    if unit.value.len() > UNIT_BYTES_MAX || unit.value.chars().any(char::is_control) {
        ctx.error(unit.spot, "this is no unit").label(format!("at most {UNIT_BYTES_MAX} bytes, on one line"));
        return None;
    }
    (!unit.value.is_empty()).then(|| (&*unit.value).into())
}

fn map(ctx: &mut Context<'_>, section: &Section<'_>) -> Vec<(Arc<str>, crate::reading::Value)> {
    let Some(entry) = section.entry("map") else {
        return Vec::new();
    };
    match &entry.value.data {
        Data::Table(entries) if entries.is_empty() || entries.len() > MAP_MAX => {
            ctx.error(entry.value.spot, format!("`map` holds {} entries", entries.len()))
                .label(format!("1 to {MAP_MAX} are useful"));
            Vec::new()
        }
        Data::Table(entries) => entries
            .iter()
            .filter_map(|entry| {
                let value = value::read(ctx, &entry.value, &format!("the value of `{}`", entry.name))?;
                Some((entry.name.as_str().into(), value))
            })
            .collect(),
        _ => {
            wrong_type(ctx, &entry.value, "`map`", "a table such as { ON = true, OFF = false }");
            Vec::new()
        }
    }
}
