//! The work of one replay: count, read, give, wait for acknowledgements, move the cursor.
//!
//! Owns the events that are out. Dropped at any point it leaves the job as it is in the [`Keeper`], and what it has
//! given and is not sent yet is not sent any more.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::file::Keeper;
use super::job::{Count, Job};
use super::{Past, Refused, ReplayView, State, Surroundings};
use crate::clock::WallTime;
use crate::event::Event;
use crate::forward::side::{self, Gone, Mark, Outcome};

/// Events read at once. A few frames; with the bytes below this bounds what a replay holds in memory.
const READ_EVENTS_MAX: usize = 256;

/// Bytes read at once.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Events given and not settled: as many as the lane has in flight, so that the count of what was sent is never further
/// behind than that.
const OUT_MAX: usize = side::INFLIGHT_MAX as usize;

/// Acknowledgements after which the file is written: what a crash repeats at most, against flash wear.
const SAVE_EVERY: u64 = 256;

/// How often the past is tried before the replay is given up.
const READ_ATTEMPTS_MAX: u32 = 3;

/// Refused events that are named in the log; the rest is counted.
const REFUSALS_NAMED_MAX: u64 = 5;

/// How a replay ended.
pub(super) enum Ended {
    Done,
    /// Whoever cancelled it gets the last view.
    Cancelled(oneshot::Sender<Result<ReplayView, Refused>>),
    /// Why, in words.
    Failed(String),
}

struct Out {
    sequence: u64,
    time: WallTime,
    subject: Arc<str>,
    outcome: oneshot::Receiver<Outcome>,
}

/// One replay under way.
pub(super) struct Driver {
    surroundings: Surroundings,
    keeper: Arc<Keeper>,
    shown: Arc<watch::Sender<Option<ReplayView>>>,
    past: Option<Box<dyn Past>>,
    dead: BTreeSet<u64>,
}

impl Driver {
    pub(super) fn new(surroundings: Surroundings, job: Job, shown: Arc<watch::Sender<Option<ReplayView>>>) -> Self {
        let keeper = Keeper::new(&surroundings.store_path, job);
        Self { surroundings, keeper, shown, past: None, dead: BTreeSet::new() }
    }

    pub(super) fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    /// Publishes how it stands.
    pub(super) fn show(&self, state: State, fault: Option<String>) -> ReplayView {
        let view = ReplayView::new(&self.keeper.job(), state, fault.or_else(|| self.keeper.fault()));
        self.shown.send_replace(Some(view.clone()));
        view
    }

    /// Replays to the end.
    pub(super) async fn run(mut self) -> Ended {
        match self.work().await {
            Ok(()) => Ended::Done,
            Err(why) => Ended::Failed(why),
        }
    }

    async fn work(&mut self) -> Result<(), String> {
        let stopping = |_| "the gateway is stopping".to_owned();
        let letters = self.surroundings.store.dead_letters().await.map_err(stopping)?;
        self.dead = letters.iter().map(|letter| letter.event.sequence).collect();
        if self.keeper.job().of.is_none() {
            self.show(State::Counting, None);
            self.count().await?;
            self.keeper.save().await;
        }
        let job = self.keeper.job();
        tracing::info!(
            since = %job.since,
            until = job.until.map(tracing::field::display),
            sensor = job.sensor.as_deref(),
            events = job.of,
            sent = job.sent,
            "replay: sending delivered events again"
        );
        self.show(State::Sending, None);
        self.send().await
    }

    /// Finds out how many events match, and between which numbers they are.
    async fn count(&mut self) -> Result<(), String> {
        let job = self.keeper.job();
        let mut count = Count::default();
        let mut next = 1;
        loop {
            let events = self.read(next, State::Counting).await?;
            for event in events.iter().filter(|event| event.sequence <= job.through) {
                count.add(&job, event, &self.dead);
            }
            match events.last() {
                Some(last) if last.sequence < job.through => next = last.sequence + 1,
                _ => break,
            }
        }
        self.keeper.change(|job| count.finish(job));
        Ok(())
    }

    /// Sends what matches from the cursor on.
    async fn send(&mut self) -> Result<(), String> {
        let Job { through, cursor, .. } = self.keeper.job();
        let mut next = cursor + 1;
        let mut ready: VecDeque<Arc<Event>> = VecDeque::new();
        let mut out: VecDeque<Out> = VecDeque::new();
        let mut unsaved = 0;
        loop {
            while out.len() < OUT_MAX {
                if ready.is_empty() {
                    if next > through {
                        break;
                    }
                    let job = self.keeper.job();
                    let events = self.read(next, State::Sending).await?;
                    next = events.last().map_or(u64::MAX, |last| last.sequence.saturating_add(1));
                    let is_wanted = |event: &Arc<Event>| event.sequence <= through && job.wants(event, &self.dead);
                    ready.extend(events.into_iter().filter(is_wanted));
                    continue;
                }
                let Some(event) = ready.pop_front() else { break };
                let (sequence, time, subject) = (event.sequence, event.time, Arc::clone(&event.subject));
                let given = self.surroundings.side.give(event, Mark::Replayed).await;
                let outcome = given.map_err(|Gone| "the gateway is stopping".to_owned())?;
                out.push_back(Out { sequence, time, subject, outcome });
            }
            let Some(first) = out.front_mut() else { return Ok(()) };
            let Ok(outcome) = (&mut first.outcome).await else {
                // The forwarder was replaced: from the first that is not settled on, once more.
                out.clear();
                ready.clear();
                next = self.keeper.job().cursor + 1;
                continue;
            };
            let Some(first) = out.pop_front() else { continue };
            self.settle(&first, outcome);
            unsaved += 1;
            if unsaved >= SAVE_EVERY {
                unsaved = 0;
                self.keeper.save().await;
            }
            self.show(State::Sending, None);
        }
    }

    fn settle(&self, out: &Out, outcome: Outcome) {
        let refused = self.keeper.change(|job| {
            job.cursor = out.sequence;
            job.cursor_time = Some(out.time);
            match outcome {
                Outcome::Delivered => job.sent += 1,
                Outcome::Refused(_) => job.refused += 1,
            }
            job.refused
        });
        if let Outcome::Refused(why) = outcome
            && refused <= REFUSALS_NAMED_MAX
        {
            tracing::warn!(sequence = out.sequence, sensor = %out.subject, "replay: event passed over: {why}");
        }
    }

    /// Reads from the past on a thread that may block; tries again before it gives up.
    async fn read(&mut self, from: u64, state: State) -> Result<Vec<Arc<Event>>, String> {
        let mut attempt = 1;
        loop {
            match self.try_read(from).await {
                Ok(events) => return Ok(events),
                Err(error) if attempt >= READ_ATTEMPTS_MAX => {
                    return Err(format!("the store's past cannot be read: {error}"));
                }
                Err(error) => {
                    attempt += 1;
                    self.show(state, Some(format!("the store's past cannot be read, trying again: {error}")));
                    tokio::time::sleep(self.surroundings.read_again_after).await;
                }
            }
        }
    }

    async fn try_read(&mut self, from: u64) -> io::Result<Vec<Arc<Event>>> {
        let (past, open) = (self.past.take(), Arc::clone(&self.surroundings.past));
        let read = tokio::task::spawn_blocking(move || {
            let mut past = past.map_or_else(|| open(), Ok)?;
            let events = past.read(from, READ_EVENTS_MAX, READ_BYTES_MAX)?;
            Ok::<_, io::Error>((past, events))
        });
        let (past, events) = read.await.map_err(io::Error::other)??;
        self.past = Some(past);
        Ok(events)
    }
}
