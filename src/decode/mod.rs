//! From a device's bytes to readings. Pure: time comes with the message, nothing is read or waited for.
//!
//! Owns the formats and the rules of a field: numbers, maps, sentinels, times, names. A format is one file that
//! implements [`Format`] and one line in [`format`]; it only finds values, `sink` applies the rules and makes the
//! readings. Nothing a device sends can panic, grow without bound or come out as a number that is not finite. A field
//! that is refused never takes the good ones of its message with it; a message that is malformed yields nothing.

mod binary;
mod bthome;
mod carry;
mod choice;
mod csv;
mod document;
mod entries;
pub mod framing;
mod grammar;
mod homie;
mod influx;
mod item;
mod jq;
mod json;
mod key_value;
mod layout;
mod lenient;
mod lpp;
pub mod modbus;
mod name;
mod nmea;
mod number;
mod p1;
mod packed;
mod path;
mod present;
mod query;
mod record;
mod records;
mod scale;
mod select;
mod senml;
mod sink;
mod sml;
mod sparkplug;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod tree;
mod units;
mod value;
mod vedirect;
mod wants;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use self::name::{Names, Refusal};
use self::record::State;
use self::sink::{Rules, Sink, Slot, Want};
use self::text::{latin1, read_text, text_bytes};
use self::time::TimeRule;
use self::units::Units;
use self::value::Rule;
use self::wants::{attribute_names, by_name, time_parts, wants};
use crate::clock::{ClockState, WallTime};
use crate::config::model::{self, SourceKind, Template, TemplatePart};
use crate::config::pattern;
use crate::config::template::{self, Place};
use crate::counters::Reject;
use crate::reading::Reading;

pub use self::sink::{CARRY_BYTES_MAX, READINGS_PER_MESSAGE_MAX};
pub use self::sparkplug::rebirth::{Birth, request as rebirth_request};

/// What a source received.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The MQTT topic; a serial source has none.
    pub topic: Option<&'a str>,
    /// The payload, line or frame.
    pub payload: &'a [u8],
    /// Whether the broker had kept it: it may be days old.
    pub retained: bool,
    /// When it came.
    pub arrival: WallTime,
}

/// What became of messages. Reused: the caller clears it.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The readings, in the order found.
    pub readings: Vec<Reading>,
    /// What was refused: the label, and in words what was found.
    pub rejects: Vec<(Reject, String)>,
    /// Values that were configured sentinels, and messages that the configuration passes over.
    pub ignored: u64,
    /// Sparkplug nodes whose birth is missing, or no longer is.
    pub births: Vec<Birth>,
}

impl Decoded {
    /// Makes ready for the next message.
    pub fn clear(&mut self) {
        self.readings.clear();
        self.rejects.clear();
        self.ignored = 0;
        self.births.clear();
    }
}

/// Finds the wanted values of a format's payloads that are text.
trait Format: fmt::Debug + Send {
    /// Puts what is wanted into the sink and ends each record there. An error is about the payload as a whole; the
    /// record at hand is then dropped.
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal>;

    /// The same by a shorter way, where the format has one and the payload is plain enough for it. False: nothing of it is
    /// in the sink, and [`Format::read`] decides.
    fn read_plain(&mut self, _payload: &[u8], _sink: &mut Sink<'_>) -> bool {
        false
    }
}

/// The same for payloads that are bytes.
trait BinaryFormat: fmt::Debug + Send {
    /// As [`Format::read`].
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal>;
}

#[derive(Debug)]
enum Reader {
    Text(Box<dyn Format>),
    Binary(Box<dyn BinaryFormat>),
    /// Messages that are no readings.
    Skip,
}

impl Reader {
    fn text(format: impl Format + 'static) -> Self {
        Self::Text(Box::new(format))
    }

    fn binary(format: impl BinaryFormat + 'static) -> Self {
        Self::Binary(Box::new(format))
    }
}

