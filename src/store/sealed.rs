//! A generation that is no longer written, read straight from its file.
//!
//! Owns the index of one such generation while it is being read. Never writes and never calls sled; see
//! [`super::scan`] for why that is sound.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Damaged;
use super::accept::Claim;
use super::frame::{self, HEADER_BYTES, Header, Look, kind};
use super::scan::{Scan, open_plain, scan};
use super::state::Entry;

/// Where one event frame is.
#[derive(Clone, Copy, Debug)]
struct FrameAt {
    first: u64,
    span: u16,
    counts: [u8; 5],
    chunk: u32,
    announces: bool,
}

/// What a generation's file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Its own, as far as it can be read.
    Own,
    /// Another generation's or another store's.
    Foreign,
    /// Partly written by a later version of this program.
    Newer,
}

/// The index.
pub(super) struct Sealed {
    /// Number and revision.
    pub id: (u64, u32),
    /// What kind of file it was found in.
    pub fit: Fit,
    file: File,
    frames: Vec<FrameAt>,
    /// Offsets of the chunks of all frames, and one past the end.
    chunks: Vec<u64>,
}

impl Sealed {
    /// Scans a generation's directory for the event frames that the catalogue knows of it.
    pub(super) fn open(dir: &Path, entry: &Entry, store: u64) -> io::Result<Self> {
        let id = (entry.number, entry.revision);
        let file = open_plain(&dir.join("db"))?;
        let scan = scan(&file)?;
        let is_it = |claim: &Claim| claim.is_of(store) && claim.number == entry.number;
        if !Claim::of(&file, &scan).as_ref().is_none_or(is_it) {
            return Ok(Self { fit: Fit::Foreign, ..Self::empty(id)? });
        }
        let mut sealed = Self::index(id, file, &scan, entry.last_commit);
        sealed.keep_within(entry.first, entry.last);
        if scan.newer > 0 {
            sealed.fit = Fit::Newer;
        }
        Ok(sealed)
    }

    /// An index of nothing, for a generation that is gone.
    pub(super) fn empty(id: (u64, u32)) -> io::Result<Self> {
        Ok(Self { id, fit: Fit::Own, file: File::open("/dev/null")?, frames: Vec::new(), chunks: Vec::new() })
    }

    /// Forgets frames of numbers that the generation never held.
    fn keep_within(&mut self, first: u64, last: u64) {
        for index in (0..self.frames.len()).rev() {
            if self.frames[index].first < first || self.frames[index].last() > last {
                self.forget(index);
            }
        }
    }

