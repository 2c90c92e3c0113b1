//! How long things took: a histogram of durations with fixed bounds.
//!
//! Owns the bounds and the counting. Counting is two additions to atomics: no lock, no allocation, from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many bounds there are.
const BOUNDS: usize = 19;

/// Upper bounds of the buckets, seconds, the last for what takes longer left out. From half of what one sync takes on a
/// good disk to the length of an outage: a day.
pub const BOUNDS_S: [f64; BOUNDS] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
    86_400.0,
];

/// The same in microseconds, for comparison without floating point: a Pi Zero is slow at that.
const BOUNDS_US: [u64; BOUNDS] = [
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
    86_400_000_000,
];

/// Durations by bucket, and their sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS],
    /// Longer than the last bound.
    longer: AtomicU64,
    /// Microseconds: a sum of days over millions of events stays far below the end of the range.
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// All that was observed together; durations are in seconds.
    pub sum: f64,
    /// How many observations.
    pub count: u64,
    /// By bucket: upper bound and how many lie between it and the one before; the last bound is
    /// [`f64::INFINITY`].
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_US.partition_point(|bound| *bound < micros);
        self.buckets.get(place).unwrap_or(&self.longer).fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far. The count is that of the buckets, so that the two always agree.
    pub fn observed(&self) -> Observed {
        let counts = self.buckets.iter().chain([&self.longer]).map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = BOUNDS_S.into_iter().chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Observed { sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64(), count, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_the_same_in_both_units_and_rise() {
        for (seconds, micros) in BOUNDS_S.iter().zip(BOUNDS_US) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_micros(micros));
        }
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 1_000_000, 86_400_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let observed = histogram.observed();
        let of = |bound: f64| observed.buckets.iter().find(|(upper, _)| *upper == bound).map(|(_, count)| *count);
        assert_eq!([of(0.0005), of(0.001), of(1.0), of(f64::INFINITY)], [Some(2), Some(1), Some(1), Some(1)]);
        assert_eq!(observed.count, 5);
        assert!((observed.sum - 86_401.001_002).abs() < 1e-6, "{}", observed.sum);
    }
}