/// The formats: one line each.
fn reader(decode: &model::Decode, wants: &[Want]) -> Result<Reader, String> {
    let comma = decode.decimal_comma;
    Ok(match &decode.format {
        model::Format::Json if document::is_needed(decode) => Reader::text(document::Document::new(decode)?),
        model::Format::Json => {
            Reader::text(lenient::Lenient::new(json::Json::new(wants)?, document::Document::new(decode)?))
        }
        model::Format::Cbor => Reader::binary(document::Document::new(decode)?),
        model::Format::Query => Reader::text(records::TextRecords::query(decode)?),
        model::Format::Influx => Reader::text(records::TextRecords::influx(decode)?),
        model::Format::Pattern { pattern } => Reader::text(records::TextRecords::pattern(pattern, decode)?),
        model::Format::CayenneLpp => Reader::binary(records::ByteRecords::new(records::Bytes::CayenneLpp, decode)?),
        model::Format::BtHome => Reader::binary(records::ByteRecords::new(records::Bytes::BtHome, decode)?),
        model::Format::Sml => Reader::binary(sml::Sml::new(wants)),
        model::Format::Jq { expression } => Reader::text(jq::Jq::new(expression)?),
        model::Format::Senml => Reader::binary(senml::Senml),
        model::Format::SparkplugB => {
            Reader::binary(sparkplug::Sparkplug::new(decode.reach.online, !decode.reach.no_rebirth))
        }
        model::Format::Homie => Reader::text(homie::Homie::new(decode.reach.online)),
        model::Format::Skip => Reader::Skip,
        model::Format::Number { .. } => Reader::text(number::Number { quantity: number_quantity(decode)? }),
        model::Format::KeyValue { separator, assign, strip_unit } => {
            Reader::text(key_value::KeyValue::new(*separator, *assign, *strip_unit, comma, wants))
        }
        model::Format::Csv { delimiter, columns, header, comment } => {
            Reader::text(csv::Csv::new(*delimiter, columns, *header, *comment, comma, wants)?)
        }
        model::Format::Binary if decode.reach.entries.is_some() => {
            if decode.fields.is_empty() {
                return Err("`entries` need `fields` with the types and places of the values".to_owned());
            }
            Reader::binary(records::ByteRecords::new(records::Bytes::Entries, decode)?)
        }
        model::Format::Binary => Reader::binary(binary::Binary::new(wants, decode.reach.records)?),
        model::Format::Nmea { unchecked } => Reader::text(nmea::Nmea::new(*unchecked, wants)?),
        model::Format::P1 => Reader::text(p1::P1::new(wants)),
        model::Format::VeDirect => Reader::text(vedirect::VeDirect::new(wants)),
        model::Format::Scale { keep_unstable } => Reader::text(scale::Scale::new(*keep_unstable, comma, wants)?),
    })
}

/// Turns one source's messages into readings.
#[derive(Debug)]
pub struct Decoder {
    /// The first whose topics match decides.
    branches: Vec<Branch>,
}

/// One `decode` of a source.
#[derive(Debug)]
struct Branch {
    /// Filters; empty: all messages.
    topics: Vec<String>,
    choice: choice::Choice,
    /// Its messages may be several documents, one a line.
    is_json: bool,
    /// Its texts are ISO 8859-1.
    latin1: bool,
    reader: Reader,
    rules: Rules,
    state: State,
}

impl Decoder {
    /// A decoder for a source; the error says which setting cannot work and why.
    pub fn new(source: &model::Source) -> Result<Self, String> {
        let all = std::iter::once(&source.decode).chain(&source.further);
        Ok(Self { branches: all.map(|decode| Branch::new(source, decode)).collect::<Result<_, _>>()? })
    }

    /// Whether everything it reads is text.
    pub fn reads_text(&self) -> bool {
        self.branches.iter().all(|branch| matches!(branch.reader, Reader::Text(_)))
    }

    /// Says what the arrival times of the messages to come are worth.
    pub fn set_clock(&mut self, clock: ClockState) {
        for branch in &mut self.branches {
            branch.rules.clock = clock;
        }
    }

    /// Whether a message of this topic is none of the readings that the configuration wants.
    pub fn passes_over(&self, topic: &str) -> bool {
        let message = Message { topic: Some(topic), payload: &[], retained: false, arrival: WallTime(0) };
        let branch = self.branches.iter().find(|branch| branch.is_for(&message));
        branch.is_none_or(|branch| matches!(branch.reader, Reader::Skip))
    }

    /// Adds what a message holds to `out`.
    pub fn decode(&mut self, message: &Message<'_>, out: &mut Decoded) {
        let last = self.branches.len() - 1;
        let is_meant =
            |at: usize, branch: &Branch| branch.is_for(message) && branch.choice.takes(message.payload, at == last);
        let found = self.branches.iter_mut().enumerate().find(|(at, branch)| is_meant(*at, branch));
        match found.map(|(_, branch)| branch) {
            Some(branch) => branch.decode(message, out),
            None => out.ignored += 1,
        }
    }
}

