//! `format = "scale"`: what balances and scales print.
//!
//! - MT-SICS (Mettler Toledo, also Ohaus, Kern): `S S     12.345 g`, second letter S stable, D dynamic, I not now, `+` and
//!   `-` overloaded and underloaded.
//! - A&D, CAS, Ohaus and many others: `ST,GS,+  1.234kg`; ST stable, US unstable, OL overloaded, then GS gross, NT net, TR
//!   tare.
//! - Plain: `N  +  123.45 g`, `12.34 g ?` (a `?`, or a unit that is missing as on Sartorius, means not stable yet).
//!
//! Values: `weight` (with its unit), `stable` (true or false), `kind` ("gross", "net", "tare", a text). Weights that are
//! not stable yet are passed over, unless told to keep them.

use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::Raw;
use crate::counters::Reject;

/// The names that a path can have.
pub(super) const NAMES: [&str; 3] = ["weight", "stable", "kind"];

/// What is wanted.
#[derive(Debug)]
pub(super) struct Scale {
    wants: Vec<(String, Vec<Slot>)>,
    keep_unstable: bool,
    decimal_comma: bool,
}

impl Scale {
    pub(super) fn new(keep_unstable: bool, decimal_comma: bool, wants: &[Want]) -> Result<Self, String> {
        match wants.iter().find(|want| !NAMES.contains(&want.path.as_str())) {
            Some(want) => Err(format!("`{}` is none of the values of a scale: {}", want.path, NAMES.join(", "))),
            None => Ok(Self { wants: super::by_name(wants), keep_unstable, decimal_comma }),
        }
    }

    fn put(&self, name: &str, raw: &Raw<'_>, sink: &mut Sink<'_>) {
        match self.wants.iter().find(|(wanted, _)| wanted == name) {
            Some((_, slots)) => {
                for slot in slots {
                    sink.put(*slot, raw);
                }
            }
            None if sink.takes_all() => sink.other(name, raw),
            None => {}
        }
    }
}

impl Format for Scale {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let weighed = weighed(payload, self.decimal_comma)?;
        if weighed.stable || self.keep_unstable {
            let raw = Raw::Measured { text: &weighed.number, unit: weighed.unit };
            self.put("weight", &raw, sink);
        } else {
            sink.ignore();
            self.put("weight", &Raw::Null, sink);
        }
        self.put("stable", &Raw::Bool(weighed.stable), sink);
        if let Some(kind) = weighed.kind {
            self.put("kind", &Raw::Text(kind), sink);
        }
        sink.end_record();
        Ok(())
    }
}

/// What a line says.
#[derive(Debug, PartialEq)]
struct Weighed<'p> {
    /// Its blanks taken out: "+   1.234" is "+1.234".
    number: String,
    unit: &'p str,
    stable: bool,
    kind: Option<&'static str>,
}

