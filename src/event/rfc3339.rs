//! Wall times as RFC 3339 text in UTC, for events on the wire.
//!
//! Owns the writing only, because a fat event holds a dozen times and a general formatter would be most of its cost.
//! Never parses and never allocates. The text is the one that `WallTime`'s `Display` gives (a test says so).

use crate::clock::WallTime;

/// Longest text: `2026-01-31T23:59:59.123456789Z`.
pub const TEXT_BYTES_MAX: usize = 30;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Writes `time` into `buffer` and returns the text: as many decimals of a second as are not zero, always `Z`.
pub fn format(time: WallTime, buffer: &mut [u8; TEXT_BYTES_MAX]) -> &str {
    let seconds = time.0.div_euclid(SECOND_NS);
    let nanos = time.0.rem_euclid(SECOND_NS);
    let (year, month, day) = civil(seconds.div_euclid(DAY_S));
    let of_day = seconds.rem_euclid(DAY_S);
    *buffer = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut buffer[0..4], year);
    digits(&mut buffer[5..7], month);
    digits(&mut buffer[8..10], day);
    digits(&mut buffer[11..13], of_day / 3600);
    digits(&mut buffer[14..16], of_day / 60 % 60);
    digits(&mut buffer[17..19], of_day % 60);
    let end = if nanos == 0 {
        19
    } else {
        digits(&mut buffer[20..29], nanos);
        // The dot at 19 ends the search at the latest.
        (20..29).rev().find(|&at| buffer[at] != b'0').map_or(19, |last| last + 1)
    };
    buffer[end] = b'Z';
    std::str::from_utf8(&buffer[..=end]).unwrap_or_default()
}

/// Fills a field with a decimal number, leading zeros included.
fn digits(field: &mut [u8], mut number: i64) {
    for place in field.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day number counted from 1970-01-01 in the proleptic Gregorian calendar.
///
/// Years are counted from March here, so that the leap day is the last of its year: a 400-year era has 146,097 days,
/// and months have the day offsets (153 m + 2) / 5.
fn civil(day_number: i64) -> (i64, i64, i64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let since_era_zero = day_number + 719_468;
    let era = since_era_zero.div_euclid(146_097);
    let of_era = since_era_zero.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let (month, carry) = if from_march < 10 { (from_march + 3, 0) } else { (from_march - 9, 1) };
    (era * 400 + year_of_era + carry, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(nanos: i64) -> String {
        format(WallTime(nanos), &mut [0; TEXT_BYTES_MAX]).to_owned()
    }

    #[test]
    fn a_whole_second_has_no_decimals_and_others_only_as_many_as_they_need() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(text(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(text(-1_000_000), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
    }

    proptest! {
        #[test]
        fn the_text_is_that_of_display_for_every_time(nanos in any::<i64>()) {
            prop_assert_eq!(text(nanos), WallTime(nanos).to_string());
        }

        #[test]
        fn the_text_is_that_of_display_on_every_day(day in -106_000_i64..106_000, ms in 0_i64..86_400_000) {
            let nanos = day * 86_400 * SECOND_NS + ms * 1_000_000;
            prop_assert_eq!(text(nanos), WallTime(nanos).to_string());
        }
    }
}
