//! The files we ship are valid.

use std::path::PathBuf;

use super::*;
use crate::config::load;

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

#[test]
fn the_file_of_a_fresh_install_is_valid_and_says_that_it_does_nothing() {
    let loaded = load(&config().join("tidegate.toml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let warnings = loaded.warnings.to_string();
    for word in ["no [[source]]: nothing is read", "no [[alarm]]", "no [upstream]", "3 warnings"] {
        assert!(warnings.contains(word), "{warnings}");
    }
}

#[test]
fn what_is_commented_out_in_it_is_valid_when_taken_in() {
    let text = std::fs::read_to_string(config().join("tidegate.toml")).unwrap();
    let is_key = |rest: &str| {
        let word = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        word > 0 && rest[word..].starts_with(" = ")
    };
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || is_key(rest) => rest,
        _ => line,
    });
    let taken_in = lines.collect::<Vec<_>>().join("\n");
    let loaded = good(&taken_in);
    assert_eq!((loaded.config.sources.len(), loaded.config.alarms.len()), (2, 2));
    assert!(loaded.config.upstream.is_some());
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn every_example_is_valid_without_a_warning() {
    let mut seen = 0;
    for entry in std::fs::read_dir(config().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = load(&path, &env).unwrap_or_else(|report| panic!("{report}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert!(!loaded.config.sources.is_empty() && !loaded.config.alarms.is_empty());
        seen += 1;
    }
    assert!(seen >= 3);
}
