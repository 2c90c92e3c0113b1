//! The task by which the gateway watches itself, as the configuration wants it.
//!
//! Owns its handle. Never sees what it reads.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::config::model::Config;
use crate::counters::Counters;
use crate::reading::own::NAME;
use crate::shutdown::{self, Trigger};
use crate::source::own::{self, Plan};
use crate::source::way::ToEngine;

/// The gateway's own readings, or none.
pub struct Watcher {
    /// Kept for as long as it may run: when it is dropped stops the task.
    running: Option<(Plan, Trigger, JoinHandle<()>)>,
    to_engine: ToEngine,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
}

impl Watcher {
    pub fn new(to_engine: ToEngine, counters: Arc<Counters>, clock: Arc<SystemClock>) -> Self {
        Self { running: None, to_engine, counters, clock }
    }

    /// Makes it read what the configuration wants; unchanged, it is not touched.
    pub fn follow(&mut self, config: &Config) {
        let wanted = config.watches_itself().then(|| Plan {
            every: config.gateway.watch_every,
            store: config.store.path.clone(),
            has_upstream: config.upstream.is_some(),
        });
        if self.running.as_ref().map(|(plan, ..)| plan) == wanted.as_ref() {
            return;
        }
        if let Some((_, _, task)) = self.running.take() {
            // It holds nothing that would be lost, and has no time to say that it is gone.
            task.abort();
            self.counters.source(&Arc::from(NAME)).up.set(0);
        }
        self.running = wanted.map(|plan| self.start(plan));
    }

    /// Whether it reads.
    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// Starts it again if it has ended by itself.
    pub fn look_after(&mut self) {
        let Some((plan, ..)) = self.running.take_if(|(_, _, task)| task.is_finished()) else { return };
        tracing::error!("watching the gateway itself has ended by itself; it is started again");
        self.running = Some(self.start(plan));
    }

    /// Stops, and drops the way to the engine.
    pub async fn stop(self) {
        if let Some((_, trigger, task)) = self.running {
            trigger.stop();
            // What it waits for it can be taken from; a panic has been told by the runtime.
            let _ = task.await;
        }
    }

    fn start(&self, plan: Plan) -> (Plan, Trigger, JoinHandle<()>) {
        let (trigger, shutdown) = shutdown::channel();
        let (counters, clock) = (Arc::clone(&self.counters), Arc::clone(&self.clock));
        let task = own::spawn(plan.clone(), self.to_engine.clone(), counters, clock, shutdown);
        (plan, trigger, task)
    }
}
