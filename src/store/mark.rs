//! The store's own mark: who it is and how far it has come, in a small file beside the queue.
//!
//! Owns `<path>/mark`, one line of text: `<store id, hex> <newest generation> <next sequence number at its beginning>
//! <CRC-32C of the text before, hex>`. It tells two things that no generation can tell of itself: that a generation
//! belongs to another store, and that the newest one is gone. It is a hint, replaced whole after a generation has begun
//! and not synced: what it says is true whenever it can be read, it may only be old. Without it the store works as well.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::scan::open_plain;

/// More is no mark of ours.
const BYTES_MAX: u64 = 128;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Made up when the store was; never 0.
    pub store: u64,
    /// The number of the generation that was begun last.
    pub newest: u64,
    /// The next sequence number when it had begun.
    pub next_sequence: u64,
}

impl Mark {
    const NAME: &str = "mark";

    /// Reads it; `None` when there is none, or it is damaged.
    pub(super) fn read(store: &Path) -> Option<Self> {
        let mut text = String::new();
        open_plain(&store.join(Self::NAME)).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let (told, sum) = text.trim_end().rsplit_once(' ')?;
        if format!("{:08x}", crc32c::crc32c(told.as_bytes())) != sum {
            return None;
        }
        let mut words = told.split(' ');
        let store = u64::from_str_radix(words.next()?, 16).ok()?;
        let mut number = || words.next()?.parse().ok();
        Some(Self { store, newest: number()?, next_sequence: number()? })
    }

    /// Puts it in the place of the one before.
    pub(super) fn write(self, store: &Path) -> std::io::Result<()> {
        let told = format!("{:016x} {} {}", self.store, self.newest, self.next_sequence);
        let text = format!("{told} {:08x}\n", crc32c::crc32c(told.as_bytes()));
        let new = store.join("mark.new");
        fs::write(&new, text)?;
        fs::rename(new, store.join(Self::NAME))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_mark_comes_back_and_a_damaged_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path()), None);
        let mark = Mark { store: u64::MAX, newest: 7, next_sequence: 1 << 50 };
        mark.write(dir.path()).unwrap();
        assert_eq!(Mark::read(dir.path()), Some(mark));
        let path = dir.path().join("mark");
        let text = fs::read(&path).unwrap();
        for at in 0..text.len() - 1 {
            let mut bad = text.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(Mark::read(dir.path()), None, "byte {at}");
        }
    }
}
