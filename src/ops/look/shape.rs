//! The shape of the state as JSON: members, their names and units.
//!
//! Owns the types that are written. Times called `..._ms` without "boot" or "seen" in their names are Unix time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::queue::Rates;
use crate::config::model::Severity;
use crate::event::{Change, ConditionKind, Limit};
use crate::ops::board::sensors::Point;
use crate::ops::board::told::{ToldEvent, What};
use crate::ops::control::alarms::AlarmLine;
use crate::ops::status::Status;
use crate::reading::Value;

#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) kind: &'static str,
    pub(super) epoch: u32,
    pub(super) boot_ms: u64,
    pub(super) wall_ms: i64,
    pub(super) bucket_ms: u64,
    pub(super) points_max: u32,
    pub(super) status: &'a Status,
    pub(super) queue: QueueShown,
    pub(super) links: BTreeMap<Arc<str>, LinkShown>,
    /// The engine does not answer: it waits for a store that takes nothing.
    pub(super) engine_waits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alarms: Option<&'a [AlarmLine]>,
    pub(super) alarms_in_all: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sensors: Option<Vec<SensorShown<'a>>>,
    /// The number of the first of `added`; a page may have some of them already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) added_from: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) added: Vec<SensorShown<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changed: Vec<Changed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Vec<RefusedShown<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Vec<EventShown<'a>>>,
}

#[derive(Serialize)]
pub(super) struct QueueShown {
    #[serde(flatten)]
    pub(super) rates: Rates,
    /// When the oldest waiting event happened, Unix time in ms.
    pub(super) oldest_ms: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct LinkShown {
    pub(super) up: bool,
    pub(super) since_ms: i64,
    pub(super) reason: String,
}

#[derive(Serialize)]
pub(super) struct SensorShown<'a> {
    pub(super) name: &'a str,
    pub(super) value: Option<&'a Value>,
    pub(super) unit: Option<&'a str>,
    pub(super) seen_ms: Option<u64>,
    pub(super) limits: Vec<LimitShown<'a>>,
}

#[derive(Serialize)]
pub(super) struct LimitShown<'a> {
    pub(super) alarm: &'a str,
    pub(super) severity: Severity,
    pub(super) condition: ConditionKind,
    pub(super) limit: &'a Limit,
}

/// Row, value, unit, seen at, newest point.
#[derive(Serialize)]
pub(super) struct Changed<'a>(
    pub(super) u32,
    pub(super) Option<&'a Value>,
    pub(super) Option<&'a str>,
    pub(super) u64,
    pub(super) Option<PointShown>,
);

/// Slot, min, max, last.
#[derive(Serialize)]
pub(super) struct PointShown(u32, f32, f32, f32);

impl From<Point> for PointShown {
    fn from(point: Point) -> Self {
        Self(point.slot, point.min, point.max, point.last)
    }
}

#[derive(Serialize)]
pub(super) struct RefusedShown<'a> {
    pub(super) source: &'a str,
    pub(super) topic: Option<&'a str>,
    pub(super) reason: &'a str,
    pub(super) what: &'a str,
    /// The first bytes, two digits each.
    pub(super) raw_hex: String,
    pub(super) length: usize,
    pub(super) times: u64,
    pub(super) at_ms: i64,
}

#[derive(Serialize)]
pub(super) struct EventShown<'a> {
    pub(super) time_ms: i64,
    pub(super) severity: Severity,
    #[serde(rename = "type")]
    pub(super) event_type: &'static str,
    pub(super) subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alarm: Option<AlarmShown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct AlarmShown<'a> {
    pub(super) name: &'a str,
    pub(super) condition: ConditionKind,
    pub(super) change: Change,
    pub(super) value: Option<&'a Value>,
    pub(super) unit: Option<&'a str>,
    pub(super) limit: &'a Limit,
}

/// An event, as far as it is shown.
pub(super) fn event(told: &ToldEvent) -> EventShown<'_> {
    let (alarm, text) = match &told.what {
        What::Alarm { alarm, condition, change, value, unit, limit } => {
            let (condition, change) = (*condition, *change);
            let (value, unit) = (value.as_ref(), unit.as_deref());
            (Some(AlarmShown { name: alarm, condition, change, value, unit, limit }), None)
        }
        What::Words(text) => (None, Some(text.as_str())),
    };
    EventShown {
        time_ms: told.time.as_millis(),
        severity: told.severity,
        event_type: told.event_type,
        subject: &told.subject,
        alarm,
        text,
    }
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
