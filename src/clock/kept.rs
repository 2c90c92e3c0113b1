//! What is known about the time, carried over a restart.
//!
//! Owns the file `clock` in the store's directory: one line of text, replaced as a whole.
//!
//! ```text
//! tidegate-clock 1 <wall clock, ns> <boot clock, ns> <boot id> <CRC-32C of the text before, hex>
//! ```
//!
//! Written while the wall clock is synchronised only. A file that is missing, damaged or of a later version is as good
//! as none: it saves a wait, and nothing depends on it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{BootTime, WallTime};

/// Name in the store's directory.
pub const FILE: &str = "clock";

/// Longest file read, bytes; what is longer is not ours.
const BYTES_MAX: u64 = 256;

/// A moment at which the wall clock was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What the wall clock said.
    pub wall: WallTime,
    /// What the boot clock said.
    pub boot: BootTime,
    /// The boot that belongs to it.
    pub boot_id: Uuid,
}

/// Reads the file in this directory; `None` when it is not there or not good.
pub fn read(dir: &Path) -> Option<Kept> {
    let mut text = String::new();
    fs::File::open(dir.join(FILE)).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    parse(&text)
}

/// Replaces the file in this directory.
///
/// # Errors
///
/// The directory cannot be written to, or the disk is full. The old file is then still there.
pub fn write(dir: &Path, kept: Kept) -> io::Result<()> {
    let temporary: PathBuf = dir.join(format!("{FILE}.new"));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text(kept).as_bytes())?;
    // Without this a power cut could leave the new name with nothing in it.
    file.sync_data()?;
    fs::rename(&temporary, dir.join(FILE))
}

fn text(kept: Kept) -> String {
    let text = format!("tidegate-clock 1 {} {} {}", kept.wall.0, kept.boot.0, kept.boot_id);
    format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

fn parse(text: &str) -> Option<Kept> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    let mut words = body.strip_prefix("tidegate-clock 1 ")?.split(' ');
    let kept = Kept {
        wall: WallTime(words.next()?.parse().ok()?),
        boot: BootTime(words.next()?.parse().ok()?),
        boot_id: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    fn kept() -> Kept {
        Kept { wall: WallTime(1_793_491_200_000_001_000), boot: BootTime(77), boot_id: Uuid::from_u128(5) }
    }

    #[test]
    fn what_is_written_is_read_again_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
        write(dir.path(), Kept { boot: BootTime(1), ..kept() }).unwrap();
        write(dir.path(), kept()).unwrap();
        assert_eq!(read(dir.path()), Some(kept()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let good = text(kept());
        for end in 0..good.len() {
            assert_eq!(parse(&good[..end]), None, "cut after {end} bytes");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            fs::write(dir.path().join(FILE), bytes).unwrap();
            // A digit of the sum in capitals is the same sum; everything else is damage.
            assert_eq!(read(dir.path()), None, "byte {at}");
        }
        fs::write(dir.path().join(FILE), [0xFF; 10_000]).unwrap();
        assert_eq!(read(dir.path()), None);
    }
}
