//! The forgetting disk as a file system that any program can use, and its power switch.
//!
//! Owns the FUSE side of a [`Volume`] and nothing of what is durable. When the power goes, requests that are on their
//! way or come later are neither carried out nor answered: whoever asked waits, as in front of a disk that is gone, and
//! is to be killed in that state. Then they are let go, the volume is cut, and mounted again with empty caches.
//!
//! The kernel keeps no written bytes of its own (no write-back cache): a write has reached the volume when it returns.

use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::volume::{Attributes, Cut, Lost, Names, Refusal, Volume};

/// How long the kernel may answer from what it was told. Nobody but the kernel changes the volume.
const TTL: Duration = Duration::from_secs(60);

/// Block size and size of the disk as `statfs` tells them.
const FRAGMENT_BYTES: u32 = 4096;

/// See [`FRAGMENT_BYTES`]; 8 GiB.
const FRAGMENTS: u64 = 2 << 20;

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
    /// A creation, renaming or removal.
    Name,
    /// A sync of a file or directory.
    Sync,
}

/// When the power goes by itself: before the step after so many others.
#[derive(Clone, Copy, Debug)]
pub struct Countdown {
    /// Steps to come.
    pub steps: u64,
    /// Only syncs count: the moment when most is at stake.
    pub only_syncs: bool,
}

struct State {
    volume: Volume,
    power: Power,
    /// Until the power goes by itself.
    countdown: Option<Countdown>,
    /// What the power went away before, when it did by itself.
    off_before: Option<Step>,
    /// Changes and syncs so far.
    steps: u64,
    syncs: u64,
    /// Replies that are owed.
    held: Vec<Box<dyn Any + Send>>,
}

struct Shared {
    state: Mutex<State>,
    went_off: Condvar,
}

impl Shared {
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
            state =
                self.shared.went_off.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
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

/// What the kernel talks to.
struct Handler(Arc<Shared>);

impl Handler {
    /// The state and the reply, if the disk has power; without, the reply is held back.
    fn enter<R: Send + 'static>(&self, reply: R, step: Option<Step>) -> Option<(MutexGuard<'_, State>, R)> {
        let mut state = self.0.state();
        if state.power == Power::On
            && let (Some(step), Some(countdown)) = (step, &mut state.countdown)
            && (step == Step::Sync || !countdown.only_syncs)
        {
            if countdown.steps == 0 {
                state.power = Power::Off;
                state.off_before = Some(step);
                self.0.went_off.notify_all();
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

    fn done(result: Result<(), Refusal>, reply: ReplyEmpty) {
        match result {
            Ok(()) => reply.ok(),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn synced(&self, inode: INodeNo, data_only: bool, reply: ReplyEmpty) {
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Sync)) else { return };
        state.syncs += 1;
        Self::done(state.volume.sync(inode.0, data_only), reply);
    }

    fn entry(state: &State, inode: Result<u64, Refusal>, reply: ReplyEntry) {
        match inode.and_then(|inode| state.volume.attributes(inode)) {
            Ok(attributes) => reply.entry(&TTL, &attr(&attributes), Generation(0)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }
}

impl Filesystem for Handler {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some((state, reply)) = self.enter(reply, None) else { return };
        Self::entry(&state, state.volume.lookup(parent.0, name), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let Some((state, reply)) = self.enter(reply, None) else { return };
        match state.volume.attributes(ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attr(&attributes)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let Some((mut state, reply)) = self.enter(reply, size.map(|_| Step::Resize)) else { return };
        if let Some(mode) = mode {
            state.volume.set_mode(ino.0, bits(mode));
        }
        let resized = size.map_or(Ok(()), |size| state.volume.resize(ino.0, size));
        match resized.and_then(|()| state.volume.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&TTL, &attr(&attributes)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Name)) else { return };
        let made = state.volume.create(parent.0, name, true, bits(mode & !umask));
        Self::entry(&state, made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Name)) else { return };
        Self::done(state.volume.remove(parent.0, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Name)) else { return };
        Self::done(state.volume.remove(parent.0, name, true), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Name)) else { return };
        Self::done(state.volume.rename((parent.0, name), (newparent.0, newname)), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Name)) else { return };
        let made = state.volume.create(parent.0, name, false, bits(mode & !umask));
        match made.and_then(|inode| state.volume.attributes(inode)) {
            Ok(attributes) => {
                state.volume.open(attributes.inode);
                reply.created(&TTL, &attr(&attributes), Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let Some((mut state, reply)) = self.enter(reply, None) else { return };
        match state.volume.attributes(ino.0) {
            Ok(attributes) => {
                state.volume.open(attributes.inode);
                reply.opened(FileHandle(0), FopenFlags::empty());
            }
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let Some((mut state, reply)) = self.enter(reply, None) else { return };
        state.volume.close(ino.0);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some((state, reply)) = self.enter(reply, None) else { return };
        match state.volume.read(ino.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Write)) else { return };
        match state.volume.write(ino.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).expect("the kernel's writes are small")),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn fallocate(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, len: u64, mode: i32, reply: ReplyEmpty) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let Some((mut state, reply)) = self.enter(reply, Some(Step::Resize)) else { return };
        Self::done(state.volume.allocate(ino.0, offset, len), reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let Some((_state, reply)) = self.enter(reply, None) else { return };
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.synced(ino, datasync, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.synced(ino, datasync, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        let Some((state, mut reply)) = self.enter(reply, None) else { return };
        let entries = match state.volume.list(ino.0) {
            Ok(entries) => entries,
            Err(refusal) => return reply.error(errno(refusal)),
        };
        // Where to go on is the last number given: it stays valid while names are removed during the reading.
        for (name, inode) in entries.into_iter().filter(|(_, inode)| *inode > offset) {
            let is_dir = state.volume.attributes(inode).is_ok_and(|attributes| attributes.is_dir);
            if reply.add(INodeNo(inode), inode, kind(is_dir), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let Some((_state, reply)) = self.enter(reply, None) else { return };
        reply.statfs(FRAGMENTS, FRAGMENTS, FRAGMENTS, 1 << 20, 1 << 20, FRAGMENT_BYTES, 255, FRAGMENT_BYTES);
    }
}

fn kind(is_dir: bool) -> FileType {
    if is_dir { FileType::Directory } else { FileType::RegularFile }
}

fn bits(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits")
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Missing => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::WrongKind => Errno::ENOTDIR,
    }
}

fn attr(attributes: &Attributes) -> FileAttr {
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(attributes.inode),
        size: attributes.len,
        blocks: attributes.sectors,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(attributes.is_dir),
        perm: attributes.mode,
        nlink: if attributes.is_dir { 2 } else { 1 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: FRAGMENT_BYTES,
        flags: 0,
    }
}
