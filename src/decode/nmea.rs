//! `format = "nmea"`: NMEA 0183 sentences, `$WIMWV,214.8,R,10.2,N,A*1F`.
//!
//! The checksum is the exclusive or of all between `$` (or `!`) and `*`, in two hexadecimal digits of either case. A path
//! is a sentence and one of its values, by name for the sentences in [`sentences`] (`MWV.speed`, with its unit) or by
//! number for any (`MWV.3`, 1 is the first behind the address); with the talker (`WIMWV.3`) it is for that one alone.
//! `MTW` alone is its only value, `XDR.NAME` the transducer of that name. `{payload.talker}` and `{payload.sentence}` name
//! the device. A sentence of which nothing is wanted is passed over; one whose status says that it is not valid is refused.

mod sentences;

use self::sentences::{Known, Unit};
use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::{Raw, parse, quote};
use crate::counters::Reject;

/// Most fields of a sentence. The standard's 82 characters hold 40; XDR of some instruments is longer.
const FIELDS_MAX: usize = 128;

/// Longest unit of a transducer.
const UNIT_BYTES_MAX: usize = 12;

/// The sentences that are wanted.
#[derive(Debug)]
pub(super) struct Nmea {
    unchecked: bool,
    wants: Vec<Wanted>,
}

/// A value that is wanted.
#[derive(Debug)]
struct Wanted {
    slot: Slot,
    /// The address, with or without talker; empty: any sentence.
    address: String,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Talker,
    Sentence,
    Number(usize),
    Name(String),
}

impl Nmea {
    pub(super) fn new(unchecked: bool, wants: &[Want]) -> Result<Self, String> {
        Ok(Self { unchecked, wants: wants.iter().map(wanted).collect::<Result<_, _>>()? })
    }
}

fn wanted(want: &Want) -> Result<Wanted, String> {
    let (address, value) = match want.path.split_once('.') {
        None if want.path == "talker" => ("", Value::Talker),
        None if want.path == "sentence" => ("", Value::Sentence),
        None => (want.path.as_str(), Value::Name(String::new())),
        Some((address, name)) => match name.parse() {
            Ok(0) => return Err(format!("`{}`: the fields of a sentence are counted from 1", want.path)),
            Ok(number) => (address, Value::Number(number)),
            Err(_) => (address, Value::Name(name.to_owned())),
        },
    };
    let address_like = address.len() >= 3 && address.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !address_like && !address.is_empty() {
        let what = "expected a sentence and a value, as in \"MWV.speed\" or \"MWV.3\"";
        return Err(format!("`{}` is no place in an NMEA sentence: {what}", want.path));
    }
    if let Value::Name(name) = &value
        && let Some(known) = sentences::find(address.get(address.len().saturating_sub(3)..).unwrap_or_default())
        && address != "XDR"
        && !known.values.iter().any(|value| value.name == name)
    {
        let names: Vec<&str> = known.values.iter().map(|value| value.name).collect();
        return Err(format!("{} has no value `{name}`; it has {}", known.sentence, names.join(", ")));
    }
    Ok(Wanted { slot: want.slot, address: address.to_owned(), value })
}

impl Format for Nmea {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        for line in payload.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            if let Err((reject, what)) = self.sentence(line, sink) {
                sink.refuse(reject, what);
            }
        }
        Ok(())
    }
}

impl Nmea {
    fn sentence(&self, line: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let body = self.checked(line)?;
        let mut fields: Vec<&str> = body.splitn(FIELDS_MAX + 1, ',').map(str::trim).collect();
        fields.truncate(FIELDS_MAX);
        let address = fields[0];
        // A proprietary address ($PGRMZ) has no talker: P and the maker stand for it.
        let Some((talker, sentence)) = address.len().checked_sub(3).and_then(|at| address.split_at_checked(at)) else {
            return Err((Reject::Malformed, format!("{} is no address", quote(address))));
        };
        let is_meant = |wanted: &Wanted| wanted.address == sentence || wanted.address == address;
        let is_field = |wanted: &&Wanted| matches!(wanted.slot, Slot::Field(_)) && is_meant(wanted);
        let known = sentences::find(sentence);
        let everything = sink.takes_all() && known.is_some();
        if !everything && !self.wants.iter().any(|wanted| is_field(&wanted)) {
            return Ok(());
        }
        if let Some(status) = known.and_then(|known| known.status.as_ref())
            && let Some(found) = fields.get(status.field)
            && !status.is_valid(found)
        {
            return Err((Reject::NotValid, format!("{address}: its status is {}", quote(found))));
        }
        let mut values = Values { address, fields: &fields, known, text: String::new() };
        for wanted in &self.wants {
            match &wanted.value {
                Value::Talker => sink.put(wanted.slot, &Raw::Text(talker)),
                Value::Sentence => sink.put(wanted.slot, &Raw::Text(sentence)),
                _ if !is_meant(wanted) => {}
                Value::Number(number) => {
                    if let Some(text) = fields.get(*number) {
                        sink.put(wanted.slot, &Raw::Bare { text, strip_unit: false });
                    }
                }
                Value::Name(name) => values.named(name, |_, raw| sink.put(wanted.slot, raw)),
            }
        }
        if everything {
            values.all(|name, raw| sink.other(name, raw));
        }
        sink.end_record();
        Ok(())
    }

