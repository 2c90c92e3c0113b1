//! How many there were of something at a time: a histogram of small whole numbers with fixed bounds.
//!
//! Owns the bounds and the counting, which is two additions to atomics, as of [`super::histogram`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Observed;

/// Upper bounds of the buckets; the last is the most events that a batch can have.
const BOUNDS: [u16; 9] = [2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/// Numbers by bucket, and their sum.
#[derive(Debug, Default)]
pub struct Sizes {
    buckets: [AtomicU64; BOUNDS.len()],
    /// Above the last bound.
    larger: AtomicU64,
    sum: AtomicU64,
}

impl Sizes {
    /// Counts so many at once.
    pub fn observe(&self, size: usize) {
        let place = BOUNDS.partition_point(|bound| usize::from(*bound) < size);
        self.buckets.get(place).unwrap_or(&self.larger).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size as u64, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn observed(&self) -> Observed {
        let counts = self.buckets.iter().chain([&self.larger]).map(|bucket| bucket.load(Ordering::Relaxed));
        let bounds = BOUNDS.into_iter().map(f64::from).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Observed { sum: self.sum.load(Ordering::Relaxed) as f64, count, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_counts_in_the_first_bucket_that_holds_it() {
        let sizes = Sizes::default();
        for size in [2, 3, 50, 51, 1_001] {
            sizes.observe(size);
        }
        let observed = sizes.observed();
        let filled: Vec<(f64, u64)> = observed.buckets.iter().copied().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(2.0, 1), (5.0, 1), (50.0, 1), (100.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((observed.sum, observed.count), (1_107.0, 5));
    }
}
