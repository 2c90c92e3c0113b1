//! What the kernel says of this process: memory, open files, processor time, age.
//!
//! Owns the reading of `/proc/self` (proc(5)). The texts are parsed by pure functions; what is not there is left out.

use std::path::Path;
use std::time::Duration;

use crate::clock::BootTime;
use crate::source::own::machine::kilobytes;

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Memory that is in RAM, bytes.
    pub resident_bytes: Option<u64>,
    /// File descriptors in use.
    pub open_files: Option<u64>,
    /// Most file descriptors that may be in use.
    pub open_files_max: Option<u64>,
    /// Processor time used, user and system.
    pub cpu: Option<Duration>,
    /// When it was started.
    pub started: Option<BootTime>,
}

impl Process {
    /// Looks at this process.
    pub fn look() -> Self {
        Self::look_in(Path::new("/proc/self"), rustix::param::clock_ticks_per_second())
    }

    fn look_in(dir: &Path, ticks_per_second: u64) -> Self {
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
        let times = text("stat").and_then(|text| times(&text, ticks_per_second));
        Self {
            resident_bytes: text("status").and_then(|text| kilobytes(&text, "VmRSS:")),
            // The one that reads the directory is among them.
            open_files: std::fs::read_dir(dir.join("fd"))
                .ok()
                .map(|entries| (entries.count() as u64).saturating_sub(1)),
            open_files_max: text("limits").and_then(|text| open_files_max(&text)),
            cpu: times.map(|(cpu, _)| cpu),
            started: times.map(|(_, started)| started),
        }
    }
}

fn open_files_max(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// Processor time and start, from `stat`: fields 14, 15 and 22. The second is the program's name and may hold anything,
/// brackets and blanks included.
fn times(text: &str, ticks_per_second: u64) -> Option<(Duration, BootTime)> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let time = |ticks: u64| ticks.saturating_mul(1_000).checked_div(ticks_per_second).map(Duration::from_millis);
    let cpu = time(ticks(14)?.saturating_add(ticks(15)?))?;
    Some((cpu, BootTime(0).after(time(ticks(22)?)?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    #[test]
    fn the_kernels_texts_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("status", "Name:\ttidegate\nVmHWM:\t  9000 kB\nVmRSS:\t    8192 kB\nThreads:\t3\n");
        write(
            "limits",
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n",
        );
        write(
            "stat",
            "7 (tide) gate) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 3000 1000000 2048 18446744073709551615\n",
        );
        std::fs::create_dir(dir.path().join("fd")).unwrap();
        for fd in 0..4 {
            write(&format!("fd/{fd}"), "");
        }
        assert_eq!(
            Process::look_in(dir.path(), 100),
            Process {
                resident_bytes: Some(8 << 20),
                open_files: Some(3),
                open_files_max: Some(1024),
                cpu: Some(Duration::from_secs(2)),
                started: Some(BootTime(30_000_000_000)),
            }
        );
    }

    #[test]
    fn what_is_not_there_or_nonsense_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Process::look_in(dir.path(), 100), Process::default());
        for text in ["", "7 (x", "7 (x) S", "7 (x) S 1 7 7 0 -1 4194560 100 0 0 0 a b 0 0 20 0 3 0 c"] {
            assert_eq!(times(text, 100), None, "{text}");
        }
        assert_eq!(times("7 (x) S 1 7 7 0 -1 4194560 100 0 0 0 1 1 0 0 20 0 3 0 9", 0), None);
        assert_eq!(kilobytes("VmRSS: many kB\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_memory_files_and_an_age() {
        let process = Process::look();
        assert!(process.resident_bytes > Some(100 * 1024), "{process:?}");
        assert!(process.open_files >= Some(3) && process.open_files < process.open_files_max, "{process:?}");
        assert!(process.started <= Some(crate::clock::SystemClock::new().boot()), "{process:?}");
    }
}
