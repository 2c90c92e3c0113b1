//! The writer thread: takes requests, decides when to commit, serves reads in between, and keeps going over faults.
//!
//! Owns the loop and its timers. The steps of writing are in [`super::commit`], what is done with is let go in
//! [`super::settle`], and what others get to see is in [`super::serve`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::commit::{Attempt, Group};
use super::dirs::Mode;
use super::fault::BACKOFF;
use super::frame::Packer;
use super::gather::{Gather, SLICE};
use super::generation::SyncHook;
use super::handle::{COMMITS_UNDER_WAY_MAX, Commit, Request, StoreStatus};
use super::inbox::{Nothing, Receiver};
use super::kept::Kept;
use super::leaving::Departure;
use super::mark::Keeper;
use super::quota::{Limits, Reserve, disk_bytes};
use super::recover::Recovered;
use super::retain::Retained;
use super::ring::Ring;
use super::state::State;
use super::tail::{Tail, weight};
use super::told::Told;
use crate::clock::SystemClock;
use crate::config::model;
use crate::counters::Counters;
use crate::event::{Event, EventData, EventsLost};

/// Most events and alarm states in one group; more wait for the next. Bounds memory and the time a commit takes.
const GROUP_MAX: usize = 4_096;

/// Largest event stored as it is. Far above what any upstream takes (128 KiB is usual), far below what would hurt.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The delivered mark is on disk at latest this long after it moved; what is delivered again after a power cut is what
/// was acknowledged in that time.
pub(super) const MARK_DELAY: Duration = Duration::from_secs(1);

/// The loop turns at least this often, so that a watchdog can see it.
const TURN: Duration = Duration::from_millis(500);

/// The thread's everything.
pub(super) struct Writer {
    pub(super) config: model::Store,
    pub(super) limits: Limits,
    pub(super) ring: Ring,
    pub(super) state: State,
    pub(super) tail: Tail,
    pub(super) packer: Packer,
    pub(super) group: Group,
    /// Changes of dead letters that wait for room on disk.
    pub(super) kept: Kept,
    /// Losses not yet stored as events.
    pub(super) announcements: Vec<EventsLost>,
    /// Losses stored as events, by generation.
    pub(super) told: Told,
    /// The highest sequence number ever read by the forwarder: up to here an event may be on its way upstream.
    pub(super) handed_out: u64,
    /// Readers that wait for what comes next.
    pub(super) readers: Vec<super::handle::Read>,
    /// See [`StoreStatus::last_of_severity`](super::handle::StoreStatus::last_of_severity).
    pub(super) last_of_severity: [u64; 5],
    /// Generations out of the catalogue and still on disk.
    pub(super) gone: Vec<super::state::Entry>,
    /// Generations that are to leave with the next checkpoint.
    pub(super) departure: Departure,
    /// They stayed, since there was none; they go when there is.
    pub(super) has_stayed: bool,
    pub(super) next_commit: u64,
    pub(super) synced_commit: u64,
    /// The last commit of the newest generation's creation, and commits since.
    pub(super) created_commit: u64,
    pub(super) generation_commits: u64,
    /// Bytes of alarm states since the last checkpoint.
    pub(super) states_bytes: u64,
    pub(super) durable_delivered: u64,
    pub(super) marks_deadline: Option<Instant>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) hook: Option<SyncHook>,
    pub(super) pending: VecDeque<(Commit, Option<OwnedSemaphorePermit>)>,
    pub(super) reserve: Reserve,
    pub(super) quarantine_bytes: u64,
    /// Delivered generations that are kept.
    pub(super) retained: Retained,
    pub(super) waiting: u64,
    /// The quota is used up and nothing may be dropped.
    pub(super) is_full: bool,
    /// The reserve was given up: the disk is full.
    pub(super) is_disk_full: bool,
    pub(super) fault: Option<Arc<str>>,
    /// What lies behind the last fault.
    pub(super) fault_cause: super::Cause,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Duration,
    gather: Gather,
    pub(super) published: watch::Sender<StoreStatus>,
    /// `None` while the store's directories cannot be made.
    pub(super) lock: Option<super::place::Lock>,
    pub(super) mark_keeper: Keeper,
}

