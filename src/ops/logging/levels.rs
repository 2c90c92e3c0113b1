//! How much is said, by part of the program.
//!
//! Owns the rules and their words. Pure: nothing is logged or changed here.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::config::model::LogLevel;

/// Our own modules: `forward=debug` means `tidegate::forward=debug`.
const MODULES: [&str; 14] = [
    "ack", "app", "cli", "clock", "config", "counters", "decode", "engine", "event", "forward", "ops", "replay",
    "source", "store",
];

/// Most targets with a level of their own; more than anybody follows at once.
const TARGETS_MAX: usize = 32;

/// Longest name of a target, bytes.
const TARGET_BYTES_MAX: usize = 128;

/// How much is said at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// `gateway.log_level`
    pub configured: LogLevel,
    /// What an operator has set instead.
    #[serde(default)]
    pub level: Option<LogLevel>,
    /// What an operator has set for single targets.
    #[serde(default)]
    pub targets: BTreeMap<String, LogLevel>,
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// As configured.
    Configured,
    /// All our own lines at this level.
    All(LogLevel),
    /// The lines of one target at this level.
    Target(String, LogLevel),
}

impl Levels {
    /// As configured.
    pub fn new(configured: LogLevel) -> Self {
        Self { configured, level: None, targets: BTreeMap::new() }
    }

    /// Makes a change. A target more than can be followed takes the place of the first.
    pub fn change(&mut self, change: &Change) {
        match change {
            Change::Configured => *self = Self::new(self.configured),
            Change::All(level) => self.level = Some(*level),
            Change::Target(target, level) => {
                if self.targets.len() >= TARGETS_MAX && !self.targets.contains_key(target) {
                    self.targets.pop_first();
                }
                self.targets.insert(target.clone(), *level);
            }
        }
    }

    /// Our own lines at our level; the libraries' only from warnings on, so that "debug" shows us and not them. A
    /// target's own level goes before both.
    pub fn filter(&self) -> Targets {
        let own = level_of(self.level.unwrap_or(self.configured));
        let others = LevelFilter::from_level(own.min(Level::WARN));
        // What sled meets it also returns; the store says it in our words, and once.
        let base =
            Targets::new().with_default(others).with_target("sled", LevelFilter::OFF).with_target("tidegate", own);
        self.targets.iter().fold(base, |targets, (target, level)| targets.with_target(target.clone(), level_of(*level)))
    }
}

fn level_of(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self::Configured);
        }
        let Some((target, level)) = text.split_once('=') else { return text.parse().map(Self::All) };
        let is_path = !target.is_empty()
            && target.len() <= TARGET_BYTES_MAX
            && target
                .split("::")
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        if !is_path {
            return Err(format!(
                "`{target}` is no target; one of ours ({}) or a module's path such as `tidegate::store` or `rumqttc`",
                MODULES.join(", ")
            ));
        }
        let first = target.split("::").next().unwrap_or_default();
        let target = if MODULES.contains(&first) { format!("tidegate::{target}") } else { target.to_owned() };
        Ok(Self::Target(target, level.parse()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    #[test]
    fn what_an_operator_writes_is_understood_or_refused_with_what_is_expected() {
        let target = |name: &str, level| Change::Target(name.to_owned(), level);
        for (text, expected) in [
            ("debug", Change::All(LogLevel::Debug)),
            ("default", Change::Configured),
            ("forward=trace", target("tidegate::forward", LogLevel::Trace)),
            ("store::writer=debug", target("tidegate::store::writer", LogLevel::Debug)),
            ("tidegate::app=warn", target("tidegate::app", LogLevel::Warn)),
            ("rumqttc=info", target("rumqttc", LogLevel::Info)),
        ] {
            assert_eq!(text.parse::<Change>().unwrap(), expected, "{text}");
        }
        for wrong in ["", "loud", "forward=", "=debug", "for ward=debug", "a::=debug", "forward=loud"] {
            let error = wrong.parse::<Change>().unwrap_err();
            assert!(error.contains("info") || error.contains("forward"), "{wrong}: {error}");
        }
        assert!(format!("{}=debug", "x".repeat(TARGET_BYTES_MAX + 1)).parse::<Change>().is_err());
    }

    #[test]
    fn levels_hold_for_us_and_for_targets_and_libraries_stay_quiet() {
        let mut levels = Levels::new(LogLevel::Info);
        let says = |levels: &Levels, target: &str, level| levels.filter().would_enable(target, &level);
        assert!(says(&levels, "tidegate::app", Level::INFO) && !says(&levels, "tidegate::app", Level::DEBUG));
        assert!(says(&levels, "rumqttc", Level::WARN) && !says(&levels, "rumqttc", Level::INFO));
        assert!(!says(&levels, "sled", Level::ERROR));
        levels.change(&"forward=debug".parse().unwrap());
        assert!(says(&levels, "tidegate::forward::client", Level::DEBUG));
        assert!(!says(&levels, "tidegate::app", Level::DEBUG));
        levels.change(&"debug".parse().unwrap());
        assert!(says(&levels, "tidegate::app", Level::DEBUG) && !says(&levels, "rustls", Level::DEBUG));
        levels.change(&"rustls=debug".parse().unwrap());
        assert!(says(&levels, "rustls::client", Level::DEBUG));
        levels.change(&Change::Configured);
        assert_eq!(levels, Levels::new(LogLevel::Info));
    }

    #[test]
    fn the_number_of_targets_is_bounded() {
        let mut levels = Levels::new(LogLevel::Info);
        for number in 0..1_000 {
            levels.change(&Change::Target(format!("t{number}"), LogLevel::Debug));
        }
        assert_eq!(levels.targets.len(), TARGETS_MAX);
    }
}
