//! How long to wait before the next connection.
//!
//! Owns the count of failures in a row. Never reads a clock and never draws a random number: both are handed in.
//! Full jitter: the wait is drawn evenly from zero (or nearly) to a bound that doubles with each failure, so a fleet of
//! gateways that lost its broker at one moment does not come back at one moment.

use std::time::Duration;

/// How long a connection must have lasted to count as good again. A broker that drops everybody after a few seconds
/// would otherwise be asked as often as one that works.
pub const STABLE: Duration = Duration::from_secs(60);

/// The shortest wait is the configured minimum divided by this: an even draw from zero would now and then not wait at
/// all, which a broker that refuses logins counts as an attack.
const FLOOR_DIVISOR: u32 = 10;

/// Waits between connections.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with waits up to `min`, doubling to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), failures: 0 }
    }

    /// An attempt failed or a connection ended after `lasted` (zero if it never came up). Returns how long to wait;
    /// `random` is an even draw from 0 to 1.
    pub fn after(&mut self, lasted: Duration, random: f64) -> Duration {
        if lasted >= STABLE {
            self.failures = 0;
        }
        let bound = self.min.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random.clamp(0.0, 1.0)).max(self.min / FLOOR_DIVISOR)
    }

    /// Failures since the last stable connection.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_secs(1), Duration::from_secs(300))
    }

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let mut backoff = backoff();
        let waits: Vec<u64> = (0..11).map(|_| backoff.after(Duration::ZERO, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn ten_thousand_failures_do_not_overflow() {
        let mut backoff = backoff();
        for _ in 0..10_000 {
            assert!(backoff.after(Duration::ZERO, 0.999) <= Duration::from_secs(300));
        }
        assert_eq!(backoff.failures(), 10_000);
    }

    #[test]
    fn the_wait_is_drawn_from_the_whole_range_but_is_never_nothing() {
        let mut backoff = backoff();
        assert_eq!(backoff.after(Duration::ZERO, 0.0), Duration::from_millis(100));
        assert_eq!(backoff.after(Duration::ZERO, 0.5), Duration::from_secs(1));
        assert_eq!(backoff.after(Duration::ZERO, f64::NAN.max(0.25)), Duration::from_secs(1));
    }

    #[test]
    fn only_a_stable_connection_resets_it() {
        let mut backoff = backoff();
        for _ in 0..5 {
            backoff.after(Duration::ZERO, 1.0);
        }
        assert_eq!(backoff.after(STABLE - Duration::from_millis(1), 1.0), Duration::from_secs(32));
        assert_eq!(backoff.after(STABLE, 1.0), Duration::from_secs(1));
        assert_eq!(backoff.after(Duration::ZERO, 1.0), Duration::from_secs(2));
    }

    #[test]
    fn a_maximum_below_the_minimum_is_the_minimum() {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(1));
        backoff.after(Duration::ZERO, 1.0);
        assert_eq!(backoff.after(Duration::ZERO, 1.0), Duration::from_secs(5));
    }
}

#[cfg(test)]
#[path = "backoff_herd.rs"]
mod herd;
