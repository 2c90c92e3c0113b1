//! The tasks at both ends: sources and the forwarder, started, restarted and stopped as the configuration says.
//!
//! Owns their handles. Never sees what they carry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::config::model::{Source, SourceKind, Upstream};
use crate::counters::Counters;
use crate::forward::{self, Means, UpstreamView};
use crate::shutdown::{self, Trigger};
use crate::source::{self, way::ToEngine};

/// A task that ended by itself is started again after this long, so that a fault that comes at once does not spin.
const RESTART_AFTER: Duration = Duration::from_secs(5);

struct RunningSource {
    config: Source,
    trigger: Trigger,
    task: JoinHandle<()>,
    ended: Option<Instant>,
}

/// All sources.
pub struct Sources {
    running: Vec<RunningSource>,
    /// Told to stop by a reload, and finishing what they have taken.
    ending: Vec<JoinHandle<()>>,
    /// To be started when those have ended: two at once under one client id would take the connection from each other,
    /// and what the old one has not acknowledged yet would come again.
    waiting: Vec<Source>,
    to_engine: ToEngine,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
}

impl Sources {
    pub fn new(to_engine: ToEngine, counters: Arc<Counters>, clock: Arc<SystemClock>) -> Self {
        Self { running: Vec::new(), ending: Vec::new(), waiting: Vec::new(), to_engine, counters, clock }
    }

    /// Makes the running sources those of the configuration; one that has not changed is not touched.
    pub fn follow(&mut self, wanted: &[Source]) {
        for running in std::mem::take(&mut self.running) {
            if wanted.contains(&running.config) {
                self.running.push(running);
            } else {
                running.trigger.stop();
                self.ending.push(running.task);
            }
        }
        let is_new = |config: &&Source| !self.running.iter().any(|running| running.config == **config);
        self.waiting = wanted.iter().filter(is_new).cloned().collect();
        if self.ending.is_empty() {
            self.start_waiting();
        }
    }

    /// Returns when sources that a reload has changed are started anew; never where there is none. Cancel-safe.
    pub async fn settle(&mut self) {
        if self.ending.is_empty() {
            std::future::pending::<()>().await;
        }
        while let Some(task) = self.ending.last_mut() {
            // A panic has been told by the runtime; the source is over all the same.
            let _ = task.await;
            self.ending.pop();
        }
        self.start_waiting();
    }

    fn start_waiting(&mut self) {
        for config in std::mem::take(&mut self.waiting) {
            let started = self.start(&config);
            self.running.push(started);
        }
    }

    /// Starts again what has ended by itself.
    pub fn look_after(&mut self) {
        for index in 0..self.running.len() {
            let running = &mut self.running[index];
            if !running.task.is_finished() {
                continue;
            }
            let name = &running.config.name;
            let ended = *running.ended.get_or_insert_with(|| {
                tracing::error!(source = %name, "the source's task ended by itself; it is started again");
                Instant::now()
            });
            if ended.elapsed() >= RESTART_AFTER {
                let config = running.config.clone();
                self.running[index] = self.start(&config);
            }
        }
    }

    /// How many are up, and how many there are.
    pub fn up(&self) -> (usize, usize) {
        let up = self.running.iter().filter(|running| self.counters.source(&running.config.name).up.get() > 0);
        (up.count(), self.running.len() + self.waiting.len())
    }

    /// Their names, each followed by those of its units, which are counted and lost on their own.
    pub fn names(&self) -> Vec<Arc<str>> {
        let all = self.running.iter().map(|running| &running.config).chain(&self.waiting);
        all.flat_map(|config| {
            let units = match &config.kind {
                SourceKind::Modbus(modbus) => modbus.units.as_slice(),
                _ => &[],
            };
            let units = units.iter().map(|unit| unit.source_name(&config.name).into());
            std::iter::once(Arc::clone(&config.name)).chain(units)
        })
        .collect()
    }

    /// Stops all and drops the way to the engine, which ends the pipeline when it has taken what is left.
    pub async fn stop(self, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        for running in &self.running {
            running.trigger.stop();
        }
        for mut running in self.running {
            if tokio::time::timeout_at(deadline, &mut running.task).await.is_err() {
                running.task.abort();
                tracing::warn!(source = %running.config.name, "the source did not stop in time");
            }
        }
        for mut task in self.ending {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    fn start(&self, config: &Source) -> RunningSource {
        let (trigger, shutdown) = shutdown::channel();
        let to_engine = self.to_engine.clone();
        let task = source::spawn(config, to_engine, Arc::clone(&self.counters), Arc::clone(&self.clock), shutdown);
        RunningSource { config: config.clone(), trigger, task, ended: None }
    }
}

struct RunningForwarder {
    config: Upstream,
    trigger: Trigger,
    task: JoinHandle<()>,
    view: watch::Receiver<UpstreamView>,
    ended: Option<Instant>,
}

/// The forwarder, or none where no upstream is configured.
pub struct Forwarder {
    running: Option<RunningForwarder>,
    means: Means,
}

impl Forwarder {
    pub fn new(means: Means) -> Self {
        Self { running: None, means }
    }

    /// Makes the running forwarder that of the configuration; an unchanged one is not touched.
    pub fn follow(&mut self, wanted: Option<&Upstream>, gateway: &Arc<str>) {
        if self.running.as_ref().map(|running| &running.config) == wanted {
            return;
        }
        self.means.gateway = Arc::clone(gateway);
        // The old connection is dropped as it is, not drained: two at a time would break the order per sensor.
        if let Some(old) = self.running.take() {
            old.task.abort();
            // It has no time to say so itself.
            self.means.counters.upstream_up.set(0);
            self.means.counters.upstream_inflight.set(0);
        }
        self.running = wanted.map(|config| self.start(config));
    }

    /// Starts it again if it has ended by itself.
    pub fn look_after(&mut self) {
        let Some(running) = &mut self.running else { return };
        if !running.task.is_finished() {
            return;
        }
        let ended = *running.ended.get_or_insert_with(|| {
            tracing::error!("the forwarder's task ended by itself; it is started again");
            Instant::now()
        });
        if ended.elapsed() >= RESTART_AFTER {
            let config = running.config.clone();
            self.running = Some(self.start(&config));
        }
    }

    /// What it shows of itself; `None` without an upstream.
    pub fn view(&self) -> Option<watch::Receiver<UpstreamView>> {
        self.running.as_ref().map(|running| running.view.clone())
    }

    /// Whether it is connected; `None` without an upstream.
    pub fn is_connected(&self) -> Option<bool> {
        self.running.as_ref().map(|running| running.view.borrow().connected)
    }

    /// Lets it drain for as long as the grace lasts.
    pub async fn stop(self, grace: Duration) {
        let Some(mut running) = self.running else { return };
        running.trigger.stop();
        if tokio::time::timeout(grace, &mut running.task).await.is_err() {
            running.task.abort();
        }
    }

    fn start(&self, config: &Upstream) -> RunningForwarder {
        let (trigger, shutdown) = shutdown::channel();
        let (task, view) = forward::spawn(config.clone(), self.means.clone(), shutdown);
        RunningForwarder { config: config.clone(), trigger, task, view, ended: None }
    }
}
