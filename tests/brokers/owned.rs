//! A program that runs as nobody in particular: its own process group, its own folder, no more rights than it needs.
//!
//! Owns starting it, asking it to end, and killing it with all it has started.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, signal};

/// Whom a broker runs as when the tests are root: the user that owns nothing.
const NOBODY: u32 = 65_534;

/// A folder that belongs to whom brokers run as.
pub fn folder(path: &Path) {
    fs::create_dir_all(path).expect("make a broker's folder");
    hand_over(path, 0o700);
}

/// A copy in `dir` that whom brokers run as, and nobody else, can read.
pub fn secret_copy(from: &Path, dir: &Path) -> PathBuf {
    let to = dir.join(from.file_name().expect("a file has a name"));
    fs::copy(from, &to).expect("copy a broker's file");
    hand_over(&to, 0o600);
    to
}

/// A file of a broker's.
pub fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("write a broker's file");
    hand_over(path, 0o600);
}

fn hand_over(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set permissions");
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("hand a broker's file over");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A running program.
#[derive(Debug)]
pub struct Owned {
    child: Child,
}

impl Owned {
    /// Starts it in its folder; what it says is appended to `log`, which the tests own.
    pub fn start(command: &mut Command, folder: &Path, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).expect("open a broker's log");
        let errors = log.try_clone().expect("share a broker's log");
        command.current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let program = command.get_program().to_owned();
        let child = command.spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{program:?}: {error}; tests/run --brokers installs it")) }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait for a broker").is_some()
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) {
        signal(self.child.id(), "TERM");
        assert!(holds_within(PATIENT, || self.has_ended()), "a broker does not end");
    }

    /// kill -9 for it and all it has started.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !self.has_ended() {
            let group = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            holds_within(SOON, || self.has_ended());
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.end();
    }
}
