//! The start of the gateway, once its store is open: every task is made and wired.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::pipeline::{Pipeline, Rules};
use super::tasks::{Forwarder, Sources};
use super::watcher::Watcher;
use super::{App, SENSORS_MAX, aside, idle, page};
use crate::clock::SystemClock;
use crate::config::model::Config;
use crate::counters::Counters;
use crate::engine::{Engine, Output, Settings};
use crate::error::Failure;
use crate::event::{AlarmRecord, GatewayStarted};
use crate::forward::{self, nudge::Nudge};
use crate::ops::control::Routes;
use crate::ops::look::{Live, LookAt};
use crate::ops::metrics::Metrics;
use crate::ops::reload;
use crate::ops::status::{Configured, StatusSources};
use crate::ops::systemd::ServiceManager;
use crate::ops::wear::Wear;
use crate::ops::{control, home_assistant, logging};
use crate::record::Recorder;
use crate::replay;
use crate::shutdown::{self, Shutdown, Trigger};
use crate::source::way::way;
use crate::store::handle::StoreHandle;

/// What is there before any task is.
pub(super) struct Ground {
    pub log: logging::Control,
    pub clock: Arc<SystemClock>,
    pub counters: Arc<Counters>,
    pub store: StoreHandle,
    /// The alarm states as they were stored.
    pub records: Vec<AlarmRecord>,
    /// What the start is announced with.
    pub started: GatewayStarted,
}

impl App {
    pub(super) async fn start(path: &Path, config: Config, ground: Ground) -> Result<Self, Failure> {
        let Ground { log, clock, counters, store, records, started } = ground;
        let now = clock.now();
        let settings = Settings {
            boot_id: clock.boot_id,
            started: now,
            time_zone: config.gateway.zone(),
            seed: fastrand::u64(..),
            sensors_max: SENSORS_MAX,
        };
        let mut engine = Engine::new(settings, &config.alarms);
        let mut first = Output::default();
        let restored = engine.restore(&records, now, &mut first);
        drop(records);
        if restored.unreadable > 0 {
            tracing::warn!(
                alarms = restored.unreadable,
                "stored alarm states could not be read; these alarms start as normal"
            );
        }
        let (to_engine, inbox) = way();
        let (commands, asked) = mpsc::channel(1);
        // What the engine has already; only what comes later is looked at.
        let (rules, changed_rules) = watch::channel(Rules { alarms: Vec::new(), time_zone: jiff::tz::TimeZone::UTC });
        let (hooks, tap) = aside::hooks(&config, &counters);
        let recorder = Arc::new(Recorder::new(Arc::clone(&counters)));
        recorder.follow(config.record.as_ref());
        let pipeline = Pipeline {
            engine,
            recorder: Arc::clone(&recorder),
            store: store.clone(),
            clock: Arc::clone(&clock),
            counters: Arc::clone(&counters),
            inbox,
            commands: asked,
            rules: changed_rules,
            first,
            hooks: tap,
        };
        let mut watcher = Watcher::new(to_engine.clone(), Arc::clone(&counters), Arc::clone(&clock));
        watcher.follow(&config);
        let mut sources = Sources::new(to_engine, Arc::clone(&counters), Arc::clone(&clock));
        sources.follow(&config.sources);
        let (side, side_exit) = forward::side::channel();
        tokio::spawn(forward::retry::run(store.clone(), side.clone(), Arc::clone(&clock)));
        let surroundings = replay::Surroundings::new(&config.store.path, store.clone(), side, Arc::clone(&clock));
        let (replays, replaying) = replay::spawn(surroundings);
        let nudge = Nudge::default();
        let mut forwarder = Forwarder::new(forward::Means {
            gateway: Arc::clone(&config.gateway.id),
            store: store.clone(),
            side: side_exit,
            nudge: nudge.clone(),
            counters: Arc::clone(&counters),
            clock: Arc::clone(&clock),
        });
        forwarder.follow(config.upstream.as_ref(), &config.gateway.id);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            gateway = %config.gateway.id,
            sources = config.sources.len(),
            alarms = config.alarms.len(),
            waiting = started.waiting,
            previous_stop = started.previous_stop,
            "started"
        );
        idle::tell(path, &config);
        let (configured, shown) = watch::channel(Configured::default());
        let wear = Arc::new(Wear::new(now.boot));
        let status = StatusSources {
            gateway: Arc::clone(&config.gateway.id),
            counters: Arc::clone(&counters),
            clock: Arc::clone(&clock),
            wear: Arc::clone(&wear),
            store: store.status(),
            configured: shown,
            replays: replays.clone(),
        };
        let surroundings = home_assistant::Surroundings {
            commands: commands.clone(),
            store: store.status(),
            clock: Arc::clone(&clock),
        };
        let mut aside = aside::Aside::new(hooks, surroundings);
        aside.follow(&config);
        let metrics = Arc::new(Metrics::new(status.clone(), store.clone()));
        let status: control::StatusFn = Arc::new(move || status.status());
        let look_at = LookAt {
            commands: commands.clone(),
            status: Arc::clone(&status),
            clock: Arc::clone(&clock),
            store_path: config.store.path.as_path().into(),
        };
        let (reload, reloads) = reload::channel();
        let routes = Routes {
            commands,
            reload,
            log: log.clone(),
            metrics,
            status,
            live: Live::spawn(look_at, Arc::clone(&counters)),
            store: store.clone(),
            replays,
            nudge,
            gateway: Arc::clone(&config.gateway.id),
            clock: Arc::clone(&clock),
            events: Arc::new(control::events::Events::new(config.store.path.clone(), store.clone())),
            tap: Arc::clone(&counters.tap),
        };
        let mut page = page::Page::new(routes.clone(), Arc::clone(&counters));
        page.follow(&config.http).await;
        let control = open_control(&config, routes).await;
        Ok(Self {
            path: path.to_owned(),
            config,
            log,
            counters,
            clock,
            wear,
            store,
            sources,
            watcher,
            forwarder,
            rules,
            pipeline: tokio::spawn(pipeline.run(started)),
            service: ServiceManager::default(),
            configured,
            replaying,
            control,
            recorder,
            page,
            aside,
            reloads,
        })
    }
}

/// How often a control socket is tried again: whoever repairs its folder looks for it soon after.
const CONTROL_RETRY: Duration = Duration::from_secs(5);

/// Opens the control socket. Without it the gateway still does its work, so a fault is told and tried again.
pub(super) async fn open_control(config: &Config, routes: Routes) -> Option<(Trigger, JoinHandle<()>)> {
    let path = config.gateway.control_socket.clone()?;
    let (trigger, shutdown) = shutdown::channel();
    let task = match control::spawn(&path, routes.clone(), shutdown.clone()).await {
        Ok(task) => task,
        Err(reason) => {
            tracing::warn!(
                "no control socket, so `tidegate status` and `tidegate alarms` cannot ask; tried again: {reason}"
            );
            tokio::spawn(open_control_later(path, routes, shutdown))
        }
    };
    Some((trigger, task))
}

async fn open_control_later(path: PathBuf, routes: Routes, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(CONTROL_RETRY) => {}
        }
        if let Ok(task) = control::spawn(&path, routes.clone(), shutdown.clone()).await {
            tracing::info!(path = %path.display(), "the control socket is there");
            // Its end is the end of this one, however it comes.
            let _ = task.await;
            return;
        }
    }
}
