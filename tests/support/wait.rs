//! Waiting for a condition, and nothing else.

use std::thread;
use std::time::{Duration, Instant};

/// For things that take milliseconds on an idle machine. Generous, since a build may run beside the tests: a test that
/// succeeds never waits this long.
pub const SOON: Duration = Duration::from_secs(30);

/// For things that include reconnecting, restarting or a few thousand events.
pub const PATIENT: Duration = Duration::from_secs(90);

/// For a store full of events.
pub const LONG: Duration = Duration::from_secs(300);

/// How often a condition is looked at, at first; doubles up to [`POLL_MAX`].
const POLL_MIN: Duration = Duration::from_micros(500);

/// See [`POLL_MIN`].
const POLL_MAX: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds.
///
/// # Panics
/// When it does not within `timeout`; `what` completes "timed out waiting for ...".
#[track_caller]
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(timeout, &mut condition), "timed out after {timeout:?} waiting for {what}");
}

/// Whether `condition` holds at some time within `timeout`.
pub fn holds_within(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    let mut pause = POLL_MIN;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::park_timeout(pause);
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// Whether the long run was asked for (`tests/run --long`).
pub fn long_run() -> bool {
    std::env::var_os("TIDEGATE_LONG").is_some_and(|value| value == "1")
}
