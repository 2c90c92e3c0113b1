//! From a payload's own time to a [`WallTime`], or to the arrival with a doubt.
//!
//! Owns units, ISO 8601 and plausibility. Never reads a clock: arrival comes with the message.
//!
//! Whole numbers and decimal texts are exact to the nanosecond. A JSON number with a fraction is an `f64`, which at
//! today's epoch seconds resolves 0.24 us, so it is rounded to the microsecond.

mod rfc3339;

use std::time::Duration;

use jiff::civil;
use jiff::fmt::strtime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use super::value::{Raw, parse};
use crate::clock::{BUILT, WallTime};
use crate::config::model::TsUnit;
use crate::reading::TimeSource;

/// How long a program can be in use: a stamp further beyond its build is a device's way to say that it has no time
/// (2106, 2038), and would make everything after it late.
const LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A payload's time, as far as it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Nanoseconds since the epoch.
    At(i64),
    /// Nanoseconds since midnight: only the time of the day is told.
    OfDay(i64),
    /// There is one, but it makes no sense.
    Unreadable,
}

/// How a source's times are read and how far they are believed.
#[derive(Clone, Debug)]
pub(super) struct TimeRule {
    pub(super) unit: TsUnit,
    /// How a time is written, in strftime's letters; then the unit does not count.
    pub(super) format: Option<String>,
    pub(super) zone: TimeZone,
    pub(super) max_future_skew: Duration,
    pub(super) max_age: Duration,
}

impl TimeRule {
    /// Reads a time; `None` where the payload says that there is none.
    pub(super) fn read(&self, raw: &Raw<'_>) -> Option<Stamp> {
        if let Some(format) = &self.format {
            let whole;
            let text = match *raw {
                Raw::Null => return None,
                Raw::Text(text) | Raw::Bare { text, .. } | Raw::Measured { text, .. } => text.trim(),
                // "20260301120000" is a number to formats that know numbers.
                Raw::Integer(number) => {
                    whole = number.to_string();
                    &whole
                }
                Raw::Unsigned(number) => {
                    whole = number.to_string();
                    &whole
                }
                Raw::Number(_) | Raw::Bool(_) | Raw::Composite => return Some(Stamp::Unreadable),
            };
            return (!text.is_empty()).then(|| self.formatted(format, text).unwrap_or(Stamp::Unreadable));
        }
        let nanos = match *raw {
            Raw::Null | Raw::Text("") | Raw::Bare { text: "", .. } | Raw::Measured { text: "", .. } => return None,
            Raw::Text(text) | Raw::Bare { text, .. } | Raw::Measured { text, .. } => self.text(text),
            Raw::Integer(whole) => self.sized(whole as f64).whole(i128::from(whole)),
            Raw::Unsigned(whole) => self.sized(whole as f64).whole(i128::from(whole)),
            Raw::Number(number) => self.sized(number).real(number),
            Raw::Bool(_) | Raw::Composite => None,
        };
        Some(nanos.map_or(Stamp::Unreadable, Stamp::At))
    }

    /// The time a reading gets. While nobody knows the time (`is_known` is false) a stamp cannot be judged by the
    /// arrival; all that is certain then is that it is later than our build.
    pub(super) fn resolve(&self, stamp: Option<Stamp>, arrival: WallTime, is_known: bool) -> (WallTime, TimeSource) {
        let is_plausible = |time| if is_known { self.is_plausible(time, arrival) } else { self.is_possible(time) };
        let stamp = match stamp {
            Some(Stamp::OfDay(nanos)) if is_known => self.latest(nanos, arrival).map(Stamp::At).or(stamp),
            other => other,
        };
        match stamp {
            None => (arrival, TimeSource::Arrival),
            Some(Stamp::At(nanos)) if is_plausible(WallTime(nanos)) => (WallTime(nanos), TimeSource::Payload),
            Some(_) => (arrival, TimeSource::Doubtful),
        }
    }

