//! Everything that can still be read from a store, each event once, in order.
//!
//! Owns the merging of what lies in several generations. Reads like [`super::inspect`]: nothing is changed. Memory is
//! bounded by the events of the frames that overlap.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::accept::Claim;
use super::dirs::Mode;
use super::generation::parse_directory_name;
use super::inspect::all;
use super::recover::recover;
use super::ring::decode;
use super::scan::{open_plain, scan};
use super::sealed::Sealed;
use crate::event::Event;

/// Which copy of an event counts: that of the better place, there that of the later generation.
type Rank = (super::inspect::Place, std::cmp::Reverse<u64>);

/// Where a frame is.
struct At {
    first: u64,
    rank: Rank,
    file: usize,
    frame: usize,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Events handed over.
    pub events: u64,
    /// Records that could not be decoded although their checksum holds, or changed while they were read.
    pub unreadable: u64,
}

/// Hands every readable event to `give` in sequence order: those that are not delivered, or `all`. Generations of
/// another store are left out.
///
/// # Errors
/// The store cannot be listed, or whatever `give` says, which ends it.
pub fn export(
    path: &Path,
    is_all: bool,
    mut give: impl FnMut(&Event) -> std::io::Result<()>,
) -> std::io::Result<Exported> {
    let recovered = recover(&path.join("queue"), Mode::Look)?;
    let (delivered, store) = (recovered.state.delivered, recovered.state.store);
    let from = if is_all { 0 } else { delivered + 1 };
    let mut files = Vec::new();
    let mut frames = Vec::new();
    for (place, dir) in all(path)? {
        let Ok((found, file)) = open_plain(&dir.join("db")).and_then(|file| Ok((scan(&file)?, file))) else { continue };
        if Claim::of(&file, &found).is_some_and(|claim| !claim.is_of(store)) {
            continue;
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.find("gen-").and_then(|at| parse_directory_name(&name[at..])).map_or(0, |(number, _)| number);
        let sealed = Sealed::index((number, 0), file, &found, u64::MAX);
        let rank = (place, std::cmp::Reverse(number));
        let wanted = sealed.frames().enumerate().filter(|(_, (_, last, _))| *last >= from);
        frames.extend(wanted.map(|(frame, (first, ..))| At { first, rank, file: files.len(), frame }));
        files.push(sealed);
    }
    frames.sort_unstable_by_key(|at| (at.first, at.rank));
    let mut out = Exported::default();
    let mut held: BTreeMap<u64, (Option<Rank>, Arc<Event>)> = BTreeMap::new();
    if is_all {
        held.extend(
            recovered.state.dead.iter().map(|letter| (letter.event.sequence, (None, Arc::clone(&letter.event)))),
        );
    }
    let mut give_below = |held: &mut BTreeMap<_, (_, Arc<Event>)>, end: u64| {
        while let Some(entry) = held.first_entry().filter(|entry| *entry.key() < end) {
            give(&entry.remove().1)?;
            out.events += 1;
        }
        Ok::<(), std::io::Error>(())
    };
    let mut unreadable = 0;
    for at in frames {
        give_below(&mut held, at.first)?;
        let Ok(events) = files[at.file].read(at.frame).and_then(decode) else {
            unreadable += 1;
            continue;
        };
        for event in events.into_iter().filter(|event| event.sequence >= from) {
            let is_better = held.get(&event.sequence).is_none_or(|(rank, _)| rank.is_none_or(|rank| at.rank < rank));
            if is_better {
                held.insert(event.sequence, (Some(at.rank), event));
            }
        }
    }
    give_below(&mut held, u64::MAX)?;
    out.unreadable = unreadable;
    Ok(out)
}