impl Writer {
    /// A writer for what was found, its first generation begun if the disk lets it. Also gives the findings.
    pub(super) fn start(
        config: &model::Store,
        mut recovered: Recovered,
        lock: Option<super::place::Lock>,
        counters: Arc<Counters>,
        clock: Arc<SystemClock>,
        published: watch::Sender<StoreStatus>,
        hook: Option<SyncHook>,
    ) -> (Self, Vec<String>) {
        let delivered = recovered.state.delivered;
        let mut writer = Self {
            limits: Limits::new(config),
            config: config.clone(),
            ring: Ring::new(config.path.join("queue"), &mut recovered, Mode::Act),
            state: recovered.state,
            tail: Tail::default(),
            packer: Packer::new(),
            group: Group::default(),
            kept: Kept::default(),
            announcements: Vec::new(),
            told: Told::default(),
            handed_out: 0,
            readers: Vec::new(),
            last_of_severity: [0; 5],
            gone: Vec::new(),
            departure: Departure::default(),
            has_stayed: false,
            next_commit: recovered.next_commit,
            synced_commit: recovered.next_commit.saturating_sub(1),
            created_commit: 0,
            generation_commits: 0,
            states_bytes: 0,
            durable_delivered: delivered,
            marks_deadline: None,
            counters,
            clock,
            hook,
            pending: VecDeque::new(),
            reserve: Reserve::new(&config.path),
            quarantine_bytes: disk_bytes(&config.path.join("quarantine")),
            retained: Retained::open(&config.path),
            waiting: 0,
            is_full: false,
            is_disk_full: false,
            fault: None,
            fault_cause: super::Cause::Other,
            retry_at: None,
            backoff: BACKOFF.0,
            gather: Gather::default(),
            published,
            lock,
            mark_keeper: Keeper::default(),
        };
        writer.check_retained(recovered.previous_stop);
        let findings = recovered.findings;
        for dir in &recovered.set_aside {
            writer.quarantine(dir);
        }
        for (missing, reason) in recovered.lost {
            writer.announce(missing, reason);
        }
        writer.announce_old_letters();
        // Little is carried over, so that restarts do not pile up generations; what is damaged is, to get it out of
        // the damaged file; a large one is left where it is.
        let carry = recovered.newest.filter(|newest| {
            let bytes = writer.ring.sealed.back().map_or(0, |entry| entry.bytes);
            // It exists twice for a moment; twice its size is more than sled makes of it.
            let has_room = writer.total_bytes() + bytes * 2 < writer.limits.max_bytes;
            has_room && (bytes <= writer.limits.generation_bytes / 4 || newest.is_damaged)
        });
        let carry = if writer.total_bytes() > writer.limits.max_bytes {
            // The limit was lowered. What must go goes first; with `reject` it is delivered.
            if let Err(fault) = writer.make_room(0) {
                tracing::warn!(%fault, "no room can be made");
            }
            None
        } else {
            carry
        };
        if let Err(fault) = writer.begin_generation(carry.as_ref()) {
            tracing::warn!(%fault, "the last run's events stay where they are");
            if let Err(fault) = writer.begin_generation(None) {
                writer.break_off(&fault);
            }
        }
        drop(carry);
        writer.note_severities();
        if writer.ring.newest.is_some() {
            writer.keep_reserve();
        }
        writer.publish();
        (writer, findings)
    }

    /// The loop.
    pub(super) fn run(mut self, inbox: &Receiver<Request>) {
        let mut is_closing = false;
        while !is_closing {
            self.counters.store_turns.add(1);
            // While events are gathered only what is urgent wakes the thread, so that not every event does.
            let first = if self.is_gathering() { inbox.recv_urgent(SLICE) } else { inbox.recv_timeout(self.pause()) };
            // Everything that is waiting, so that a commit takes all of it along and reads never wait for more than
            // one commit.
            let mut next = first;
            while let Ok(request) = next {
                is_closing |= self.take(request);
                next = inbox.try_recv();
            }
            is_closing |= matches!(next, Err(Nothing::Ever));
            self.turn(is_closing);
        }
        self.close();
    }

    /// One turn: what is due is done.
    fn turn(&mut self, is_closing: bool) {
        self.retry();
        while self.fill_group() && (is_closing || self.is_due()) {
            if !self.commit() {
                break;
            }
        }
        self.hand_out_new();
        self.mark(is_closing);
        self.give_back();
        self.publish();
        self.keep_mark(false);
    }

    /// Whether the group waits for what comes in the next milliseconds.
    fn is_gathering(&self) -> bool {
        let is_waiting = self.group.deadline.is_some_and(|deadline| deadline > Instant::now());
        is_waiting && self.gather.is_gathering() && self.can_write() && !self.is_full
    }

    /// How long nothing need be done unless a request comes.
    fn pause(&self) -> Duration {
        // What cannot be done now is no reason to turn without pause.
        let group = self.group.deadline.filter(|_| self.can_write() && !self.is_full);
        let mark = self.marks_deadline.filter(|_| self.ring.newest.is_some());
        let deadlines = [group, mark, self.retry_at];
        let now = Instant::now();
        let next = deadlines.into_iter().flatten().min();
        next.map_or(TURN, |next| next.saturating_duration_since(now)).min(TURN)
    }

