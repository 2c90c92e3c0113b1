//! The keys that belong to one format each.

use super::{COLUMNS_MAX, Form, place_template};
use crate::config::model::{Field, Format, Template, TemplatePart};
use crate::config::section::Section;
use crate::config::suggest::nearest;
use crate::config::template::{self, Place};
use crate::config::text::Text;
use crate::config::tree::Context;

pub fn quantity(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    fields: &[(Field, Text)],
    topics: Option<&[String]>,
) -> Option<Template> {
    if fields.len() > 1 {
        ctx.error(section.spot("fields"), "with format = \"number\" a payload is one value")
            .label(format!("{} entries here", fields.len()));
    }
    if let Some(entry) = section.entry("quantity")
        && !fields.is_empty()
    {
        let other = ctx.place(section.spot("fields"));
        ctx.error(entry.key, "`quantity` and `fields` both name the quantity")
            .note(other, "here, too")
            .help("remove one of them");
    }
    let template = place_template(ctx, section, "quantity", Form::Number, topics)?;
    match (template.0.is_empty(), section.has("quantity")) {
        (true, true) => {
            ctx.error(section.spot("quantity"), "`quantity` is empty").label("every sensor's name ends with one");
            None
        }
        (true, false) => template::parse("value", Place::Sensor { mqtt: false }).ok(),
        (false, _) => Some(template),
    }
}

pub fn key_value(ctx: &mut Context<'_>, section: &Section<'_>) -> Format {
    let separator = one_char(ctx, section, "separator");
    let assign = one_char(ctx, section, "assign");
    if separator.is_some() && separator == assign {
        ctx.error(section.spot("assign"), "`separator` and `assign` are the same character");
    }
    Format::KeyValue { separator, assign, strip_unit: section.boolean(ctx, "strip_unit").unwrap_or(true) }
}

pub fn csv(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    fields: &[(Field, Text)],
    device: Option<&Template>,
    ts_field: Option<&Text>,
    carry: &[Text],
) -> Option<Format> {
    let header = section.boolean(ctx, "header").unwrap_or(false);
    let columns = section.texts(ctx, "columns", COLUMNS_MAX);
    match (&columns, header) {
        (Some(columns), true) if !columns.is_empty() => {
            ctx.error(section.spot("columns"), "`columns` and `header = true` both name the columns")
                .help("remove one of them");
        }
        (None, false) if !section.has("columns") && !section.has("header") && !ctx.is_damaged(section.head) => {
            ctx.error(section.head, "format = \"csv\" needs the columns' names")
                .label("give `columns = [\"time\", \"temperature\"]`, or `header = true` if the first line names them");
        }
        (None, false) if section.lacks(ctx, "columns") && section.has("header") => {
            ctx.error(section.spot("header"), "without a header line the columns need names")
                .label("give `columns = [\"time\", \"temperature\"]`");
        }
        (Some(columns), false) if columns.is_empty() => {
            ctx.error(section.spot("columns"), "`columns` is empty").label("expected the columns' names, in order");
        }
        _ => {}
    }
    let columns = columns.unwrap_or_default();
    for (at, column) in columns.iter().enumerate() {
        // An empty name stands for a column nobody needs, and there may be several of those.
        if let Some(first) = columns[..at].iter().find(|other| other.value == column.value && !column.value.is_empty())
        {
            let first = ctx.place(first.spot);
            ctx.error(column.spot, "this column is there twice").note(first, "the first time");
        }
    }
    if !columns.is_empty() {
        let wanted = fields.iter().map(|(field, at)| (&field.path, at));
        let named = ts_field.into_iter().chain(carry).map(|text| (&text.value, text));
        for (path, at) in wanted.chain(named) {
            // A time in several columns: "date+time".
            let is_time = ts_field.is_some_and(|time| std::ptr::eq(&time.value, path));
            let is_column = |name: &str| columns.iter().any(|column| column.value == name);
            let is_joined = is_time && path.split('+').all(|part| is_column(part.trim()));
            if !is_column(path) && !is_joined {
                let near = nearest(path, columns.iter().map(|column| column.value.as_str()));
                let problem = ctx.error(at.spot, "there is no such column");
                problem.label(
                    near.map_or_else(|| "not in `columns`".to_owned(), |near| format!("did you mean \"{near}\"?")),
                );
            }
        }
    }
    for part in device.iter().flat_map(|device| &device.0) {
        if let TemplatePart::Payload(path) = part
            && !columns.is_empty()
            && columns.iter().all(|column| column.value != *path)
        {
            ctx.error(section.spot("device"), format!("there is no column `{path}`")).label("not in `columns`");
        }
    }
    let delimiter = one_char(ctx, section, "delimiter").map_or(Some(b','), |c| ascii(ctx, section, "delimiter", c));
    let comment = match one_char(ctx, section, "comment") {
        Some(c) => Some(ascii(ctx, section, "comment", c)?),
        None => None,
    };
    let delimiter = delimiter?;
    if matches!(delimiter, b'\n' | b'\r' | b'"') || comment == Some(delimiter) {
        ctx.error(section.spot("delimiter"), "this cannot stand between columns");
    }
    Some(Format::Csv { delimiter, columns: columns.into_iter().map(|text| text.value).collect(), header, comment })
}

fn one_char(ctx: &mut Context<'_>, section: &Section<'_>, name: &'static str) -> Option<char> {
    let text = section.text(ctx, name)?;
    let mut chars = text.value.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Some(only),
        _ => {
            ctx.error(text.spot, format!("`{name}` is not one character")).label(section.expected(name));
            None
        }
    }
}

fn ascii(ctx: &mut Context<'_>, section: &Section<'_>, name: &'static str, c: char) -> Option<u8> {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => Some(byte),
        _ => {
            ctx.error(section.spot(name), format!("`{name}` is no ASCII character"));
            None
        }
    }
}