    /// Whether a stamp can be true in the life of this program.
    fn is_possible(&self, time: WallTime) -> bool {
        match time.since(BUILT) {
            Some(after) => after <= LIFE_MAX,
            None => BUILT.since(time).is_some_and(|age| age <= self.max_age),
        }
    }

    fn is_plausible(&self, time: WallTime, arrival: WallTime) -> bool {
        match arrival.since(time) {
            Some(age) => age <= self.max_age,
            None => time.since(arrival).is_some_and(|ahead| ahead <= self.max_future_skew),
        }
    }

    /// How many decimal digits there are between the unit and a nanosecond.
    fn digits(&self) -> Option<u32> {
        match self.unit {
            TsUnit::Seconds => Some(9),
            TsUnit::Millis => Some(6),
            TsUnit::Micros => Some(3),
            TsUnit::Nanos => Some(0),
            TsUnit::Iso8601 | TsUnit::Auto => None,
        }
    }

    /// The rule for a number: with "auto" its unit follows from its size. The bounds are the year 5138 in the smaller
    /// unit and 1973 in the larger one.
    fn sized(&self, number: f64) -> Scale {
        let digits = match (self.unit, number.abs()) {
            (TsUnit::Auto, size) if size < 1e11 => Some(9),
            (TsUnit::Auto, size) if size < 1e14 => Some(6),
            (TsUnit::Auto, size) if size < 1e17 => Some(3),
            (TsUnit::Auto, _) => Some(0),
            _ => self.digits(),
        };
        Scale { digits }
    }

    fn text(&self, text: &str) -> Option<i64> {
        let text = text.trim_ascii();
        // No number is written like this, so with "auto" there is nothing else that it could be.
        if matches!(self.unit, TsUnit::Auto | TsUnit::Iso8601)
            && let Some(nanos) = rfc3339::read(text)
        {
            return Some(nanos);
        }
        let number = match self.unit {
            TsUnit::Auto => parse(text, false),
            _ => None,
        };
        let scale = number.map_or_else(|| Scale { digits: self.digits() }, |number| self.sized(number.as_f64()));
        let Some(digits) = scale.digits else {
            return full(text, &self.zone);
        };
        match text.split_once('.') {
            Some((whole, fraction)) if whole.parse::<i64>().is_ok() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
                let seen: String = fraction.chars().chain(std::iter::repeat('0')).take(digits as usize).collect();
                let part: i64 = if seen.is_empty() { 0 } else { seen.parse().ok()? };
                let nanos = scale.whole(whole.parse::<i128>().ok()?)?;
                if whole.starts_with('-') { nanos.checked_sub(part) } else { nanos.checked_add(part) }
            }
            _ => match text.parse::<i128>() {
                Ok(whole) => scale.whole(whole),
                Err(_) => scale.real(parse(text, false)?.as_f64()),
            },
        }
    }

    fn formatted(&self, format: &str, text: &str) -> Option<Stamp> {
        let pieces = strtime::parse(format, text).ok()?;
        let stamp = match (pieces.to_timestamp(), pieces.to_datetime(), pieces.to_time()) {
            (Ok(stamp), ..) => stamp,
            (_, Ok(local), _) => self.zone.to_timestamp(local).ok()?,
            (_, _, Ok(time)) => {
                let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
                return Some(Stamp::OfDay(seconds * 1_000_000_000 + i64::from(time.subsec_nanosecond())));
            }
            _ => return None,
        };
        i64::try_from(stamp.as_nanosecond()).ok().map(Stamp::At)
    }

    /// The time of the day on the last day that does not put it too far into the future.
    fn latest(&self, of_day: i64, arrival: WallTime) -> Option<i64> {
        let arrived = jiff::Timestamp::from_nanosecond(i128::from(arrival.0)).ok()?;
        let today = arrived.to_zoned(self.zone.clone()).date();
        let time = civil::Time::midnight().checked_add(jiff::SignedDuration::from_nanos(of_day)).ok()?;
        let days = [today.yesterday(), Ok(today), today.tomorrow()];
        let at = |day: civil::Date| self.zone.to_timestamp(day.to_datetime(time)).ok();
        let stamps = days.into_iter().flatten().filter_map(at).filter_map(|at| i64::try_from(at.as_nanosecond()).ok());
        let ahead = i64::try_from(self.max_future_skew.as_nanos()).unwrap_or(i64::MAX);
        stamps.filter(|at| *at <= arrival.0.saturating_add(ahead)).max()
    }
}

