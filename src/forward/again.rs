//! Which events leave again: what the counter of retries counts.
//!
//! Owns what has left so far. The queue's events leave for the first time in sequence order, so that one number says
//! which did; those that went ahead of the queue (see [`super::ahead`]) are kept one by one until they are settled. Pure:
//! never decides what is sent. In memory only: what was sent before a restart of the gateway, or before a changed
//! `[upstream]` was taken over, counts as sent for the first time.

use std::collections::BTreeSet;

/// Most events remembered that went ahead of the queue: many times what can be in flight there. At more, those that a
/// broker has refused and left to the queue, the oldest is forgotten, and its repeat not counted.
const AHEAD_MAX: usize = 4_096;

/// What has left so far.
#[derive(Debug, Default)]
pub struct Again {
    /// The queue's events up to here have left, as far as they were to.
    through: u64,
    /// Those that left ahead of the queue.
    ahead: BTreeSet<u64>,
}

impl Again {
    /// Events of the queue leave, in their order. How many of them did before.
    pub fn on_queue(&mut self, sequences: &[u64]) -> u64 {
        let mut again = 0;
        for sequence in sequences {
            again += u64::from(*sequence <= self.through || self.ahead.contains(sequence));
            self.through = self.through.max(*sequence);
        }
        again
    }

    /// An event leaves ahead of the queue, which has settled everything up to `settled`. Whether it did before.
    pub fn on_ahead(&mut self, sequence: u64, settled: u64) -> bool {
        while self.ahead.first().is_some_and(|first| *first <= settled) {
            self.ahead.pop_first();
        }
        let is_new = self.ahead.insert(sequence);
        if self.ahead.len() > AHEAD_MAX {
            self.ahead.pop_first();
        }
        !is_new
    }

    /// An event that left ahead of the queue has arrived: it does not leave again.
    pub fn on_arrived(&mut self, sequence: u64) {
        self.ahead.remove(&sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_second_time_is_told_from_what_is_new() {
        let mut again = Again::default();
        assert_eq!((again.on_queue(&[1]), again.on_queue(&[2, 3, 5])), (0, 0));
        assert_eq!(again.on_queue(&[2, 3]), 2);
        assert_eq!(again.on_queue(&[5, 6, 7]), 1);
        assert_eq!(again.on_queue(&[5, 6, 7, 8]), 3, "each time it leaves");
    }

    #[test]
    fn what_went_ahead_of_the_queue_counts_when_it_leaves_there_again_or_with_the_queue() {
        let mut again = Again::default();
        assert_eq!(again.on_queue(&[1]), 0);
        assert!(!again.on_ahead(90, 0) && !again.on_ahead(95, 0) && !again.on_ahead(80, 0));
        assert!(again.on_ahead(90, 1));
        again.on_arrived(90);
        assert_eq!(again.on_queue(&[2, 80, 81]), 1, "the line has left it to the queue");
        assert_eq!(again.on_queue(&[80, 81]), 2);
        assert!(!again.on_ahead(100, 95), "what is settled is forgotten");
        assert_eq!(again.ahead.len(), 1);
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut again = Again::default();
        let last = 10 * AHEAD_MAX as u64;
        (1..=last).for_each(|sequence| assert!(!again.on_ahead(sequence, 0)));
        assert_eq!(again.ahead.len(), AHEAD_MAX);
        assert!(again.on_ahead(last, 0) && !again.on_ahead(1, 0));
    }
}
