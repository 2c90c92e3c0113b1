//! How much of the disk the store may take, and what it keeps in hand.
//!
//! Owns the arithmetic of the limits, the measuring of directories, and the reserve file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::model;

/// The smallest generation: one sled segment. A 32 MiB store then holds more than ten, so that dropping one is a small
/// part of all.
const GENERATION_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// The usual generation. sled keeps most pages of an open database in memory however small its cache is set (each of
/// 256 shards keeps one), nearly the whole file: this is what bounds the store's memory.
const GENERATION_BYTES: u64 = GENERATION_BYTES_MIN;

/// Generations in a very large store are larger, so that the catalogue stays a small part of each.
const GENERATION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// About how many generations a large store is cut into.
const GENERATIONS: u64 = 1_024;

/// Room for a commit that was let in when the generation was nearly full, for marks written while the store is full,
/// and for the files around.
const SLACK_BYTES: u64 = 1024 * 1024;

/// Where files may not grow to twice a generation's usual size (`RLIMIT_FSIZE`), generations are half as large as they
/// may be, the other half being for the last commit; but not smaller than this: the catalogue of very many would not fit
/// into one of them.
const FILE_BYTES_MIN: u64 = 512 * 1024;

/// What the sizes come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// All bytes on disk.
    pub max_bytes: u64,
    /// A generation is sealed when it reaches this.
    pub generation_bytes: u64,
    /// The reserve file.
    pub reserve_bytes: u64,
    /// Dead letters.
    pub dead_bytes: usize,
    /// The quarantine.
    pub quarantine_bytes: u64,
    /// A rewritten generation exists twice for a moment.
    rewrite_bytes: u64,
    /// No file may grow beyond this.
    file_bytes: u64,
}

impl Limits {
    /// From the configuration.
    pub(super) fn new(store: &model::Store) -> Self {
        let max_bytes = store.max_bytes;
        let usual = (max_bytes / GENERATIONS).clamp(GENERATION_BYTES, GENERATION_BYTES_MAX);
        let file_bytes = file_bytes_max();
        let generation_bytes =
            usual.min(max_bytes / 16).max(GENERATION_BYTES_MIN).min((file_bytes / 2).max(FILE_BYTES_MIN));
        Self {
            max_bytes,
            generation_bytes,
            reserve_bytes: (max_bytes / 64).clamp(512 * 1024, 4 * 1024 * 1024).min(file_bytes),
            dead_bytes: usize::try_from(generation_bytes / 8).unwrap_or(usize::MAX).min(1024 * 1024),
            quarantine_bytes: max_bytes / 8,
            rewrite_bytes: if store.when_full == model::WhenFull::DropLeastSevere { generation_bytes } else { 0 },
            file_bytes,
        }
    }

    /// How many bytes the sealed generations and everything else may take when a new generation is begun, so that it
    /// can grow to its size (or to `need`) with the total staying below `max_bytes` all the time.
    pub(super) fn bytes_before_rotation(&self, need: u64, checkpoint_bytes: u64) -> u64 {
        let growth = self.generation_bytes.max(need) + self.rewrite_bytes + SLACK_BYTES + 3 * checkpoint_bytes;
        self.max_bytes.saturating_sub(growth)
    }

    /// How many bytes everything may take while the newest generation grows, so that there is room to begin the next
    /// before an old one goes. It matters after a restart, which begins a generation without making room for it.
    pub(super) fn bytes_while_growing(&self, checkpoint_bytes: u64) -> u64 {
        self.max_bytes.saturating_sub(self.rewrite_bytes + SLACK_BYTES / 2 + 2 * checkpoint_bytes)
    }

    /// How far marks may grow the generation while the store is full.
    pub(super) fn marks_bytes(&self) -> u64 {
        (self.generation_bytes + SLACK_BYTES / 2).min(self.file_bytes)
    }
}

/// How far a file of ours may grow, bytes (`RLIMIT_FSIZE`).
pub(super) fn file_bytes_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// What a disk says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    /// Free for this process.
    pub free_bytes: u64,
    /// Free for this process; the most there can be where the file system does not count them.
    pub free_inodes: u64,
    /// Nothing may be written.
    pub is_read_only: bool,
}

impl Disk {
    /// The disk of a path, or on which it would be made; `None` when it does not say.
    pub(super) fn of(path: &Path) -> Option<Self> {
        #[cfg(test)]
        if tests::is_said_full(path) {
            return Some(Self { free_bytes: 0, free_inodes: 0, is_read_only: false });
        }
        let disk = path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok())?;
        // What is kept for root is not for us, even if we are.
        Some(Self {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            free_inodes: if disk.f_files == 0 { u64::MAX } else { disk.f_favail },
            is_read_only: disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

/// Bytes on disk of everything below a path; what cannot be read counts nothing.
pub(super) fn disk_bytes(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let own = meta.blocks() * 512;
    if !meta.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| disk_bytes(&entry.path())).sum::<u64>()
}

/// A file of real blocks that is given up when the disk is full, so that what drains the store can still be written.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// Looks at what is there.
    pub(super) fn new(store: &Path) -> Self {
        let path = store.join("reserve");
        let bytes = disk_bytes(&path);
        Self { path, bytes }
    }

    /// Bytes it holds on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it `bytes` large. Twice that must be free, so that it is not taken from under a full disk again.
    pub(super) fn fill(&mut self, bytes: u64) -> io::Result<()> {
        if self.bytes >= bytes {
            return Ok(());
        }
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let disk = rustix::fs::statvfs(parent)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < (bytes - self.bytes).saturating_mul(2) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = File::options().create(true).truncate(false).write(true).open(&self.path)?;
        let filled = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)
            .map_err(io::Error::from)
            .or_else(|error| {
                if error.kind() == io::ErrorKind::Unsupported { fill_with_zeros(&file, bytes) } else { Err(error) }
            })
            .and_then(|()| file.sync_all());
        self.bytes = disk_bytes(&self.path);
        if let Err(error) = filled {
            self.release();
            return Err(error);
        }
        Ok(())
    }

    /// Gives it up.
    pub(super) fn release(&mut self) {
        if fs::remove_file(&self.path).is_ok() {
            self.bytes = 0;
        }
    }
}

/// For file systems that cannot set blocks aside.
fn fill_with_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let block = [0; 64 * 1024];
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        file.write_all(&block)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    /// Stores' paths whose disk says that it is full.
    static FULL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

    /// Has the disk of a store say that it is full, or what is true.
    pub(in crate::store) fn say_full(path: &Path, is_full: bool) {
        let mut full = FULL.lock().expect("invariant: nobody panics while holding it");
        if is_full {
            full.insert(path.to_owned());
        } else {
            full.remove(path);
        }
    }

    pub(super) fn is_said_full(path: &Path) -> bool {
        FULL.lock().expect("invariant: nobody panics while holding it").contains(path)
    }
}
