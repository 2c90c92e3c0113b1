//! How fast the queue drains, and how long that will take.
//!
//! Owns the arithmetic over the last half minute of looks. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::clock::BootTime;

/// The stretch over which rates are taken.
const WINDOW: Duration = Duration::from_secs(30);

/// Shortest stretch that makes a rate.
const SHORTEST: Duration = Duration::from_secs(2);

/// What there was at one look.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: BootTime,
    /// Events delivered since the start.
    pub delivered: u64,
    /// Events stored since the start.
    pub stored: u64,
    /// Events waiting.
    pub waiting: u64,
}

/// What follows from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Events delivered in a second; `None` before it is known.
    pub delivered_per_s: Option<f64>,
    /// Events stored in a second.
    pub stored_per_s: Option<f64>,
    /// Seconds until the queue is empty if it goes on like this; `None` when it does not get shorter.
    pub left_s: Option<u64>,
}

/// The looks.
#[derive(Debug, Default)]
pub struct Queue {
    samples: VecDeque<Sample>,
}

impl Queue {
    /// Takes a look and tells what follows.
    pub fn take(&mut self, sample: Sample) -> Rates {
        self.samples.push_back(sample);
        // One older than the window stays: it is where the window begins.
        while self.samples.get(1).is_some_and(|second| sample.at.since(second.at) >= WINDOW) {
            self.samples.pop_front();
        }
        let first = self.samples[0];
        let over = sample.at.since(first.at);
        if over < SHORTEST {
            return Rates::default();
        }
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / over.as_secs_f64();
        let shrinks = per_s(first.waiting, sample.waiting);
        let left = sample.waiting as f64 / shrinks;
        Rates {
            delivered_per_s: Some(per_s(sample.delivered, first.delivered)),
            stored_per_s: Some(per_s(sample.stored, first.stored)),
            left_s: (sample.waiting > 0 && left.is_finite()).then_some(left.ceil() as u64),
        }
    }

    /// Nobody looks any more.
    pub fn forget(&mut self) {
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(count: u64, sample: impl Fn(u64) -> (u64, u64, u64)) -> Rates {
        let mut queue = Queue::default();
        let mut rates = Rates::default();
        for second in 0..count {
            let (delivered, stored, waiting) = sample(second);
            let at = BootTime(0).after(Duration::from_secs(second));
            rates = queue.take(Sample { at, delivered, stored, waiting });
            assert!(queue.samples.len() <= 32, "bounded");
        }
        rates
    }

    #[test]
    fn a_queue_that_drains_tells_when_it_will_be_empty() {
        let rates = looks(100, |second| (second * 50, second * 10, 10_000 - second * 40));
        assert_eq!(rates, Rates { delivered_per_s: Some(50.0), stored_per_s: Some(10.0), left_s: Some(151) });
    }

    #[test]
    fn one_that_grows_or_is_empty_tells_no_time() {
        assert_eq!(looks(10, |second| (0, second, second)).left_s, None);
        assert_eq!(looks(10, |second| (second, second, 0)).left_s, None);
        assert_eq!(looks(1, |_| (0, 0, 5)), Rates::default(), "one look is no rate");
    }
}
