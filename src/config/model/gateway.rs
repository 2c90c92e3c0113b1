//! `[gateway]` as the rest of the program sees it.
//!
//! Owns the types and the meaning and unit of every setting. Never parses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// `[gateway]`
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// `id`: names this gateway in topics and events. Letters, digits, `-` and `_`; default the host name.
    pub id: Arc<str>,
    /// `time_zone`: IANA name or "UTC"; for alarm schedules. Default "UTC".
    pub time_zone: String,
    /// `shutdown_grace`: how long a stop may take to drain before what is left waits in the store. Default 10 s.
    pub shutdown_grace: Duration,
    /// `log_level`: error, warn, info, debug or trace. Default info.
    pub log_level: LogLevel,
    /// `log_format`. Default auto.
    pub log_format: LogFormat,
    /// `watch`: whether the gateway is a source of its own readings; `None`: when an alarm names them.
    pub watch: Option<bool>,
    /// `watch_every`. Default 30 s.
    pub watch_every: Duration,
    /// `control_socket`: where the running gateway is asked; `None` for "off". Default [`CONTROL_SOCKET`].
    pub control_socket: Option<PathBuf>,
}

impl Gateway {
    /// The zone of alarm schedules. The loader has checked the name; a zone database that vanished since leaves them in
    /// UTC.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }
}

/// Where the running gateway is asked when nothing else is configured.
pub const CONTROL_SOCKET: &str = "/run/tidegate/control.sock";

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `"auto"`: to the journal with fields under systemd, else as text.
    Auto,
    /// `"text"`: for people.
    Text,
    /// `"json"`: one object a line.
    Json,
}

impl LogFormat {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// All there are, by name.
    pub const NAMED: [(&str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::NAMED[self as usize].0
    }
}

impl std::str::FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMED.into_iter().find(|(name, _)| *name == text);
        named
            .map(|(_, level)| level)
            .ok_or_else(|| format!("`{text}` is no level; expected error, warn, info, debug or trace"))
    }
}
