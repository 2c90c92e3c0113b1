//! Whatever the bytes, loading ends, in time, without a panic, and reporting works.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// Loads and renders; returns how many errors there were.
fn survive(text: &str) -> usize {
    match load_str(text) {
        Ok(loaded) => {
            loaded.warnings.render(true);
            0
        }
        Err(report) => {
            report.render(true);
            assert!(report.error_count() > 0);
            report.error_count()
        }
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let many = 200_000;
    for text in [
        format!("a = {}", "[".repeat(many)),
        format!("a = {}{}", "[".repeat(many), "]".repeat(many)),
        format!("a = {}", "{a=".repeat(many)),
        format!("a = {}", "[{a=".repeat(many / 2)),
        "[".repeat(many),
        format!("{}a = 1", "a.".repeat(many)),
        format!("[{}a]", "a.".repeat(many)),
        "[\n".repeat(many),
        "{".repeat(many),
        "\"\"\"".repeat(many),
    ] {
        assert!(survive(&text) > 0, "{}", &text[..20]);
    }
}

#[test]
fn the_deepest_nesting_that_parses_is_walked_and_reported() {
    for depth in [10, 70, 79] {
        let text = format!(
            "[gateway]\nid = {}1{}\n[[source]]\na = {}1{}",
            "[".repeat(depth),
            "]".repeat(depth),
            "{a=".repeat(depth),
            "}".repeat(depth)
        );
        assert!(survive(&text) > 0);
    }
}

#[test]
fn a_large_file_of_mistakes_is_told_in_bounded_time_and_length() {
    let many = |line: &str| line.repeat((1 << 18) / line.len());
    for text in [
        many("= ]\n"),
        many("a = 1\n"),
        many("x\n"),
        many("[[alarm]]\n"),
        many("[[source]]\n"),
        many("[gateway]\n"),
        many("\u{1}"),
        many("a"),
        format!("a = \"{}\"", many("\\q")),
        format!("{} = 1", many("k")),
        format!("[gateway]\nid = \"{}\"", many("${A}")),
        format!("[[alarm]]\nsensors = [{}]", many("\"a*\",")),
    ] {
        let begin = Instant::now();
        let rendered = load_str(&text).map(|_| ()).unwrap_err().render(false);
        assert!(rendered.len() < 200_000, "{}", rendered.len());
        // Unoptimised and on a busy machine; a quadratic reader would take hours.
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_survived(text in "\\PC*|[\\x00-\\x7f]{0,200}") {
        survive(&text);
    }

    #[test]
    fn any_toml_like_text_is_survived(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "[", "]", "{", "}", "=", "\n", ",", "\"", "'", "\"\"\"", "'''", "#", ".", "\\", "${", "}", "$", " ", "\t", "\r\n",
                "[[source]]", "[[alarm]]", "[upstream]", "[store]", "[gateway]", "name", "type", "high", "sensors", "decode",
                "\"mqtt\"", "1", "-", "1.5", "true", "°", "\u{feff}", "password", "://", "@", "-----BEGIN", "1979-05-27",
            ]),
            0..80,
        )
    ) {
        survive(&pieces.concat());
    }

    #[test]
    fn a_good_file_with_bytes_changed_is_survived(
        changes in prop::collection::vec((0usize..GOOD.len(), any::<u8>(), 0usize..4), 1..6)
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, byte, how) in changes {
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => { bytes.remove(at); }
                2 => {}
                _ => bytes.truncate(at.max(1)),
            }
        }
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_line_left_out_or_doubled_is_survived(line in 0usize..20, double in any::<bool>()) {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        let line = line % lines.len();
        if double { lines.insert(line, lines[line]); } else { lines.remove(line); }
        survive(&lines.join("\n"));
    }
}
