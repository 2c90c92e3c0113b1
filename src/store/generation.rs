//! The generation that is being written: one sled database, from its creation to its sealing.
//!
//! Owns all calls to sled, and keeps what sled may do (errors, panics) from reaching anyone else. A database is
//! created, written, synced and closed, and never opened again by sled: [`super::sealed`] reads it from then on. That
//! is on purpose. Opening an existing sled database changes its file in place, which is where power cuts were seen to
//! lose data, and it is where damaged files make sled panic.
//!
//! Creation: everything happens in `tmp-gen-N.R`; when the first frames are on stable storage the directory is renamed
//! to `gen-N.R` and its parent synced. So a `tmp-` directory is rubbish and a `gen-` directory is complete.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use super::Fault;
use super::frame::{self, HEADER_BYTES, Header, Look, Packed, kind};
use super::removal::remove_dir;
use super::state::Entry;

/// sled's segment. With 2 MiB no power cut lost anything in the measurements; with the default 512 KiB many did. It is
/// also sled's write buffer in memory, so larger would cost.
pub(super) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// sled's page cache. Everything is written once and mostly read from the store's own tail, so it is kept small.
const CACHE_BYTES: u64 = 512 * 1024;

/// Values in one of sled's trees, then the next tree is begun. sled writes a leaf's values again at every tenth one and
/// when the leaf is split; in a tree that never gets so far each value is written once, which is a third of the bytes.
/// A tree costs some 150 bytes, on disk and in memory.
const TREE_VALUES: u32 = 8;

/// What a directory, its `conf` and its `blobs` take on disk beside `db`.
pub(super) const DIRECTORY_BYTES: u64 = 3 * 4096;

/// Called before every sync; an error takes the place of the sync. For tests.
pub(super) type SyncHook = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The directory's name of a generation.
pub(super) fn directory_name(number: u64, revision: u32) -> String {
    format!("gen-{number:08}.{revision}")
}

/// The opposite of [`directory_name`].
pub(super) fn parse_directory_name(name: &str) -> Option<(u64, u32)> {
    let (number, revision) = name.strip_prefix("gen-")?.split_once('.')?;
    let is_ours = number.len() >= 8 && revision.parse::<u32>().is_ok_and(|parsed| parsed.to_string() == revision);
    if is_ours { Some((number.parse().ok()?, revision.parse().ok()?)) } else { None }
}

/// Where an event frame is in sled.
#[derive(Clone, Copy, Debug)]
struct FrameKey {
    first: u64,
    sub: u32,
    span: u16,
    count: u16,
    chunks: u16,
}

/// The open generation.
pub(super) struct Generation {
    /// What it holds that is on stable storage.
    pub entry: Entry,
    queue: PathBuf,
    dir: PathBuf,
    db: Option<sled::Db>,
    /// The tree being filled, and its number.
    tree: Option<(u32, sled::Tree)>,
    /// Our own handle on sled's file, for `fdatasync`: sled's flush stops short of the device.
    file: File,
    hook: Option<SyncHook>,
    sub: u32,
    frames: Vec<FrameKey>,
    /// Frames inserted and not yet synced.
    unsynced: Vec<FrameKey>,
    unsynced_entry: Entry,
    is_published: bool,
}

