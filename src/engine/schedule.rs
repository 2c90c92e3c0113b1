//! When an alarm is in force: weekly spans of local time.
//!
//! Owns the question "in force at this instant?" and when to ask it again. Local time comes from jiff, so a day with a
//! change to or from summer time is what the people on site read off their clocks.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::{BootTime, ClockState, Now};
use crate::config::model::ScheduleSpan;

/// Spans begin and end on whole minutes of local time, and every zone in use is whole minutes from UTC, so asking once
/// a minute, on the minute, meets every boundary; and a wall clock that jumps is noticed within a minute.
const MINUTE: Duration = Duration::from_secs(60);

/// Whether the spans cover this instant. No spans cover everything; so does any schedule while nobody has confirmed
/// the wall clock, because an alarm at the wrong hour is better than none at the right one.
pub(super) fn in_force(spans: &[ScheduleSpan], zone: &TimeZone, now: Now) -> bool {
    if spans.is_empty() || now.clock == ClockState::Unsynchronized {
        return true;
    }
    let Ok(instant) = Timestamp::from_nanosecond(i128::from(now.wall.0)) else { return true };
    let local = zone.to_datetime(instant);
    let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
    let today = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
    let yesterday = (today + 6) % 7;
    spans.iter().any(|span| {
        if span.from_min < span.to_min {
            span.days[today] && (span.from_min..span.to_min).contains(&minute)
        } else {
            // Past midnight: the evening belongs to the day it starts on, the morning to the day before. A span that
            // ends when it starts is a whole day.
            (span.days[today] && minute >= span.from_min) || (span.days[yesterday] && minute < span.to_min)
        }
    })
}

/// When to ask again: on the next whole minute.
pub(super) fn ask_again(now: Now) -> BootTime {
    let minute = i64::try_from(MINUTE.as_nanos()).unwrap_or(i64::MAX);
    let left = minute - now.wall.0.rem_euclid(minute);
    now.boot.after(Duration::from_nanos(left.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic, that is how it fails")]

    use super::*;
    use crate::clock::WallTime;

    const WEEKDAYS: [bool; 7] = [true, true, true, true, true, false, false];

    fn at(text: &str) -> Now {
        let stamp: Timestamp = text.parse().unwrap();
        let wall = WallTime(i64::try_from(stamp.as_nanosecond()).unwrap());
        Now { boot: BootTime(0), wall, clock: ClockState::Synchronized }
    }

    fn span(days: [bool; 7], from_min: u16, to_min: u16) -> Vec<ScheduleSpan> {
        vec![ScheduleSpan { days, from_min, to_min }]
    }

    /// The rule of central Europe written out, so that the test needs no zone database.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn a_span_holds_from_its_first_minute_until_before_its_last() {
        let spans = span(WEEKDAYS, 360, 1080);
        for (time, expected) in [
            ("2024-01-01T05:59:59Z", false),
            ("2024-01-01T06:00:00Z", true),
            ("2024-01-01T17:59:59Z", true),
            ("2024-01-01T18:00:00Z", false),
            ("2024-01-06T12:00:00Z", false),
        ] {
            assert_eq!(in_force(&spans, &TimeZone::UTC, at(time)), expected, "{time}");
        }
    }

    #[test]
    fn a_span_past_midnight_belongs_to_the_day_it_starts_on() {
        let spans = span(WEEKDAYS, 22 * 60, 6 * 60);
        for (time, expected) in [
            ("2024-01-05T23:00:00Z", true),  // Friday night
            ("2024-01-06T05:59:00Z", true),  // its end, on Saturday
            ("2024-01-06T06:00:00Z", false), // over
            ("2024-01-06T23:00:00Z", false), // Saturday night
            ("2024-01-08T05:00:00Z", false), // Monday morning belongs to Sunday
        ] {
            assert_eq!(in_force(&spans, &TimeZone::UTC, at(time)), expected, "{time}");
        }
    }

    #[test]
    fn local_time_follows_summer_time() {
        let spans = span([true; 7], 360, 1080);
        assert!(!in_force(&spans, &berlin(), at("2024-01-15T04:30:00Z")), "05:30 in winter");
        assert!(in_force(&spans, &berlin(), at("2024-07-15T04:30:00Z")), "06:30 in summer");
        // The night of 31 March 2024: 02:00 to 03:00 does not exist; a span that begins in it begins after it.
        let gap = span([true; 7], 150, 360);
        assert!(!in_force(&gap, &berlin(), at("2024-03-31T00:59:59Z")));
        assert!(in_force(&gap, &berlin(), at("2024-03-31T01:00:00Z")));
    }

    #[test]
    fn while_the_clock_is_unconfirmed_every_alarm_is_in_force() {
        let now = Now { clock: ClockState::Unsynchronized, ..at("2024-01-06T12:00:00Z") };
        assert!(in_force(&span(WEEKDAYS, 360, 1080), &TimeZone::UTC, now));
    }

    #[test]
    fn the_question_is_asked_again_on_the_minute() {
        assert_eq!(ask_again(at("2024-01-01T05:59:40Z")), BootTime(20_000_000_000));
        assert_eq!(ask_again(at("2024-01-01T05:59:00Z")), BootTime(60_000_000_000));
    }
}
