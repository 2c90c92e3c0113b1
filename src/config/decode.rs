//! `decode`: from bytes to readings, and the entries of its `fields`.

mod devices;
mod field;
mod forms;
mod reach;

pub use field::{quantity_name, rules, unit};

use std::time::Duration;

use super::general::{template_of, time_zone};
use super::model::{Decode, Format, Template, TemplatePart, TsUnit};
use super::pattern;
use super::section::Section;
use super::template::Place;
use super::tree::Context;

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
    Cbor,
    Query,
    Influx,
    Pattern,
    CayenneLpp,
    BtHome,
    Sml,
    Senml,
    SparkplugB,
    Homie,
    Jq,
    Skip,
    Number,
    KeyValue,
    Csv,
    Binary,
    /// Binary with `entries`.
    Entries,
    Nmea,
    P1,
    VeDirect,
    Scale,
}

impl Form {
    /// Whether values are found by the paths of a document.
    fn has_paths(self) -> bool {
        matches!(
            self,
            Self::Json
                | Self::Cbor
                | Self::Query
                | Self::Influx
                | Self::Pattern
                | Self::CayenneLpp
                | Self::BtHome
                | Self::Entries
        )
    }

    /// Whether the payload names its sensors itself.
    fn names_itself(self) -> bool {
        matches!(self, Self::Senml | Self::SparkplugB | Self::Homie | Self::Jq | Self::Skip)
    }
}

/// Reads `decode`. `topics`: the filters of an MQTT source, `None` for a port.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>, topics: Option<&[String]>) -> Option<Decode> {
    let forms = [
        ("json", Form::Json),
        ("number", Form::Number),
        ("key-value", Form::KeyValue),
        ("csv", Form::Csv),
        ("binary", Form::Binary),
        ("nmea", Form::Nmea),
        ("p1", Form::P1),
        ("vedirect", Form::VeDirect),
        ("scale", Form::Scale),
        ("cbor", Form::Cbor),
        ("query", Form::Query),
        ("influx", Form::Influx),
        ("pattern", Form::Pattern),
        ("cayenne-lpp", Form::CayenneLpp),
        ("bthome", Form::BtHome),
        ("sml", Form::Sml),
        ("senml", Form::Senml),
        ("sparkplug-b", Form::SparkplugB),
        ("homie", Form::Homie),
        ("jq", Form::Jq),
        ("skip", Form::Skip),
    ];
    let form = section.choice(ctx, "format", &forms);
    match form.and_then(|form| forms.iter().find(|(_, other)| *other == form)) {
        Some((word, _)) => section.check_variant(ctx, word),
        None => section.require(ctx, "format"),
    }
    let mut form = form?;
    if form == Form::Binary && section.has("entries") {
        form = Form::Entries;
    }
    let device = place_template(ctx, section, "device", form, topics);
    let fields = field::fields(ctx, section, form);
    let ts_field = section.filled_text(ctx, "ts_field", PATH_BYTES_MAX);
    let carry = section.texts(ctx, "carry", CARRY_MAX).unwrap_or_default();
    let format = match form {
        Form::Json => Some(Format::Json),
        Form::Cbor => Some(Format::Cbor),
        Form::Query => Some(Format::Query),
        Form::Influx => Some(Format::Influx),
        Form::Pattern => reach::pattern(ctx, section),
        Form::CayenneLpp => Some(Format::CayenneLpp),
        Form::BtHome => Some(Format::BtHome),
        Form::Sml => Some(Format::Sml),
        Form::Senml => Some(Format::Senml),
        Form::SparkplugB => Some(Format::SparkplugB),
        Form::Homie => Some(Format::Homie),
        Form::Jq => reach::expression(ctx, section),
        Form::Skip => Some(Format::Skip),
        Form::Number => forms::quantity(ctx, section, &fields, topics).map(|quantity| Format::Number { quantity }),
        Form::KeyValue => Some(forms::key_value(ctx, section)),
        Form::Csv => forms::csv(ctx, section, &fields, device.as_ref(), ts_field.as_ref(), &carry),
        Form::Binary | Form::Entries => Some(Format::Binary),
        Form::Nmea => Some(devices::nmea(ctx, section)),
        Form::P1 => Some(Format::P1),
        Form::VeDirect => Some(Format::VeDirect),
        Form::Scale => Some(devices::scale(ctx, section)),
    };
    let units = [
        ("s", TsUnit::Seconds),
        ("ms", TsUnit::Millis),
        ("us", TsUnit::Micros),
        ("ns", TsUnit::Nanos),
        ("iso8601", TsUnit::Iso8601),
        ("auto", TsUnit::Auto),
    ];
    let usual = if form == Form::Influx { TsUnit::Nanos } else { TsUnit::Iso8601 };
    let ts_unit = section.choice(ctx, "ts_unit", &units).unwrap_or(usual);
    for name in ["ts_unit", "ts_format", "time_zone", "max_future_skew", "max_age"] {
        if let Some(entry) = section.entry(name)
            && section.lacks(ctx, "ts_field")
            && !matches!(form, Form::Number | Form::P1 | Form::Influx)
            && !form.names_itself()
        {
            ctx.warning(entry.key, format!("`{name}` has no effect without `ts_field`"));
        }
    }
    let time_zone = match form {
        Form::P1 if !section.has("time_zone") => devices::P1_TIME_ZONE.to_owned(),
        _ => time_zone(ctx, section),
    };
    let max_future_skew = section.duration(ctx, "max_future_skew", Duration::ZERO..=3660 * DAY).unwrap_or(HOUR);
    let max_age = section.duration(ctx, "max_age", Duration::ZERO..=36_600 * DAY).unwrap_or(30 * DAY);
    let decimal_comma = section.boolean(ctx, "decimal_comma").unwrap_or(false);
    Some(Decode {
        format: format?,
        device: device?,
        fields: fields.into_iter().map(|(field, _)| field).collect(),
        ts_field: ts_field.map(|text| text.value).or_else(|| (form == Form::Influx).then(|| "time".to_owned())),
        ts_unit,
        time_zone,
        max_future_skew,
        max_age,
        carry: carry.into_iter().map(|text| text.value.into()).collect(),
        decimal_comma,
        reach: reach::read(ctx, section, topics),
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
            TemplatePart::Payload(path) if form.names_itself() => {
                ctx.error(
                    text.spot,
                    format!("`{{payload.{path}}}`: in this format the payload names its sensors itself"),
                );
            }
            TemplatePart::Match(index) if !form.has_paths() => {
                ctx.error(
                    text.spot,
                    format!("`{{match[{index}]}}`: only paths of format = \"json\", \"cbor\" and others that are read as documents have wildcards"),
                );
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
