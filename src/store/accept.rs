//! Which commits of a generation left behind count, and its newest checkpoint.
//!
//! Owns the judgement between a hole that is damage and an end that was never acknowledged. Only reads.
//!
//! A generation's first commits were synced before it got its name, so all of them must be there. Later ones count up
//! to the first that is not whole, unless something proves that what follows was synced too: the `clean` file, the
//! store's mark, or a later frame's word on what was synced before it. Then the hole is damage and what follows is
//! kept. Without proof what follows was never acknowledged, and is left out as if the power had gone a little earlier.

use std::fs::File;
use std::path::PathBuf;

use super::Damaged;
use super::frame::{self, kind};
use super::scan::{Found, Scan};
use super::sealed::read_chunks;
use super::state::{Meta, decode_meta};

/// One generation's directory, scanned.
pub(super) struct Scanned {
    pub(super) number: u64,
    pub(super) revision: u32,
    pub(super) dir: PathBuf,
    pub(super) file: File,
    pub(super) scan: Scan,
}

/// A checkpoint and where it is.
pub(super) struct Checkpoint {
    pub(super) meta: Meta,
    pub(super) commit: u64,
    pub(super) body: Vec<u8>,
    /// Commits that count.
    pub(super) accepted: Accepted,
    /// What the generation's first checkpoint said: the numbers from which it grew on.
    pub(super) origin: Meta,
}

/// Which generation a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The store's id; 0 when it was written by a version that did not say it.
    pub store: u64,
    /// The generation's number.
    pub number: u64,
}

impl Claim {
    /// What the first readable checkpoint says. `None` without one: it is damaged, or the generation was rewritten.
    pub(super) fn of(file: &File, scan: &Scan) -> Option<Self> {
        let mut checkpoints = scan.frames().filter(|run| run[0].header.has(kind::CHECKPOINT));
        let (_, meta) = checkpoints.find_map(|run| read_meta(file, run).ok())?;
        Some(Self { store: meta.store, number: meta.catalogue.last()?.number })
    }

    /// Whether the file can belong to a store. Ids are compared only where both sides have one.
    pub(super) fn is_of(&self, store: u64) -> bool {
        self.store == 0 || store == 0 || self.store == store
    }
}

/// Which commits of a generation count: all up to `last`, and whether some of them are not whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) last: u64,
    pub(super) has_holes: bool,
}

/// The newest readable checkpoint of a generation, of which everything up to commit `synced` was on stable storage.
pub(super) fn last_checkpoint(scanned: &Scanned, synced: u64) -> Option<Checkpoint> {
    let checkpoints = || scanned.scan.frames().filter(|run| run[0].header.has(kind::CHECKPOINT));
    let origin = checkpoints().find_map(|run| read_meta(&scanned.file, run).ok())?.1;
    let attested = scanned.scan.chunks.iter().map(|found| found.header.synced()).max().unwrap_or(0);
    let attested = attested.max(origin.created).max(synced);
    let accepted = accept(&scanned.scan, attested);
    let mut all: Vec<_> = checkpoints().filter(|run| run[0].header.commit <= accepted.last).collect();
    all.reverse();
    all.into_iter().find_map(|run| {
        let (body, meta) = read_meta(&scanned.file, run).ok()?;
        Some(Checkpoint { meta, commit: run[0].header.commit, body, accepted, origin: origin.clone() })
    })
}

/// Which commits count, given the last one that was certainly synced.
pub(super) fn accept(scan: &Scan, attested: u64) -> Accepted {
    let mut accepted = Accepted { last: 0, has_holes: false };
    let mut expected = None;
    let frames: Vec<&[Found]> = scan.frames().collect();
    for commit in frames.chunk_by(|a, b| a[0].header.commit == b[0].header.commit) {
        let header = commit[0][0].header;
        let is_whole = commit.len() == usize::from(header.parts);
        let follows = expected.is_none_or(|expected| expected == header.commit);
        if !(is_whole && follows) {
            if header.commit > attested {
                break;
            }
            accepted.has_holes = true;
        }
        accepted.last = header.commit;
        expected = Some(header.commit.saturating_add(1));
    }
    accepted.has_holes |= accepted.last < attested;
    accepted
}

pub(super) fn read_meta(file: &File, run: &[Found]) -> Result<(Vec<u8>, Meta), Damaged> {
    let (header, body) = read_chunks(file, run.iter().map(|found| found.offset))?;
    let raw = frame::unpack(&header, body)?;
    let mut meta = None;
    for section in frame::sections(&raw) {
        let (kind, bytes) = section?;
        if kind == kind::CHECKPOINT {
            meta = Some(decode_meta(bytes)?);
        }
    }
    Ok((raw, meta.ok_or_else(|| Damaged("a checkpoint without its head".to_owned()))?))
}
