//! The documentation's word on which test proves what.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The number and the test of each line of the table in the store's documentation.
fn table() -> Vec<(u32, &'static str)> {
    let lines = include_str!("../mod.rs").lines();
    let row = |line: &'static str| {
        let (number, test) = line.strip_prefix("//! | ")?.split_once(" | `")?;
        Some((number.parse().ok()?, test.strip_suffix("` |")?))
    };
    lines.filter_map(row).collect()
}

/// Where a test of this path is written down: in its module's file, or in the file around its module.
fn files(module: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.join(if module[0] == "store" { "src" } else { "tests" });
    let file = |module: &[&str]| {
        let path: PathBuf = module.iter().collect();
        [root.join(&path).with_extension("rs"), root.join(path).join("mod.rs")]
    };
    [file(module), file(&module[..module.len() - 1])].concat()
}

#[test]
fn each_promise_has_tests_and_each_test_named_for_one_exists() {
    let table = table();
    let promises: BTreeSet<u32> = table.iter().map(|(number, _)| *number).collect();
    assert_eq!(promises, (1..=7).collect());
    for (_, test) in table {
        let mut path: Vec<&str> = test.split("::").collect();
        let name = path.pop().unwrap();
        let texts = files(&path).into_iter().filter_map(|file| std::fs::read_to_string(file).ok());
        let is_there = texts.into_iter().any(|text| {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            lines.windows(2).any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&format!("fn {name}(")))
        });
        assert!(is_there, "the documentation of the store names a test that does not exist: {test}");
    }
}
