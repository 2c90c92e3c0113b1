//! A wall clock and a time service of the test's making, for one gateway.
//!
//! The gateway runs under libfaketime, which changes what the C library says the wall clock is, and nothing else: the
//! boot clock and all waiting stay real. In a mount namespace of its own a directory of the test's stands for `/run`, so
//! that the test can set the mark of systemd-timesyncd without touching the machine's. A chronyd that runs on the
//! machine is heard all the same: a test must not expect that a clock later than the build time stays unconfirmed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::gateway::Gateway;

/// Seconds since 1970 of the machine's clock.
pub fn real_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("it is long before the end of time")
}

/// The clock of one gateway.
#[derive(Debug)]
pub struct FakeClock {
    offset: PathBuf,
    run: PathBuf,
}

impl FakeClock {
    /// Puts a gateway that is not started yet under a clock that says `time_s`, files in `dir`.
    pub fn new(dir: &Path, gateway: &mut Gateway, time_s: i64) -> Self {
        let clock = Self { offset: dir.join("clock-offset"), run: dir.join("run") };
        fs::create_dir_all(clock.run.join("systemd/timesync")).expect("make a directory for /run");
        clock.set(time_s);
        for (name, value) in [
            ("LD_PRELOAD", library().to_str().expect("a path in UTF-8")),
            ("FAKETIME_TIMESTAMP_FILE", clock.offset.to_str().expect("a path in UTF-8")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            gateway.environment(name, value);
        }
        let run = clock.run.to_str().expect("a path in UTF-8");
        let uid = Command::new("id").arg("-u").output().expect("id runs");
        let own = if uid.stdout == b"0\n" { "-m" } else { "-rm" };
        let script = r#"mount --bind "$0" /run && exec "$@""#;
        gateway.wrap(&["unshare", own, "sh", "-c", script, run]);
        clock
    }

    /// Sets the wall clock, as by hand.
    pub fn set(&self, time_s: i64) {
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{:+}\n", time_s - real_s())).expect("write the clock's offset");
        fs::rename(&new, &self.offset).expect("put the clock's offset in place");
    }

    /// Says that the wall clock is right, as systemd-timesyncd does after each correction.
    pub fn confirm(&self) {
        fs::write(self.mark(), "").expect("set the mark");
    }

    /// Takes the mark away, as if the machine had just booted.
    pub fn forget(&self) {
        fs::remove_file(self.mark()).expect("remove the mark");
    }

    fn mark(&self) -> PathBuf {
        self.run.join("systemd/timesync/synchronized")
    }
}

/// The library, where Debian has it.
fn library() -> PathBuf {
    let places = fs::read_dir("/usr/lib").expect("read /usr/lib").flatten();
    let mut found = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists());
    found.next().expect("libfaketimeMT.so.1 is installed (tests/run does that; Debian's package `faketime`)")
}
