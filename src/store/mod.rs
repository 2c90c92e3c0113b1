//! The durable queue: events, alarm state, delivered mark and dead letters in a ring of sled generations.
//!
//! Owns everything under the store's `path` and the thread `tidegate-store` that works there; the only user of sled.
//! Reached through [`handle::StoreHandle`]. Never talks to the network and never looks into an alarm's state.
//!
//! # Promises
//!
//! 1. An acknowledgement is released only after `fdatasync` returned for its commit and for all commits before it.
//! 2. Sequence numbers are given from 1 without gaps, by this store only. A number lost before its sync was never seen
//!    by anyone and may be given again; after damage the counter jumps past all that may have been given out.
//! 3. Every number given out is delivered, or covered by an `EventsLost` event that is itself in the store.
//! 4. An alarm's state is never on disk without the events it came from: in a commit of several frames the states go
//!    with the last, and frames count only up to the first commit that is not whole.
//! 5. Bytes on disk stay within `max_bytes` at every moment, in blocks, with reserve, quarantine and temporary copies.
//! 6. Whatever is found on disk, the store opens. What cannot be read is set aside, counted and announced. The one
//!    exception is what a later version of this program wrote: it is left untouched for that version.
//! 7. A disk error stops taking, never serving: what was stored can still be read, and nothing that was not
//!    acknowledged is forgotten.
//!
//! After a kill or a power cut it is not known which events arrived since the last delivered mark. They are sent again,
//! or, if the store must drop them before it can, announced as lost: an announced number is then the most that can be.
//!
//! # What proves them
//!
//! By number of the promise; `e2e` and `powercut` are test programs that drive the real binary. A test of this module
//! sees to it that the tests named here exist.
//!
//! | | test |
//! |---|---|
//! | 1 | `powercut::order::a_message_alone_is_acknowledged_after_the_sync_of_its_own_event` |
//! | 1 | `powercut::order::messages_in_a_burst_are_acknowledged_after_the_syncs_of_their_events` |
//! | 1 | `store::tests::acknowledgements_are_released_in_order_and_only_after_the_sync` |
//! | 1 | `powercut::cuts::power_cuts_lose_nothing_where_each_directory_must_be_synced` |
//! | 2 | `store::tests::restart::sequence_numbers_go_on_without_gaps_over_many_ends` |
//! | 2 | `store::tests::damage::a_store_whose_every_file_is_garbage_opens_and_jumps_ahead` |
//! | 3 | `e2e::kill::rounds::kills_while_writing_sealing_draining_and_starting_lose_nothing` |
//! | 3 | `e2e::kill::rounds::kills_while_the_oldest_are_dropped_lose_nothing_that_is_not_announced` |
//! | 3 | `e2e::kill::rounds::kills_while_the_least_severe_are_dropped_lose_no_critical_event` |
//! | 3 | `powercut::cuts::power_cuts_while_the_oldest_are_dropped_lose_nothing_that_is_not_announced` |
//! | 3 | `powercut::cuts::power_cuts_while_the_least_severe_are_dropped_lose_no_critical_event` |
//! | 3 | `powercut::cuts::power_cuts_while_a_large_backlog_is_deleted_lose_nothing_where_each_directory_must_be_synced` |
//! | 3 | `store::tests::evicted::what_was_to_be_evicted_when_the_disk_took_no_new_generation_is_not_lost_untold_by_a_kill` |
//! | 3 | `store::tests::quota::a_kill_while_announcements_are_among_what_is_dropped_leaves_none_untold` |
//! | 4 | `store::tests::power::a_power_cut_in_the_middle_of_a_commit_keeps_all_that_was_acknowledged_and_no_state_without_its_events` |
//! | 4 | `e2e::kill::an_alarm_that_was_active_before_a_kill_is_neither_repeated_nor_forgotten` |
//! | 5 | `powercut::quota::the_quota_holds_at_every_moment_of_an_outage_in_which_the_oldest_are_dropped` |
//! | 5 | `powercut::quota::the_quota_holds_at_every_moment_of_an_outage_in_which_the_least_severe_are_dropped` |
//! | 5 | `powercut::quota::the_quota_holds_at_every_moment_of_an_outage_in_which_nothing_may_be_dropped` |
//! | 6 | `store::tests::damage::damage_after_a_kill_never_keeps_the_store_from_opening` |
//! | 6 | `store::tests::damage::flipped_bits_cost_their_frames_and_say_so` |
//! | 6 | `store::frame::tests::every_flipped_bit_is_noticed` |
//! | 6 | `e2e::versions::a_store_of_the_first_version_is_delivered_and_its_alarms_go_on` |
//! | 6 | `e2e::versions::a_store_of_a_later_version_stays_as_it_is_is_said_everywhere_and_goes_on_under_that_version` |
//! | 7 | `store::tests::faults::a_full_disk_holds_commits_and_goes_on_when_there_is_room` |
//! | 7 | `store::tests::faults::a_disk_that_fails_from_the_start_serves_what_it_has` |
//!
//! # On disk
//!
//! ```text
//! <path>/lock                           locked by the running process, holds its process id
//! <path>/mark                           who the store is and how far it has come, a hint: see [`mark`]
//! <path>/clock                          not the store's: the time last known, see `clock::kept`
//! <path>/home-assistant                 not the store's: see `ops::home_assistant`
//! <path>/reserve                        real blocks, given up when the disk is full
//! <path>/queue/gen-<number>.<revision>/ a generation; the highest number is the newest
//!     db, conf, blobs/                  sled's
//!     clean                             "<next sequence> <last commit> <delivered> <CRC-32C of the text before, hex>":
//!                                       a clean stop
//! <path>/queue/tmp-*                    being made or being removed; rubbish at the next start
//! <path>/queue/tmp-removed-gen-*        given back; on a full disk, where no mark can be written, the name is the mark,
//!                                       unless an older one is there that is not delivered
//! <path>/queue/aside-<unix time>-gen-*  damaged ones of another user, which cannot be moved further
//! <path>/retained/<first>-<through>-gen-<number>.<revision>/
//!                                       a delivered generation that is kept (`retain_delivered`), see below
//! <path>/quarantine/<unix time>-gen-*   damaged generations, for a person to look at; the newest few are kept
//! ```
//!
//! A generation is one sled database. It is made under a `tmp-` name, and gets its own name when its first commits are
//! on stable storage. It is written until it reaches its size or the process ends; then it is *sealed* and only read,
//! by [`scan`], without sled: sled never opens a database that already exists, since opening is a write, and the step
//! in which power cuts were seen to do harm. A restart begins a new generation; what little the last one held is
//! carried over into it, so that many restarts do not make many generations. Nothing inside a generation is ever
//! changed or removed; generations leave as directories. `drop-least-severe` writes a shorter copy with the next
//! revision instead.
//!
//! A generation all of whose events are delivered is removed, or moves to `retained/` where delivered events are to be
//! kept: then its name says which of its numbers count, both ends included, 20 digits each. With that a start carries
//! over the last run's little generation whole, delivered events too, so that restarts do not fill `retained/` with
//! little ones. Nothing in there is part of the queue: it is in no catalogue, is read by [`history`] only, counts within
//! `max_bytes`, and is the first to go when room is needed. What was evicted is never kept.
//!
//! # A frame
//!
//! What is stored is a frame: some sections, compressed together, cut into chunks of at most 24 KiB. A chunk is one
//! value in sled. Eight values are a sled tree of their own, named by its number (u32, big-endian, from 0), so that sled
//! never writes a leaf again; the last tree may have fewer. A value's key is the frame's first sequence number (u64,
//! big-endian) and a number that grows with every chunk of the generation (u32, big-endian). Reading depends on neither
//! trees nor keys: [`scan`] finds chunks in the file by their magic. So generations in which all values are in sled's
//! default tree, as they once were, are read like others. All other numbers are little-endian.
//!
//! ```text
//!  0  magic d7 54 9b 47            32  chunk u16, position in the frame
//!  4  version u8, 1                34  chunks u16, of the frame
//!  5  codec u8: 0 plain, 1 zstd    36  part u16, position of the frame in its commit
//!  6  kinds u8, bits as below      38  parts u16, frames of the commit
//!  7  0                            40  synced u32: the commit so many before this one was certainly synced
//!  8  5 x u8, events by severity,  44  raw u32, bytes of the frame's body before compression
//!     least severe first           48  length u32, bytes of this chunk's body
//! 13  0                            52  CRC-32C u32 of bytes 0..52 and the body
//! 14  span u16, last - first       56  body
//! 16  first sequence number u64
//! 24  commit u64
//! ```
//!
//! The uncompressed body is a row of sections `kind u8, length u32, bytes`:
//!
//! ```text
//!  1  events           event::stored (its own version inside), at most 64
//!  2  alarm states     event::stored; the last of each alarm and sensor counts
//!  4  delivered mark   u64
//!  8  dead letters     version u8, CBOR: the event, why, the last attempts, marks
//! 16  their changes    version u8, then what u8 (1 removed or purged, 2 to be sent again), sequence u64, as often as needed
//! 32  checkpoint       version u8, CBOR: next sequence, delivered mark, creation's last commit, catalogue, store id
//! ```
//!
//! Sections of one commit count in the order they stand in. A dead letter comes with its announcement in one commit; in
//! a checkpoint the removals are those above the delivered mark, so that their events are not sent as new ones.
//!
//! One more bit, 64, has no section: among the frame's events are announcements of losses, which are announced again
//! should they be evicted themselves.
//!
//! Commits are numbered without gaps through the life of the store; a frame belongs to one commit. The first frame of a
//! generation is a checkpoint: all alarm states, all dead letters, the delivered mark and the catalogue (each
//! generation's number, range, events by severity, last commit, bytes). A later checkpoint shortens recovery when the
//! alarm states after the last one have become many. So a start reads the newest generation and no other.
//!
//! A checkpoint also says which store and which generation it belongs to. A file that says otherwise is never delivered
//! from: one of another store is set aside, and files of this one under each other's names are put where they belong. A
//! foreign file whose checkpoint is destroyed cannot be told apart, but only frames within the range that the catalogue
//! gives its generation would count.

