//! What stands aside of the data path and acts on alarms: programs to run, and Home Assistant.
//!
//! Owns their tasks' lives. Nothing of it is ever waited for but in a stop, for a moment.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::stop::FAREWELL;
use crate::config::model::{Config, Hook, SourceKind};
use crate::counters::Counters;
use crate::ops::home_assistant::{self, Plan, Surroundings};
use crate::ops::hooks::{self, Tap};
use crate::shutdown::{self, Trigger};

/// The programs' task.
pub struct Hooks {
    table: watch::Sender<Arc<[Hook]>>,
    task: JoinHandle<()>,
}

/// Starts the programs' task; what the pipeline tells it goes into the tap.
pub fn hooks(config: &Config, counters: &Arc<Counters>) -> (Hooks, Tap) {
    let (table, followed) = watch::channel(Arc::from(config.hooks.as_slice()));
    let (tap, runner) = hooks::channel(followed, Arc::clone(&config.gateway.id), Arc::clone(counters));
    (Hooks { table, task: tokio::spawn(runner.run()) }, tap)
}

/// Both.
pub struct Aside {
    hooks: Hooks,
    surroundings: Surroundings,
    home_assistant: Option<(Plan, Trigger, JoinHandle<()>)>,
}

impl Aside {
    pub fn new(hooks: Hooks, surroundings: Surroundings) -> Self {
        Self { hooks, surroundings, home_assistant: None }
    }

    /// Makes it what the configuration wants; unchanged, it is not touched.
    pub fn follow(&mut self, config: &Config) {
        if self.hooks.table.borrow().as_ref() != config.hooks.as_slice() {
            self.hooks.table.send_replace(Arc::from(config.hooks.as_slice()));
        }
        let wanted = plan(config);
        if self.home_assistant.as_ref().map(|(plan, ..)| plan) == wanted.as_ref() {
            return;
        }
        if let Some((_, _, task)) = self.home_assistant.take() {
            // The broker says that it is gone; it holds nothing that would be lost.
            task.abort();
        }
        self.home_assistant = wanted.map(|plan| self.start(plan));
    }

    /// Starts again what has ended by itself.
    pub fn look_after(&mut self) {
        let Some((plan, ..)) = self.home_assistant.take_if(|(_, _, task)| task.is_finished()) else { return };
        tracing::error!("the task for Home Assistant has ended by itself; it is started again");
        self.home_assistant = Some(self.start(plan));
    }

    /// Ends it. Programs that still run are killed: the service manager would.
    pub async fn stop(self) {
        self.hooks.task.abort();
        if let Some((_, trigger, mut task)) = self.home_assistant {
            trigger.stop();
            if tokio::time::timeout(FAREWELL, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    fn start(&self, plan: Plan) -> (Plan, Trigger, JoinHandle<()>) {
        let (trigger, shutdown) = shutdown::channel();
        let task = tokio::spawn(home_assistant::run(plan.clone(), self.surroundings.clone(), shutdown));
        (plan, trigger, task)
    }
}

fn plan(config: &Config) -> Option<Plan> {
    let wanted = config.home_assistant.clone()?;
    let broker = config.sources.iter().find(|source| source.name == wanted.source)?;
    let SourceKind::Mqtt(broker) = &broker.kind else { return None };
    Some(Plan {
        config: wanted,
        broker: broker.clone(),
        alarms: config.alarms.clone(),
        gateway: Arc::clone(&config.gateway.id),
        store_path: config.store.path.clone(),
    })
}
