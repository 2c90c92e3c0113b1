//! What the store's files say about events besides the events: which are delivered, which are set aside.
//!
//! Owns the reading of a store at rest for it; a running gateway tells better itself.

use std::collections::BTreeSet;
use std::io;

use super::files::{holds_nothing, names, queue_dirs, scanned};
use super::{History, LISTINGS_MAX, Source};
use crate::store::accept::{Scanned, last_checkpoint};
use crate::store::frame::{self, kind};
use crate::store::generation::directory_name;
use crate::store::recover::apply;
use crate::store::retain::RETAINED;
use crate::store::sealed::read_chunks;
use crate::store::state::State;

/// What the store's files say about events besides the events.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything up to here is done with.
    pub delivered: u64,
    /// Set aside because the upstream refuses them.
    pub dead: BTreeSet<u64>,
    /// Higher numbers than `delivered` that are done with all the same.
    pub settled: BTreeSet<u64>,
}

impl History {
    /// The delivered mark and the dead letters as the files have them. Beside a running gateway ask that instead.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn ledger(&mut self) -> io::Result<Ledger> {
        for _ in 0..LISTINGS_MAX {
            match self.read_ledger() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => return result,
            }
        }
        self.read_ledger()
    }

    fn read_ledger(&mut self) -> io::Result<Ledger> {
        let queue = self.path.join("queue");
        let dirs = queue_dirs(&names(&self.path)?);
        let mut state = State::fresh();
        let mut later = Vec::new();
        for (&number, &revision) in dirs.iter().rev() {
            if holds_nothing(&queue.join(directory_name(number, revision))) {
                continue;
            }
            let (this, marker) = scanned(&queue, (number, revision))?;
            let found =
                last_checkpoint(&this, marker.filter(|_| later.is_empty()).map_or(0, |marker| marker.last_commit));
            later.push((this, u64::MAX));
            if let Some(base) = found {
                state.reset_to(&base.meta);
                // A part that cannot be read is announced by the gateway; here what can be read counts.
                let _ = apply(&mut state, &base.body);
                let alone = later.len() == 1;
                if let Some((_, last_commit)) = later.last_mut().filter(|_| alone) {
                    *last_commit = base.accepted.last;
                }
                later.reverse();
                apply_later(&mut state, &later, base.commit);
                break;
            }
        }
        let retained = self.sources.iter().filter(|source| is_retained(source)).map(|source| source.last).max();
        state.deliver(retained.unwrap_or(0));
        Ok(Ledger {
            delivered: state.delivered,
            dead: state.dead.iter().map(|letter| letter.event.sequence).collect(),
            settled: state.dead.settled().clone(),
        })
    }
}

fn is_retained(source: &Source) -> bool {
    source.dir.parent().is_some_and(|parent| parent.ends_with(RETAINED))
}

/// Applies the marks and dead letters of commits after `after`.
fn apply_later(state: &mut State, later: &[(Scanned, u64)], after: u64) {
    for (this, last_commit) in later {
        for run in this.scan.frames() {
            let header = run[0].header;
            let others = header.kinds & !(kind::EVENTS | kind::ANNOUNCES | kind::RECORDS);
            let tells = others != 0 && !header.has(kind::CHECKPOINT);
            if tells && header.commit > after && header.commit <= *last_commit {
                let body = read_chunks(&this.file, run.iter().map(|found| found.offset));
                // As above.
                let _ = body.and_then(|(header, body)| frame::unpack(&header, body)).map(|raw| apply(state, &raw));
            }
        }
    }
}
