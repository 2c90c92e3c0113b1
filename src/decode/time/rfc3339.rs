//! The one shape in which most devices write a time, `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`, without a detour.
//!
//! Owns that shape and no other: what it does not know (other separators, leap seconds, local times, years that no
//! device means) is left to the full reader, and what it reads is what the full reader would.

/// Days of a year before a month.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Nanoseconds since the epoch; `None` where the text is for the full reader.
pub(super) fn read(text: &str) -> Option<i64> {
    let (date_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let &[c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = date_time else {
        return None;
    };
    let days = days(two(c1, c2)? * 100 + two(y1, y2)?, two(m1, m2)?, two(d1, d2)?)?;
    let of_day = minutes(h1, h2, n1, n2)? * 60 + below(60, two(s1, s2)?)?;
    let (nanos, zone) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    let ahead = match *zone {
        [b'Z'] => 0,
        [b'+', h1, h2, b':', m1, m2] => minutes(h1, h2, m1, m2)? * 60,
        [b'-', h1, h2, b':', m1, m2] => -minutes(h1, h2, m1, m2)? * 60,
        _ => return None,
    };
    Some((days * 86_400 + of_day - ahead) * 1_000_000_000 + nanos)
}

/// Days since the epoch, of a year whose nanoseconds fit into an `i64`, whatever the offset.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..2262).contains(&year) {
        return None;
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = *DAYS_BEFORE.get(usize::try_from(month - 1).ok()?)?;
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Leap days from the year 1 to the end of a year.
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let leap_days = leaps(year - 1) - leaps(1969) + i64::from(is_leap && month > 2);
    Some((year - 1970) * 365 + leap_days + before + day - 1)
}

/// Minutes of a time of the day, or of an offset.
fn minutes(h1: u8, h2: u8, m1: u8, m2: u8) -> Option<i64> {
    Some(below(24, two(h1, h2)?)? * 60 + below(60, two(m1, m2)?)?)
}

/// One to nine digits behind the point as nanoseconds, and what follows them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut nanos = 0;
    let mut weight = 1_000_000_000;
    let mut rest = text;
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        weight /= 10;
        if weight == 0 {
            return None;
        }
        nanos += i64::from(digit - b'0') * weight;
        rest = more;
    }
    (weight < 1_000_000_000).then_some((nanos, rest))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
    is_number.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn below(limit: i64, number: i64) -> Option<i64> {
    (number < limit).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::time::full;

    #[test]
    fn every_day_is_where_the_full_reader_has_it() {
        let mut date = jiff::civil::date(1970, 1, 1);
        for day in 0.. {
            let text = format!("{date}T00:00:00Z");
            assert_eq!(read(&text), Some(day * 86_400_000_000_000), "{text}");
            assert_eq!(read(&text), full(&text, &TimeZone::UTC), "{text}");
            match date.tomorrow() {
                Ok(next) if next.year() < 2262 => date = next,
                _ => break,
            }
        }
    }

    #[test]
    fn what_is_not_of_this_shape_or_no_time_is_left_to_the_full_reader() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01 12:00:00Z",
            "2026-03-01t12:00:00Z",
            "2026-03-01T12:00:00z",
            "2026-03-01T12:00:00,5Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00.1234567890Z",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00Z[UTC]",
            "2026-03-01T12:00:00Z ",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-01-00T12:00:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "2262-01-01T00:00:00Z",
            "2026-03-01T24:00:00Z",
            "+026-03-01T12:00:00Z",
            "2026-03-01T12:00:0\u{e9}Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_full_reader_reads(
            (year, month, day) in (1968_u16..2264, 0_u8..14, 0_u8..33),
            (hour, minute, second) in (0_u8..26, 0_u8..62, 0_u8..62),
            fraction in "|[.][0-9]{1,10}",
            zone in "Z|[+-][012][0-9]:[0-6][0-9]|[zZ+-][0-9:]{0,6}",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let read = read(&text);
            prop_assert!(read.is_none() || read == full(&text, &TimeZone::UTC), "{}: {:?}", text, read);
        }

        #[test]
        fn every_true_time_of_the_shape_is_read(
            seconds in 0_i64..9_214_646_400,
            nanos in 0_i64..1_000_000_000,
            (digits, offset) in (0_usize..10, -1_439_i64..1_440),
        ) {
            let local = jiff::Timestamp::new(seconds, 0).unwrap().to_zoned(TimeZone::UTC).datetime();
            let fraction = format!(".{nanos:09}");
            let fraction = if digits == 0 { "" } else { &fraction[..=digits] };
            let (sign, ahead) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let text = format!("{local}{fraction}{sign}{:02}:{:02}", ahead / 60, ahead % 60);
            prop_assert!(read(&text).is_some(), "{}", text);
            prop_assert_eq!(read(&text), full(&text, &TimeZone::UTC), "{}", text);
        }
    }
}
