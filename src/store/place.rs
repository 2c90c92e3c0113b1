//! The place of a store: its directories, and the lock that keeps other processes out of them.
//!
//! Owns how they are made and locked on disks that let nothing be made. Never looks at what is stored.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::{Cause, OpenError};

/// Makes a directory and those above it, each on stable storage in its parent.
pub(super) fn create_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dirs(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// What keeps other processes out until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: File,
    /// Where the process id is. `None` where no file can be made.
    _file: Option<File>,
}

/// Makes the store's directories and keeps other processes out of them.
pub(super) fn take(store: &Path) -> Result<Lock, OpenError> {
    let queue = store.join("queue");
    create_dirs(&queue).map_err(|error| OpenError::Unusable { path: queue, error })?;
    lock(store)
}

/// Locks the directory, which works on any disk, and a file in it, which says who we are.
fn lock(store: &Path) -> Result<Lock, OpenError> {
    let path = store.join("lock");
    let directory = File::open(store).map_err(|error| OpenError::Unusable { path: store.to_owned(), error })?;
    // Network file systems lock no directories; the file is enough.
    let is_locked = flock(&directory, &path)?;
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    // A read-only disk can still be drained; its lock file is there already.
    let opened = opened.or_else(|error| File::open(&path).map_err(|_| error));
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if is_locked && Cause::of(&error) != Cause::Other => {
            return Ok(Lock { _directory: directory, _file: None });
        }
        Err(error) => return Err(OpenError::Unusable { path, error }),
    };
    if !flock(&file, &path)? && !is_locked {
        let error = io::ErrorKind::Unsupported.into();
        return Err(OpenError::Unusable { path, error });
    }
    // Who it is is for people only; a full disk may refuse it.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    Ok(Lock { _directory: directory, _file: Some(file) })
}

/// Locks a file or directory; false where that cannot be done. `path` is the file that says who has it.
fn flock(file: &File, path: &Path) -> Result<bool, OpenError> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut process = String::new();
            let _ = File::open(path).and_then(|file| file.take(20).read_to_string(&mut process));
            let process = process.trim().to_owned();
            let process = if process.is_empty() { "unknown".to_owned() } else { process };
            Err(OpenError::InUse { path: path.parent().unwrap_or(path).to_owned(), process })
        }
        done => Ok(done.is_ok()),
    }
}