pub use error::OpenError;
pub use probe::probe;

mod accept;
mod begin;
mod clean;
mod close;
mod commit;
mod dead;
mod dirs;
mod error;
mod evict;
pub mod export;
mod fault;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gather;
mod generation;
pub mod handle;
pub mod history;
pub mod inbox;
pub mod inspect;
mod kept;
mod later;
mod leaving;
mod mark;
mod missing;
mod place;
mod probe;
mod purge;
mod quota;
mod recover;
mod removal;
mod retain;
mod ring;
mod scan;
mod sealed;
mod serve;
mod set_aside;
mod settle;
mod state;
mod tail;
mod told;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use self::error::{Cause, Damaged, Fault};
use self::generation::SyncHook;
use self::handle::{StoreHandle, StoreStatus};
use self::place::take;
use crate::clock::SystemClock;
use crate::config::model;
use crate::counters::Counters;
use crate::event::AlarmRecord;

/// An open store.
#[derive(Debug)]
pub struct Opened {
    /// For everyone who uses it.
    pub handle: StoreHandle,
    /// The writer; ends after [`StoreHandle::close`].
    pub thread: JoinHandle<()>,
    /// The alarm states as they were stored.
    pub records: Vec<AlarmRecord>,
    /// What it holds at the start.
    pub status: StoreStatus,
    /// How the last run ended.
    pub previous_stop: PreviousStop,
    /// What a person should know about what was found; empty when all was well.
    pub findings: Vec<String>,
}