    /// Takes a request in; true for the last one.
    fn take(&mut self, request: Request) -> bool {
        match request {
            Request::Commit(commit, permit) => {
                // While events wait for company their permits go back, or four commits would be all the company.
                let waits = !self.patience(Instant::now()).is_zero()
                    && self.can_write()
                    && self.pending.len() < COMMITS_UNDER_WAY_MAX
                    && self.group.size() + commit.events.len() + commit.records.len() < GROUP_MAX / 2;
                let mut commit = commit;
                commit.events.iter_mut().filter(|event| weight(event) > EVENT_BYTES_MAX).for_each(shorten);
                self.pending.push_back((commit, Some(permit).filter(|_| !waits)));
                self.fill_group();
            }
            Request::Read(read) => self.hand_out(read),
            Request::ReadOn(read) => self.hand_out_when_there(read),
            Request::Delivered { through } => {
                let through = through.min(self.state.next_sequence.saturating_sub(1));
                self.deliver(through);
            }
            Request::Purge(purge, reply) => {
                // Whoever asked may have stopped waiting; what was done is announced and logged.
                let _ = reply.send(self.purge(&purge));
            }
            Request::Settled(reply) => {
                let _ = reply.send(self.state.dead.settled().iter().copied().collect());
            }
            Request::Dead(request) => self.take_dead(request),
            Request::Configure(store) => {
                self.limits = Limits::new(&store);
                self.config = model::Store { path: std::mem::take(&mut self.config.path), ..store };
            }
            Request::Close => return true,
        }
        false
    }

    /// Moves waiting commits into the group as far as it has room. True when there is a group.
    fn fill_group(&mut self) -> bool {
        while self.group.size() < GROUP_MAX {
            let Some((commit, permit)) = self.pending.pop_front() else { break };
            if !(commit.events.is_empty() && commit.records.is_empty()) {
                let now = Instant::now();
                self.group.deadline = Some(if commit.is_critical() { now } else { now + self.patience(now) });
            }
            let group = &mut self.group;
            group.events.extend(commit.events);
            group.records.extend(commit.records);
            group.arrivals.extend(commit.arrivals);
            group.acks.extend(commit.acks);
            group.permits.extend(permit);
        }
        self.group.needs_disk()
            || !self.group.acks.is_empty()
            || !self.group.permits.is_empty()
            || !self.announcements.is_empty()
    }

    /// How long what comes now may wait, unless it is critical.
    fn patience(&self, now: Instant) -> Duration {
        match self.group.deadline {
            Some(deadline) => deadline.saturating_duration_since(now),
            None => self.gather.patience(self.config.commit_interval, now),
        }
    }

    /// Whether the group must not wait any longer.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        // A permit that is held: there is company enough, and the engine must not be held up for more.
        !self.group.permits.is_empty()
            || !self.announcements.is_empty()
            || self.group.deadline.is_none_or(|deadline| deadline <= now)
            || self.gather.is_enough(self.config.commit_interval, self.group.held(), now)
    }

    /// Whether anything waits for the disk.
    pub(super) fn has_waiting(&self) -> bool {
        self.group.needs_disk() || !self.pending.is_empty() || !self.announcements.is_empty()
    }

    /// Whether new events can go to disk at the moment.
    fn can_write(&self) -> bool {
        self.ring.newest.is_some() && !self.is_disk_full
    }

    /// Commits the group; true when that is done and another may follow.
    fn commit(&mut self) -> bool {
        if self.group.needs_disk() || !self.announcements.is_empty() {
            if !self.can_write() {
                self.let_dead_letters_through();
                return false;
            }
            match self.commit_group() {
                Ok(Attempt::Done) => {
                    self.is_full = false;
                    self.backoff = BACKOFF.0;
                    self.say_well();
                }
                Ok(Attempt::Full) => {
                    if !self.is_full {
                        tracing::warn!("the store is full; nothing more is taken until events are delivered");
                    }
                    self.is_full = true;
                    self.say_well();
                    self.let_dead_letters_through();
                    return false;
                }
                Err(fault) => {
                    self.break_off(&fault);
                    // The group may have been written before the fault came.
                    if self.group.needs_disk() || !self.announcements.is_empty() {
                        return false;
                    }
                }
            }
            self.gather.committed(Instant::now());
            self.hand_out_new();
            self.publish();
        }
        self.release_group();
        true
    }

    /// Of generations that are still on disk and leave with the next checkpoint, or have left.
    pub(super) fn gone_bytes(&self) -> u64 {
        self.gone.iter().map(|entry| entry.bytes).sum::<u64>() + self.departure.bytes()
    }

    /// Everything on disk under the store's path.
    pub(super) fn total_bytes(&self) -> u64 {
        self.ring.bytes()
            + self.gone_bytes()
            + self.reserve.bytes()
            + self.quarantine_bytes
            + self.retained.bytes()
            + FIXED_BYTES
    }
}

/// Takes off an event what it can do without.
fn shorten(event: &mut Event) {
    tracing::error!(id = %event.id, subject = &*event.subject, "an event is too large; stored without what it carries");
    if let EventData::Alarm(alarm) = &mut event.data {
        alarm.attributes = None;
        alarm.context = Vec::new();
    }
}

/// The lock file, the mark and the directories above the generations.
const FIXED_BYTES: u64 = 5 * 4096;
