//! `decode`, its formats and fields, and templates of names.

use std::sync::Arc;
use std::time::Duration;

use super::Reach;
use crate::reading::{Unit, Value};

/// `decode`: from bytes to readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Decode {
    /// `format` and the keys that belong to it.
    pub format: Format,
    /// `device`: template of the sensor name's middle. `{topic}`, `{topic[N]}` and `{topic[N..]}` are the MQTT topic's
    /// levels; `{payload.PATH}` a field of the payload. Empty: the name is `source/quantity`.
    pub device: Template,
    /// `fields`; empty means every top-level number and boolean (JSON), every number (key-value).
    pub fields: Vec<Field>,
    /// `ts_field`: path (JSON), key or column of the payload's own time.
    pub ts_field: Option<String>,
    /// `ts_unit`. Default iso8601.
    pub ts_unit: TsUnit,
    /// `time_zone`: of an iso8601 time without an offset. Default "UTC".
    pub time_zone: String,
    /// `max_future_skew`: a payload time further ahead of arrival is doubtful. Default 1 h.
    pub max_future_skew: Duration,
    /// `max_age`: a payload time older than this is doubtful. Default 30 d.
    pub max_age: Duration,
    /// `carry`: payload fields copied into the event's data as attributes, in this order.
    pub carry: Vec<Arc<str>>,
    /// `decimal_comma`: "21,5" is 21.5 and "1.234,5" is 1234.5. Default false; never guessed.
    pub decimal_comma: bool,
    /// The keys that reach beyond plain fields; all empty by default.
    pub reach: Reach,
}

/// `format`
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// `"json"`
    Json,
    /// `"cbor"`: as JSON.
    Cbor,
    /// `"senml"`: RFC 8428, JSON or CBOR.
    Senml,
    /// `"sparkplug-b"`
    SparkplugB,
    /// `"homie"`: versions 3 to 5.
    Homie,
    /// `"jq"`: JSON through an expression.
    Jq {
        /// `expression`
        expression: String,
    },
    /// `"query"`: `tempf=70.1&humidity=45`.
    Query,
    /// `"influx"`: line protocol.
    Influx,
    /// `"pattern"`: text by a regular expression with named groups.
    Pattern {
        /// `pattern`
        pattern: String,
    },
    /// `"cayenne-lpp"`: the Cayenne Low Power Payload.
    CayenneLpp,
    /// `"bthome"`: BTHome version 2.
    BtHome,
    /// `"sml"`: the Smart Message Language of electricity meters.
    Sml,
    /// `"skip"`: messages that are no readings.
    Skip,
    /// `"number"`: the whole payload is one value. Quantity from the single `fields` entry, or `quantity`
    /// (a template, default "value").
    Number {
        /// `quantity`
        quantity: Template,
    },
    /// `"key-value"`: `t=21.5 h=48%`.
    KeyValue {
        /// `separator` between pairs; default any blanks, `,` or `;`.
        separator: Option<char>,
        /// `assign` between key and value; default `=` or `:`.
        assign: Option<char>,
        /// `strip_unit`: a unit glued to the number is cut off and kept. Default true.
        strip_unit: bool,
    },
    /// `"csv"`
    Csv {
        /// `delimiter`. Default `,`.
        delimiter: u8,
        /// `columns`: their names, in order; empty with `header = true`.
        columns: Vec<String>,
        /// `header`: the first line names the columns.
        header: bool,
        /// `comment`: lines that begin with it are passed over.
        comment: Option<u8>,
    },
    /// `"binary"`: one fixed layout; the fields' paths are places.
    Binary,
    /// `"nmea"`: NMEA 0183.
    Nmea {
        /// `checksum = "optional"`: take sentences without one.
        unchecked: bool,
    },
    /// `"p1"`: a smart meter's telegram.
    P1,
    /// `"vedirect"`: a Victron text block.
    VeDirect,
    /// `"scale"`: what balances and scales print.
    Scale {
        /// `unstable = "keep"`: take weights that are not stable yet.
        keep_unstable: bool,
    },
}

/// A text with places to fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Stands for itself.
    Text(Arc<str>),
    /// `{topic}`: the whole topic.
    Topic,
    /// `{topic[N]}`: level N, from 0.
    TopicLevel(usize),
    /// `{topic[N..]}`: all levels from N on.
    TopicFrom(usize),
    /// `{payload.PATH}`
    Payload(String),
    /// `{match[N]}`: what the N-th wildcard of the field's path stands for, from 0.
    Match(usize),
    /// `{gateway}`, `{severity}`, `{sensor}`, `{type}`, `{alarm}`: in upstream topics only.
    Event(EventPart),
}

/// What an upstream topic can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum EventPart {
    Gateway,
    Severity,
    Sensor,
    Type,
    Alarm,
}

/// One quantity to take from a payload. Short form `temperature = "°C"` is path = quantity = `temperature`.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The table's key: last part of the sensor's name.
    pub quantity: Arc<str>,
    /// `path`: `ENERGY.Power`, `channels[0].value`; for key-value the key, for CSV the column. Default the quantity.
    pub path: String,
    /// `bytes`: where the value is in the bytes that the path leads to, as in [`Format::Binary`].
    pub bytes: Option<String>,
    /// `unit`
    pub unit: Option<Unit>,
    /// `unit = { path = ".." }`: where the payload names it.
    pub unit_path: Option<String>,
    /// `scale`: value = raw * scale + offset. Default 1.
    pub scale: f64,
    /// `offset`. Default 0.
    pub offset: f64,
    /// `valid_range = [low, high]`, inclusive, after scaling; outside is refused and counted.
    pub valid_range: Option<(f64, f64)>,
    /// `ignore_values`: raw sentinels that mean "no value".
    pub ignore_values: Vec<f64>,
    /// The texts among `ignore_values`.
    pub ignore_texts: Vec<Arc<str>>,
    /// How its raw number is written.
    pub written: Written,
    /// `map = { ON = 1, open = true }`: raw text (or `true`/`false`) to value; with a map an unlisted text is refused.
    pub map: Vec<(Arc<str>, Value)>,
    /// `text`: keep texts as they are, for `equals`. Default false: a text that is no number and not mapped is refused.
    pub text: bool,
}

/// How a raw number is written where it is not simply a decimal number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// `hex`: a text is hexadecimal digits, with or without `0x`.
    pub hex: bool,
    /// `bits`: which bits of a whole number are the value: the lowest, and how many.
    pub bits: Option<(u32, u32)>,
    /// `signed`: they are a two's complement.
    pub signed: bool,
}

/// Unit of a payload's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TsUnit {
    Seconds,
    Millis,
    Micros,
    Nanos,
    Iso8601,
    /// A text is ISO 8601 or a number, a number's unit follows from its size.
    Auto,
}
