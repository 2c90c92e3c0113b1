//! Replay: an operator has delivered events sent again, from what the store still keeps of them.
//!
//! Owns the one job there is at a time, its file in the store's directory, and the task that reads events from
//! [`crate::store::history`] on a blocking thread and gives them to the forwarder's side lane, where they go behind
//! everything new. Never touches the queue, the delivered mark or the store's own files.
//!
//! A job covers the events up to the delivered mark at its start. It begins by counting what matches; then its cursor
//! moves up as the broker acknowledges. The file has the cursor now and then, so a job goes on after a restart and
//! repeats at most what was acknowledged since the last save. Events set aside as dead letters are left out: they have
//! not been delivered, and the broker refuses them.

mod drive;
mod file;
mod job;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::drive::{Driver, Ended};
use self::file::Keeper;
pub use self::job::Job;
pub use self::view::{ReplayView, State};
use crate::clock::SystemClock;
use crate::event::Event;
use crate::forward::side::SideSender;
use crate::shutdown::{self, Shutdown, Trigger};
use crate::store::handle::StoreHandle;
use crate::store::history::History;

/// Commands that may wait for the task. It answers at once.
const COMMANDS_MAX: usize = 4;

/// As [`Surroundings::read_again_after`]: a fault of a disk is seldom over sooner.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where past events are read from.
pub trait Past: Send {
    /// As [`History::read`].
    ///
    /// # Errors
    /// As [`History::read`].
    fn read(&mut self, from: u64, max_events: usize, max_bytes: usize) -> io::Result<Vec<Arc<Event>>>;
}

impl Past for History {
    fn read(&mut self, from: u64, max_events: usize, max_bytes: usize) -> io::Result<Vec<Arc<Event>>> {
        Self::read(self, from, max_events, max_bytes)
    }
}

/// Opens the past anew. Blocks.
pub type OpenPast = Arc<dyn Fn() -> io::Result<Box<dyn Past>> + Send + Sync>;

/// What a replay needs of the rest of the gateway.
#[derive(Clone)]
pub struct Surroundings {
    /// `store.path`: where the job's file lies.
    pub store_path: PathBuf,
    /// Opens the past.
    pub past: OpenPast,
    /// For the delivered mark and the dead letters.
    pub store: StoreHandle,
    /// The way upstream.
    pub side: SideSender,
    /// For the times of start and end.
    pub clock: Arc<SystemClock>,
    /// The pause before a past that could not be read is tried again.
    pub read_again_after: Duration,
}

impl Surroundings {
    /// With the store's own past.
    pub fn new(store_path: &Path, store: StoreHandle, side: SideSender, clock: Arc<SystemClock>) -> Self {
        let path = store_path.to_owned();
        let past: OpenPast = Arc::new(move || Ok(Box::new(History::open(&path)?)));
        Self { store_path: store_path.to_owned(), past, store, side, clock, read_again_after: READ_AGAIN_AFTER }
    }
}

/// Why a replay was not started or cancelled.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// There is one already: this.
    Busy(Box<ReplayView>),
    /// There is none.
    Idle,
    /// The gateway is stopping.
    Stopping,
}

enum Command {
    Start { job: Job, reply: oneshot::Sender<Result<ReplayView, Refused>> },
    Cancel { reply: oneshot::Sender<Result<ReplayView, Refused>> },
}

/// Asks the task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replays {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Option<ReplayView>>,
}

impl Replays {
    /// Starts a job. Its file is written when this returns.
    ///
    /// # Errors
    /// [`Refused::Busy`] while another is under way.
    pub async fn start(&self, job: Job) -> Result<ReplayView, Refused> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Start { job, reply }).await.map_err(|_| Refused::Stopping)?;
        answer.await.map_err(|_| Refused::Stopping)?
    }

    /// Ends the job under way.
    ///
    /// # Errors
    /// [`Refused::Idle`] when there is none.
    pub async fn cancel(&self) -> Result<ReplayView, Refused> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Cancel { reply }).await.map_err(|_| Refused::Stopping)?;
        answer.await.map_err(|_| Refused::Stopping)?
    }

    /// The job under way, or the last one since the gateway started.
    pub fn view(&self) -> Option<ReplayView> {
        self.view.borrow().clone()
    }
}

