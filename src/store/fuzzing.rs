//! A way in for `tests/fuzz`: what a generation's file goes through when it is read, without a store around it.
//!
//! Only with the feature `fuzzing`, which no release has. Never writes but into the file it is given.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::accept::{Claim, Scanned, last_checkpoint};
use super::frame::{CHUNK_BYTES_MAX, Frame, HEADER_BYTES, MAGIC, Packer, Place, kind};
use super::recover::apply;
use super::ring;
use super::scan::scan;
use super::sealed::Sealed;
use super::state::{Meta, State};
use crate::event::Event;
use crate::event::stored;

/// Most bytes that a mended head says its frame unpacks to: the bound of the real one is for checkpoints.
const RAW_BYTES_MAX: u32 = 1 << 20;

/// Puts `bytes` into the file and reads it as a generation that is still written and as one that is sealed.
///
/// # Panics
/// Never, whatever the bytes; that is what is tried. A file that cannot be written ends it.
pub fn generation(file: &File, bytes: &[u8]) {
    file.set_len(0).and_then(|()| file.write_all_at(bytes, 0)).expect("invariant: a file in memory takes a few KiB");
    let found = scan(file).expect("invariant: a file in memory can be read");
    let mut state = State::fresh();
    if let Some(claim) = Claim::of(file, &found) {
        claim.is_of(1);
    }
    let clone = || file.try_clone().expect("invariant: one more descriptor");
    let scanned = Scanned { number: 1, revision: 1, dir: PathBuf::new(), file: clone(), scan: found };
    if let Some(checkpoint) = last_checkpoint(&scanned, 0) {
        state.reset_to(&checkpoint.meta);
        let _ = apply(&mut state, &checkpoint.body);
    }
    let mut sealed = Sealed::index((1, 1), clone(), &scanned.scan, u64::MAX);
    sealed.events_through(sealed.events());
    sealed.announcing(0);
    for index in (0..sealed.frames().count()).rev() {
        match sealed.read(index) {
            Ok((header, body)) => {
                if let Ok(raw) = super::frame::unpack(&header, body.clone()) {
                    let _ = apply(&mut state, &raw);
                }
                let _ = ring::decode((header, body));
            }
            Err(_) => sealed.forget(index),
        }
    }
    state.dead.settle(state.delivered);
    state.checkpoint_bytes();
}

/// Makes the checksum of everything right that begins as a chunk does.
pub fn mend(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(skip) = bytes[at..].windows(MAGIC.len()).position(|four| four == MAGIC) {
        at += skip;
        let Some(rest) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEADER_BYTES) else { return };
        let (head, behind) = rest.split_at_mut(HEADER_BYTES);
        let word = |head: &[u8], at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let raw = word(head, 44).min(RAW_BYTES_MAX);
        let body = (word(head, 48) as usize).min(behind.len()).min(CHUNK_BYTES_MAX);
        head[44..48].copy_from_slice(&raw.to_le_bytes());
        head[48..52].copy_from_slice(&u32::try_from(body).unwrap_or(0).to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..HEADER_BYTES - 4]), &behind[..body]);
        head[HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        at += HEADER_BYTES + body;
    }
}

/// A generation's file to begin with: a frame for every event, packed and not, and a delivered mark.
pub fn sample(events: &[Event]) -> Vec<u8> {
    let mut packer = Packer::new();
    let mut out = Vec::new();
    for (commit, event) in (1..).zip(events) {
        let mut frame = Frame { first: event.sequence, counts: [0, 0, 1, 0, 0], ..Frame::default() };
        frame.add(kind::EVENTS, &stored::encode_events(std::slice::from_ref(event)));
        frame.add(kind::DELIVERED, &event.sequence.saturating_sub(1).to_le_bytes());
        let place = Place { commit, synced: commit - 1, part: 0, parts: 1 };
        packer.pack(&frame, place).chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    }
    let meta = Meta { next_sequence: 9, delivered: 1, created: 1, catalogue: Vec::new(), store: 1 };
    let place = Place { commit: events.len() as u64 + 1, synced: 0, part: 0, parts: 1 };
    let frame = State::fresh().checkpoint(&meta);
    packer.pack(&frame, place).chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    out
}
