//! Time: wall clock, boot clock, and how far the wall clock can be trusted.
//!
//! Owns the time types that the pure modules take as arguments, and the one place that reads the system's clocks
//! ([`SystemClock`]). Delays and staleness use [`BootTime`] only; [`WallTime`] is for people and for events.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z. Holds 1678 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub i64);

impl WallTime {
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
    /// A time service has set it.
    Synchronized,
    /// Computed afterwards from an offset that was learned later in the same boot.
    Estimated,
    /// Nobody has confirmed it since boot.
    Unsynchronized,
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

/// How long one look at the synchronisation state is good for: it changes once a boot, and a look costs a system call
/// that must not be paid for every reading.
const SYNCHRONIZED_FOR: Duration = Duration::from_secs(1);

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    /// Identifies the boot that [`BootTime`]s belong to.
    pub boot_id: uuid::Uuid,
    /// Boot time, in nanoseconds, until which the last look counts; the lowest bit is what it found.
    looked: AtomicU64,
}

impl SystemClock {
    /// Reads the boot id; on a system without one a random one stands in, so stored boot times are never reused.
    pub fn new() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot_id = uuid::Uuid::parse_str(text.trim()).unwrap_or_else(|_| uuid::Uuid::from_u128(fastrand::u128(1..)));
        Self { boot_id, looked: AtomicU64::new(0) }
    }

    /// Reads all clocks.
    pub fn now(&self) -> Now {
        let boot = self.boot();
        let mut looked = self.looked.load(Ordering::Relaxed);
        if boot.0 >= looked {
            looked = (boot.after(SYNCHRONIZED_FOR).0 & !1) | u64::from(is_synchronized());
            self.looked.store(looked, Ordering::Relaxed);
        }
        let clock = if looked & 1 == 1 { ClockState::Synchronized } else { ClockState::Unsynchronized };
        Now { boot, wall: self.wall(), clock }
    }

    /// Reads the boot clock.
    pub fn boot(&self) -> BootTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        BootTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Reads the wall clock, to the microsecond: more says nothing about a sensor and costs bytes in every event.
    pub fn wall(&self) -> WallTime {
        let nanos = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        WallTime(nanos - nanos % 1_000)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether systemd-timesyncd has set the clock since boot (it leaves this file), or an image without it runs another
/// time service that leaves the same mark.
fn is_synchronized() -> bool {
    Path::new("/run/systemd/timesync/synchronized").exists()
}
