//! Finding frames in a generation's file without sled's help.
//!
//! sled keeps a value's bytes together and uncompressed in `db` (values small enough, which [`super::frame`] sees to),
//! and nothing in a generation is ever changed or removed. So every frame that was stored is in the file, found by its
//! magic and proven by its checksum, whatever state sled's own structures are in. Reading this way writes nothing,
//! starts no threads and cannot panic; it is how sealed generations are read and how damaged ones are salvaged.
//! Owns the search. Never writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::frame::{self, Header, Look};

/// Bytes read at a time. Large enough that calls do not matter, small enough for the smallest box.
const WINDOW_BYTES: usize = 256 * 1024;

/// A chunk in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Its head.
    pub header: Header,
    /// Where it begins.
    pub offset: u64,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Intact chunks, each once, by commit, part and chunk.
    pub chunks: Vec<Found>,
    /// Heads whose chunk is not intact anywhere in the file, in no order; what they say may be wrong.
    pub broken: Vec<Header>,
    /// Chunks of a later format version.
    pub newer: u64,
    /// Length of the file.
    pub bytes: u64,
}

impl Scan {
    /// The heads of the frames whose chunks are all there: `(first chunk's index, chunks)`.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[Found]> {
        self.chunks
            .chunk_by(|a, b| (a.header.commit, a.header.part) == (b.header.commit, b.header.part))
            .filter(|run| run.len() == usize::from(run[0].header.chunks))
    }
}

/// Opens a file for reading, and nothing that only looks like one: opening a pipe would wait for its other end.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(no_wait).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is no plain file", path.display())))
    }
}

/// Whether an error from opening says that this file cannot be read, now or later, without a person's help. Others
/// (no memory, too many files) pass.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passes_not = [
        Errno::ACCESS,
        Errno::PERM,
        Errno::LOOP,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::NXIO,
        Errno::NODEV,
        Errno::IO,
        Errno::UCLEAN,
        Errno::BADMSG,
    ];
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
        || Errno::from_io_error(error).is_some_and(|errno| passes_not.contains(&errno))
}

/// Searches the whole file. A block that cannot be read (EIO) is passed over like any other damage.
pub(super) fn scan(file: &File) -> std::io::Result<Scan> {
    let mut scan = Scan { bytes: file.metadata()?.len(), ..Scan::default() };
    let mut window = Window { file, buffer: Vec::new(), end: scan.bytes };
    let mut at = 0;
    while let Some(bytes) = window.at(at) {
        // `bytes` is a whole window, or what is left of the file.
        let mut next = 0;
        while let Some(skip) = bytes[next..].iter().position(|&byte| byte == frame::MAGIC[0]) {
            next += skip;
            let rest = &bytes[next..];
            let is_last = at + bytes.len() as u64 == scan.bytes;
            if rest.len() < frame::HEADER_BYTES + frame::CHUNK_BYTES_MAX && !is_last {
                break;
            }
            next += 1;
            match Header::look(rest) {
                Look::Nothing => {}
                // All versions say where their checksum is; without it this is a damaged byte of our own.
                Look::Newer(bytes) => match rest.get(..bytes) {
                    Some(chunk) if frame::is_intact(chunk) => {
                        scan.newer += 1;
                        next += bytes - 1;
                    }
                    _ => {}
                },
                Look::Chunk(header) => match rest.get(..header.chunk_bytes()) {
                    Some(chunk) if frame::is_intact(chunk) => {
                        scan.chunks.push(Found { header, offset: at + (next - 1) as u64 });
                        next += chunk.len() - 1;
                    }
                    _ => scan.broken.push(header),
                },
            }
        }
        let has_more = bytes[next..].contains(&frame::MAGIC[0]);
        let step = if has_more { next } else { bytes.len() };
        at += step.max(1) as u64;
    }
    let key = |header: &Header| (header.commit, header.part, header.chunk);
    scan.chunks.sort_unstable_by_key(|found| (key(&found.header), found.offset));
    scan.chunks.dedup_by_key(|found| key(&found.header));
    let chunks = &scan.chunks;
    scan.broken.retain(|broken| chunks.binary_search_by_key(&key(broken), |found| key(&found.header)).is_err());
    scan.broken.sort_unstable_by_key(key);
    scan.broken.dedup_by_key(|header| key(header));
    Ok(scan)
}

struct Window<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    end: u64,
}

impl Window<'_> {
    /// Bytes of the file from `at` on; `None` at its end.
    fn at(&mut self, at: u64) -> Option<&[u8]> {
        if at >= self.end {
            return None;
        }
        let length = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        self.buffer.resize(length, 0);
        if self.file.read_exact_at(&mut self.buffer, at).is_err() {
            // Bad blocks: take what can be read, block by block.
            for (index, block) in self.buffer.chunks_mut(4096).enumerate() {
                if self.file.read_exact_at(block, at + index as u64 * 4096).is_err() {
                    block.fill(0);
                }
            }
        }
        Some(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::io::Write;

    use super::*;
    use crate::store::frame::{Frame, Packer, Place, kind};

    fn chunks(commit: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut frame = Frame { counts: [1, 0, 0, 0, 0], first: commit, ..Frame::default() };
        frame.add(kind::EVENTS, bytes);
        Packer::new().pack(&frame, Place { commit, synced: 0, part: 0, parts: 1 }).chunks
    }

    fn noise(most: usize) -> Vec<u8> {
        (0..fastrand::usize(..most)).map(|_| fastrand::u8(..)).collect()
    }

    #[test]
    fn every_frame_is_found_among_noise_wherever_windows_end() {
        let mut file = tempfile::tempfile().unwrap();
        for commit in 0..600 {
            let body = noise(if commit % 50 == 0 { 80_000 } else { 2_000 });
            for chunk in chunks(commit, &body) {
                file.write_all(&noise(3_000)).unwrap();
                file.write_all(&chunk).unwrap();
                if fastrand::bool() {
                    file.write_all(&chunk).unwrap();
                }
            }
        }
        let scan = scan(&file).unwrap();
        let commits: Vec<u64> = scan.frames().map(|run| run[0].header.commit).collect();
        assert_eq!(commits, (0..600).collect::<Vec<_>>());
        assert!(scan.broken.is_empty(), "{:?}", scan.broken);
    }

    #[test]
    fn a_broken_copy_counts_only_when_there_is_no_good_one() {
        let mut file = tempfile::tempfile().unwrap();
        let (good, bad) = (chunks(1, b"good").remove(0), chunks(2, b"bad").remove(0));
        let flip = |chunk: &[u8]| {
            let mut chunk = chunk.to_vec();
            *chunk.last_mut().unwrap() ^= 1;
            chunk
        };
        file.write_all(&flip(&good)).unwrap();
        file.write_all(&good).unwrap();
        file.write_all(&flip(&bad)).unwrap();
        let scan = scan(&file).unwrap();
        assert_eq!(scan.chunks.iter().map(|found| found.header.commit).collect::<Vec<_>>(), [1]);
        assert_eq!(scan.broken.iter().map(|header| header.commit).collect::<Vec<_>>(), [2]);
    }
}