    /// What stands between the mark and the checksum.
    fn checked<'l>(&self, line: &'l str) -> Result<&'l str, Refusal> {
        let Some(body) = line.strip_prefix(['$', '!']) else {
            return Err((Reject::Malformed, format!("{} begins with neither $ nor !", quote(line))));
        };
        let Some((body, said)) = body.rsplit_once('*') else {
            return match self.unchecked {
                true => Ok(body),
                false => Err((
                    Reject::Checksum,
                    format!(
                        "{} has no checksum; for a device that sends none set `checksum = \"optional\"`",
                        quote(line)
                    ),
                )),
            };
        };
        let computed = body.bytes().fold(0, |all, byte| all ^ byte);
        match u8::from_str_radix(said.trim(), 16) {
            Ok(found) if found == computed => Ok(body),
            _ => Err((Reject::Checksum, format!("{}: the checksum should be {computed:02X}", quote(line)))),
        }
    }
}

/// The values of a sentence by name.
struct Values<'s> {
    address: &'s str,
    fields: &'s [&'s str],
    known: Option<&'static Known>,
    /// Reused for texts that are put together.
    text: String,
}

impl<'s> Values<'s> {
    fn named(&mut self, name: &str, mut take: impl FnMut(&str, &Raw<'_>)) {
        if self.address.ends_with("XDR") {
            self.transducers(|found, raw| {
                if found == name {
                    take(found, raw);
                }
            });
            return;
        }
        let Some(known) = self.known else { return };
        if let Some(value) = known.values.iter().find(|value| value.name == name) {
            self.one(value, |raw| take(name, raw));
        }
    }

    /// All with what they are called: the sentence, a point and the name.
    fn all(&mut self, mut take: impl FnMut(&str, &Raw<'_>)) {
        let Some(known) = self.known else { return };
        if known.sentence == "XDR" {
            self.transducers(|name, raw| take(&format!("XDR.{name}"), raw));
            return;
        }
        for value in known.values.iter().filter(|value| value.unit != Unit::Time) {
            let name = match value.name {
                "" => known.sentence.to_owned(),
                name => format!("{}.{name}", known.sentence),
            };
            self.one(value, |raw| take(&name, raw));
        }
    }

    fn field(&self, at: usize) -> &'s str {
        self.fields.get(at).copied().unwrap_or_default()
    }

    fn one(&mut self, value: &sentences::Value, take: impl FnOnce(&Raw<'_>)) {
        let text = self.field(value.field);
        let unit = match value.unit {
            _ if text.is_empty() => return take(&Raw::Null),
            Unit::Is(unit) => unit,
            Unit::At(at) => spelled(self.field(at)),
            Unit::Degrees => return take(&degrees(text, self.field(value.field + 1))),
            Unit::Time => return take(&self.time(text)),
        };
        take(&Raw::Measured { text, unit });
    }

    /// Transducers come in fours: type, value, unit, name.
    fn transducers(&self, mut take: impl FnMut(&str, &Raw<'_>)) {
        for four in self.fields[1..].chunks_exact(4) {
            let [kind, text, unit, name] = four else { continue };
            if name.is_empty() {
                continue;
            }
            let unit = match (*kind, *unit) {
                ("C", "C") => "°C",
                ("C", "K") => "K",
                ("A", "D") => "deg",
                ("P", "B") => "bar",
                ("P", "P") => "Pa",
                ("H", "P") | ("V", "P") => "%",
                ("D", "M") => "m",
                ("V", "M") => "m3",
                ("F", "H") => "Hz",
                ("T", "R") => "rpm",
                ("R", "L") => "l/s",
                (_, unit) if unit.len() > UNIT_BYTES_MAX => "",
                (_, unit) => unit,
            };
            match *text {
                "" => take(name, &Raw::Null),
                text => take(name, &Raw::Measured { text, unit }),
            }
        }
    }

    /// "120000.00" and "010326" as ISO 8601.
    fn time(&mut self, time: &str) -> Raw<'_> {
        let date = self.field(9);
        let pairs = |text: &str| -> Option<[String; 3]> {
            let whole = text.get(..6).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            Some([whole[..2].to_owned(), whole[2..4].to_owned(), whole[4..].to_owned()])
        };
        let (Some([hour, minute, second]), Some([day, month, year])) = (pairs(time), pairs(date)) else {
            return Raw::Null;
        };
        let fraction = time.get(6..).filter(|fraction| fraction.starts_with('.') && fraction.len() > 1).unwrap_or("");
        self.text = format!("20{year}-{month}-{day}T{hour}:{minute}:{second}{fraction}Z");
        Raw::Text(&self.text)
    }
}

/// A unit's letter in a sentence.
fn spelled(letter: &str) -> &str {
    match letter {
        "C" => "°C",
        "F" => "°F",
        "N" => "kn",
        "K" => "km/h",
        "M" => "m/s",
        "S" => "mph",
        other => other,
    }
}

/// "5231.2000" and "N" in degrees: the two digits before the point are minutes.
fn degrees(text: &str, side: &str) -> Raw<'static> {
    let point = text.find('.').unwrap_or(text.len());
    let Some((whole, minutes)) = point.checked_sub(2).and_then(|at| text.split_at_checked(at)) else {
        return Raw::Text("no degrees and minutes");
    };
    let whole = if whole.is_empty() { Some(0.0) } else { parse(whole, false).map(super::value::Number::as_f64) };
    match whole.zip(parse(minutes, false)) {
        Some((whole, minutes)) if (0.0..=180.0).contains(&whole) && (0.0..60.0).contains(&minutes.as_f64()) => {
            let value = whole + minutes.as_f64() / 60.0;
            Raw::Number(if matches!(side, "S" | "W") { -value } else { value })
        }
        _ => Raw::Text("no degrees and minutes"),
    }
}