/// The running task.
#[derive(Debug)]
pub struct Task {
    trigger: Trigger,
    task: JoinHandle<()>,
}

impl Task {
    /// Saves how far the job is and ends the task; the job goes on at the next start.
    pub async fn stop(self) {
        self.trigger.stop();
        // A panic has been told by the runtime.
        let _ = self.task.await;
    }
}

/// Starts the task. A job that an earlier run left goes on.
pub fn spawn(surroundings: Surroundings) -> (Replays, Task) {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let (shown, view) = watch::channel(None);
    let (trigger, shutdown) = shutdown::channel();
    let task = tokio::spawn(run(surroundings, inbox, shown, shutdown));
    (Replays { commands, view }, Task { trigger, task })
}

async fn run(
    surroundings: Surroundings,
    mut inbox: mpsc::Receiver<Command>,
    shown: watch::Sender<Option<ReplayView>>,
    mut shutdown: Shutdown,
) {
    let shown = Arc::new(shown);
    let path = surroundings.store_path.clone();
    let found = tokio::task::spawn_blocking(move || file::load(&path)).await.ok().flatten();
    let mut running = found.map(|job| {
        tracing::info!(sent = job.sent, of = job.of, "replay goes on where the last run left it");
        Driver::new(surroundings.clone(), job, Arc::clone(&shown))
    });
    loop {
        let Some(driver) = running.take() else {
            tokio::select! {
                () = shutdown.wait() => return,
                command = inbox.recv() => match command {
                    None => return,
                    Some(Command::Cancel { reply }) => drop(reply.send(Err(Refused::Idle))),
                    Some(Command::Start { job, reply }) => {
                        let driver = Driver::new(surroundings.clone(), job, Arc::clone(&shown));
                        driver.keeper().save().await;
                        let _ = reply.send(Ok(driver.show(State::Counting, None)));
                        running = Some(driver);
                    }
                },
            }
            continue;
        };
        let keeper = driver.keeper();
        let ended = {
            let driving = driver.run();
            tokio::pin!(driving);
            loop {
                tokio::select! {
                    ended = &mut driving => break ended,
                    () = shutdown.wait() => {
                        keeper.save().await;
                        return;
                    }
                    command = inbox.recv() => match command {
                        None => return,
                        Some(Command::Start { reply, .. }) => {
                            let refused = shown.borrow().clone().map_or(Refused::Stopping, |view| Refused::Busy(Box::new(view)));
                            let _ = reply.send(Err(refused));
                        }
                        Some(Command::Cancel { reply }) => break Ended::Cancelled(reply),
                    },
                }
            }
        };
        finish(&surroundings, &keeper, &shown, ended).await;
    }
}

/// Clears away and says how it ended.
async fn finish(
    surroundings: &Surroundings,
    keeper: &Arc<Keeper>,
    shown: &watch::Sender<Option<ReplayView>>,
    ended: Ended,
) {
    keeper.remove().await;
    let job = keeper.job();
    let (state, fault) = match &ended {
        Ended::Done => (State::Done, None),
        Ended::Cancelled(_) => (State::Cancelled, None),
        Ended::Failed(why) => (State::Failed, Some(why.clone())),
    };
    let view = ReplayView { ended: Some(surroundings.clock.wall().to_string()), ..ReplayView::new(&job, state, fault) };
    let (sent, of, refused, gone) = (job.sent, job.of, job.refused, job.gone(state));
    match &ended {
        Ended::Done => tracing::info!(sent, of, refused, gone, "replay done"),
        Ended::Cancelled(_) => tracing::info!(sent, of, refused, "replay cancelled"),
        Ended::Failed(why) => tracing::error!(sent, of, refused, "replay given up: {why}"),
    }
    shown.send_replace(Some(view.clone()));
    if let Ended::Cancelled(reply) = ended {
        let _ = reply.send(Ok(view));
    }
}

#[cfg(test)]
mod tests;
