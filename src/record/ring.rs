//! The recorder's folder: a ring of files, the oldest of which make room.
//!
//! Owns the files' names, their size and the bound of all together. Files are only ever written to their end by the run
//! that made them; after a restart a new one is begun, so that a block torn by a kill has nothing behind it. Nothing is
//! forced to the disk: the system writes when it likes, which is kind to flash; a power cut costs up to half a minute
//! of it more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::block;

/// In how many files the folder is divided: what makes room at once is this part of it.
const FILES: u64 = 8;

/// Names are `readings-<number>.tgr`.
const PREFIX: &str = "readings-";
const SUFFIX: &str = ".tgr";

/// The files of a folder by their number, oldest first. Others are left alone.
///
/// # Errors
/// When it cannot be listed.
pub fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
        if let Some(number) = number {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

/// A folder that is written to.
#[derive(Debug)]
pub struct Ring {
    folder: PathBuf,
    bytes_max: u64,
    open: Option<(File, u64)>,
}

impl Ring {
    /// For a folder that is made by [`Self::prepare`], or when it is first written to.
    pub fn new(folder: &Path, bytes_max: u64) -> Self {
        Self { folder: folder.to_owned(), bytes_max, open: None }
    }

    /// Makes the folder and asks whether it may be written, without writing.
    ///
    /// # Errors
    /// When it cannot be made or may not be written.
    pub fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        Ok(rustix::fs::access(&self.folder, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    /// Writes a frame whole, and makes room for it before.
    ///
    /// # Errors
    /// When it cannot be written. The file it was meant for is not written to again.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let size = frame.len() as u64;
        let (mut file, written) = match self.open.take() {
            Some((file, written)) if written + size <= self.bytes_max / FILES => (file, written),
            _ => {
                self.make_room(size)?;
                (self.begin()?, block::MAGIC.len() as u64)
            }
        };
        file.write_all(frame)?;
        self.open = Some((file, written + size));
        Ok(())
    }

    /// Removes the oldest files until one more fits.
    fn make_room(&self, size: u64) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let files = files(&self.folder)?;
        let sizes: Vec<u64> =
            files.iter().map(|(_, path)| fs::metadata(path).map_or(0, |metadata| metadata.len())).collect();
        let mut sum: u64 = sizes.iter().sum();
        let wanted = self.bytes_max.saturating_sub((self.bytes_max / FILES).max(size + block::MAGIC.len() as u64));
        for ((_, path), bytes) in files.iter().zip(sizes) {
            if sum <= wanted {
                break;
            }
            fs::remove_file(path)?;
            sum -= bytes;
        }
        Ok(())
    }

    fn begin(&self) -> io::Result<File> {
        let mut number = files(&self.folder)?.last().map_or(1, |(number, _)| number + 1);
        loop {
            let path = self.folder.join(format!("{PREFIX}{number:012}{SUFFIX}"));
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(mut file) => {
                    file.write_all(block::MAGIC)?;
                    return Ok(file);
                }
                // A recorder of before a reload is finishing here.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn sum(folder: &Path) -> u64 {
        files(folder).unwrap().iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum()
    }

    #[test]
    fn the_folder_never_holds_more_than_it_may_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("recording");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("notes.txt"), "not ours").unwrap();
        let mut ring = Ring::new(&folder, 8_000);
        for number in 0..100_u8 {
            ring.write(&[number; 300]).unwrap();
            assert!(sum(&folder) <= 8_000, "{} at {number}", sum(&folder));
        }
        assert!(sum(&folder) > 5_000, "{}", sum(&folder));
        let newest = fs::read(&files(&folder).unwrap().last().unwrap().1).unwrap();
        assert_eq!(newest.last(), Some(&99));
        assert!(folder.join("notes.txt").exists());
    }

    #[test]
    fn a_new_run_begins_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            Ring::new(dir.path(), 1 << 20).write(b"frame").unwrap();
        }
        let numbers: Vec<u64> = files(dir.path()).unwrap().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
