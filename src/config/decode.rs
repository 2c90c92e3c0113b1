//! `decode`: from bytes to readings, and the entries of its `fields`.

use std::sync::Arc;
use std::time::Duration;

use super::general::{template_of, time_zone};
use super::keys::FIELD;
use super::model::{Decode, Field, Format, Template, TemplatePart, TsUnit};
use super::pattern;
use super::section::Section;
use super::suggest::nearest;
use super::template::{self, Place};
use super::text::{Text, number, text, wrong_type};
use super::tree::{Context, Data, Entry};
use super::value;

/// Quantities taken from one payload.
const FIELDS_MAX: usize = 512;
/// Columns of a line.
const COLUMNS_MAX: usize = 512;
/// Payload fields copied into every event; each costs space in the store.
const CARRY_MAX: usize = 32;
/// Sentinels and mapped states of one field.
const IGNORE_VALUES_MAX: usize = 32;
const MAP_MAX: usize = 256;
/// Longest path into a payload, unit, and quantity, bytes.
const PATH_BYTES_MAX: usize = 256;
const UNIT_BYTES_MAX: usize = 32;
const QUANTITY_BYTES_MAX: usize = 64;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Json,
    Number,
    KeyValue,
    Csv,
}

/// Reads `decode`. `topics`: the filters of an MQTT source, `None` for a port.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>, topics: Option<&[String]>) -> Option<Decode> {
    let forms = [("json", Form::Json), ("number", Form::Number), ("key-value", Form::KeyValue), ("csv", Form::Csv)];
    let form = section.choice(ctx, "format", &forms);
    match form.and_then(|form| forms.iter().find(|(_, other)| *other == form)) {
        Some((word, _)) => section.check_variant(ctx, word),
        None => section.require(ctx, "format"),
    }
    let form = form?;
    let device = place_template(ctx, section, "device", form, topics);
    let fields = fields(ctx, section, form);
    let ts_field = section.filled_text(ctx, "ts_field", PATH_BYTES_MAX);
    let carry = section.texts(ctx, "carry", CARRY_MAX).unwrap_or_default();
    let format = match form {
        Form::Json => Some(Format::Json),
        Form::Number => quantity(ctx, section, &fields, topics).map(|quantity| Format::Number { quantity }),
        Form::KeyValue => Some(key_value(ctx, section)),
        Form::Csv => csv(ctx, section, &fields, device.as_ref(), ts_field.as_ref(), &carry),
    };
    let units = [
        ("s", TsUnit::Seconds),
        ("ms", TsUnit::Millis),
        ("us", TsUnit::Micros),
        ("ns", TsUnit::Nanos),
        ("iso8601", TsUnit::Iso8601),
    ];
    let ts_unit = section.choice(ctx, "ts_unit", &units).unwrap_or(TsUnit::Iso8601);
    for name in ["ts_unit", "time_zone", "max_future_skew", "max_age"] {
        if let Some(entry) = section.entry(name)
            && section.lacks(ctx, "ts_field")
            && form != Form::Number
        {
            ctx.warning(entry.key, format!("`{name}` has no effect without `ts_field`"));
        }
    }
    let time_zone = time_zone(ctx, section);
    let max_future_skew = section.duration(ctx, "max_future_skew", Duration::ZERO..=3660 * DAY).unwrap_or(HOUR);
    let max_age = section.duration(ctx, "max_age", Duration::ZERO..=36_600 * DAY).unwrap_or(30 * DAY);
    let decimal_comma = section.boolean(ctx, "decimal_comma").unwrap_or(false);
    Some(Decode {
        format: format?,
        device: device?,
        fields: fields.into_iter().map(|(field, _)| field).collect(),
        ts_field: ts_field.map(|text| text.value),
        ts_unit,
        time_zone,
        max_future_skew,
        max_age,
        carry: carry.into_iter().map(|text| text.value.into()).collect(),
        decimal_comma,
    })
}

