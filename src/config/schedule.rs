//! Weekly spans of local time: `mon-fri 06:00-18:00`.
//!
//! Owns reading them; pure.

use crate::config::model::ScheduleSpan;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads one span: days (`mon`, `mon-fri`, `sat,sun`, `fri-mon`, or `daily`), then from and to. Without days: daily.
/// A span that ends before it starts runs past midnight into the next day.
///
/// # Errors
/// What is wrong and how to write it.
pub fn parse(text: &str) -> Result<ScheduleSpan, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, times) = match words.as_slice() {
        [times] => ([true; 7], *times),
        [days, times] => (read_days(days)?, *times),
        _ => return Err("expected days and times such as \"mon-fri 06:00-18:00\"".into()),
    };
    let (from, to) = times.split_once('-').ok_or("expected from and to, as in \"06:00-18:00\"")?;
    let (from_min, to_min) = (minutes(from)?, minutes(to)?);
    if from_min == 1440 {
        return Err("a span cannot start at 24:00; write 00:00".into());
    }
    if from_min == to_min {
        return Err(format!("from {from} to {to} is no time at all; the whole day is 00:00-24:00"));
    }
    Ok(ScheduleSpan { days, from_min, to_min })
}

fn read_days(text: &str) -> Result<[bool; 7], String> {
    let lower = text.to_ascii_lowercase();
    if lower == "daily" {
        return Ok([true; 7]);
    }
    let mut days = [false; 7];
    for part in lower.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        for step in 0..=(last + 7 - first) % 7 {
            days[(first + step) % 7] = true;
        }
    }
    Ok(days)
}

fn day(text: &str) -> Result<usize, String> {
    DAYS.iter().position(|day| *day == text).ok_or_else(|| {
        format!("`{text}` is no day; expected {} or `daily`", DAYS.map(|day| format!("`{day}`")).join(", "))
    })
}

fn minutes(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{text}` is no time of day; expected 00:00 to 24:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str| match part.len() {
        1 | 2 if part.bytes().all(|b| b.is_ascii_digit()) => part.parse::<u16>().map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    match (number(hour)?, number(minute)?) {
        (hour, minute) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        (24, 0) => Ok(1440),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read() {
        let span = parse("Mon-Fri 06:00-18:30").unwrap();
        assert_eq!(span.days, [true, true, true, true, true, false, false]);
        assert_eq!((span.from_min, span.to_min), (360, 1110));
        assert_eq!(parse("fri-mon 0:00-24:00").unwrap().days, [true, false, false, false, true, true, true]);
        assert_eq!(parse("tue,sat,sun 22:00-06:00").unwrap().days, [false, true, false, false, false, true, true]);
        assert_eq!(parse("22:00-06:00").unwrap(), parse("daily 22:00-06:00").unwrap());
    }

    #[test]
    fn mistakes_are_told() {
        for (text, word) in [
            ("", "mon-fri"),
            ("monday 06:00-18:00", "`monday` is no day"),
            ("mon 6-18", "no time of day"),
            ("mon 06:00", "from and to"),
            ("mon 25:00-26:00", "no time of day"),
            ("mon 06:60-07:00", "no time of day"),
            ("mon 24:01-07:00", "no time of day"),
            ("mon 06:00-06:00", "no time at all"),
            ("mon 24:00-06:00", "cannot start"),
            ("mon tue 06:00-07:00", "expected days"),
            ("mon, tue 06:00-07:00", "expected days"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
