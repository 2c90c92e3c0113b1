//! A reading: one value of one sensor at one time, as every part of the gateway passes it on.
//!
//! Owns the value types and their bounds. Never parses bytes (that is `decode`) and never reads a clock.

pub mod own;
pub mod unit;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::unit::Unit;
use crate::clock::WallTime;

/// Longest sensor name, bytes. MQTT topics that hold it upstream are portable up to 256 bytes; this leaves room for
/// the prefix, the gateway's id and the severity.
pub const SENSOR_BYTES_MAX: usize = 192;

/// Longest text value kept, bytes. Device states ("open", "single", "E04") are short; a longer text is a document.
pub const TEXT_BYTES_MAX: usize = 256;

/// The name of a sensor: `source/device/quantity`, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SensorId(Arc<str>);

impl SensorId {
    /// Wraps a finished name; whoever builds it keeps it within [`SENSOR_BYTES_MAX`] and free of MQTT wildcards.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for SensorId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What a sensor said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A state with two values.
    Bool(bool),
    /// A whole number that `f64` cannot hold exactly (magnitude above 2^53); all others are [`Value::Number`].
    Integer(i64),
    /// A finite number. Decoders never let NaN or an infinity through.
    Number(f64),
    /// A state with a name, at most [`TEXT_BYTES_MAX`] bytes.
    Text(Arc<str>),
}

impl Value {
    /// The value on a number line: `true` is 1, `false` is 0, a text has none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(state) => Some(f64::from(u8::from(*state))),
            Self::Integer(whole) => Some(*whole as f64),
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    /// Whether two values mean the same state: equal on the number line, or the same text.
    pub fn same_state(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (a, b) => matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(state) => state.fmt(f),
            Self::Integer(whole) => whole.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Where a reading's time came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// The payload named it and it was plausible.
    Payload,
    /// The payload names none: the time of arrival.
    Arrival,
    /// The payload named one that is far in the future or the past, or unreadable: the time of arrival instead.
    Doubtful,
}

/// Payload fields a source was told to carry into the event, in the configured order, shared by a message's readings.
pub type Attributes = Arc<Vec<(Arc<str>, serde_json::Value)>>;

/// One value of one sensor at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whose value this is.
    pub sensor: SensorId,
    /// The value, after scaling, offset and value map.
    pub value: Value,
    /// The unit as configured or as the payload named it ("°C", "bar").
    pub unit: Option<Unit>,
    /// When it was measured, as far as known: see `time_source`.
    pub time: WallTime,
    /// Whose clock `time` is.
    pub time_source: TimeSource,
    /// False for a retained message, which may be days old: it shows a last value but is no sign of life.
    pub fresh: bool,
    /// Carried payload fields; `None` when the source carries none.
    pub attributes: Option<Attributes>,
}

/// A reading, and when it came to the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When it came; where a recording does not say, when it was measured.
    pub arrival: WallTime,
    /// The reading.
    pub reading: Reading,
}