/// How the last run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreviousStop {
    /// There was none.
    #[default]
    First,
    /// As it should.
    Clean,
    /// Killed, cut off or crashed.
    Unclean,
}

impl PreviousStop {
    /// As in `GatewayStarted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Clean => "clean",
            Self::Unclean => "unclean",
        }
    }
}

/// Opens the store, whatever state it is in, and starts its thread.
pub fn open(store: &model::Store, counters: Arc<Counters>, clock: Arc<SystemClock>) -> Result<Opened, OpenError> {
    open_with(store, counters, clock, None)
}

fn open_with(
    store: &model::Store,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
    hook: Option<SyncHook>,
) -> Result<Opened, OpenError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Unusable { path, error }
    };
    let queue = store.path.join("queue");
    let (lock, recovered) = match take(&store.path) {
        Ok(lock) => {
            later::refuse(&store.path)?;
            (Some(lock), recover::recover(&queue, dirs::Mode::Act).map_err(unusable(&queue))?)
        }
        // No directory and no way to make one at the moment: nothing to recover, and the writer goes on trying.
        Err(OpenError::Unusable { error, .. }) if Cause::of(&error) != Cause::Other && !queue.exists() => {
            (None, recover::Recovered::nothing())
        }
        Err(error) => return Err(error),
    };
    let (records, previous_stop) = (recovered.state.records(), recovered.previous_stop);
    let (published, status) = tokio::sync::watch::channel(StoreStatus::default());
    let (handle, inbox) = StoreHandle::new(status);
    let (writer, findings) = writer::Writer::start(store, recovered, lock, counters, clock, published, hook);
    for finding in &findings {
        tracing::warn!(store = %store.path.display(), "{finding}");
    }
    let status = handle.status().borrow().clone();
    let thread = std::thread::Builder::new()
        .name("tidegate-store".to_owned())
        .spawn(move || writer.run(&inbox))
        .map_err(unusable(&store.path))?;
    Ok(Opened { handle, thread, records, status, previous_stop, findings })
}
