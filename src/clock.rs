//! Time: wall clock, boot clock, and how far the wall clock can be trusted.
//!
//! Owns the time types that the pure modules take as arguments. [`SystemClock`] is the one place that reads the
//! system's clocks; [`judge`] decides whether the wall clock is right and when it jumped, [`signs`] are the time
//! services it hears, [`restamp`] repairs what was stamped before the time was known, [`kept`] carries what is known
//! over a restart. Delays and staleness use [`BootTime`] only; [`WallTime`] is for people and for events.

pub mod judge;
pub mod kept;
pub mod restamp;
pub mod signs;
mod system;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use judge::Jump;
pub use signs::Witness;
pub use system::{ClockView, SystemClock};

/// When this program was made, more or less: no right clock shows less. `SOURCE_DATE_EPOCH` (seconds) of the build where
/// it is set, as reproducible builds do; else the release's date below.
pub const BUILT: WallTime = WallTime::from_secs(match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) if seconds(text) > RELEASED_S => seconds(text),
    _ => RELEASED_S,
});

/// 2026-07-01T00:00:00Z. Moved on with every release, never into its future.
const RELEASED_S: i64 = 1_782_864_000;

/// A whole number of seconds; 0 for anything else.
const fn seconds(text: &str) -> i64 {
    let bytes = text.as_bytes();
    let (mut value, mut index) = (0_i64, 0);
    while index < bytes.len() {
        // Twelve digits last for 30,000 years; more would run over.
        if !bytes[index].is_ascii_digit() || index == 12 {
            return 0;
        }
        value = value * 10 + (bytes[index] - b'0') as i64;
        index += 1;
    }
    value
}

/// Nanoseconds since 1970-01-01T00:00:00Z. Holds 1678 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub i64);

impl WallTime {
    /// From seconds since the epoch, saturating.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// From milliseconds since the epoch, saturating.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Milliseconds since the epoch, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// How long after `earlier` this is; `None` when it is before it.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        u64::try_from(i128::from(self.0) - i128::from(earlier.0)).ok().map(Duration::from_nanos)
    }

    /// This time moved by a signed number of nanoseconds, saturating.
    pub fn offset(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC with as many decimals as are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => stamp.fmt(f),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// A text that is no time, or one that 64 bits of nanoseconds do not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATime;

impl FromStr for WallTime {
    type Err = NotATime;

    /// RFC 3339, with any offset.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let stamp: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        i64::try_from(stamp.as_nanosecond()).map(Self).map_err(|_| NotATime)
    }
}

/// Nanoseconds since the machine booted, suspended time included (CLOCK_BOOTTIME): never jumps, ends with the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl BootTime {
    /// This time plus a duration, saturating.
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is, zero when it is before it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// How far the wall clock can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// A time service has set it since boot, and nobody has set it otherwise since.
    Synchronized,
    /// Computed afterwards from an offset that was learned later in the same boot.
    Estimated,
    /// Nobody has confirmed it since boot.
    Unsynchronized,
}

impl ClockState {
    /// As events say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synchronized => "synchronized",
            Self::Estimated => "estimated",
            Self::Unsynchronized => "unsynchronized",
        }
    }
}

/// One look at all clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For delays and order.
    pub boot: BootTime,
    /// For people.
    pub wall: WallTime,
    /// What `wall` is worth.
    pub clock: ClockState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_time_is_a_number_of_seconds_or_nothing() {
        assert_eq!(seconds("1793491200"), 1_793_491_200);
        for nonsense in ["", "-1", "17e9", "1 2", "99999999999999"] {
            assert_eq!(seconds(nonsense), 0, "{nonsense}");
        }
    }

    #[test]
    fn the_build_time_is_not_in_the_future() {
        assert!(BUILT <= SystemClock::new().wall(), "{BUILT}");
        assert!(BUILT >= WallTime::from_secs(RELEASED_S));
    }
}
