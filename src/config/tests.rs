//! Tests of the configuration as a whole.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aside;
mod http;
mod loading;
mod messages;
mod modbus;
mod model;
mod own;
mod presets;
mod robust;
mod sense;
mod shipped;
mod upstream;

use std::path::Path;

use super::report::{Level, Report};
use super::{Loaded, load_text};

/// A valid configuration; tests put mistakes into it.
const GOOD: &str = r#"
[gateway]
id = "g"
[[source]]
name = "zigbee"
type = "mqtt"
url = "mqtt://127.0.0.1"
topics = ["zigbee2mqtt/+"]
decode = { format = "json", device = "{topic[1]}", fields = { temperature = "°C", state = { text = true } } }
[[source]]
name = "boiler"
type = "serial"
port = "/dev/serial/by-id/x"
decode = { format = "key-value" }
[[alarm]]
name = "too-warm"
sensors = ["zigbee/+/temperature"]
high = 8.0
[upstream]
url = "mqtts://broker.example.com"
"#;

fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("broker.example.com".into()),
        "SECRET" => Some("hunter2".into()),
        "CREDENTIALS_DIRECTORY" => Some("/run/credentials/tidegate".into()),
        _ => None,
    }
}

fn load_str(text: &str) -> Result<Loaded, Report> {
    load_text(Path::new("t.toml"), text, &env)
}

fn good(text: &str) -> Loaded {
    load_str(text).unwrap_or_else(|report| panic!("refused:\n{report}"))
}

/// Errors as (line, text of the whole report's problem).
fn errors(text: &str) -> Vec<(usize, String)> {
    problems(text, Level::Error)
}

fn warnings(text: &str) -> Vec<(usize, String)> {
    problems(text, Level::Warning)
}

fn problems(text: &str, level: Level) -> Vec<(usize, String)> {
    let report = match load_str(text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    let each = |problem: &super::report::Problem| Report { problems: vec![problem.clone()] };
    let of_level = report.problems.iter().filter(|problem| problem.level == level);
    of_level
        .map(|problem| (problem.place.as_ref().map_or(0, |place| place.line()), each(problem).render(false)))
        .collect()
}

/// [`GOOD`] with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the sample");
    GOOD.replacen(from, to, 1)
}

/// Expects exactly one error, in the line that holds `marker`, that says all of `words`.
fn one_error(text: &str, marker: &str, words: &[&str]) {
    let errors = errors(text);
    assert_eq!(
        errors.len(),
        1,
        "for {marker}:\n{}",
        load_str(text).map(|_| String::new()).unwrap_or_else(|r| r.to_string())
    );
    let line = text.lines().position(|line| line.contains(marker)).unwrap() + 1;
    assert_eq!(errors[0].0, line, "{}", errors[0].1);
    for word in words {
        assert!(errors[0].1.contains(word), "`{word}` is not in\n{}", errors[0].1);
    }
}

/// One mistake made by replacing `from` by `to` in the sample; the error stands where `marker` is.
fn mistake(from: &str, to: &str, marker: &str, words: &[&str]) {
    one_error(&with(from, to), marker, words);
}
