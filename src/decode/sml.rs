//! `format = "sml"`: what German electricity meters send (Smart Message Language, version 1), binary lists of values by
//! OBIS code.
//!
//! A path is a code as in `1-0:1.8.0`, `1.8.0` or `1-0:1.8.0*255`. A value has its scaler applied and its own unit (Wh,
//! W, V ..). Texts and numbers of devices are texts; `{payload.server}` is the meter's own number. The time is the
//! meter's where it has one (most count seconds since they were mounted, which is none). Everything with a unit is
//! taken where nothing is configured.
//!
//! Form of an element: a byte of type (bits 4 to 6) and length (bits 0 to 3, that byte counted), bit 7: another byte of
//! length follows. Types: 0 octets, 4 boolean, 5 signed, 6 unsigned, 7 a list of so many elements. A file is messages,
//! each a list of six: the fourth is its body, a number (0x701: list of values) and a list.

use super::BinaryFormat;
use super::framing::sml_body;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::Raw;
use crate::counters::Reject;

/// Deepest list; a value's is the fifth.
const DEPTH_MAX: usize = 16;

/// The number of a message that holds values.
const GET_LIST_RESPONSE: u64 = 0x0701;

/// What is wanted, by code.
#[derive(Debug)]
pub(super) struct Sml(Vec<(String, Vec<Slot>)>);

/// An element.
#[derive(Debug, PartialEq)]
enum Element<'p> {
    Octets(&'p [u8]),
    State(bool),
    Signed(i64),
    Unsigned(u64),
    List(Vec<Element<'p>>),
    /// What fills up, and what ends a message.
    End,
}

impl Element<'_> {
    fn list(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Octets(octets) if !octets.is_empty() => Some(octets),
            _ => None,
        }
    }

    fn whole(&self) -> Option<i64> {
        match self {
            Self::Signed(whole) => Some(*whole),
            Self::Unsigned(whole) => i64::try_from(*whole).ok(),
            _ => None,
        }
    }
}

impl Sml {
    pub(super) fn new(wants: &[Want]) -> Self {
        Self(super::by_name(wants))
    }

    /// What a code is wanted for: written in full, without what stands behind `*`, or without what stands before `:`.
    fn slots(&self, code: &str) -> &[Slot] {
        let common = code.split_once('*').map_or(code, |(common, _)| common);
        let short = common.split_once(':').map_or(common, |(_, short)| short);
        let find = |wanted: &str| self.0.iter().find(|(path, _)| path == wanted).map(|(_, slots)| slots.as_slice());
        find(code).or_else(|| find(common)).or_else(|| find(short)).unwrap_or_default()
    }

    fn put(&self, code: &str, text: &str, unit: &str, sink: &mut Sink<'_>) {
        let raw = match unit {
            "" => Raw::Bare { text, strip_unit: false },
            unit => Raw::Measured { text, unit },
        };
        let slots = self.slots(code);
        for slot in slots {
            sink.put(*slot, &raw);
        }
        if slots.is_empty() && sink.takes_all() && !unit.is_empty() {
            let common = code.split_once('*').map_or(code, |(common, _)| common);
            sink.other(common, &raw);
        }
    }

    /// The body of a message with values.
    fn values(&self, body: &[Element<'_>], sink: &mut Sink<'_>) {
        if let Some(server) = body.get(1).and_then(Element::octets) {
            self.put("server", &hex(server), "", sink);
        }
        if let Some(seconds) = body.get(3).and_then(time) {
            sink.stamp(seconds.checked_mul(1_000_000_000));
        }
        for entry in body.get(4).map(Element::list).unwrap_or_default() {
            let [name, _, _, unit, scaler, value, ..] = entry.list() else { continue };
            let Some(code) = name.octets().and_then(code) else { continue };
            let unit = unit.whole().and_then(unit_name).unwrap_or_default();
            let scaler = scaler.whole().unwrap_or_default();
            if let Some(text) = written(value, scaler) {
                self.put(&code, &text, unit, sink);
            }
        }
        sink.end_record();
    }
}

impl BinaryFormat for Sml {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        // What a port's framing has unpacked already, or a whole file as an adapter passes it on.
        let unpacked = match payload.starts_with(&[0x1B; 4]) {
            true => Some(sml_body(payload).map_err(|why| (Reject::Checksum, why))?),
            false => None,
        };
        let mut rest = unpacked.as_deref().unwrap_or(payload);
        let mut any = false;
        while !rest.is_empty() {
            let message = element(&mut rest, 0).map_err(|why| (Reject::Malformed, why))?;
            let [.., kind, body] = message.list().get(3).map(Element::list).unwrap_or_default() else { continue };
            if kind.whole() == i64::try_from(GET_LIST_RESPONSE).ok() {
                any = true;
                self.values(body.list(), sink);
            }
        }
        match any {
            true => Ok(()),
            false => Err((Reject::MissingField, "no list of values in it".to_owned())),
        }
    }
}

