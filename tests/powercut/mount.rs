//! The forgetting disk as a file system that any program can use: what the kernel asks, answered from a [`Volume`].
//!
//! The kernel keeps no written bytes of its own (no write-back cache): a write has reached the volume when it returns.
//!
//! [`Volume`]: super::volume::Volume

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::disk::{Shared, State, Step};
use super::volume::{Attributes, Refusal};

/// How long the kernel may answer from what it was told. Nobody but the kernel changes the volume.
const TTL: Duration = Duration::from_secs(60);

/// Block size and size of the disk as `statfs` tells them.
const FRAGMENT_BYTES: u32 = 4096;

/// See [`FRAGMENT_BYTES`]; 8 GiB.
const FRAGMENTS: u64 = 2 << 20;

/// What the kernel talks to.
pub struct Handler(pub Arc<Shared>);

impl Handler {
    fn done(result: Result<(), Refusal>, reply: ReplyEmpty) {
        match result {
            Ok(()) => reply.ok(),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn synced(&self, inode: INodeNo, data_only: bool, reply: ReplyEmpty) {
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::Sync)) else { return };
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
        let Some((state, reply)) = self.0.enter(reply, None) else { return };
        Self::entry(&state, state.volume.lookup(parent.0, name), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let Some((state, reply)) = self.0.enter(reply, None) else { return };
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
        let Some((mut state, reply)) = self.0.enter(reply, size.map(|_| Step::Resize)) else { return };
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
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::of_name(name))) else { return };
        let made = state.volume.create(parent.0, name, true, bits(mode & !umask));
        Self::entry(&state, made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::Removing)) else { return };
        Self::done(state.volume.remove(parent.0, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::Removing)) else { return };
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
        // Only a removal goes by such a name; a generation in the making is renamed from one.
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::of_name(newname))) else { return };
        Self::done(state.volume.rename((parent.0, name), (newparent.0, newname)), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::Name)) else { return };
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
        let Some((mut state, reply)) = self.0.enter(reply, None) else { return };
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
        let Some((mut state, reply)) = self.0.enter(reply, None) else { return };
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
        let Some((mut state, reply)) = self.0.enter(reply, None) else { return };
        match state.volume.read(ino.0, offset, size as usize) {
            Ok(bytes) => {
                state.read_bytes += bytes.len() as u64;
                reply.data(&bytes);
            }
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
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::Write)) else { return };
        state.written_bytes += data.len() as u64;
        match state.volume.write(ino.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).expect("the kernel's writes are small")),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn fallocate(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, len: u64, mode: i32, reply: ReplyEmpty) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let Some((mut state, reply)) = self.0.enter(reply, Some(Step::Resize)) else { return };
        Self::done(state.volume.allocate(ino.0, offset, len), reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let Some((_state, reply)) = self.0.enter(reply, None) else { return };
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.synced(ino, datasync, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.synced(ino, datasync, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        let Some((state, mut reply)) = self.0.enter(reply, None) else { return };
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
        let Some((_state, reply)) = self.0.enter(reply, None) else { return };
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
