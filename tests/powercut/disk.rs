//! The forgetting disk and its power switch.
//!
//! Owns when the power goes and what becomes of requests then: those on their way or coming later are neither carried
//! out nor answered. Whoever asked waits, as in front of a disk that is gone, and is to be killed in that state. Then
//! they are let go, the volume is cut, and mounted again with empty caches. What is durable is the [`Volume`]'s matter,
//! what the kernel asks that of [`super::mount`].

use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};

use super::content::BLOCK_BYTES;
use super::mount::Handler;
use super::volume::{Cut, Lost, Names, Volume};

/// Whether the disk works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// Requests wait.
    Off,
    /// Requests fail: nobody is left who could act on it.
    Gone,
}

/// What can be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A write.
    Write,
    /// A length.
    Resize,
    /// A creation or renaming that is none of the following.
    Name,
    /// A generation is begun.
    Making,
    /// A shorter copy of a generation is begun.
    Copying,
    /// A removal, or the renaming before it.
    Removing,
    /// A sync of a file or directory.
    Sync,
}

impl Step {
    /// What the appearance of a name in the store's directory is a sign of.
    pub fn of_name(name: &OsStr) -> Self {
        let name = name.to_string_lossy();
        if name.starts_with("tmp-removed-") {
            Self::Removing
        } else if name.starts_with("tmp-gen-") {
            if name.ends_with(".1") { Self::Making } else { Self::Copying }
        } else {
            Self::Name
        }
    }
}

/// When the power goes by itself: before the step after so many others.
#[derive(Clone, Copy, Debug)]
pub struct Countdown {
    /// Counting begins with a step of this kind.
    pub awaits: Option<Step>,
    /// Steps to come.
    pub steps: u64,
    /// Only syncs count: the moment when most is at stake.
    pub only_syncs: bool,
}

impl Countdown {
    fn has_begun(&mut self, step: Step) -> bool {
        self.awaits = self.awaits.filter(|awaited| *awaited != step);
        self.awaits.is_none()
    }
}

/// What disk and file system share.
pub struct State {
    /// What is on the disk.
    pub volume: Volume,
    power: Power,
    /// Until the power goes by itself.
    countdown: Option<Countdown>,
    /// What the power went away before, when it did by itself.
    off_before: Option<Step>,
    /// Changes and syncs so far.
    steps: u64,
    /// Syncs so far.
    pub syncs: u64,
    /// Bytes read so far.
    pub read_bytes: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
    /// Replies that are owed.
    held: Vec<Box<dyn Any + Send>>,
}

/// The state, and a way to wait for the power to go.
pub struct Shared {
    state: Mutex<State>,
    went_off: Condvar,
}

impl Shared {
    /// The state and the reply, if the disk has power; without, the reply is held back.
    pub fn enter<R: Send + 'static>(&self, reply: R, step: Option<Step>) -> Option<(MutexGuard<'_, State>, R)> {
        let mut state = self.state();
        if state.power == Power::On
            && let (Some(step), Some(countdown)) = (step, &mut state.countdown)
            && countdown.has_begun(step)
            && (step == Step::Sync || !countdown.only_syncs)
        {
            if countdown.steps == 0 {
                state.power = Power::Off;
                state.off_before = Some(step);
                self.went_off.notify_all();
            } else {
                countdown.steps -= 1;
            }
        }
        match state.power {
            Power::On => {
                state.steps += u64::from(step.is_some());
                return Some((state, reply));
            }
            Power::Off => state.held.push(Box::new(reply)),
            Power::Gone => drop(reply),
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed elsewhere must still be able to unmount.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A mounted forgetting disk; unmounted with its value. Whoever works on it must have ended before.
pub struct Disk {
    shared: Arc<Shared>,
    at: PathBuf,
    session: Option<BackgroundSession>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Disk {
    /// An empty disk, mounted at an empty directory.
    pub fn mount(at: &Path, names: Names) -> Self {
        let state = State {
            volume: Volume::new(names),
            power: Power::On,
            countdown: None,
            off_before: None,
            steps: 0,
            syncs: 0,
            read_bytes: 0,
            written_bytes: 0,
            held: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), went_off: Condvar::new() });
        let mut disk = Self { shared, at: at.to_owned(), session: None };
        disk.attach();
        disk
    }

    /// From now on answers syncs without carrying them out.
    pub fn lie(&self) {
        self.shared.state().volume.ignores_syncs = true;
    }

    /// Changes and syncs so far.
    pub fn steps(&self) -> u64 {
        self.shared.state().steps
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.shared.state().syncs
    }

    /// Bytes read from it so far: what the kernel did not have in its own memory.
    pub fn read_bytes(&self) -> u64 {
        self.shared.state().read_bytes
    }

    /// Bytes written to it so far.
    pub fn written_bytes(&self) -> u64 {
        self.shared.state().written_bytes
    }

    /// Bytes taken of it, now and at most so far.
    pub fn used_bytes(&self) -> (u64, u64) {
        let used = self.shared.state().volume.used();
        (used.blocks * BLOCK_BYTES as u64, used.most * BLOCK_BYTES as u64)
    }

    /// The power is to go by itself.
    pub fn off_after(&self, countdown: Countdown) {
        self.shared.state().countdown = Some(countdown);
    }

    /// Takes the power away now.
    pub fn off(&self) {
        self.shared.state().power = Power::Off;
        self.shared.went_off.notify_all();
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.shared.state().power != Power::On
    }

    /// Waits until the power is gone, or for a while.
    pub fn wait_off(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state();
        while state.power == Power::On {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            state = self.shared.went_off.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }

    /// Lets go of everyone who waits for a disk without power. They must be dying already.
    pub fn let_go(&self) {
        let held = {
            let mut state = self.shared.state();
            state.power = Power::Gone;
            std::mem::take(&mut state.held)
        };
        // A reply that is dropped says that the disk has failed.
        drop(held);
    }

    /// Cuts what was not synced and mounts again with power. Gives what was lost, and what the power went away before
    /// if it did so by itself.
    pub fn cut(&mut self, cut: Cut, rng: &mut fastrand::Rng) -> (Lost, Option<Step>) {
        self.detach();
        let outcome = {
            let mut state = self.shared.state();
            let lost = state.volume.cut(cut, rng);
            state.power = Power::On;
            state.countdown = None;
            (lost, state.off_before.take())
        };
        self.attach();
        outcome
    }

    fn attach(&mut self) {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("powercut".to_owned()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Handler(Arc::clone(&self.shared)), &self.at, &config);
        self.session = Some(session.unwrap_or_else(|error| {
            panic!(
                "cannot mount a FUSE file system: {error}; the power-cut test needs /dev/fuse, and the right to mount \
                 (root, or fusermount3 from the package fuse3)"
            )
        }));
    }

    fn detach(&mut self) {
        self.let_go();
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            println!("unmounting {}: {error}", self.at.display());
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.detach();
    }
}
