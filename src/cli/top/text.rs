//! Texts that fit into cells: names from outside made harmless, and numbers, times and limits in words.
//!
//! Owns what may reach a terminal. Control and format characters, everything without a width, and scripts that run from
//! right to left are written as escapes: a terminal could obey them, or shift what stands beside them.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::text::Span;

use crate::event::{ConditionKind, Limit};
use crate::reading::Value;

/// How the terminal wants it.
#[derive(Clone, Debug)]
pub struct Manner {
    /// It shows more than ASCII.
    pub unicode: bool,
    /// It shows colours, and they are wanted.
    pub colour: bool,
    /// Its times of day.
    pub zone: TimeZone,
}

/// Columns a character takes; 0 for one that has none of its own.
fn columns(c: char) -> usize {
    if c.is_ascii() { usize::from(!c.is_control()) } else { Span::raw(&*c.encode_utf8(&mut [0; 4])).width() }
}

/// Whether a character is shown as it is.
fn is_harmless(c: char, unicode: bool) -> bool {
    if c.is_ascii() {
        return !c.is_control();
    }
    // Hebrew to Arabic with their neighbours and presentation forms, and the blocks of scripts that run the same way.
    let leftwards = matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}');
    // Formats, separators, flags and skin tones, which join with what stands before them, private use, tags.
    let joining = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffc}' | '\u{1f1e6}'..='\u{1f1ff}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{10ffff}');
    unicode && !c.is_control() && !leftwards && !joining && columns(c) > 0
}

/// The text as it may be written to a terminal.
pub fn tame(text: &str, unicode: bool) -> Cow<'_, str> {
    if text.chars().all(|c| is_harmless(c, unicode)) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        match c {
            c if is_harmless(c, unicode) => tamed.push(c),
            // Ours, where the terminal has no better.
            '°' => tamed.push_str("deg "),
            '–' => tamed.push('-'),
            c if c.is_control() => tamed.extend(c.escape_default()),
            c => tamed.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(tamed)
}

/// Columns a tame text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text in exactly so many columns, cut at its end.
pub fn fit(text: &str, room: usize, unicode: bool) -> String {
    let text = tame(text, unicode);
    let all = width(&text);
    if all <= room {
        return format!("{text}{:1$}", "", room - all);
    }
    let mark = if unicode { "…" } else { "~" };
    let mut fitted = String::new();
    let mut used = 0;
    for c in text.chars() {
        if used + columns(c) + 1 > room {
            break;
        }
        used += columns(c);
        fitted.push(c);
    }
    if used < room {
        fitted.push_str(mark);
        used += 1;
    }
    format!("{fitted}{:1$}", "", room - used)
}

/// As [`fit`], cut at its beginning: a sensor's name tells most at its end.
pub fn fit_end(text: &str, room: usize, unicode: bool) -> String {
    let tamed = tame(text, unicode);
    if width(&tamed) <= room {
        return fit(text, room, unicode);
    }
    let mut rest = &*tamed;
    while width(rest) + 1 > room {
        let mut left = rest.chars();
        if left.next().is_none() {
            break;
        }
        rest = left.as_str();
    }
    let mark = if room == 0 {
        ""
    } else if unicode {
        "…"
    } else {
        "~"
    };
    fit(&format!("{mark}{rest}"), room, unicode)
}

