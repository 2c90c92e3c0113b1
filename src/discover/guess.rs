//! What a payload is made of: its format, and the values in it.
//!
//! Owns the looking; pure. What does not fit a format wholly is not taken for it.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::blocks;

/// How deep into a document values are looked for.
const DEPTH_MAX: usize = 4;

/// Items of a list that are looked at.
const ITEMS_MAX: usize = 4;

/// A unit that stands behind a blank.
const UNIT_CHARS_MAX: usize = 6;

/// Values taken from one payload.
const VALUES_MAX: usize = 64;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A document.
    Json,
    /// One number.
    Number,
    /// `t=21.5 h=48%`
    KeyValue,
    /// Cells between this character.
    Csv(u8),
    /// RFC 8428.
    Senml,
    /// NMEA 0183.
    Nmea,
    /// A smart meter's telegram.
    P1,
    /// A Victron text block.
    VeDirect,
}

impl Kind {
    /// As written in `format`.
    pub fn format(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Number => "number",
            Self::KeyValue => "key-value",
            Self::Csv(_) => "csv",
            Self::Senml => "senml",
            Self::Nmea => "nmea",
            Self::P1 => "p1",
            Self::VeDirect => "vedirect",
        }
    }

    /// How a port's bytes of it are cut, as written in `framing`.
    pub fn framing(self) -> &'static str {
        match self {
            Self::P1 => "p1",
            Self::VeDirect => "vedirect",
            _ => "line",
        }
    }

    /// For people.
    pub fn about(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Number => "numbers",
            Self::KeyValue => "key=value",
            Self::Csv(_) => "CSV",
            Self::Senml => "SenML (RFC 8428)",
            Self::Nmea => "NMEA 0183",
            Self::P1 => "a smart meter's telegrams (P1, DSMR)",
            Self::VeDirect => "Victron's VE.Direct",
        }
    }
}

/// A value in a payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// On the number line.
    Number(f64),
    /// `true` or `false`
    State,
    /// Anything else.
    Text(String),
}

/// The format of a payload and its values by their path; `None` where it is none of those known here.
pub fn look(payload: &[u8]) -> Option<(Kind, Vec<(String, Seen)>)> {
    let Ok(text) = std::str::from_utf8(payload).map(str::trim) else {
        return is_senml_cbor(payload).then(|| (Kind::Senml, Vec::new()));
    };
    if let Some(kind) = of_its_own(text) {
        return Some((kind, Vec::new()));
    }
    if text.starts_with('{') {
        let document: Json = serde_json::from_str(text).ok()?;
        let mut values = Vec::new();
        flatten(&document, &mut String::new(), 0, &mut values);
        return (!values.is_empty()).then_some((Kind::Json, values));
    }
    if let Some(number) = number(text) {
        return Some((Kind::Number, vec![("value".to_owned(), Seen::Number(number))]));
    }
    key_value(text).or_else(|| csv(text))
}

/// A format that names its values itself.
fn of_its_own(text: &str) -> Option<Kind> {
    let lines = || text.lines().map(str::as_bytes);
    if blocks::is_nmea(text.as_bytes()) {
        Some(Kind::Nmea)
    } else if text.starts_with('/') && lines().filter(|line| blocks::is_obis(line)).count() >= 2 {
        Some(Kind::P1)
    } else if lines().filter(|line| blocks::is_ve_direct(line)).count() >= 3 && text.contains("Checksum\t") {
        Some(Kind::VeDirect)
    } else if text.starts_with('[') && is_senml(text) || is_senml_cbor(text.as_bytes()) {
        Some(Kind::Senml)
    } else {
        None
    }
}

/// Whether a document is a list of records with names and values.
fn is_senml(text: &str) -> bool {
    let Ok(Json::Array(records)) = serde_json::from_str(text) else { return false };
    let has = |record: &Json, names: &[&str]| names.iter().any(|name| record.get(name).is_some());
    records.iter().any(|record| has(record, &["n", "bn"]))
        && records.iter().any(|record| has(record, &["v", "vb", "vs"]))
}

