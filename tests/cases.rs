//! Payloads of real kinds of devices, and the readings that must come of them.
//!
//! A case is two files in `tests/cases`: NAME.json says what the device sends and what is expected (its form is told in
//! `tests/cases/README.md`), NAME.toml is the configuration a user would write for it; those of devices seen in the makers'
//! own documentation are in `tests/cases/more`. `TIDEGATE_CASES=FOLDER` takes another folder. One line is printed for
//! each case; a case without a configuration fails.

#[path = "cases/compare.rs"]
mod compare;
#[path = "cases/exchange.rs"]
mod exchange;
#[path = "cases/file.rs"]
mod file;
#[path = "cases/run.rs"]
mod run;
// Its test: what is fuzzed are sources that load, whatever becomes of their keys.
#[allow(dead_code, clippy::unwrap_used, reason = "the rest of it belongs to tests/fuzz; its test may panic")]
#[path = "fuzz/src/sources.rs"]
mod sources;

use std::path::{Path, PathBuf};

fn folders() -> Vec<PathBuf> {
    match std::env::var_os("TIDEGATE_CASES") {
        Some(folder) => vec![folder.into()],
        None => {
            let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
            vec![cases.join("more"), cases]
        }
    }
}

/// Runs one case; the error says what differed.
fn case(path: &Path) -> Result<(), String> {
    let case = file::read(path)?;
    let config = path.with_extension("toml");
    let text = std::fs::read_to_string(&config).map_err(|error| format!("{}: {error}", config.display()))?;
    let sources = run::sources(&text, &case)?;
    let seen = run::run(&case, sources)?;
    compare::compare(&case, &seen)
}

#[test]
fn every_case_gives_its_readings() {
    let folders = folders();
    let mut names: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("the folder of the cases can be listed"))
        .map(|entry| entry.expect("an entry of the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    names.sort();
    let only = std::env::var("TIDEGATE_CASE").ok();
    let mut failed = 0;
    let mut count = 0;
    for path in names {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        count += 1;
        match case(&path) {
            Ok(()) => println!("passed {name}"),
            Err(why) => {
                failed += 1;
                println!("FAILED {name}: {why}");
            }
        }
    }
    println!("{} of {count} cases passed", count - failed);
    assert!(count > 0, "no case in {folders:?}");
    assert_eq!(failed, 0, "cases failed, see above");
}
