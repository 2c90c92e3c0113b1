//! Flash wear: how much this process has the disk write, in all, an event and a day.
//!
//! Owns the counting. The kernel counts for us (`write_bytes` in `/proc/self/io`, see proc_pid_io(5): what was sent to
//! the storage layer on behalf of the process, whole blocks); what the card's own controller makes of it nobody can see.
//! Never writes anything itself.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::BootTime;

/// Between two marks of the day's window: a day is known to within this.
const MARK_EVERY: Duration = Duration::from_secs(3600);

/// The window.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// As `tidegate status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WearShown {
    /// Bytes written since the start.
    pub written_bytes: u64,
    /// Bytes written for each event stored since the start, alarm states and marks included; `None` before the first.
    pub per_event_bytes: Option<u64>,
    /// Bytes written in the last day, or since the start while that is not so long ago.
    pub day_bytes: u64,
    /// How much of a day that is, seconds.
    pub day_s: u64,
}

/// The counts.
#[derive(Debug)]
pub struct Wear {
    /// Bytes written by a time, oldest first: the start, then one each hour of the last day.
    marks: Mutex<VecDeque<(BootTime, u64)>>,
}

impl Wear {
    /// Begins to count when the process begins: with nothing written.
    pub fn new(now: BootTime) -> Self {
        Self { marks: Mutex::new(VecDeque::from([(now, 0)])) }
    }

    /// Whether it is time for the next mark.
    pub fn is_due(&self, now: BootTime) -> bool {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.back().is_none_or(|(time, _)| now.since(*time) >= MARK_EVERY)
    }

    /// Sets a mark, and forgets those that the last day's window has left behind.
    pub fn mark(&self, now: BootTime, written_bytes: u64) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_back((now, written_bytes));
        while marks.get(1).is_some_and(|(time, _)| now.since(*time) >= DAY) {
            marks.pop_front();
        }
    }

    /// What is to be shown.
    pub fn show(&self, now: BootTime, written_bytes: u64, events_stored: u64) -> WearShown {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let window = marks.iter().rev().find(|(time, _)| now.since(*time) >= DAY).or(marks.front());
        let (since, before) = window.copied().unwrap_or((now, written_bytes));
        WearShown {
            written_bytes,
            per_event_bytes: written_bytes.checked_div(events_stored),
            day_bytes: written_bytes.saturating_sub(before),
            day_s: now.since(since).as_secs(),
        }
    }
}

/// Bytes this process has had written; `None` where the kernel does not count (CONFIG_TASK_IO_ACCOUNTING) or the
/// sandbox hides it.
pub fn written_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/io").ok()?)
}

fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> BootTime {
        BootTime(0).after(MARK_EVERY * u32::try_from(hours).unwrap_or(u32::MAX))
    }

    #[test]
    fn the_kernels_count_is_found_among_the_others() {
        let text =
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(parse(text), Some(4096));
        assert_eq!(parse("rchar: 1\n"), None);
    }

    #[test]
    fn bytes_on_their_way_to_a_disk_are_counted() {
        let before = written_bytes();
        let dir = std::env::temp_dir();
        let file = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &[7; 64 * 1024])?;
            file.as_file().sync_all()?;
            Ok(file)
        });
        assert!(file.is_ok());
        // A temporary directory in memory is written to no disk; the count is there all the same.
        assert!(before.is_some() && written_bytes() >= before);
    }

    #[test]
    fn the_day_is_a_window_that_moves_and_the_rest_is_forgotten() {
        let wear = Wear::new(at(0));
        assert_eq!(
            wear.show(at(1), 300, 0),
            WearShown { written_bytes: 300, per_event_bytes: None, day_bytes: 300, day_s: 3600 }
        );
        for hour in 1..=100 {
            assert!(wear.is_due(at(hour)));
            wear.mark(at(hour), hour * 100);
            assert!(!wear.is_due(at(hour)));
        }
        let shown = wear.show(at(100), 10_000, 50);
        assert_eq!((shown.day_bytes, shown.day_s, shown.per_event_bytes), (2_400, 24 * 3600, Some(200)));
        assert!(wear.marks.lock().is_ok_and(|marks| marks.len() <= 26), "no more than a day's marks are kept");
    }
}
