//! `format = "p1"`: the telegram of a smart meter (DSMR, IEC 62056-21), `1-0:1.8.1(001581.123*kWh)`.
//!
//! A path is an OBIS code, with its medium and channel (`1-0:1.8.1`) or without (`1.8.1`). The time is the telegram's own
//! (`0-0:1.0.0`, year to second and S for summer or W for winter time, in the configured zone). A meter behind the meter
//! (gas, heat, water) has its own, older time before the value: its reading carries that. Everything is taken where
//! nothing is configured, if it has a unit.

use jiff::civil;
use jiff::tz::TimeZone;

use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::Raw;
use crate::counters::Reject;

/// Most lines of a telegram that are looked at. A DSMR 5 telegram has about 40.
const LINES_MAX: usize = 512;

/// The telegram's time.
const TIME: &str = "0-0:1.0.0";

/// What is wanted, by code.
#[derive(Debug)]
pub(super) struct P1(Vec<(String, Vec<Slot>)>);

/// A line: its code, and what stands in its parentheses.
type Line<'p> = (&'p str, Vec<&'p str>);

impl P1 {
    pub(super) fn new(wants: &[Want]) -> Self {
        Self(super::by_name(wants))
    }

    fn slots<'s>(&'s self, code: &str) -> Option<&'s [Slot]> {
        let short = code.split_once(':').map_or(code, |(_, short)| short);
        let find = |wanted: &str| self.0.iter().find(|(path, _)| path == wanted).map(|(_, slots)| slots.as_slice());
        find(code).or_else(|| find(short))
    }

    /// What belongs to every record: names and attributes.
    fn put_common(&self, lines: &[Line<'_>], sink: &mut Sink<'_>) {
        for (code, groups) in lines {
            let slots = self.slots(code).unwrap_or_default();
            for slot in slots.iter().filter(|slot| !matches!(slot, Slot::Field(_))) {
                sink.put(*slot, &raw(groups.last().unwrap_or(&"")));
            }
        }
    }

    /// The line's reading, if it is wanted; whether it was.
    fn put(&self, code: &str, text: &str, sink: &mut Sink<'_>) -> bool {
        let fields = self.slots(code).unwrap_or_default().iter().filter(|slot| matches!(slot, Slot::Field(_)));
        let mut any = false;
        for slot in fields {
            any = true;
            sink.put(*slot, &raw(text));
        }
        if !any && sink.takes_all() && text.contains('*') {
            any = true;
            sink.other(code, &raw(text));
        }
        any
    }
}

impl Format for P1 {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let lines = lines(payload);
        if lines.is_empty() {
            return Err((Reject::Malformed, "no line with a code and a value in it".to_owned()));
        }
        let zone = sink.zone().clone();
        let own = lines.iter().find(|(code, _)| *code == TIME).and_then(|(_, groups)| groups.first());
        let own = own.map(|text| stamp(text, &zone));
        self.put_common(&lines, sink);
        if let Some(own) = own {
            sink.stamp(own);
        }
        let mut any = false;
        for (code, groups) in lines.iter().filter(|line| later(line).is_none()) {
            any |= self.put(code, groups.last().unwrap_or(&""), sink);
        }
        let behind = lines.iter().filter_map(later).collect::<Vec<_>>();
        let wanted = |code: &str| self.slots(code).is_some() || sink.takes_all();
        if any || !behind.iter().any(|(code, ..)| wanted(code)) {
            sink.end_record();
        } else {
            sink.drop_record();
        }
        for (code, time, text) in behind {
            self.put_common(&lines, sink);
            sink.stamp(stamp(time, &zone));
            if self.put(code, &text, sink) {
                sink.end_record();
            } else {
                sink.drop_record();
            }
        }
        Ok(())
    }
}

/// The lines with a code. A line that begins with a parenthesis belongs to the one before.
fn lines(payload: &str) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    // The readout of mode C marks its first line with STX.
    for line in payload.lines().map(|line| line.trim().trim_start_matches('\u{2}')).take(LINES_MAX) {
        let Some((code, rest)) = line.split_once('(') else { continue };
        let groups = rest.strip_suffix(')').unwrap_or(rest).split(")(");
        match lines.last_mut() {
            Some((_, before)) if code.is_empty() => before.extend(groups),
            _ => lines.push((code, groups.collect())),
        }
    }
    lines
}

/// A reading with a time of its own: the code, the time, and the value with its unit.
fn later<'p>((code, groups): &Line<'p>) -> Option<(&'p str, &'p str, String)> {
    match groups.as_slice() {
        [time, value] if is_stamp(time) && value.contains('*') => Some((code, time, (*value).to_owned())),
        // DSMR 2 and 3: time, .., the code, the unit, and the value in a line of its own.
        [time, _, _, _, inner, unit, value] if is_stamp(time) && inner.contains(':') => {
            Some((code, time, format!("{value}*{unit}")))
        }
        _ => None,
    }
}

/// "00981.443*m3"
fn raw(text: &str) -> Raw<'_> {
    match text.split_once('*') {
        Some((text, unit)) => Raw::Measured { text, unit },
        None => Raw::Bare { text, strip_unit: false },
    }
}

fn is_stamp(text: &str) -> bool {
    let digits = text.trim_end_matches(['S', 'W']);
    digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// "260701140005S" in nanoseconds since the epoch; the letter decides in the hour that is there twice.
fn stamp(text: &str, zone: &TimeZone) -> Option<i64> {
    if !is_stamp(text) {
        return None;
    }
    let pair = |at: usize| text[at..at + 2].parse::<i8>().ok();
    let local = civil::DateTime::new(2000 + i16::from(pair(0)?), pair(2)?, pair(4)?, pair(6)?, pair(8)?, pair(10)?, 0);
    let ambiguous = zone.to_ambiguous_timestamp(local.ok()?);
    let stamp = if text.ends_with('W') { ambiguous.later() } else { ambiguous.earlier() };
    i64::try_from(stamp.ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn the_season_decides_in_the_hour_that_is_there_twice() {
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let at = |text| stamp(text, &zone).map(|nanos| nanos / 1_000_000_000);
        assert_eq!(at("260701140005S"), Some(1_782_907_205));
        assert_eq!(at("261025023000W").unwrap() - at("261025023000S").unwrap(), 3_600);
        assert_eq!(at("260101120000W"), Some(1_767_265_200));
        assert_eq!(at("260101120000"), Some(1_767_265_200));
        for text in ["", "S", "269901120000W", "2601011200", "26010112000xW", "0000"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn old_meters_put_the_value_into_the_next_line() {
        let telegram = "/KMP5\r\n0-1:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.0)(m3)\r\n(00124.477)\r\n!";
        let lines = lines(telegram);
        assert_eq!(later(&lines[0]).unwrap(), ("0-1:24.3.0", "120517020000", "00124.477*m3".to_owned()));
    }
}
