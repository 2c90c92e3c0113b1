//! The job's file, so that a replay survives whatever ends the gateway.
//!
//! ```text
//! <store path>/replay        "tidegate replay 1 <CRC-32C of the line below, 8 hex digits>", newline, the job as JSON,
//!                            newline
//! <store path>/replay.tmp    the next one being written
//! ```
//!
//! Written aside, synced, renamed, and the directory synced. A file that cannot be read is dropped with a line in the
//! log: a replay can be asked for again. A disk that takes nothing does not stop a replay; it then goes on in memory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Job;

const NAME: &str = "replay";
const TEMPORARY: &str = "replay.tmp";
const HEADER: &str = "tidegate replay 1 ";

/// Longest file read, bytes. Ours have a few hundred; a sensor pattern is the only text of somebody else's.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The job that an earlier run left, if there is one that can be read. Blocks.
pub(super) fn load(store: &Path) -> Option<Job> {
    let path = store.join(NAME);
    // Left by a save that did not come to its end.
    let _ = fs::remove_file(store.join(TEMPORARY));
    let problem = match read(&path) {
        Ok(text) => match parse(&text) {
            Ok(job) => return Some(job),
            Err(problem) => problem,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    tracing::warn!(file = %path.display(), "a replay was under way and cannot go on, its file is damaged ({problem}); ask for it again");
    if let Err(error) = fs::remove_file(&path) {
        tracing::warn!(file = %path.display(), %error, "the damaged file cannot be removed");
    }
    None
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))
}

fn parse(text: &str) -> Result<Job, String> {
    let (header, rest) = text.split_once('\n').ok_or("it has no header")?;
    let json = rest.strip_suffix('\n').ok_or("its end is missing")?;
    let sum = header.strip_prefix(HEADER).ok_or("its header is not of this version")?;
    if sum != checksum(json) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn checksum(json: &str) -> String {
    format!("{:08x}", crc32c::crc32c(json.as_bytes()))
}

fn write(store: &Path, job: &Job) -> io::Result<()> {
    let json = serde_json::to_string(job).map_err(io::Error::other)?;
    let temporary = store.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(format!("{HEADER}{}\n{json}\n", checksum(&json)).as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, store.join(NAME))?;
    File::open(store)?.sync_all()
}

/// Holds the job and its file together. Shared by the task and the driver, so a save that comes late writes what is
/// true then and not what was when it was asked for, and none comes after the removal.
#[derive(Debug)]
pub(super) struct Keeper {
    store: PathBuf,
    job: Mutex<Job>,
    file: Mutex<Saved>,
}

#[derive(Debug, Default)]
struct Saved {
    is_over: bool,
    fault: Option<String>,
}

impl Keeper {
    pub(super) fn new(store: &Path, job: Job) -> Arc<Self> {
        Arc::new(Self { store: store.to_owned(), job: Mutex::new(job), file: Mutex::new(Saved::default()) })
    }

    /// The job as it is now.
    pub(super) fn job(&self) -> Job {
        lock(&self.job).clone()
    }

    /// Changes the job.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Job) -> T) -> T {
        change(&mut lock(&self.job))
    }

    /// Why the last save failed, if it did.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.file).fault.clone()
    }

    /// Writes the file. A fault is told once, and by [`Keeper::fault`].
    pub(super) async fn save(self: &Arc<Self>) {
        self.aside(|keeper, saved| {
            if saved.is_over {
                return;
            }
            match write(&keeper.store, &keeper.job()) {
                Ok(()) => saved.fault = None,
                Err(error) => {
                    let fault = format!("not saved ({error}): a restart repeats or forgets it");
                    if saved.fault.is_none() {
                        tracing::warn!(path = %keeper.store.display(), "the replay goes on in memory only, {fault}");
                    }
                    saved.fault = Some(fault);
                }
            }
        })
        .await;
    }

    /// Removes the file for good.
    pub(super) async fn remove(self: &Arc<Self>) {
        self.aside(|keeper, saved| {
            saved.is_over = true;
            saved.fault = None;
            let removed = fs::remove_file(keeper.store.join(NAME)).and_then(|()| File::open(&keeper.store)?.sync_all());
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let path = keeper.store.join(NAME);
                    tracing::warn!(file = %path.display(), %error, "the replay's file cannot be removed; a restart would repeat its end");
                }
                _ => {}
            }
        })
        .await;
    }

    /// Does something slow with the file on a thread that may block.
    async fn aside(self: &Arc<Self>, work: impl FnOnce(&Self, &mut Saved) + Send + 'static) {
        let keeper = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&keeper, &mut lock(&keeper.file)));
        // A panic has been told by the runtime.
        let _ = done.await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;
    use crate::clock::WallTime;

    fn job() -> Job {
        Job {
            cursor: 70,
            sent: 12,
            of: Some(90),
            ..Job::new(WallTime(1), None, Some("a/+/b".into()), WallTime(5), 100)
        }
    }

    #[test]
    fn a_saved_job_is_loaded_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), None);
        write(dir.path(), &job()).unwrap();
        assert_eq!(load(dir.path()), Some(job()));
    }

    #[test]
    fn any_damage_drops_the_file_and_never_the_gateway() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        write(dir.path(), &job()).unwrap();
        let right = fs::read(&path).unwrap();
        for place in 0..right.len() {
            let mut wrong = right.clone();
            wrong[place] ^= 0x21;
            fs::write(&path, &wrong).unwrap();
            assert_eq!(load(dir.path()), None, "byte {place}");
            assert!(!path.exists());
            fs::write(&path, &right[..place]).unwrap();
            assert_eq!(load(dir.path()), None, "cut at {place}");
        }
        fs::write(&path, [0xff; 100_000]).unwrap();
        assert_eq!(load(dir.path()), None);
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_told_and_forgiven_and_nothing_is_written_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let keeper = Keeper::new(&store, job());
        keeper.save().await;
        assert!(keeper.fault().unwrap().contains("not saved"));
        fs::create_dir(&store).unwrap();
        keeper.save().await;
        assert_eq!((keeper.fault(), load(&store)), (None, Some(job())));
        keeper.remove().await;
        keeper.save().await;
        assert_eq!(load(&store), None);
    }
}
