//! The store's own mark: who it is and how far it has come, in a small file beside the queue.
//!
//! Owns `<path>/mark`, one line of text: `<store id, hex> <newest generation> <next sequence number> <last synced commit>
//! <delivered mark> <open|shut> <CRC-32C of the text before, hex>`, all of fixed width. It tells what no generation can
//! tell of itself: that one belongs to another store, that the newest is gone, that its end is cut off. It is a hint:
//! renewed at most once a second and never synced, so that it costs the disk nothing. A process that is killed leaves it
//! at most a second old; a power cut may leave it older, or unreadable. What it says was true, and the store works as
//! well without it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::clean::CleanMarker;
use super::scan::open_plain;

/// More is no mark of ours.
const BYTES_MAX: u64 = 160;

/// Renewed at most this often.
const RENEWED_EVERY: Duration = Duration::from_secs(1);

const NAME: &str = "mark";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Made up when the store was; never 0.
    pub store: u64,
    /// The number of the generation that was begun last.
    pub newest: u64,
    /// Numbers below this were given out.
    pub next_sequence: u64,
    /// A commit on stable storage.
    pub last_commit: u64,
    /// Everything up to here was delivered.
    pub delivered: u64,
    /// The store was closed as it should be: nothing came after this.
    pub is_shut: bool,
}

impl Mark {
    /// Reads it; `None` when there is none, or it is damaged.
    pub(super) fn read(store: &Path) -> Option<Self> {
        let mut text = String::new();
        open_plain(&store.join(NAME)).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let (told, sum) = text.trim_end().rsplit_once(' ')?;
        if format!("{:08x}", crc32c::crc32c(told.as_bytes())) != sum {
            return None;
        }
        let mut words = told.split(' ');
        let store = u64::from_str_radix(words.next()?, 16).ok()?;
        let mut number = || words.next()?.parse().ok();
        let (newest, next_sequence, last_commit, delivered) = (number()?, number()?, number()?, number()?);
        Some(Self { store, newest, next_sequence, last_commit, delivered, is_shut: words.next()? == "shut" })
    }

    /// Of a store that was closed, the same as the file that this leaves in the newest generation.
    pub(super) fn as_clean(&self) -> Option<CleanMarker> {
        let Self { next_sequence, last_commit, delivered, is_shut, .. } = *self;
        is_shut.then_some(CleanMarker { next_sequence, last_commit, delivered })
    }

    fn text(&self) -> String {
        let Self { store, newest, next_sequence, last_commit, delivered, is_shut } = self;
        let end = if *is_shut { "shut" } else { "open" };
        let told = format!("{store:016x} {newest:020} {next_sequence:020} {last_commit:020} {delivered:020} {end}");
        format!("{told} {:08x}\n", crc32c::crc32c(told.as_bytes()))
    }

    /// Writes it in place where there is one.
    fn write(&self, store: &Path) -> std::io::Result<()> {
        let (path, text) = (store.join(NAME), self.text());
        match File::options().write(true).open(&path) {
            Ok(file) if file.metadata()?.len() == text.len() as u64 => file.write_all_at(text.as_bytes(), 0),
            _ => {
                let new = store.join("mark.new");
                fs::write(&new, text)?;
                fs::rename(new, path)
            }
        }
    }
}

/// Keeps the file.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    written: Option<(Mark, Instant)>,
}

impl Keeper {
    /// Renews it when it says something else by now: at once for a new generation or the end, otherwise when it is time.
    pub(super) fn keep(&mut self, store: &Path, mark: Mark) {
        let is_due = self.written.is_none_or(|(written, at)| {
            let is_step = (written.newest, written.is_shut) != (mark.newest, mark.is_shut);
            written != mark && (is_step || at.elapsed() >= RENEWED_EVERY)
        });
        if is_due {
            // A disk that takes not even this has told so by other means.
            let _ = mark.write(store);
            self.written = Some((mark, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn mark(next_sequence: u64) -> Mark {
        Mark { store: u64::MAX, newest: 7, next_sequence, last_commit: 9, delivered: 3, is_shut: false }
    }

    #[test]
    fn a_mark_comes_back_and_a_damaged_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path()), None);
        for mark in [mark(1 << 50), Mark { is_shut: true, ..mark(u64::MAX) }] {
            mark.write(dir.path()).unwrap();
            assert_eq!(Mark::read(dir.path()), Some(mark));
        }
        let path = dir.path().join("mark");
        let text = fs::read(&path).unwrap();
        for at in 0..text.len() - 1 {
            let mut bad = text.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(Mark::read(dir.path()), None, "byte {at}");
        }
        // What is in the way is replaced.
        fs::write(&path, "something else").unwrap();
        mark(4).write(dir.path()).unwrap();
        assert_eq!(Mark::read(dir.path()), Some(mark(4)));
    }

    #[test]
    fn it_is_renewed_at_once_only_for_a_new_generation_or_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::default();
        keeper.keep(dir.path(), mark(4));
        keeper.keep(dir.path(), mark(5));
        assert_eq!(Mark::read(dir.path()), Some(mark(4)));
        keeper.keep(dir.path(), Mark { newest: 8, ..mark(6) });
        assert_eq!(Mark::read(dir.path()).unwrap().next_sequence, 6);
        keeper.keep(dir.path(), Mark { newest: 8, is_shut: true, ..mark(7) });
        assert_eq!(Mark::read(dir.path()).unwrap().next_sequence, 7);
    }
}