impl Branch {
    fn new(source: &model::Source, decode: &model::Decode) -> Result<Self, String> {
        let mut fields: Vec<Rule> = decode.fields.iter().map(Rule::new).collect();
        let mut quantity = None;
        let is_number = matches!(decode.format, model::Format::Number { .. });
        if let model::Format::Number { quantity: template } = &decode.format {
            check_number(decode, template)?;
            if fields.is_empty() {
                quantity = Some(template.clone());
                fields.push(Rule::plain("value".into()));
            }
        }
        if matches!(source.kind, SourceKind::Serial(_))
            && let Some(part) = decode.device.0.iter().chain(quantity.iter().flat_map(|q| &q.0)).find(|p| is_topic(p))
        {
            return Err(format!("{part:?} needs an MQTT topic, and a serial source has none"));
        }
        let units = Units::new(&decode.reach.units, usual_units(decode));
        for field in fields.iter_mut().filter(|field| field.unit.is_none()) {
            field.unit = units.of(&field.quantity);
        }
        let wants = wants(decode);
        let device = wants.iter().filter(|want| matches!(want.slot, Slot::Device(_))).count();
        let names = Names::new(Arc::clone(&source.name), decode.device.clone(), quantity);
        let zone = TimeZone::get(&decode.time_zone)
            .map_err(|error| format!("time zone `{}` is not known here: {error}", decode.time_zone))?;
        let rules = Rules {
            take_all: !is_number && decode.fields.is_empty() || decode.reach.others,
            units,
            strip_unit: decode.reach.strip_unit,
            decimal_comma: decode.decimal_comma,
            time: TimeRule {
                unit: decode.ts_unit,
                format: decode.reach.ts_format.clone(),
                zone,
                max_future_skew: decode.max_future_skew,
                max_age: decode.max_age,
            },
            carry: attribute_names(decode)?,
            clock: ClockState::Synchronized,
            retained_max_age: match &source.kind {
                SourceKind::Mqtt(mqtt) => mqtt.retained_max_age,
                SourceKind::Serial(_) | SourceKind::Modbus(_) => Duration::ZERO,
            },
        };
        let state = State::new(fields, names, rules.carry.len(), device);
        let choice = choice::Choice::new(decode)?;
        let is_json = matches!(decode.format, model::Format::Json | model::Format::Jq { .. });
        Ok(Self {
            topics: decode.reach.topics.clone(),
            choice,
            is_json,
            latin1: decode.reach.latin1,
            reader: reader(decode, &wants)?,
            rules,
            state,
        })
    }

    fn is_for(&self, message: &Message<'_>) -> bool {
        self.topics.is_empty()
            || message.topic.is_some_and(|topic| self.topics.iter().any(|filter| pattern::matches(filter, topic)))
    }

    fn decode(&mut self, message: &Message<'_>, out: &mut Decoded) {
        let payload = match self.reader {
            Reader::Text(_) => text_bytes(message.payload),
            Reader::Binary(_) => message.payload,
            Reader::Skip => {
                out.ignored += 1;
                return;
            }
        };
        if payload.is_empty() {
            out.rejects.push((Reject::Empty, "nothing in it".to_owned()));
            return;
        }
        self.state.begin();
        let mut sink = Sink { rules: &self.rules, state: &mut self.state, message, out };
        let read = match &mut self.reader {
            Reader::Text(format) if self.latin1 && !payload.is_ascii() => {
                read_text(format.as_mut(), &latin1(payload), self.is_json, &mut sink)
            }
            Reader::Text(format) => match format.read_plain(payload, &mut sink) {
                true => Ok(()),
                false => match std::str::from_utf8(payload) {
                    Ok(payload) => read_text(format.as_mut(), payload, self.is_json, &mut sink),
                    Err(error) => Err((Reject::NotUtf8, format!("not UTF-8 from byte {} on", error.valid_up_to()))),
                },
            },
            Reader::Binary(format) => format.read(payload, &mut sink),
            Reader::Skip => Ok(()),
        };
        if let Err(refusal) = read {
            out.rejects.push(refusal);
        }
    }
}

/// Units that the standard gives to what a payload names.
fn usual_units(decode: &model::Decode) -> Vec<(&'static str, &'static str)> {
    use model::Packing;
    let packings = || decode.reach.unpack.iter().map(|(_, packing)| packing);
    let is_lpp = decode.format == model::Format::CayenneLpp || packings().any(|p| matches!(p, Packing::Lpp { .. }));
    let is_bthome = decode.format == model::Format::BtHome || packings().any(|p| matches!(p, Packing::BtHome { .. }));
    let lpp = is_lpp.then(lpp::units).into_iter().flatten();
    let bthome = is_bthome.then(bthome::units).into_iter().flatten();
    lpp.chain(bthome).collect()
}

/// The quantity of format "number" where the key of its field follows the topic.
fn number_quantity(decode: &model::Decode) -> Result<Option<Template>, String> {
    match decode.fields.first().filter(|field| field.quantity.contains('{')) {
        Some(field) => Ok(Some(template::parse(&field.quantity, Place::Quantity).map_err(|(_, why)| why)?)),
        None => Ok(None),
    }
}

/// A number has no parts that could be asked for.
fn check_number(decode: &model::Decode, quantity: &Template) -> Result<(), String> {
    if decode.fields.len() > 1 {
        return Err(format!("format \"number\" has one value, and {} fields are configured", decode.fields.len()));
    }
    let in_name = decode.device.0.iter().chain(&quantity.0).any(|part| matches!(part, TemplatePart::Payload(_)));
    if in_name || decode.ts_field.is_some() || !decode.carry.is_empty() {
        return Err("format \"number\" has one value and no fields to name, to take a time from or to carry".to_owned());
    }
    Ok(())
}

fn is_topic(part: &TemplatePart) -> bool {
    matches!(part, TemplatePart::Topic | TemplatePart::TopicLevel(_) | TemplatePart::TopicFrom(_))
}
