//! How often the same fault is said: once, then a count every ten minutes.
//!
//! Owns the bounded memory of faults since the last good connection. Pure: the time is handed in, nothing is logged.

use std::time::Duration;

use crate::clock::BootTime;

/// Shortest time between two lines about the same fault.
const SUMMARY_EVERY: Duration = Duration::from_secs(600);

/// Different faults kept apart. An outage has two or three faces; beyond this the oldest is told anew.
const FAULTS_MAX: usize = 8;

/// Whether to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// The first time: say it.
    First,
    /// Again, and it is time to say how often.
    Again {
        /// Times since it was last said.
        times: u64,
        /// How long ago that was.
        over: Duration,
    },
    /// Just counted.
    Nothing,
}

/// Counts repeats of the same fault.
#[derive(Debug, Default)]
pub struct Repeats {
    faults: Vec<Fault>,
}

#[derive(Debug)]
struct Fault {
    key: String,
    said: BootTime,
    times: u64,
}

impl Repeats {
    /// A fault has happened.
    pub fn note(&mut self, key: &str, now: BootTime) -> Say {
        if let Some(fault) = self.faults.iter_mut().find(|fault| fault.key == key) {
            fault.times += 1;
            let over = now.since(fault.said);
            if over < SUMMARY_EVERY {
                return Say::Nothing;
            }
            let times = std::mem::take(&mut fault.times);
            fault.said = now;
            return Say::Again { times, over };
        }
        if self.faults.len() == FAULTS_MAX {
            self.faults.remove(0);
        }
        self.faults.push(Fault { key: key.to_owned(), said: now, times: 0 });
        Say::First
    }

    /// All is well again: the next fault is news.
    pub fn clear(&mut self) {
        self.faults.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_once_then_summed_up_every_ten_minutes() {
        let mut repeats = Repeats::default();
        let minute = |n: u64| BootTime(n * 60 * 1_000_000_000);
        assert_eq!(repeats.note("refused", minute(0)), Say::First);
        for n in 1..10 {
            assert_eq!(repeats.note("refused", minute(n)), Say::Nothing);
        }
        assert_eq!(repeats.note("refused", minute(10)), Say::Again { times: 10, over: Duration::from_secs(600) });
        assert_eq!(repeats.note("timeout", minute(11)), Say::First);
        assert_eq!(repeats.note("refused", minute(12)), Say::Nothing);
        repeats.clear();
        assert_eq!(repeats.note("refused", minute(13)), Say::First);
    }

    #[test]
    fn the_memory_for_faults_is_bounded() {
        let mut repeats = Repeats::default();
        for n in 0..1_000 {
            assert_eq!(repeats.note(&format!("fault {n}"), BootTime(n)), Say::First);
        }
        assert_eq!(repeats.faults.len(), FAULTS_MAX);
    }
}
