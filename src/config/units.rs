//! Durations, sizes and rates as people write them: "30s", "64MiB", "5/min".
//!
//! Owns reading and showing them; pure. Nothing without a unit is accepted.

use std::time::Duration;

/// Reads a duration such as "30s", "5m" or "1h 30m".
///
/// # Errors
/// What is wrong and how to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("no unit; write \"{text}s\" for seconds, \"{text}ms\", \"{text}m\" or \"{text}h\""));
    }
    // `M` would be read as months, which nobody means beside `m`.
    if text.contains('M') {
        return Err("`M` is no unit of time here; minutes are `m`, as in \"5m\"".into());
    }
    humantime::parse_duration(text)
        .map_err(|_| "expected a duration such as \"500ms\", \"30s\", \"5m\" or \"1h 30m\"".into())
}

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Shows a duration as [`duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    match duration {
        Duration::ZERO => "0s".into(),
        // Months and years are no whole numbers of days there.
        duration if duration.as_secs().is_multiple_of(DAY_S) && duration.subsec_nanos() == 0 => {
            format!("{}d", duration.as_secs() / DAY_S)
        }
        duration => humantime::format_duration(duration).to_string(),
    }
}

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a size such as "512B", "16kB" or "64MiB", in bytes. kB, MB, GB count in thousands; KiB, MiB, GiB in 1024s.
///
/// # Errors
/// What is wrong and how to write it.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = (&text[..split], text[split..].trim_start());
    if !digits.is_empty() && unit.is_empty() {
        return Err(format!("no unit; write \"{digits}B\" for bytes, \"{digits}KiB\" or \"{digits}MiB\""));
    }
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err("expected a size such as \"512B\", \"16KiB\", \"64MiB\" or \"1GiB\"".into());
    };
    let bytes = match digits.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*factor),
        Err(_) => digits.parse::<f64>().ok().map(|number| (number * *factor as f64).round()).and_then(whole_bytes),
    };
    bytes.ok_or_else(|| format!("`{digits}` is not a number of {unit} this program can count"))
}

fn whole_bytes(bytes: f64) -> Option<u64> {
    // Up to 2^53 a float is exact; anything near that is no size of a file.
    (0.0..9e15).contains(&bytes).then_some(bytes as u64)
}

/// Shows a size as [`size`] reads it, in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// Reads a rate such as "5/min", "0.2/s" or "3/h", per second.
///
/// # Errors
/// What is wrong and how to write it.
pub fn rate(text: &str) -> Result<f64, String> {
    let expected = || "expected a rate such as \"5/min\", \"0.2/s\", \"3/h\" or \"10/d\"".to_owned();
    let (number, unit) = text.split_once('/').ok_or_else(expected)?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1.0,
        "m" | "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        "d" | "day" => 86_400.0,
        _ => return Err(expected()),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number / seconds),
        _ => Err(expected()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
        assert!(duration("30").unwrap_err().contains("\"30s\""));
        assert!(duration("5M").unwrap_err().contains("`m`"));
        for wrong in ["", "s", "-5s", "five minutes", "1.5.5s", "99999999999999999999999y"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_know_both_thousands_and_need_a_unit() {
        assert_eq!(size("512B").unwrap(), 512);
        assert_eq!(size("16kB").unwrap(), 16_000);
        assert_eq!(size("64 MiB").unwrap(), 64 << 20);
        assert_eq!(size("1.5KiB").unwrap(), 1536);
        assert!(size("64").unwrap_err().contains("\"64MiB\""));
        for wrong in ["", "MiB", "1 parsec", "-1B", "1.2.3B", "99999999999TiB", "1mib", "9999999999999999.5B"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for bytes in [1, 1000, 1024, 12 << 10, 256 << 20, (1 << 20) + 1] {
            assert_eq!(size(&show_size(bytes)).unwrap(), bytes);
        }
        for millis in [0, 1, 1500, 90_000, 86_400_000, 366 * 86_400_000, 86_401_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(time)).unwrap(), time);
        }
    }

    #[test]
    fn rates_become_units_per_second() {
        assert_eq!(rate("6/min").unwrap(), 0.1);
        assert_eq!(rate("0.2 / s").unwrap(), 0.2);
        assert_eq!(rate("36/h").unwrap(), 0.01);
        for wrong in ["5", "5/", "/min", "x/min", "5/fortnight", "inf/s", "5 per min"] {
            assert!(rate(wrong).unwrap_err().contains("5/min"), "{wrong}");
        }
    }
}
