//! Which events are wanted: the arguments that say so.

use std::time::SystemTime;

use clap::Args;

use super::LIST_MAX;
use crate::clock::WallTime;
use crate::config;
use crate::config::model::Severity;
use crate::ops::trail::{self, Query};

#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Not before: a time as in 2026-01-31T07:00:00Z, or how long ago as in 2h
    #[arg(long, value_name = "T", value_parser = when)]
    since: Option<WallTime>,
    /// Not after: the same
    #[arg(long, value_name = "T", value_parser = when)]
    until: Option<WallTime>,
    /// A sensor's name, or a pattern with + and #
    #[arg(long, value_name = "PATTERN", value_parser = sensor)]
    sensor: Option<String>,
    /// exceeded, cleared, repeated, stale, recovered, started, events.lost, source.lost, restored, or a whole type
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
    event_type: Option<String>,
    /// info, low, medium, high or critical
    #[arg(long, value_parser = severity)]
    severity: Option<Severity>,
}

impl Wanted {
    pub(super) fn query(&self) -> Query {
        Query {
            since: self.since.map(|time| time.to_string()),
            until: self.until.map(|time| time.to_string()),
            sensor: self.sensor.clone(),
            event_type: self.event_type.clone(),
            severity: self.severity,
            ..Query::default()
        }
    }
}

pub(in crate::cli) fn when(text: &str) -> Result<WallTime, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    when_from(text, i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

fn when_from(text: &str, now_ns: i64) -> Result<WallTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(WallTime(now_ns.saturating_sub(i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX)).max(0)));
    }
    text.parse().map_err(|_| "expected a time as in 2026-01-31T07:00:00Z, or how long ago as in 2h".to_owned())
}

pub(in crate::cli) fn sensor(text: &str) -> Result<String, String> {
    config::pattern::check(text).map(|()| text.to_owned()).map_err(|(_, why)| why)
}

fn event_type(text: &str) -> Result<String, String> {
    trail::check_type(text).map(|()| text.to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    let expected = || "expected info, low, medium, high or critical".to_owned();
    Severity::ALL.into_iter().find(|severity| severity.as_str() == text).ok_or_else(expected)
}

pub(super) fn limit(text: &str) -> Result<usize, String> {
    let found = text.parse().ok().filter(|limit| (1..=LIST_MAX).contains(limit));
    found.ok_or_else(|| format!("expected 1 to {LIST_MAX}; `tidegate events export` gives all"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn times_are_taken_as_such_or_as_a_while_ago() {
        let now = 1_800_000_000_000_000_000;
        assert_eq!(when_from("2h", now), Ok(WallTime(now - 7_200_000_000_000)));
        assert_eq!(when_from("1d 30m", now), Ok(WallTime(now - 88_200_000_000_000)));
        assert_eq!(when_from("2026-01-31T07:00:00Z", now).unwrap().to_string(), "2026-01-31T07:00:00Z");
        assert_eq!(when_from("2026-01-31T08:00:00+01:00", now).unwrap().to_string(), "2026-01-31T07:00:00Z");
        assert_eq!(when_from("900y", now), Ok(WallTime(0)));
        assert!(when_from("yesterday", now).unwrap_err().contains("as in 2h"));
        assert!(when_from("2026-01-31T07:00:00", now).is_err(), "of which time zone?");
    }
}