fn weighed(line: &str, decimal_comma: bool) -> Result<Weighed<'_>, Refusal> {
    let invalid = |what: &str| Err((Reject::NotValid, format!("the scale says: {what}")));
    let mut rest = line.trim();
    let mut stable = None;
    let mut kind = None;
    // MT-SICS begins with the command it answers: S, SI, SD, SIR.
    let (first, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let sics = matches!(first, "S" | "SI" | "SD" | "SIR" | "SR" | "SIRU" | "SU" | "SIU");
    if sics {
        let (status, value) = after.trim_start().split_once(char::is_whitespace).unwrap_or((after.trim(), ""));
        match status {
            "S" => stable = Some(true),
            "D" => stable = Some(false),
            "+" => return invalid("overloaded"),
            "-" => return invalid("underloaded"),
            "I" => return invalid("cannot weigh now"),
            "L" | "E" => return invalid("wrong command"),
            _ => {}
        }
        if stable.is_some() {
            rest = value.trim_start();
        } else if status.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
            // "S   12.3 g" without a status: the S says stable.
            stable = Some(true);
            rest = after.trim_start();
        }
    }
    loop {
        if sics {
            break;
        }
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        match &rest[..end] {
            "ST" | "S" => stable = Some(true),
            "US" | "SD" | "D" | "U" => stable = Some(false),
            "QT" => stable = Some(true),
            "OL" | "OVER" | "H" | "High" => return invalid("overloaded"),
            "UL" | "UNDER" | "Low" => return invalid("underloaded"),
            "GS" | "G" | "Gross" => kind = Some("gross"),
            "NT" | "N" | "Net" | "net" => kind = Some("net"),
            "TR" | "T" | "Tare" => kind = Some("tare"),
            _ => break,
        }
        rest = rest[end..].trim_start_matches([',', ' ', '\t', ':']);
    }
    // Some put more columns (a device number) between: the value is in the last one.
    let is_digit = |c: char| c.is_ascii_digit();
    if let Some((before, last)) = rest.rsplit_once(',')
        && !(decimal_comma && before.ends_with(is_digit) && last.starts_with(is_digit))
        && last.contains(|c: char| c.is_ascii_digit())
        && stable.is_some()
        && !sics
    {
        rest = last;
    }
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ',' | ' ');
    let end = rest.find(|c: char| !digits(c)).unwrap_or(rest.len());
    let number: String = rest[..end].chars().filter(|c| *c != ' ').collect();
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return Err((Reject::Malformed, format!("{} holds no weight", super::value::quote(line))));
    }
    let mut unit = "";
    for word in rest[end..].split_whitespace() {
        match word {
            "?" => stable = Some(false),
            "S" | "ST" => stable = stable.or(Some(true)),
            "D" | "US" => stable = stable.or(Some(false)),
            "G" | "GS" | "B" if !unit.is_empty() => kind = Some("gross"),
            "N" | "NET" | "Net" | "NT" if !unit.is_empty() => kind = Some("net"),
            "T" | "TR" | "PT" if !unit.is_empty() => kind = Some("tare"),
            _ if unit.is_empty() => unit = word,
            _ => {}
        }
    }
    // "12.34 g?"
    if let Some(bare) = unit.strip_suffix('?') {
        (unit, stable) = (bare, Some(false));
    }
    // Sartorius leaves the unit out until the weight is stable.
    Ok(Weighed { number, unit, stable: stable.unwrap_or(!unit.is_empty()), kind })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> String {
        match weighed(line, false) {
            Ok(found) => {
                let state = if found.stable { "stable" } else { "moving" };
                format!("{} {} {state} {}", found.number, found.unit, found.kind.unwrap_or("-"))
            }
            Err((reject, _)) => reject.as_str().to_owned(),
        }
    }

    #[test]
    fn weights_are_read_as_scales_print_them() {
        for (line, found) in [
            ("S S     12.345 g", "12.345 g stable -"),
            ("S D     -0.012 g", "-0.012 g moving -"),
            ("SI S 100.00 g", "100.00 g stable -"),
            ("S I", "not-valid"),
            ("S +", "not-valid"),
            ("S -", "not-valid"),
            ("ST,GS,+  1.234kg", "+1.234 kg stable gross"),
            ("ST,NT,-  0.500 kg", "-0.500 kg stable net"),
            ("US,GS,+  1.2kg", "+1.2 kg moving gross"),
            ("OL,GS,+9999999kg", "not-valid"),
            ("ST,+00012.34  g", "+00012.34 g stable -"),
            ("ST,GS,0,  1.234kg", "1.234 kg stable gross"),
            ("N     +    123.45 g", "+123.45 g stable net"),
            ("G     +    123.45", "+123.45  moving gross"),
            ("   12.34 g", "12.34 g stable -"),
            ("   12.34 g ?", "12.34 g moving -"),
            ("   12.34 kg   N", "12.34 kg stable net"),
            ("12,34 kg", "12,34 kg stable -"),
            ("ES", "malformed"),
            ("", "malformed"),
        ] {
            assert_eq!(read(line), found, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*", likely in "(S|SI|ST|US|OL|GS|,| |[0-9.+-]|kg|g|\\?)*") {
            let _ = weighed(&line, true);
            let _ = weighed(&likely, false);
        }
    }
}