/// `device` or `quantity`: a template of a part of the sensor's name; empty when left out.
fn place_template(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    name: &'static str,
    form: Form,
    topics: Option<&[String]>,
) -> Option<Template> {
    let Some(text) = section.text(ctx, name) else {
        return (!section.has(name)).then(Template::default);
    };
    let template = template_of(ctx, &text, Place::Sensor { mqtt: topics.is_some() })?;
    for part in &template.0 {
        match part {
            TemplatePart::Payload(path) if form == Form::Number => {
                ctx.error(text.spot, format!("`{{payload.{path}}}`: with format = \"number\" a payload has no fields"));
            }
            TemplatePart::TopicLevel(level) | TemplatePart::TopicFrom(level) => {
                let reaches = |filter: &String| {
                    let filter = pattern::without_share(filter);
                    filter.ends_with('#') || filter.split('/').count() > *level
                };
                if topics.is_some_and(|topics| !topics.is_empty() && !topics.iter().any(reaches)) {
                    ctx.error(text.spot, format!("none of the `topics` has a level {level}"))
                        .help("levels are counted from 0: in a/b/c, {topic[0]} is a and {topic[2]} is c");
                }
            }
            _ => {}
        }
    }
    Some(template)
}

fn quantity(
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

fn key_value(ctx: &mut Context<'_>, section: &Section<'_>) -> Format {
    let separator = one_char(ctx, section, "separator");
    let assign = one_char(ctx, section, "assign");
    if separator.is_some() && separator == assign {
        ctx.error(section.spot("assign"), "`separator` and `assign` are the same character");
    }
    Format::KeyValue { separator, assign, strip_unit: section.boolean(ctx, "strip_unit").unwrap_or(true) }
}

fn csv(
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
            if columns.iter().all(|column| column.value != *path) {
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

/// `fields`: each with the text that its path comes from, for messages.
fn fields(ctx: &mut Context<'_>, section: &Section<'_>, form: Form) -> Vec<(Field, Text)> {
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
    let name = &entry.name;
    if name.is_empty()
        || name.len() > QUANTITY_BYTES_MAX
        || name.contains(['+', '#', '/'])
        || name.chars().any(char::is_control)
    {
        ctx.error(entry.key, "this cannot be the name of a quantity")
            .label(format!("1 to {QUANTITY_BYTES_MAX} bytes, without `/`, `+` and `#`"))
            .help("the place in the payload goes into `path`, the quantity is what you call it");
        return None;
    }
    let own_name = Text::of_key(entry);
    let mut field = Field {
        quantity: name.as_str().into(),
        path: name.clone(),
        unit: None,
        scale: 1.0,
        offset: 0.0,
        valid_range: None,
        ignore_values: vec![],
        map: vec![],
        text: false,
    };
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
    field.unit = section.text(ctx, "unit").and_then(|unit| unit_of(ctx, unit));
    field.scale = section.number(ctx, "scale").unwrap_or(1.0);
    if field.scale == 0.0 {
        ctx.error(section.spot("scale"), "`scale` is 0").label("every value would be the same");
    }
    field.offset = section.number(ctx, "offset").unwrap_or(0.0);
    field.valid_range = section.range(ctx, "valid_range");
    let ignored = section.list(ctx, "ignore_values", IGNORE_VALUES_MAX).unwrap_or_default();
    field.ignore_values = ignored.iter().filter_map(|item| number(ctx, item, "an entry of `ignore_values`")).collect();
    field.map = map(ctx, &section);
    field.text = section.boolean(ctx, "text").unwrap_or(false);
    Some((field, path.unwrap_or(own_name)))
}

fn unit_of(ctx: &mut Context<'_>, unit: Text) -> Option<Arc<str>> {
    if unit.value.len() > UNIT_BYTES_MAX || unit.value.chars().any(char::is_control) {
        ctx.error(unit.spot, "this is no unit").label(format!("at most {UNIT_BYTES_MAX} bytes, on one line"));
        return None;
    }
    (!unit.value.is_empty()).then(|| unit.value.into())
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