/// Reads an element off the front.
fn element<'p>(rest: &mut &'p [u8], depth: usize) -> Result<Element<'p>, String> {
    let cut_off = || "an element is cut off".to_owned();
    let before = rest.len();
    let first = next(rest).ok_or_else(cut_off)?;
    if first == 0 {
        return Ok(Element::End);
    }
    let mut length = usize::from(first & 0x0F);
    let mut more = first & 0x80 != 0;
    while more {
        let byte = next(rest).ok_or_else(cut_off)?;
        length = length.checked_mul(16).filter(|length| *length <= 1 << 20).ok_or("an element without end")?;
        length += usize::from(byte & 0x0F);
        more = byte & 0x80 != 0;
    }
    let kind = first >> 4 & 7;
    if kind == 7 {
        if depth >= DEPTH_MAX || length > rest.len() {
            return Err("a list that cannot be".to_owned());
        }
        return (0..length).map(|_| element(rest, depth + 1)).collect::<Result<_, _>>().map(Element::List);
    }
    let header = before - rest.len();
    let length = length.checked_sub(header).ok_or("an element shorter than its head")?;
    let (bytes, after) = rest.split_at_checked(length).ok_or_else(cut_off)?;
    *rest = after;
    let whole = || bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    Ok(match kind {
        0 => Element::Octets(bytes),
        4 => Element::State(bytes.iter().any(|byte| *byte != 0)),
        5 | 6 if bytes.len() > 8 || bytes.is_empty() => return Err(format!("a number of {} bytes", bytes.len())),
        5 => {
            let unused = 64 - 8 * bytes.len() as u32;
            Element::Signed((whole() << unused).cast_signed() >> unused)
        }
        6 => Element::Unsigned(whole()),
        kind => return Err(format!("an element of type {kind}")),
    })
}

fn next(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// `1-0:1.8.0*255`
fn code(octets: &[u8]) -> Option<String> {
    match octets {
        [a, b, c, d, e, f] => Some(format!("{a}-{b}:{c}.{d}.{e}*{f}")),
        _ => None,
    }
}

/// Seconds since the epoch of a time that is one: kind 2 in a number, kind 3 in a list with the offsets of the zone.
fn time(time: &Element<'_>) -> Option<i64> {
    match time.list() {
        [kind, seconds] if kind.whole() == Some(2) => seconds.whole(),
        [kind, local] if kind.whole() == Some(3) => local.list().first()?.whole(),
        _ => None,
    }
}

/// A value as a text: a number with its scaler, a text, or octets in hexadecimal digits.
fn written(value: &Element<'_>, scaler: i64) -> Option<String> {
    let places = i32::try_from(scaler).ok().filter(|places| places.abs() <= 30)?;
    let scaled = |whole: f64| match places {
        0.. => whole * 10_f64.powi(places),
        _ => whole / 10_f64.powi(-places),
    };
    Some(match value {
        Element::Signed(whole) if places == 0 => whole.to_string(),
        Element::Unsigned(whole) if places == 0 => whole.to_string(),
        Element::Signed(whole) => scaled(*whole as f64).to_string(),
        Element::Unsigned(whole) => scaled(*whole as f64).to_string(),
        Element::State(state) => state.to_string(),
        Element::Octets([]) => return None,
        Element::Octets(octets) if octets.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
            String::from_utf8_lossy(octets).into_owned()
        }
        Element::Octets(octets) => hex(octets),
        Element::List(_) | Element::End => return None,
    })
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Units by their number in DLMS/COSEM (IEC 62056-62), those that meters use.
fn unit_name(number: i64) -> Option<&'static str> {
    Some(match number {
        8 => "°",
        9 => "°C",
        13 => "m³",
        27 => "W",
        28 => "VA",
        29 => "var",
        30 => "Wh",
        31 => "VAh",
        32 => "varh",
        33 => "A",
        35 => "V",
        44 => "Hz",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn one(bytes: &[u8]) -> Result<Element<'_>, String> {
        element(&mut &bytes[..], 0)
    }

    #[test]
    fn elements_of_all_types_are_read() {
        assert_eq!(one(&[0x01]).unwrap(), Element::Octets(&[]));
        assert_eq!(one(&[0x04, b'E', b'M', b'H']).unwrap(), Element::Octets(b"EMH"));
        assert_eq!(one(&[0x52, 0xFF]).unwrap(), Element::Signed(-1));
        assert_eq!(one(&[0x56, 0, 0, 0, 0x16, 0x46]).unwrap(), Element::Signed(5702));
        assert_eq!(one(&[0x63, 0x07, 0x01]).unwrap(), Element::Unsigned(0x701));
        assert_eq!(one(&[0x42, 0x01]).unwrap(), Element::State(true));
        assert_eq!(one(&[0x72, 0x62, 0x01, 0x01]).unwrap().list().len(), 2);
        let long = [&[0x81, 0x02], &[7; 16][..]].concat();
        assert_eq!(one(&long).unwrap(), Element::Octets(&[7; 16]));
    }

    #[test]
    fn values_are_written_exactly() {
        assert_eq!(written(&Element::Signed(224_624_318), -1).unwrap(), "22462431.8");
        assert_eq!(written(&Element::Unsigned(5702), 3).unwrap(), "5702000");
        assert_eq!(written(&Element::Signed(-168), 0).unwrap(), "-168");
        assert_eq!(written(&Element::Octets(b"ISK"), 0).unwrap(), "ISK");
        assert_eq!(written(&Element::Octets(&[0x0A, 1]), 0).unwrap(), "0A01");
    }

    #[test]
    fn broken_elements_are_told() {
        for bytes in [&[][..], &[0x05, 1], &[0x7F], &[0x80, 0x00], &[0x5B; 11], &[0x11]] {
            assert!(one(bytes).is_err(), "{bytes:?}");
        }
        assert!(one(&[0x71; 64]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                if element(&mut rest, 0).is_err() {
                    break;
                }
            }
            let _ = sml_body(&bytes);
        }
    }
}