/// The same in CBOR: names are -2 and 0, values 2, 3 and 4 (RFC 8428, 6).
fn is_senml_cbor(payload: &[u8]) -> bool {
    use ciborium::Value;
    if !payload.first().is_some_and(|first| (0x81..=0x9f).contains(first)) {
        return false;
    }
    let Ok(Value::Array(records)) = ciborium::from_reader::<Value, _>(payload) else { return false };
    let has = |labels: &[i64]| {
        records.iter().filter_map(Value::as_map).flatten().any(|(label, _)| {
            label.as_integer().is_some_and(|label| labels.iter().any(|wanted| label == (*wanted).into()))
        })
    };
    has(&[-2, 0]) && has(&[2, 3, 4])
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && !text.starts_with(char::is_alphabetic))
}

/// Keys that need no quotes in a path and none in TOML.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.len() <= 48 && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn flatten(value: &Json, path: &mut String, depth: usize, into: &mut Vec<(String, Seen)>) {
    if depth > DEPTH_MAX || into.len() >= VALUES_MAX {
        return;
    }
    let seen = match value {
        Json::Number(number) => number.as_f64().map(Seen::Number),
        Json::Bool(_) => Some(Seen::State),
        Json::String(text) => Some(Seen::Text(text.clone())),
        Json::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| is_plain(key)) {
                let length = path.len();
                path.push_str(if length > 0 { "." } else { "" });
                path.push_str(key);
                flatten(value, path, depth + 1, into);
                path.truncate(length);
            }
            None
        }
        Json::Array(items) if depth > 0 => {
            for (index, item) in items.iter().take(ITEMS_MAX).enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                flatten(item, path, depth + 1, into);
                path.truncate(length);
            }
            None
        }
        Json::Array(_) | Json::Null => None,
    };
    into.extend(seen.map(|seen| (path.clone(), seen)));
}

/// By the rules of the format, and stricter: what is passed over may only be the unit behind a number.
fn key_value(text: &str) -> Option<(Kind, Vec<(String, Seen)>)> {
    let mut values = Vec::new();
    let has_comma = has_decimal_comma(text);
    let separates = |c: char| c.is_whitespace() || c == ';' || (c == ',' && !has_comma);
    let mut pieces = text.split(separates).filter(|piece| !piece.is_empty()).peekable();
    let begins_number = |piece: &&str| piece.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    while let Some(piece) = pieces.next() {
        let Some((key, mut value)) = piece.split_once(['=', ':']) else {
            let is_unit = piece.chars().count() <= UNIT_CHARS_MAX && !piece.contains(|c: char| c.is_ascii_digit());
            if is_unit && matches!(values.last(), Some((_, Seen::Number(_)))) {
                continue;
            }
            return None;
        };
        if value.is_empty() {
            value = pieces.next_if(|next| begins_number(next) && !next.contains(['=', ':']))?;
        }
        if !is_plain(key) || values.len() >= VALUES_MAX {
            return None;
        }
        let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit()).replace(',', ".");
        values.push((key.to_owned(), number(&digits).map_or_else(|| Seen::Text(value.to_owned()), Seen::Number)));
    }
    values.iter().any(|(_, seen)| matches!(seen, Seen::Number(_))).then_some((Kind::KeyValue, values))
}

/// Whether a comma stands between digits of what looks like one number, perhaps with a unit.
pub fn has_decimal_comma(text: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    text.match_indices(',').any(|(at, _)| {
        let behind = &text[at + 1..];
        let rest = behind.trim_start_matches(digit).trim_start_matches(|c: char| c.is_alphabetic() || c == '%');
        text[..at].ends_with(digit) && behind.starts_with(digit) && !rest.starts_with(['=', ':', ',', '.'])
    })
}

fn csv(text: &str) -> Option<(Kind, Vec<(String, Seen)>)> {
    let delimiter = [b';', b'\t', b','].into_iter().find(|delimiter| text.contains(char::from(*delimiter)))?;
    let cells: Vec<&str> = text.split(char::from(delimiter)).map(str::trim).collect();
    let numbers = cells.iter().filter(|cell| number(cell).is_some()).count();
    if cells.len() > VALUES_MAX || numbers * 2 < cells.len() {
        return None;
    }
    let seen = |cell: &&str| number(cell).map_or_else(|| Seen::Text((*cell).to_owned()), Seen::Number);
    let values = cells.iter().enumerate().map(|(index, cell)| (format!("column{}", index + 1), seen(cell)));
    Some((Kind::Csv(delimiter), values.collect()))
}

