//! Programs of the operator's that are run when an alarm changes (`on_event`).
//!
//! Owns the [`Tap`] at the pipeline, the queue of what is to be run, and the running. A program is run only after its
//! event is on stable storage: the tap adds an acknowledgement of its own to the commit, and what comes back releases
//! the run. Everything is bounded; what finds no room is dropped and counted, and nothing here ever makes the pipeline
//! or the store wait. What waits when the process ends is not made up for.

mod program;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::ack::Ack;
use crate::config::model::{Hook, HookOn};
use crate::counters::Counters;
use crate::event::{AlarmData, Change, Event, EventData};
use program::{Failed, run_program};

/// Programs that run at once. Two: one that hangs until its time is over does not keep the siren from starting, and a
/// small box is not filled with processes.
const RUNNING_MAX: usize = 2;

/// Runs that wait, stored or not yet stored. A burst of alarms beyond this is told by the events themselves.
const WAITING_MAX: usize = 64;

/// What one commit may bring at once.
const COMMITS_WAITING_MAX: usize = 64;

/// A program to run for an event.
#[derive(Clone, Debug)]
struct Run {
    hook: Hook,
    event: Event,
}

type Noted = (u64, Vec<Run>);

/// The pipeline's end.
pub struct Tap {
    hooks: watch::Receiver<Arc<[Hook]>>,
    noted: mpsc::Sender<Noted>,
    stored: mpsc::UnboundedSender<u64>,
    turn: u64,
    counters: Arc<Counters>,
}

impl Tap {
    /// Looks at the events of a commit; when any is to run a program, gives what must be released once they are
    /// stored.
    pub fn note(&mut self, events: &[Event]) -> Option<Ack> {
        let runs: Vec<Run> = {
            let hooks = self.hooks.borrow();
            if hooks.is_empty() {
                return None;
            }
            let alarms = events.iter().filter_map(|event| match &event.data {
                EventData::Alarm(alarm) => Some((event, alarm)),
                _ => None,
            });
            let wanted = alarms.flat_map(|(event, alarm)| {
                let hook = hooks.iter().find(|hook| is_wanted(hook, alarm));
                hook.map(|hook| Run { hook: hook.clone(), event: event.clone() })
            });
            wanted.take(WAITING_MAX + 1).collect()
        };
        if runs.is_empty() {
            return None;
        }
        self.turn += 1;
        let count = runs.len() as u64;
        if self.noted.try_send((self.turn, runs)).is_err() {
            self.counters.hooks_dropped.add(count);
            return None;
        }
        // At most as many are under way as the other channel takes.
        Some(Ack::new(self.stored.clone(), self.turn))
    }
}

fn is_wanted(hook: &Hook, alarm: &AlarmData) -> bool {
    let on = match alarm.change {
        Change::Raised | Change::Escalated => HookOn::Exceeded,
        Change::Repeated => HookOn::Repeated,
        Change::Cleared | Change::Superseded => HookOn::Cleared,
    };
    hook.alarm == alarm.alarm && hook.on.contains(&on)
}

/// The task's end.
pub struct Runner {
    noted: mpsc::Receiver<Noted>,
    stored: mpsc::UnboundedReceiver<u64>,
    gateway: Arc<str>,
    counters: Arc<Counters>,
    /// Commits that are not stored yet.
    unstored: BTreeMap<u64, Vec<Run>>,
    queue: VecDeque<Run>,
    /// What has been told and not gone well since: alarm and kind of failure.
    told: BTreeSet<(Arc<str>, Failed)>,
    drops_told: bool,
}

/// Both ends. `hooks` are those in force; a reload replaces them.
pub fn channel(hooks: watch::Receiver<Arc<[Hook]>>, gateway: Arc<str>, counters: Arc<Counters>) -> (Tap, Runner) {
    let (noted, to_run) = mpsc::channel(COMMITS_WAITING_MAX);
    // Bounded by the other: see `Tap::note`.
    let (stored, released) = mpsc::unbounded_channel();
    let runner = Runner {
        noted: to_run,
        stored: released,
        gateway,
        counters: Arc::clone(&counters),
        unstored: BTreeMap::new(),
        queue: VecDeque::new(),
        told: BTreeSet::new(),
        drops_told: false,
    };
    (Tap { hooks, noted, stored, turn: 0, counters }, runner)
}

impl Runner {
    /// Runs until the tap is gone and all it noted is over. Dropped, it kills what runs.
    pub async fn run(mut self) {
        let mut running: JoinSet<(Arc<str>, Result<(), (Failed, String)>)> = JoinSet::new();
        let mut is_open = true;
        while is_open || !running.is_empty() || !self.queue.is_empty() {
            while running.len() < RUNNING_MAX
                && let Some(Run { hook, event }) = self.queue.pop_front()
            {
                self.counters.hooks_run.add(1);
                let gateway = Arc::clone(&self.gateway);
                running.spawn(async move {
                    let result = run_program(&hook, &event, &gateway).await;
                    (hook.alarm, result)
                });
            }
            tokio::select! {
                Some(ended) = running.join_next() => match ended {
                    Ok((alarm, result)) => self.ended(alarm, result),
                    Err(error) => tracing::error!(%error, "running a program for an alarm failed"),
                },
                stored = self.stored.recv(), if is_open => match stored {
                    Some(turn) => self.stored(turn),
                    None => is_open = false,
                },
            }
        }
    }

    /// The events of this turn of the tap, and of all before it, are on disk.
    fn stored(&mut self, turn: u64) {
        // What was stored was noted before.
        while let Ok((turn, runs)) = self.noted.try_recv() {
            self.unstored.insert(turn, runs);
        }
        for run in self.unstored.remove(&turn).into_iter().flatten() {
            if self.queue.len() < WAITING_MAX {
                self.queue.push_back(run);
                continue;
            }
            self.counters.hooks_dropped.add(1);
            if !std::mem::replace(&mut self.drops_told, true) {
                let alarm = &*run.hook.alarm;
                tracing::warn!(alarm, waiting = WAITING_MAX, "too many programs of alarms wait; this one is not run");
            }
        }
    }

    /// Tells a failure once, until it goes well again.
    fn ended(&mut self, alarm: Arc<str>, result: Result<(), (Failed, String)>) {
        match result {
            Ok(()) => {
                if self.queue.is_empty() {
                    self.drops_told = false;
                }
                self.told.retain(|(told, _)| *told != alarm);
            }
            Err((failed, text)) => {
                self.counters.hooks_failed.add(1);
                if self.told.insert((Arc::clone(&alarm), failed)) {
                    tracing::warn!(alarm = &*alarm, "the alarm's program (on_event) failed: {text}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
