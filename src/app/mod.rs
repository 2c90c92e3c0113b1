//! The running gateway: wires the tasks, supervises them, reloads, and stops in order.
//!
//! Owns the life of every task. Never looks at a reading or an event: those go from task to task. A task that ends by
//! itself is an error of ours: sources and the forwarder are started again after a pause, the pipeline and the store
//! end the process (the service manager starts it anew, and the store has everything).

mod aside;
mod idle;
mod page;
pub mod pipeline;
mod reload;
mod start;
mod stop;
mod tasks;
mod waiting;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{ClockState, SystemClock};
use crate::config::{self, model::Config};
use crate::counters::Counters;
use crate::error::Failure;
use crate::event::GatewayStarted;
use crate::moderation;
use crate::ops::logging;
use crate::ops::progress::{Progress, Turns};
use crate::ops::reload::{Asked, Outcome, answer};
use crate::ops::status::Configured;
use crate::ops::systemd::ServiceManager;
use crate::ops::wear::{self, Wear};
use crate::record::Recorder;
use crate::replay;
use crate::shutdown::Trigger;
use crate::store::handle::{Closed, StoreHandle};
use pipeline::Rules;
use start::Ground;
use stop::told_again;
use tasks::{Forwarder, Sources};
use watcher::Watcher;

/// Most sensors kept in memory. A site has tens to thousands; a device that makes up names must not fill the memory.
pub const SENSORS_MAX: usize = 20_000;

/// How often the app looks after its tasks and its status.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Loads the configuration and runs the gateway until it is told to stop.
pub fn run(path: &Path) -> Result<(), Failure> {
    let loaded = load(path).map_err(|report| Failure::Configuration(report.to_string()))?;
    let log = logging::init(loaded.config.gateway.log_level, loaded.config.gateway.log_format);
    tell_doubts(&doubts(&loaded));
    // The files' texts, kept for messages, are not needed any more.
    let mut config = loaded.config;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(moderation::before_park)
        .build()
        .map_err(|error| Failure::Failed(format!("error: the runtime cannot start: {error}")))?;
    survive_file_size_limit(&runtime)?;
    let clock = Arc::new(SystemClock::remembering(&config.store.path));
    tell_clock(&clock);
    tell_name(&config.gateway.id);
    let counters = Arc::new(Counters::default());
    let Some(opened) = runtime.block_on(waiting::open(path, &mut config, &log, &counters, &clock))? else {
        return Ok(());
    };
    let started = GatewayStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        previous_stop: opened.previous_stop.as_str().to_owned(),
        waiting: opened.status.waiting,
    };
    let clock_kept = Arc::clone(&clock);
    let ground = Ground { log, clock, counters, store: opened.handle, records: opened.records, started };
    let outcome = runtime.block_on(async { App::start(path, config, ground).await?.serve().await });
    // While the store is still ours: its directory is where the time is kept.
    clock_kept.keep_last();
    // The store's thread ends after `Close`, or when the last handle is gone with the runtime.
    end(runtime);
    if opened.thread.join().is_err() {
        return Err(Failure::Failed("error: the store's thread ended in a panic".to_owned()));
    }
    outcome
}