/// A number as people read it.
pub fn number(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e9).contains(&size) {
        return format!("{number:.3e}");
    }
    let digits = if size >= 1000.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    let text = format!("{number:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A value with its unit.
pub fn value(value: Option<&Value>, unit: Option<&str>) -> String {
    let text = match value {
        None => return "-".to_owned(),
        Some(Value::Number(plain)) => number(*plain),
        Some(other) => other.to_string(),
    };
    match unit {
        Some(unit) if !unit.is_empty() => format!("{text} {unit}"),
        _ => text,
    }
}

/// The limit as a clause: "above 8 °C".
pub fn limit(condition: Option<ConditionKind>, limit: &Limit, unit: Option<&str>) -> String {
    let shown = |unit: Option<&str>| match limit {
        Limit::Number(one) => value(Some(&Value::Number(*one)), unit),
        Limit::Range([low, high]) => format!("{} to {}", number(*low), value(Some(&Value::Number(*high)), unit)),
        Limit::Values(all) => all.iter().map(|one| value(Some(one), None)).collect::<Vec<_>>().join(" or "),
    };
    match (condition, limit) {
        (Some(ConditionKind::High), _) => format!("above {}", shown(unit)),
        (Some(ConditionKind::Low), _) => format!("below {}", shown(unit)),
        (Some(ConditionKind::Outside), _) => format!("outside {}", shown(unit)),
        (Some(ConditionKind::Equals), _) => format!("is {}", shown(None)),
        (Some(ConditionKind::NotEquals), _) => format!("is not {}", shown(None)),
        (Some(ConditionKind::RateAbove), _) => format!("changes faster than {} a second", shown(unit)),
        (Some(ConditionKind::Deviation), _) => format!("off its set point by more than {}", shown(unit)),
        (Some(ConditionKind::Stale), Limit::Number(seconds)) => {
            format!("silent for more than {}", duration((seconds.max(0.0) * 1000.0) as u64))
        }
        _ => format!("limit {}", shown(unit)),
    }
}

/// A stretch of time in two units at most.
pub fn duration(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    let two = |whole: u64, unit: &str, part: u64, small: &str| match part {
        0 => format!("{whole} {unit}"),
        part => format!("{whole} {unit} {part} {small}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => two(minutes, "min", seconds % 60, "s"),
        600..3600 => format!("{minutes} min"),
        3600..172_800 => two(hours, "h", minutes % 60, "min"),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// How many bytes.
pub fn bytes(count: u64) -> String {
    let (mut size, mut unit) = (count as f64, 0);
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let text = if size >= 100.0 || unit == 0 { format!("{size:.0}") } else { format!("{size:.1}") };
    format!("{} {}", text.trim_end_matches(".0"), UNITS[unit])
}

/// How fast.
pub fn rate(per_s: Option<f64>) -> String {
    match per_s {
        None => "-".to_owned(),
        Some(rate) if rate >= 10.0 || rate == 0.0 => format!("{rate:.0}/s"),
        Some(rate) => format!("{rate:.2}/s"),
    }
}

/// A time of day, or a day when that is long ago.
pub fn clock(ms: i64, now_ms: i64, zone: &TimeZone) -> String {
    let Ok(time) = Timestamp::from_millisecond(ms) else { return "-".to_owned() };
    let form = if now_ms.abs_diff(ms) < 20 * 3_600_000 { "%H:%M:%S" } else { "%b %d %H:%M" };
    time.to_zoned(zone.clone()).strftime(form).to_string()
}

/// The points as bars, newest at the right; a slot without a reading is a gap.
pub fn spark(
    points: impl DoubleEndedIterator<Item = (u32, f32)> + Clone,
    newest: u32,
    room: usize,
    unicode: bool,
) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const PLAIN: [char; 8] = ['_', '.', ',', '-', '=', '+', '*', '#'];
    let bars = if unicode { BARS } else { PLAIN };
    let first = (newest + 1).saturating_sub(u32::try_from(room).unwrap_or(u32::MAX));
    let shown = points.filter(|(slot, _)| (first..=newest).contains(slot));
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for (_, value) in shown.clone() {
        (low, high) = (low.min(value), high.max(value));
    }
    let mut cells = vec![' '; room];
    for (slot, value) in shown {
        // In halves, as the whole may be beyond single precision.
        let share = if high > low { (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) } else { 0.5 };
        let at = room - 1 - (newest - slot) as usize;
        cells[at] = bars[((share * 7.0).round() as usize).min(7)];
    }
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_commands_no_terminal_and_keeps_its_place() {
        for (hostile, shown) in [
            ("a/\u{1b}[2J/b", "a/\\u{1b}[2J/b"),
            ("a\r\nb", "a\\r\\nb"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("e\u{301}", "e\\u{301}"),
            ("שלום", "\\u{5e9}\\u{5dc}\\u{5d5}\\u{5dd}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("Kühlhaus/温度", "Kühlhaus/温度"),
        ] {
            assert_eq!(tame(hostile, true), shown);
        }
        assert_eq!(tame("8 °C ü", false), "8 deg C \\u{fc}");
    }

    #[test]
    fn whatever_is_fitted_takes_exactly_its_room() {
        for text in
            ["", "short", "a/long/name/of/a/sensor", "温度温度温度温度", "\u{1b}]0;title\u{7}", "שלום/a", "🏠🏠🏠🏠🏠"]
        {
            for room in 0..30 {
                for unicode in [true, false] {
                    assert_eq!(width(&fit(text, room, unicode)), room, "{text:?} in {room}");
                    assert_eq!(width(&fit_end(text, room, unicode)), room, "{text:?} in {room}, its end");
                }
            }
        }
        assert_eq!(fit_end("zigbee/cold-store/temperature", 12, true), "…temperature");
        assert_eq!(fit("connection refused", 8, false), "connect~");
    }

    #[test]
    fn numbers_times_and_limits_are_as_people_read_them() {
        for (plain, text) in
            [(0.0, "0"), (-0.0001, "-1.000e-4"), (8.25, "8.25"), (1013.25, "1013.2"), (3e12, "3.000e12")]
        {
            assert!(number(plain) == text || (plain == -0.0001 && number(plain) == "0"), "{}", number(plain));
        }
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(90_000), "1 min 30 s");
        assert_eq!(duration(3 * 86_400_000 + 7_200_000), "3 d 2 h");
        assert_eq!((bytes(512), bytes(1536), bytes(256 << 20)), ("512 B".into(), "1.5 KiB".into(), "256 MiB".into()));
        assert_eq!(limit(Some(ConditionKind::High), &Limit::Number(8.0), Some("°C")), "above 8 °C");
        assert_eq!(limit(Some(ConditionKind::Stale), &Limit::Number(120.0), Some("°C")), "silent for more than 2 min");
        assert_eq!(limit(Some(ConditionKind::Outside), &Limit::Range([2.0, 8.0]), Some("°C")), "outside 2 to 8 °C");
        assert_eq!(clock(1_800_000_000_000, 1_800_000_100_000, &TimeZone::UTC), "08:00:00");
    }

    #[test]
    fn bars_have_gaps_where_nothing_was_said_and_edges_do_no_harm() {
        let points = [(10_u32, 1.0_f32), (11, 8.0), (13, 4.0)];
        assert_eq!(spark(points.into_iter(), 13, 5, true), " ▁█ ▄");
        assert_eq!(spark(points.into_iter(), 13, 1, false), "=");
        assert_eq!(spark(points.into_iter(), 13, 0, true), "");
        let edges = [(0_u32, f32::MIN), (1, f32::MAX)];
        assert_eq!(spark(edges.into_iter(), 1, 2, true), "▁█");
    }
}
