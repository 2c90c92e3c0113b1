//! A sweep: the second reader of stored events, which brings what is before a severe event of its subject.
//!
//! Owns where it begins and ends, and what it takes. Pure.

use super::{Ahead, LEVELS, SWEPT_MAX, bucket_of};
use crate::config::model::Order;

/// A sweep under way.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) next: u64,
    pub(super) through: u64,
    pub(super) level: usize,
    /// By bucket: up to which number its events are taken.
    pub(super) pulled: Box<[u64]>,
}

impl<T: Clone> Ahead<T> {
    /// Begins a sweep if one is wanted, first for what is critical. One for high events gives way to it. True when one
    /// has begun; where nothing is wanted, asking costs next to nothing.
    pub fn begin_sweep(&mut self, passed: u64) -> bool {
        if self.order != Order::SeverityFirst {
            return false;
        }
        let level_now = self.sweep.as_ref().map_or(LEVELS, |sweep| sweep.level);
        for level in 0..level_now {
            if self.last_wanted[level] <= passed {
                continue;
            }
            // Some of it may have been brought, or left to the queue for good.
            let through = self.wanted[level].iter().copied().max().unwrap_or(0);
            self.last_wanted[level] = through;
            if through > passed {
                let pulled = self.wanted[level].clone();
                self.sweep = Some(Sweep { next: passed + 1, through, level, pulled });
                return true;
            }
        }
        false
    }

    /// Where the sweep under way reads on; `None` without one, or while it finds no room.
    pub fn sweep_from(&mut self, passed: u64) -> Option<u64> {
        let sweep = self.sweep.as_mut()?;
        sweep.next = sweep.next.max(passed + 1);
        if sweep.next > sweep.through {
            self.end_sweep();
            return None;
        }
        let next = sweep.next;
        self.has_room(SWEPT_MAX).then_some(next)
    }

    /// Whether a sweep is under way.
    pub fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Shows the sweep the next event in sequence. False when there is no room: it is to be shown again.
    pub fn sweep(&mut self, sequence: u64, subject: &str, item: T, passed: u64) -> bool {
        let has_room = self.has_room(SWEPT_MAX);
        let Some(sweep) = &mut self.sweep else { return true };
        if sequence < sweep.next {
            return true;
        }
        let bucket = bucket_of(subject);
        let is_wanted = sequence > passed
            && sequence <= sweep.pulled[bucket]
            && !self.under_way.contains(&sequence)
            && !self.delivered.contains(sequence);
        if is_wanted && !has_room {
            return false;
        }
        sweep.next = sequence + 1;
        let is_over = sequence >= sweep.through;
        if is_wanted {
            self.take(sequence, bucket, item);
        }
        if is_over {
            self.end_sweep();
        }
        true
    }

    fn end_sweep(&mut self) {
        let Some(sweep) = self.sweep.take() else { return };
        let [critical, high] = &mut self.wanted;
        for (bucket, through) in sweep.pulled.iter().copied().enumerate().filter(|(_, through)| *through > 0) {
            // Nothing of the bucket is left to the queue, up to there.
            for last in [&mut self.left, &mut *critical, &mut *high] {
                if last[bucket] <= through {
                    last[bucket] = 0;
                }
            }
        }
    }
}