/// A write beyond the limit on the size of files (`ulimit -f`, `LimitFSIZE=`) is to fail as on a full disk: left alone,
/// the signal that goes with it ends the process. Having a handler is all it takes; it stays for good.
fn survive_file_size_limit(runtime: &tokio::runtime::Runtime) -> Result<(), Failure> {
    let _context = runtime.enter();
    on(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Drops all tasks. A look-up of a name for which no name server answers takes half a minute, and nothing can cut it
/// short: it is left behind, as nobody waits for what comes of it.
fn end(runtime: tokio::runtime::Runtime) {
    runtime.shutdown_background();
}

/// Loads and checks a configuration.
fn load(path: &Path) -> Result<config::Loaded, config::Report> {
    config::load(path, &|name| std::env::var(name).ok())
}

/// Says it once at the start when nobody knows the time; what changes later is told then.
fn tell_clock(clock: &SystemClock) {
    let now = clock.now();
    if now.clock == ClockState::Unsynchronized {
        let help = "events are marked so, and repaired when a time service sets the clock";
        tracing::warn!(wall = %now.wall, help, "the wall clock is not synchronized yet");
    }
}

/// Says it at the start when nobody has given the gateway a name and the machine's will not do.
fn tell_name(id: &str) {
    if let Some(whose) = config::doubt_of_id(id) {
        let help = "set `id` in [gateway]: brokers keep its messages under this name, and let in one client of a name";
        tracing::warn!(gateway = id, help, "the gateway's name is the machine's: {whose}");
    }
}

/// What is to be said about a configuration that can be run. The files it names are looked at too, but a missing
/// certificate only degrades a gateway: it is told, and read again at every connection.
fn doubts(loaded: &config::Loaded) -> config::Report {
    let mut report = loaded.warnings.clone();
    report.extend(config::files::check(loaded));
    report
}

/// Says it in the log.
fn tell_doubts(report: &config::Report) {
    if !report.is_empty() {
        tracing::warn!("the configuration is valid, but:\n{report}");
    }
}

/// Says in the log why a configuration is not taken.
fn tell_refused(outcome: &Outcome) {
    tracing::error!("configuration not reloaded, the old one stays in force:\n{outcome}");
}

struct App {
    path: PathBuf,
    config: Config,
    log: logging::Control,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
    wear: Arc<Wear>,
    store: StoreHandle,
    sources: Sources,
    watcher: Watcher,
    forwarder: Forwarder,
    rules: watch::Sender<Rules>,
    pipeline: JoinHandle<Result<(), Closed>>,
    service: ServiceManager,
    configured: watch::Sender<Configured>,
    replaying: replay::Task,
    control: Option<(Trigger, JoinHandle<()>)>,
    recorder: Arc<Recorder>,
    page: page::Page,
    aside: aside::Aside,
    reloads: Asked,
}

impl App {
    async fn serve(mut self) -> Result<(), Failure> {
        let mut terminate = on(SignalKind::terminate())?;
        let mut interrupt = on(SignalKind::interrupt())?;
        let mut hang_up = on(SignalKind::hangup())?;
        let watchdog = self.service.watchdog_interval().filter(|interval| !interval.is_zero());
        // Three looks an interval: one may come late on a loaded machine without a needless restart.
        let look_every = watchdog.map_or(LOOK_EVERY, |interval| (interval / 3).min(LOOK_EVERY));
        let mut looks = tokio::time::interval(look_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut progress = Progress::default();
        self.show();
        self.service.ready();
        self.counters.board.health.wait_for(None);
        self.counters.board.health.note_progress(self.clock.boot());
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => drop(self.reload().await),
                asking = self.reloads.next() => answer(asking, &self.reload().await),
                ended = &mut self.pipeline => return Err(pipeline_ended(ended)),
                () = self.sources.settle() => {}
                _ = looks.tick() => {
                    self.sources.look_after();
                    self.watcher.look_after();
                    self.forwarder.look_after();
                    self.aside.look_after();
                    self.show();
                    self.count_wear();
                    self.keep_time();
                    let turns = Turns {
                        engine: self.counters.engine_turns.get(),
                        store: self.counters.store_turns.get(),
                        store_refuses: self.store_refuses(),
                    };
                    if progress.moved(turns) {
                        self.counters.board.health.note_progress(self.clock.boot());
                        if watchdog.is_some() {
                            self.service.feed_watchdog();
                        }
                    }
                }
            }
        }
        let store = self.store.clone();
        tokio::select! {
            stopped = self.stop() => stopped,
            // Who says it again wants it now.
            () = told_again(&mut terminate, &mut interrupt) => {
                tracing::warn!("told to stop again: not waiting any longer; what waits is in the store");
                // As in `stop`.
                let _ = store.close();
                Ok(())
            }
        }
    }

    /// Whether the store takes nothing at the moment and says why: then the engine may wait for it. Starting anew would
    /// not repair the disk, and would cut what is being delivered.
    fn store_refuses(&self) -> bool {
        let status = self.store.status();
        let status = status.borrow();
        status.full || status.fault.is_some()
    }

    /// Notes once an hour what was written until then.
    fn count_wear(&self) {
        let now = self.clock.boot();
        if self.wear.is_due(now)
            && let Some(written) = wear::written_bytes()
        {
            self.wear.mark(now, written);
        }
    }

    /// Looks at the clock, and writes the time down when that is due.
    fn keep_time(&self) {
        if let Some(kept) = self.clock.to_keep() {
            let clock = Arc::clone(&self.clock);
            // A slow card must not hold up the other tasks; nobody waits for it.
            tokio::task::spawn_blocking(move || clock.keep(kept));
        }
    }

    /// Publishes what status and the service manager show.
    fn show(&mut self) {
        self.configured.send_replace(Configured {
            sources: self.sources.names(),
            upstream: self.forwarder.view(),
            watches_itself: self.watcher.is_on(),
            store_bytes_max: self.config.store.max_bytes,
            retain_delivered: self.config.store.retain_delivered,
        });
        self.service.status(self.status());
    }

    /// One line: what a technician wants to see in `systemctl status`.
    fn status(&self) -> String {
        let store = self.store.status().borrow().clone();
        let sources = idle::advice(&self.path, &self.config).unwrap_or_else(|| {
            let (up, all) = self.sources.up();
            format!("sources {up}/{all} up")
        });
        let upstream = match self.forwarder.is_connected() {
            None => "not configured",
            Some(true) => "connected",
            Some(false) => "not connected",
        };
        let events = if store.waiting == 1 { "event" } else { "events" };
        let mut text = format!("{sources}, upstream {upstream}, {} {events} waiting", store.waiting);
        if let Some(fault) = &store.fault {
            text.push_str(", store: ");
            text.push_str(fault);
        } else if store.full {
            text.push_str(", store full");
        }
        text
    }
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("error: signals cannot be handled: {error}")))
}

fn pipeline_ended(ended: Result<Result<(), Closed>, tokio::task::JoinError>) -> Failure {
    Failure::Failed(match ended {
        Ok(Ok(())) => "error: the pipeline ended by itself".to_owned(),
        Ok(Err(Closed)) => "error: the store's thread is gone; the store is intact, see the log above".to_owned(),
        Err(error) => format!("error: the pipeline failed: {error}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn the_end_drops_all_tasks_and_does_not_wait_for_a_look_up_that_hangs() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (answer, name_server) = std::sync::mpsc::channel::<()>();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        runtime.block_on(async move {
            let look_up = tokio::task::spawn_blocking(move || name_server.recv());
            tokio::spawn(async move {
                let _held = held;
                let _ = look_up.await;
            });
            tokio::task::yield_now().await;
        });
        end(runtime);
        assert!(dropped.blocking_recv().is_err(), "the task is gone");
        answer.send(()).expect("the look-up still waits");
    }
}
