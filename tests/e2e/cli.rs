//! The command line: exit codes, and messages that say where and what.

use std::path::{Path, PathBuf};

use crate::support::gateway::{Config, said, tidegate, upstream};

/// A configuration that needs nothing to be there.
fn example(dir: &Path) -> Config {
    Config::example(dir, "mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:1884")
}

fn write(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("tidegate.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn check(file: &Path) -> (Option<i32>, String) {
    let output = tidegate(&["check", "--config", file.to_str().unwrap()]);
    (output.status.code(), said(&output))
}

#[test]
fn the_version_is_told() {
    let output = tidegate(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).starts_with(concat!("tidegate ", env!("CARGO_PKG_VERSION"))), "{}", said(&output));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_help_is_at_hand() {
    for arguments in [&["frobnicate"][..], &["run", "--no-such-option"], &["check", "--config"]] {
        let output = tidegate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("--help"), "{arguments:?}: {}", said(&output));
    }
    assert_eq!(tidegate(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_good_configuration_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), &example(dir.path()).text());
    let (code, said) = check(&file);
    assert_eq!(code, Some(0), "{said}");
    assert!(!dir.path().join("store").exists(), "a check must not make a store");
}

#[test]
fn five_mistakes_are_told_in_one_run_each_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = example(dir.path());
    config.gateway += "colour = \"red\"\n";
    config.sources[0] += "qos = 7\n";
    config.alarms[0] = config.alarms[0].replace("\"high\"", "\"urgent\"");
    config.store = config.store.replace("\"64MiB\"", "64");
    config.upstream = config.upstream.replace("\"100ms\"", "\"shortly\"");
    let text = config.text();
    let file = write(dir.path(), &text);
    let (code, said) = check(&file);
    assert_eq!(code, Some(78), "{said}");
    for mistake in ["colour", "qos = 7", "\"urgent\"", "max_bytes = 64", "\"shortly\""] {
        let line = text.lines().position(|line| line.contains(mistake)).unwrap() + 1;
        let place = format!("{}:{line}:", file.display());
        assert_eq!(said.matches(&place).count(), 1, "{place} for {mistake}:\n{said}");
    }
    let places = said.matches(&format!("{}:", file.display())).count();
    assert_eq!(places, 5, "{said}");

    // `run` says the same and does not start.
    let output = tidegate(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(self::said(&output).contains("colour"));
    assert!(!dir.path().join("store").exists());
}

#[test]
fn what_cannot_be_read_as_toml_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "[gateway]\nid = \"gw1\"\n[store\n");
    let (code, said) = check(&file);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(&format!("{}:3:", file.display())), "{said}");
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("not-there.toml");
    let (code, said) = check(&file);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("not-there.toml"), "{said}");
}

#[test]
fn events_in_the_clear_over_a_network_have_to_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = example(dir.path());
    config.upstream = upstream("mqtt://broker.example:1883");
    let (code, said) = check(&write(dir.path(), &config.text()));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("allow_plaintext") && said.contains("mqtts"), "{said}");
    config.upstream += "allow_plaintext = true\n";
    let (code, said) = check(&write(dir.path(), &config.text()));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn variables_are_filled_in_and_a_missing_one_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = example(dir.path());
    config.gateway = "id = \"${TIDEGATE_E2E_UNSET:-gw1}\"\n".to_owned();
    assert_eq!(check(&write(dir.path(), &config.text())).0, Some(0));
    config.gateway = "id = \"${TIDEGATE_E2E_UNSET:?the gateway needs a name}\"\n".to_owned();
    let (code, said) = check(&write(dir.path(), &config.text()));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("the gateway needs a name") && said.contains("tidegate.toml:2:"), "{said}");
}

#[test]
fn an_error_that_nobody_listens_to_keeps_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "[gateway\n");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = std::process::Command::new(crate::support::gateway::TIDEGATE)
        .args(["check", "--config", file.to_str().unwrap()])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(78));
}