/// The unit that a name suggests.
pub fn unit(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let parts: BTreeSet<&str> = name.split(|c: char| !c.is_ascii_alphabetic()).collect();
    let whole = |words: &[&str]| words.iter().any(|word| parts.contains(word));
    let within = |words: &[&str]| words.iter().any(|word| name.contains(word));
    Some(match () {
        () if within(&["temperature"]) || whole(&["t", "temp", "degc"]) => "°C",
        () if within(&["humidity", "moisture"]) || whole(&["h", "rh", "hum", "battery", "soc"]) => "%",
        () if within(&["co2"]) => "ppm",
        () if within(&["voltage", "volt"]) || whole(&["u"]) => "V",
        () if within(&["energy", "kwh"]) => "kWh",
        () if within(&["power", "watt"]) => "W",
        () if within(&["current", "ampere"]) => "A",
        () if within(&["illuminance"]) || whole(&["lux"]) => "lx",
        () if within(&["frequency"]) => "Hz",
        () if whole(&["rssi"]) => "dBm",
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn formats_are_told_apart() {
        let kind = |payload: &str| look(payload.as_bytes()).map(|(kind, values)| (kind, values.len()));
        assert_eq!(kind(r#"{"a": 1, "b": {"c": [true, "x"]}, "odd key": 3, "n": null}"#), Some((Kind::Json, 3)));
        assert_eq!(kind(" 21.5\r\n"), Some((Kind::Number, 1)));
        assert_eq!(kind("t=21.5 h=48%"), Some((Kind::KeyValue, 2)));
        assert_eq!(kind("T:21.5;state:ok"), Some((Kind::KeyValue, 2)));
        assert_eq!(kind("Temp: 21.5 C; Hum: 48%"), Some((Kind::KeyValue, 2)));
        assert_eq!(kind("t=61,5 p=1,8bar"), Some((Kind::KeyValue, 2)));
        assert_eq!(kind("21.5;48;ok"), Some((Kind::Csv(b';'), 3)));
        for nonsense in ["", "hello", "{broken", "\u{1}\u{2}", "state=ok", "one,two,3", "inf", "[1,2]"] {
            assert_eq!(kind(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(look(b"\xff\xfe"), None);
    }

    #[test]
    fn formats_that_name_their_values_are_told_from_what_looks_alike() {
        let kind = |payload: &[u8]| look(payload).map(|(kind, _)| kind);
        let meter = "/KFM5\r\n\r\n1-0:1.8.1(000123.4*kWh)\r\n1-0:2.8.1(000.0*kWh)\r\n";
        let block = "PID\t0xA053\r\nV\t12800\r\nI\t-15\r\nChecksum\t\u{3}";
        for (payload, expected) in [
            (&br#"[{"bn":"dev1/","n":"t","u":"Cel","v":21.5}]"#[..], Some(Kind::Senml)),
            (b"\x81\xa2\x00\x61t\x02\x05", Some(Kind::Senml)),
            (b"\x81\xa2\x00\x61t\x08\x05", None),
            (b"$WIMWV,214.8,R,10.2,N,A*1F", Some(Kind::Nmea)),
            (b"$5,20*pieces", None),
            (meter.as_bytes(), Some(Kind::P1)),
            (block.as_bytes(), Some(Kind::VeDirect)),
            (br#"[{"n":"t"}]"#, None),
        ] {
            assert_eq!(kind(payload), expected, "{}", String::from_utf8_lossy(payload));
        }
    }

    #[test]
    fn paths_lead_to_their_values() {
        let (_, values) = look(br#"{"ENERGY": {"Power": 12.5}, "ch": [{"v": 1}]}"#).unwrap();
        assert_eq!(values, [("ENERGY.Power".into(), Seen::Number(12.5)), ("ch[0].v".into(), Seen::Number(1.0))]);
    }

    #[test]
    fn units_are_guessed_from_whole_words() {
        for (name, expected) in [
            ("temperature", Some("°C")),
            ("t", Some("°C")),
            ("indoor_temp", Some("°C")),
            ("Power", Some("W")),
            ("attempts", None),
            ("count", None),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }
}