impl Generation {
    /// Creates an empty one under its temporary name. `first` is the next sequence number.
    pub(super) fn create(
        queue: &Path,
        number: u64,
        revision: u32,
        first: u64,
        hook: Option<SyncHook>,
    ) -> Result<Self, Fault> {
        let dir = queue.join(format!("tmp-{}", directory_name(number, revision)));
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|error| Fault::io("removing", &dir, &error))?;
        }
        fs::create_dir_all(&dir).map_err(|error| Fault::io("creating", &dir, &error))?;
        let config = sled::Config::new()
            .path(&dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::LowSpace)
            .use_compression(false);
        let db = contain("opening", || config.open())?;
        let path = dir.join("db");
        let file = File::open(&path).map_err(|error| Fault::io("opening", &path, &error))?;
        let entry = Entry {
            number,
            revision,
            first,
            last: first.saturating_sub(1),
            counts: [0; 5],
            last_commit: 0,
            bytes: DIRECTORY_BYTES,
        };
        Ok(Self {
            entry,
            queue: queue.to_owned(),
            dir,
            db: Some(db),
            tree: None,
            file,
            hook,
            sub: 0,
            frames: Vec::new(),
            unsynced: Vec::new(),
            unsynced_entry: entry,
            is_published: false,
        })
    }

    /// Inserts a frame's chunks. Nothing is promised before [`Self::sync`]; after an error only dropping is left.
    pub(super) fn insert(&mut self, frame: &Packed) -> Result<(), Fault> {
        let db = self.db.as_ref().ok_or_else(Fault::closed)?;
        let header = frame.header;
        let sub = self.sub;
        for chunk in &frame.chunks {
            let number = self.sub / TREE_VALUES;
            if self.tree.as_ref().is_none_or(|(open, _)| *open != number) {
                self.tree = Some((number, contain("writing", || db.open_tree(tree_name(number)))?));
            }
            let (_, tree) = self.tree.as_ref().expect("invariant: opened above");
            let key = key(header.first, self.sub);
            self.sub += 1;
            contain("writing", || tree.insert(key, chunk.as_slice()))?;
        }
        if header.has(kind::EVENTS) {
            debug_assert!(self.unsynced.last().or(self.frames.last()).is_none_or(|frame| frame.last() < header.first));
            let count = u16::try_from(header.events()).expect("invariant: five bytes add up to at most 1,275");
            let (first, span, chunks) = (header.first, header.span, header.chunks);
            self.unsynced.push(FrameKey { first, sub, span, count, chunks });
            self.unsynced_entry.include(header.counts, first, header.last());
        }
        self.unsynced_entry.last_commit = self.unsynced_entry.last_commit.max(header.commit);
        Ok(())
    }

    /// Puts everything inserted on stable storage.
    pub(super) fn sync(&mut self) -> Result<(), Fault> {
        let db = self.db.as_ref().ok_or_else(Fault::closed)?;
        contain("flushing", || db.flush())?;
        if let Some(hook) = &self.hook {
            contain("syncing", || Ok(hook()?))?;
        }
        self.file.sync_data().map_err(|error| Fault::io("syncing", &self.dir, &error))?;
        self.frames.append(&mut self.unsynced);
        self.unsynced_entry.bytes = self.measure();
        self.entry = self.unsynced_entry;
        Ok(())
    }

    /// Gives the synced directory its lasting name.
    pub(super) fn publish(&mut self) -> Result<(), Fault> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| Fault::io("publishing", &path, &error)
        };
        for name in ["conf", ""] {
            let path = self.dir.join(name);
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed(&path))?;
        }
        let name = directory_name(self.entry.number, self.entry.revision);
        let dir = self.queue.join(&name);
        if dir.exists() {
            // From an attempt whose last step failed: nobody counts on it.
            remove_dir(&self.queue, &name)?;
        }
        fs::rename(&self.dir, &dir).map_err(failed(&dir))?;
        if let Err(error) = File::open(&self.queue).and_then(|queue| queue.sync_all()) {
            // On a disk that lets nothing be written any more the name stays; see above.
            if fs::rename(&dir, &self.dir).is_err() {
                self.dir = dir;
                self.is_published = true;
            }
            return Err(failed(&self.queue)(error));
        }
        self.dir = dir;
        self.is_published = true;
        Ok(())
    }

    /// The frame that holds `from`, or the first one after it.
    pub(super) fn frame_from(&self, from: u64) -> Option<usize> {
        let index = self.frames.partition_point(|frame| frame.last() < from);
        (index < self.frames.len()).then_some(index)
    }

    /// Events in all frames that end at or before `through`, and the frame that straddles it.
    pub(super) fn events_through(&self, through: u64) -> (u64, Option<usize>) {
        let index = self.frames.partition_point(|frame| frame.last() <= through);
        let whole = self.frames[..index].iter().map(|frame| u64::from(frame.count)).sum();
        (whole, self.frames.get(index).filter(|frame| frame.first <= through).map(|_| index))
    }

    /// Reads a synced frame's header and body.
    pub(super) fn read(&self, index: usize) -> Result<(Header, Vec<u8>), Fault> {
        let db = self.db.as_ref().ok_or_else(Fault::closed)?;
        let frame = self.frames[index];
        let mut found = None;
        for chunk in 0..frame.chunks {
            let sub = frame.sub + u32::from(chunk);
            let value = contain("reading", || db.open_tree(tree_name(sub / TREE_VALUES))?.get(key(frame.first, sub)))?;
            let Some(value) = value.filter(|value| frame::is_intact(value)) else {
                return Err(Fault::damaged("a frame just written cannot be read back"));
            };
            let Look::Chunk(header) = Header::look(&value) else {
                return Err(Fault::damaged("a frame just written cannot be read back"));
            };
            let (_, body) = found.get_or_insert_with(|| (header, Vec::new()));
            body.extend_from_slice(&value[HEADER_BYTES..]);
        }
        found.ok_or_else(|| Fault::damaged("a frame without chunks"))
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn measure(&self) -> u64 {
        DIRECTORY_BYTES + self.file.metadata().map_or(self.entry.bytes, |meta| meta.blocks() * 512)
    }
}

impl FrameKey {
    fn last(&self) -> u64 {
        self.first + u64::from(self.span)
    }
}

impl Drop for Generation {
    /// Closes sled. It flushes, joins its writers and may panic on an I/O error; none of that matters any more.
    fn drop(&mut self) {
        let (tree, db) = (self.tree.take(), self.db.take());
        let _ = catch_quietly(move || drop((tree, db)));
        if !self.is_published {
            // Its bytes count; should this fail the next start clears it away.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Short, since sled writes all names again with each new tree.
fn tree_name(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn key(first: u64, sub: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&sub.to_be_bytes());
    key
}

thread_local! {
    /// Whether a panic on this thread is caught and told as a fault.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Catches a panic without a backtrace in the log: what sled panics about is a fault of the disk, and told as such.
fn catch_quietly<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IS_CONTAINED.get() {
                tracing::debug!(%panic, "contained");
            } else {
                usual(panic);
            }
        }));
    });
    IS_CONTAINED.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_CONTAINED.set(false);
    result
}

/// Calls sled and turns errors and panics into faults.
fn contain<T>(doing: &str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_quietly(call) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(error))) => Err(Fault::sled(doing, &error.to_string(), Some(&error))),
        Ok(Err(error)) => Err(Fault::sled(doing, &error.to_string(), None)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Fault::sled(doing, &format!("panic: {text}"), None))
        }
    }
}
