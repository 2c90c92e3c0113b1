//! Who kills: waits for a cue in what the gateway does, then for a moment, then sends SIGKILL.
//!
//! Owns the watching of the store's directory, by inotify: what is over in a millisecond is still seen when it begins.

use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, Signal, kill_process};

/// How often a condition that is no file is looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000 };

/// What is waited for.
pub enum Cue<'a> {
    /// A name that appears in the directory.
    Name(fn(&str) -> bool),
    /// Anything else.
    Sight(Box<dyn Fn() -> bool + Send + 'a>),
}

/// Kills `pid` at `delay` after the cue, or as soon as nobody waits for the cue any longer. True when the cue was seen.
pub fn reap(pid: u32, watched: &Path, cue: Cue<'_>, delay: Duration, no_longer: &AtomicBool) -> bool {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    let names = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, watched, names).unwrap();
    let mut seen = false;
    while !seen && !no_longer.load(Ordering::SeqCst) {
        poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&LOOK)).unwrap();
        seen = match &cue {
            Cue::Sight(condition) => condition(),
            Cue::Name(is_meant) => appeared(&watch, *is_meant),
        };
    }
    if seen {
        let due = Instant::now() + delay;
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
    }
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself; whoever started it finds that out, and nobody else gets its number before.
    let _ = kill_process(pid, Signal::KILL);
    seen
}

fn appeared(watch: &impl std::os::fd::AsFd, is_meant: fn(&str) -> bool) -> bool {
    let mut bytes = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut bytes);
    while let Ok(event) = reader.next() {
        if event.file_name().and_then(|name| name.to_str().ok()).is_some_and(is_meant) {
            return true;
        }
    }
    false
}