/// An ISO 8601 date and time, where it has no offset in this zone.
fn full(text: &str, zone: &TimeZone) -> Option<i64> {
    let pieces = DateTimeParser::new().parse_pieces(text).ok()?;
    // A date alone could mean any time of that day.
    let local = pieces.date().to_datetime(pieces.time()?);
    let stamp = match pieces.to_numeric_offset() {
        Some(offset) => offset.to_timestamp(local).ok()?,
        None => zone.to_timestamp(local).ok()?,
    };
    i64::try_from(stamp.as_nanosecond()).ok()
}

/// How many decimal digits there are between a number's unit and a nanosecond; `None`: it is no number.
#[derive(Clone, Copy, Debug)]
struct Scale {
    digits: Option<u32>,
}

impl Scale {
    fn whole(&self, whole: i128) -> Option<i64> {
        let nanos = whole.checked_mul(10_i128.pow(self.digits?))?;
        i64::try_from(nanos).ok()
    }

    fn real(&self, number: f64) -> Option<i64> {
        let digits = self.digits?;
        let whole = number.trunc();
        if !whole.is_finite() || whole.abs() > i64::MAX as f64 {
            return None;
        }
        let micros = ((number - whole) * 10_f64.powi(digits as i32) / 1_000.0).round() as i64;
        self.whole(whole as i128)?.checked_add(micros.checked_mul(1_000)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const NOON: i64 = 1_772_366_400_000_000_000; // 2026-03-01T12:00:00Z
    const ARRIVAL: WallTime = WallTime(NOON + 60_000_000_000);

    fn rule(unit: TsUnit) -> TimeRule {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day = Duration::from_secs(86_400);
        TimeRule { unit, format: None, zone, max_future_skew: Duration::from_secs(3_600), max_age: 30 * day }
    }

    fn text(unit: TsUnit, text: &str) -> Option<Stamp> {
        rule(unit).read(&Raw::Text(text))
    }

    #[test]
    fn whole_numbers_are_exact_in_every_unit() {
        let at = |unit, whole| rule(unit).read(&Raw::Integer(whole));
        assert_eq!(at(TsUnit::Seconds, 1_772_366_400), Some(Stamp::At(NOON)));
        assert_eq!(at(TsUnit::Millis, 1_772_366_400_123), Some(Stamp::At(NOON + 123_000_000)));
        assert_eq!(at(TsUnit::Micros, 1_772_366_400_123_456), Some(Stamp::At(NOON + 123_456_000)));
        assert_eq!(at(TsUnit::Nanos, 1_772_366_400_123_456_789), Some(Stamp::At(NOON + 123_456_789)));
        assert_eq!(at(TsUnit::Seconds, i64::MAX), Some(Stamp::Unreadable));
        assert_eq!(rule(TsUnit::Nanos).read(&Raw::Unsigned(u64::MAX)), Some(Stamp::Unreadable));
    }

    #[test]
    fn fractions_keep_what_their_form_can_hold() {
        let seconds = rule(TsUnit::Seconds);
        assert_eq!(seconds.read(&Raw::Number(1_772_366_400.123)), Some(Stamp::At(NOON + 123_000_000)));
        assert_eq!(text(TsUnit::Seconds, "1772366400.123456789"), Some(Stamp::At(NOON + 123_456_789)));
        assert_eq!(text(TsUnit::Seconds, "1772366400."), Some(Stamp::At(NOON)));
        assert_eq!(text(TsUnit::Millis, "1772366400000.5"), Some(Stamp::At(NOON + 500_000)));
        assert_eq!(text(TsUnit::Nanos, "1772366400000000000.9"), Some(Stamp::At(NOON)));
        assert_eq!(text(TsUnit::Seconds, "-0.5"), Some(Stamp::At(-500_000_000)));
        assert_eq!(text(TsUnit::Seconds, "1.7723664e9"), Some(Stamp::At(NOON)));
        assert_eq!(seconds.read(&Raw::Number(f64::MAX)), Some(Stamp::Unreadable));
    }

    #[test]
    fn with_auto_the_unit_follows_from_the_size_and_texts_are_either() {
        let at = |whole| rule(TsUnit::Auto).read(&Raw::Integer(whole));
        assert_eq!(at(1_772_366_400), Some(Stamp::At(NOON)));
        assert_eq!(at(1_772_366_400_123), Some(Stamp::At(NOON + 123_000_000)));
        assert_eq!(at(1_772_366_400_123_456), Some(Stamp::At(NOON + 123_456_000)));
        assert_eq!(at(1_772_366_400_123_456_789), Some(Stamp::At(NOON + 123_456_789)));
        assert_eq!(text(TsUnit::Auto, "1772366400.5"), Some(Stamp::At(NOON + 500_000_000)));
        assert_eq!(text(TsUnit::Auto, "1772366400123"), Some(Stamp::At(NOON + 123_000_000)));
        assert_eq!(text(TsUnit::Auto, "2026-03-01 12:00:00z"), Some(Stamp::At(NOON)));
        assert_eq!(text(TsUnit::Auto, "soon"), Some(Stamp::Unreadable));
    }

    #[test]
    fn iso8601_is_read_with_and_without_an_offset() {
        let noon = Some(Stamp::At(NOON));
        for spelling in [
            "2026-03-01T12:00:00Z",
            "2026-03-01 12:00:00z",
            "2026-03-01t12:00:00.000Z",
            "2026-03-01T13:30:00+01:30",
            "2026-03-01T13:30:00+0130",
            "2026-03-01T13:00:00",
            "20260301T120000Z",
        ] {
            assert_eq!(text(TsUnit::Iso8601, spelling), noon, "{spelling}");
        }
        // Summer time in the source's zone.
        let summer = text(TsUnit::Iso8601, "2026-07-01T19:34:28");
        assert_eq!(summer, text(TsUnit::Iso8601, "2026-07-01T17:34:28Z"));
    }

    #[test]
    fn what_makes_no_sense_is_doubtful_and_does_not_panic() {
        for spelling in ["yesterday", "2026-03-01", "2026-13-01T00:00:00Z", "12:00", "9999-12-31T23:59:59Z"] {
            assert_eq!(text(TsUnit::Iso8601, spelling), Some(Stamp::Unreadable), "{spelling}");
        }
        assert_eq!(rule(TsUnit::Iso8601).read(&Raw::Integer(1)), Some(Stamp::Unreadable));
        assert_eq!(rule(TsUnit::Seconds).read(&Raw::Bool(true)), Some(Stamp::Unreadable));
        assert_eq!(rule(TsUnit::Seconds).read(&Raw::Null), None);
        let (time, source) = rule(TsUnit::Iso8601).resolve(Some(Stamp::Unreadable), ARRIVAL, true);
        assert_eq!((time, source), (ARRIVAL, TimeSource::Doubtful));
    }

    #[test]
    fn a_time_in_a_format_of_its_own_is_read_in_the_sources_zone() {
        let at = |format: &str, text: &str| {
            TimeRule { format: Some(format.to_owned()), ..rule(TsUnit::Seconds) }.read(&Raw::Text(text))
        };
        assert_eq!(at("%d.%m.%Y %H:%M:%S", "01.03.2026 13:00:00"), Some(Stamp::At(NOON)));
        assert_eq!(at("%d.%m.%y %H:%M", "01.03.26 13:00"), Some(Stamp::At(NOON)));
        assert_eq!(at("%Y-%m-%d %H:%M:%S %z", "2026-03-01 07:00:00 -0500"), Some(Stamp::At(NOON)));
        for text in ["", "x", "01.03.2026", "32.03.2026 13:00:00", "01.03.2026 13:00:00 and more"] {
            let found = at("%d.%m.%Y %H:%M:%S", text);
            assert_eq!(found, (!text.is_empty()).then_some(Stamp::Unreadable), "{text}");
        }
        let compact = TimeRule { format: Some("%Y%m%d%H%M%S".to_owned()), ..rule(TsUnit::Iso8601) };
        assert_eq!(compact.read(&Raw::Integer(20_260_301_130_000)), Some(Stamp::At(NOON)));
    }

    #[test]
    fn a_time_of_the_day_is_on_the_last_day_that_is_not_ahead() {
        // It is 13:01 in Berlin.
        let rule = TimeRule { format: Some("%H:%M:%S".to_owned()), ..rule(TsUnit::Iso8601) };
        let at = |text| rule.resolve(rule.read(&Raw::Text(text)), ARRIVAL, true);
        assert_eq!(at("13:00:00"), (WallTime(NOON), TimeSource::Payload));
        assert_eq!(at("13:02:00"), (WallTime(NOON + 120_000_000_000), TimeSource::Payload));
        assert_eq!(at("23:59:00"), (WallTime(NOON - 13 * 3_600_000_000_000 - 60_000_000_000), TimeSource::Payload));
        assert_eq!(at("25:00:00"), (ARRIVAL, TimeSource::Doubtful));
        assert_eq!(rule.resolve(rule.read(&Raw::Text("13:00:00")), ARRIVAL, false), (ARRIVAL, TimeSource::Doubtful));
    }

    #[test]
    fn a_leap_second_is_read_or_doubted_but_never_a_crash() {
        let rule = rule(TsUnit::Iso8601);
        let stamp = rule.read(&Raw::Text("2016-12-31T23:59:60Z"));
        assert_eq!(rule.resolve(stamp, ARRIVAL, true), (ARRIVAL, TimeSource::Doubtful));
    }

    #[test]
    fn far_future_and_ancient_times_give_way_to_arrival() {
        let rule = rule(TsUnit::Seconds);
        let source = |seconds: i64| rule.resolve(rule.read(&Raw::Integer(seconds)), ARRIVAL, true).1;
        let arrival = ARRIVAL.0 / 1_000_000_000;
        assert_eq!(source(arrival), TimeSource::Payload);
        assert_eq!(source(arrival + 3_600), TimeSource::Payload);
        assert_eq!(source(arrival + 3_601), TimeSource::Doubtful);
        assert_eq!(source(arrival - 30 * 86_400), TimeSource::Payload);
        assert_eq!(source(arrival - 30 * 86_400 - 1), TimeSource::Doubtful);
        assert_eq!(source(4_102_444_800), TimeSource::Doubtful);
        assert_eq!(rule.resolve(None, ARRIVAL, true), (ARRIVAL, TimeSource::Arrival));
    }

    #[test]
    fn a_clock_that_does_not_know_the_time_judges_no_stamp_but_by_the_build_time() {
        let rule = rule(TsUnit::Seconds);
        let arrival = WallTime::from_secs(60);
        let source = |time: WallTime| rule.resolve(Some(Stamp::At(time.0)), arrival, false).1;
        let day = 86_400_000_000_000;
        for time in [BUILT, BUILT.offset(900 * day), BUILT.offset(-29 * day)] {
            assert_eq!(source(time), TimeSource::Payload, "{time}");
        }
        for time in [arrival, WallTime(0), BUILT.offset(-31 * day), WallTime::from_secs(4_294_967_295)] {
            assert_eq!(source(time), TimeSource::Doubtful, "{time}");
        }
    }
}