    /// Builds the index from a scan already made.
    pub(super) fn index(id: (u64, u32), file: File, scan: &Scan, last_commit: u64) -> Self {
        let mut runs: Vec<_> = scan
            .frames()
            .filter(|run| run[0].header.has(kind::EVENTS) && run[0].header.commit <= last_commit)
            .collect();
        // Where two frames claim the same numbers the later commit is right: the earlier one was never acknowledged.
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run[0].header.commit));
        let mut chosen = BTreeMap::new();
        for run in runs {
            let (first, last) = (run[0].header.first, run[0].header.last());
            let before = chosen.range(..=last).next_back().map(|(_, run): (_, &&[super::scan::Found])| run[0].header);
            if before.is_none_or(|header| header.last() < first) {
                chosen.insert(first, run);
            }
        }
        let mut frames = Vec::with_capacity(chosen.len());
        let mut chunks = Vec::with_capacity(chosen.len() + 1);
        for run in chosen.values() {
            let header = run[0].header;
            frames.push(FrameAt {
                first: header.first,
                span: header.span,
                counts: header.counts,
                chunk: u32::try_from(chunks.len()).expect("invariant: a generation is far below 4 Gi chunks"),
                announces: header.has(kind::ANNOUNCES),
            });
            chunks.extend(run.iter().map(|found| found.offset));
        }
        Self { id, fit: Fit::Own, file, frames, chunks }
    }

    /// Events found.
    pub(super) fn events(&self) -> u64 {
        self.frames.iter().map(FrameAt::events).sum()
    }

    /// Events found, by severity.
    pub(super) fn counts(&self) -> [u64; 5] {
        let mut sums = [0; 5];
        for frame in &self.frames {
            for (sum, count) in sums.iter_mut().zip(frame.counts) {
                *sum += u64::from(count);
            }
        }
        sums
    }

    /// Heads of the frames in order: first and last sequence number and events by severity.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, u64, [u8; 5])> {
        self.frames.iter().map(|frame| (frame.first, frame.last(), frame.counts))
    }

    /// The head of one frame, as in [`Self::frames`].
    pub(super) fn frame(&self, index: usize) -> Option<(u64, u64, [u8; 5])> {
        self.frames.get(index).map(|frame| (frame.first, frame.last(), frame.counts))
    }

    /// The frames with announcements of losses among their events after `delivered`.
    pub(super) fn announcing(&self, delivered: u64) -> Vec<usize> {
        let announces =
            |(index, frame): (usize, &FrameAt)| (frame.announces && frame.last() > delivered).then_some(index);
        self.frames.iter().enumerate().filter_map(announces).collect()
    }

    /// Takes a frame out that turned out to be unreadable.
    pub(super) fn forget(&mut self, index: usize) {
        let frame = self.frames.remove(index);
        let end = self.frames.get(index).map_or(self.chunks.len(), |next| next.chunk as usize);
        let gone = end - frame.chunk as usize;
        self.chunks.drain(frame.chunk as usize..end);
        for later in &mut self.frames[index..] {
            later.chunk -= u32::try_from(gone).expect("invariant: counted by u32");
        }
    }

    /// The frame that holds `from` or the first one after it. `None` when there is none.
    pub(super) fn frame_from(&self, from: u64) -> Option<usize> {
        let index = self.frames.partition_point(|frame| frame.last() < from);
        (index < self.frames.len()).then_some(index)
    }

    /// Events in all frames that end at or before `through`, and the frame that straddles it.
    pub(super) fn events_through(&self, through: u64) -> (u64, Option<usize>) {
        let index = self.frames.partition_point(|frame| frame.last() <= through);
        let whole = self.frames[..index].iter().map(FrameAt::events).sum();
        (whole, self.frames.get(index).filter(|frame| frame.first <= through).map(|_| index))
    }

    /// Reads a frame's header and body.
    pub(super) fn read(&self, index: usize) -> Result<(Header, Vec<u8>), Damaged> {
        let start = self.frames[index].chunk as usize;
        let end = self.frames.get(index + 1).map_or(self.chunks.len(), |next| next.chunk as usize);
        read_chunks(&self.file, self.chunks[start..end].iter().copied())
    }
}

impl FrameAt {
    fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.span))
    }

    fn events(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }
}

/// Reads and joins the chunks of one frame.
pub(super) fn read_chunks(file: &File, offsets: impl Iterator<Item = u64>) -> Result<(Header, Vec<u8>), Damaged> {
    let mut found = None;
    for offset in offsets {
        let mut head = [0; HEADER_BYTES];
        file.read_exact_at(&mut head, offset).map_err(|error| Damaged(error.to_string()))?;
        let Look::Chunk(header) = Header::look(&head) else {
            return Err(Damaged("a frame has changed on disk".to_owned()));
        };
        let mut chunk = vec![0; header.chunk_bytes()];
        file.read_exact_at(&mut chunk, offset).map_err(|error| Damaged(error.to_string()))?;
        if !frame::is_intact(&chunk) {
            return Err(Damaged("a frame has changed on disk".to_owned()));
        }
        let (_, body) = found.get_or_insert_with(|| (header, Vec::new()));
        body.extend_from_slice(&chunk[HEADER_BYTES..]);
    }
    found.ok_or_else(|| Damaged("a frame without chunks".to_owned()))
}
