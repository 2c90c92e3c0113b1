//! The file that a clean stop leaves in the newest generation's directory.
//!
//! Owns its text: the next sequence number, the last commit, the delivered mark, and the CRC-32C of the three. It
//! proves how far the generation must go, so that any frame that is missing is known to be damage. Never removed: the
//! next start begins a new generation, whose directory has none.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::scan::open_plain;

/// More is no file of ours.
const BYTES_MAX: u64 = 128;

/// What a clean stop leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CleanMarker {
    /// The next sequence number.
    pub next_sequence: u64,
    /// The last commit.
    pub last_commit: u64,
    /// Everything up to here was delivered; 0 in a file of a version that did not say it.
    pub delivered: u64,
}

impl CleanMarker {
    const NAME: &str = "clean";

    /// Reads it; `None` when there is none or it is damaged.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let mut text = String::new();
        open_plain(&dir.join(Self::NAME)).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let (numbers, sum) = text.trim_end().rsplit_once(' ')?;
        if format!("{:08x}", crc32c::crc32c(numbers.as_bytes())) != sum {
            return None;
        }
        let mut words = numbers.split(' ');
        let mut number = || words.next()?.parse().ok();
        Some(Self { next_sequence: number()?, last_commit: number()?, delivered: number().unwrap_or(0) })
    }

    /// Writes it into the newest generation's directory, on stable storage.
    pub(super) fn write(self, dir: &Path) -> std::io::Result<()> {
        let numbers = format!("{} {} {}", self.next_sequence, self.last_commit, self.delivered);
        let text = format!("{numbers} {:08x}\n", crc32c::crc32c(numbers.as_bytes()));
        let path = dir.join(Self::NAME);
        fs::write(&path, text)?;
        File::open(&path)?.sync_all()?;
        File::open(dir)?.sync_all()
    }
}
