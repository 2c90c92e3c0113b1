//! Minutes of local time as cron writes them: `*/15 6-20 * * mon-fri`.
//!
//! Owns reading the five fields (minute, hour, day of the month, month, day of the week) and finding the next minute.
//! Pure. As in cron, where both kinds of day are given either is enough. A minute that a change to summer time leaves out
//! comes an hour later by the clock; of one that comes twice in autumn the first counts.

use jiff::Timestamp;
use jiff::civil::{Date, time};
use jiff::tz::TimeZone;

/// Days looked ahead for the next minute: the 29th of February may be eight years away.
const DAYS_MAX: usize = 366 * 9;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule. Each field is a set of numbers, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of day are given: either is enough.
    either_day: bool,
}

/// A field of the expression.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, words: &[] },
    Field { name: "hour", low: 0, high: 23, words: &[] },
    Field { name: "day of the month", low: 1, high: 31, words: &[] },
    Field { name: "month", low: 1, high: 12, words: &MONTHS },
    Field { name: "day of the week", low: 0, high: 7, words: &DAYS },
];

/// Reads an expression.
///
/// # Errors
/// What is wrong and how to write it.
pub fn parse(text: &str) -> Result<Cron, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = words[..] else {
        return Err(format!(
            "{} fields; expected five (minute, hour, day, month, day of the week), as in \"*/15 * * * *\"",
            words.len()
        ));
    };
    let sets = [minute, hour, day, month, weekday].into_iter().zip(&FIELDS).map(|(text, field)| set(text, field));
    let sets: Vec<u64> = sets.collect::<Result<_, _>>()?;
    // Sunday is 0 and 7.
    let weekdays = (sets[4] | sets[4] >> 7) & 0x7f;
    let either_day = !day.starts_with('*') && !weekday.starts_with('*');
    let cron = Cron { minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays, either_day };
    match cron.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC) {
        Some(_) => Ok(cron),
        None => Err("no day is like that".to_owned()),
    }
}

fn set(text: &str, field: &Field) -> Result<u64, String> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let wrong = || format!("`{step}` is no step; expected a number from 1 on, as in \"*/15\"");
                (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0).ok_or_else(wrong)?))
            }
            None => (part, None),
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (field.low, field.high),
            Some((low, high)) => (number(low, field)?, number(high, field)?),
            None if step.is_some() => (number(range, field)?, field.high),
            None => (number(range, field)?, number(range, field)?),
        };
        if low > high {
            return Err(format!("`{range}` runs backwards"));
        }
        bits |= (low..=high).step_by(step.unwrap_or(1) as usize).fold(0, |bits, at| bits | 1 << at);
    }
    Ok(bits)
}

fn number(text: &str, field: &Field) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = field.words.iter().position(|word| *word == lower) {
        return Ok(u32::try_from(at).unwrap_or(0) + field.low);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number && (field.low..=field.high).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is no {}; expected {} to {}", field.name, field.low, field.high)),
    }
}

impl std::str::FromStr for Cron {
    type Err = String;

    /// As [`parse`].
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text)
    }
}

impl Cron {
    /// The first matching minute after an instant. `None` should there be none for many years.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(after).date();
        for _ in 0..DAYS_MAX {
            if self.is_on(date)
                && let Some(found) = self.first_on(date, after, zone)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn is_on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set >> number & 1 == 1;
        let (day, weekday) = (has(self.days, date.day()), has(self.weekdays, date.weekday().to_sunday_zero_offset()));
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn first_on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let hours = (0..24_i8).filter(|hour| self.hours >> hour & 1 == 1);
        let times = hours.flat_map(|hour| {
            (0..60_i8).filter(|minute| self.minutes >> minute & 1 == 1).map(move |minute| time(hour, minute, 0, 0))
        });
        let instants = times.filter_map(|at| zone.to_timestamp(date.to_datetime(at)).ok());
        instants.into_iter().find(|at| *at > after)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn next(cron: &str, after: &str, zone: &TimeZone) -> String {
        parse(cron).unwrap().next_after(after.parse().unwrap(), zone).unwrap().to_string()
    }

    #[test]
    fn the_next_minute_is_found() {
        for (cron, after, expected) in [
            ("*/15 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"),
            ("*/15 * * * *", "2026-01-01T00:14:59.5Z", "2026-01-01T00:15:00Z"),
            ("*/15 * * * *", "2026-12-31T23:45:00Z", "2027-01-01T00:00:00Z"),
            ("7 3,15 * * *", "2026-01-01T03:07:00Z", "2026-01-01T15:07:00Z"),
            ("5/20 * * * *", "2026-01-01T00:06:00Z", "2026-01-01T00:25:00Z"),
            ("0 6-20/2 * * MON-fri", "2026-01-02T20:00:00Z", "2026-01-05T06:00:00Z"),
            ("0 0 29 feb *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
            ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            // Either kind of day is enough where both are given: a Friday, or the 13th.
            ("0 0 13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z"),
            ("0 0 13 * 5", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"),
        ] {
            assert_eq!(next(cron, after, &TimeZone::UTC), expected, "{cron} after {after}");
        }
    }

    #[test]
    fn local_time_follows_summer_time() {
        assert_eq!(next("30 6 * * *", "2026-01-15T00:00:00Z", &berlin()), "2026-01-15T05:30:00Z");
        assert_eq!(next("30 6 * * *", "2026-07-15T00:00:00Z", &berlin()), "2026-07-15T04:30:00Z");
        // 02:30 does not exist on 29 March 2026, and comes twice on 25 October.
        assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z", &berlin()), "2026-03-29T01:30:00Z");
        assert_eq!(next("30 2 * * *", "2026-10-24T12:00:00Z", &berlin()), "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", "2026-10-25T00:30:00Z", &berlin()), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn mistakes_are_told() {
        for (text, word) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("60 * * * *", "`60` is no minute; expected 0 to 59"),
            ("* 24 * * *", "no hour"),
            ("* * 0 * *", "expected 1 to 31"),
            ("* * * smarch *", "no month"),
            ("* * * * 8", "no day of the week"),
            ("*/0 * * * *", "no step"),
            ("+5 * * * *", "no minute"),
            ("30-10 * * * *", "backwards"),
            ("0 0 31 2 *", "no day"),
            ("1,,2 * * * *", "no minute"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
