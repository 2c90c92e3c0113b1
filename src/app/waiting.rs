//! Opening the store, however long that takes (P5).
//!
//! Owns the time before there is a store: a directory that belongs to somebody else, a disk that is not mounted or a
//! store that only a later version can read is repaired by a person, not by ending and being started again for ever.
//! Until then the process runs, says what is wrong to the service manager, the log and `tidegate status`, and starts
//! nothing that would take a reading. Only a store that another process works in ends it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::SignalKind;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::page::Page;
use super::reload::{LOG_FORMAT, fixed};
use super::start::open_control;
use super::stop::FAREWELL;
use super::{LOOK_EVERY, doubts, load, on, tell_doubts, tell_refused};
use crate::clock::SystemClock;
use crate::config::model::Config;
use crate::counters::Counters;
use crate::error::Failure;
use crate::forward::nudge::Nudge;
use crate::ops::control::{self, Routes};
use crate::ops::logging;
use crate::ops::look::{Live, LookAt};
use crate::ops::metrics::Metrics;
use crate::ops::reload::{self, Changes, Found, Outcome};
use crate::ops::status::{Configured, StatusSources};
use crate::ops::systemd::ServiceManager;
use crate::ops::wear::Wear;
use crate::replay::Replays;
use crate::store::handle::{StoreHandle, StoreStatus};
use crate::store::{OpenError, Opened};

/// First and longest pause between attempts to open the store: who has repaired it should not have to wait.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Who has asked for a reload has this long to read the answer: opening a large store keeps the whole process busy.
const ANSWER_FIRST: Duration = Duration::from_millis(100);

/// Opens the store of `config`. `None` when told to stop before that could be done. A reload while waiting takes
/// another configuration, another path of the store included.
///
/// # Errors
/// Another process works in the store.
pub(super) async fn open(
    path: &Path,
    config: &mut Config,
    log: &logging::Control,
    counters: &Arc<Counters>,
    clock: &Arc<SystemClock>,
) -> Result<Option<Opened>, Failure> {
    let attempt = |config: &Config| crate::store::open(&config.store, Arc::clone(counters), Arc::clone(clock));
    let mut fault = match fault_of(attempt(config))? {
        Ok(opened) => return Ok(Some(opened)),
        Err(fault) => fault,
    };
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut hang_up = on(SignalKind::hangup())?;
    let (status, shown) = watch::channel(StoreStatus::default());
    let (configured, shown_configured) = watch::channel(Configured::default());
    // Nobody reads it: there is no engine yet. Kept, so that who asks is told to try again.
    let (commands, _unread) = mpsc::channel(1);
    let (no_store, _) = StoreHandle::new(shown.clone());
    let sources = StatusSources {
        gateway: Arc::clone(&config.gateway.id),
        counters: Arc::clone(counters),
        clock: Arc::clone(clock),
        wear: Arc::new(Wear::new(clock.boot())),
        store: shown,
        replays: Replays::none(),
        configured: shown_configured,
    };
    let metrics = Arc::new(Metrics::new(sources.clone(), no_store.clone()));
    let status_of: control::StatusFn = Arc::new(move || sources.status());
    let look_at = LookAt {
        commands: commands.clone(),
        status: Arc::clone(&status_of),
        clock: Arc::clone(clock),
        store_path: config.store.path.as_path().into(),
    };
    let (reload, mut reloads) = reload::channel();
    let routes = Routes {
        commands,
        reload,
        log: log.clone(),
        metrics,
        status: status_of,
        live: Live::spawn(look_at, Arc::clone(counters)),
        store: no_store.clone(),
        replays: Replays::none(),
        nudge: Nudge::default(),
        gateway: Arc::clone(&config.gateway.id),
        clock: Arc::clone(clock),
        events: Arc::new(control::events::Events::new(config.store.path.clone(), no_store)),
        tap: Arc::clone(&counters.tap),
    };
    let mut page = Page::new(routes.clone(), Arc::clone(counters));
    page.follow(&config.http).await;
    let control = open_control(config, routes).await;
    let mut service = ServiceManager::default();
    let watchdog = service.watchdog_interval().filter(|interval| !interval.is_zero());
    let mut looks = tokio::time::interval(watchdog.map_or(LOOK_EVERY, |interval| (interval / 3).min(LOOK_EVERY)));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = None;
    let mut pause = BACKOFF.0;
    let opened = loop {
        configured.send_replace(Configured { store_bytes_max: config.store.max_bytes, ..Configured::default() });
        status.send_replace(StoreStatus { fault: Some(fault.as_str().into()), ..StoreStatus::default() });
        service.status(format!("waiting for the store: {fault}"));
        counters.board.health.wait_for(Some(&format!("no store: {fault}")));
        if told.is_none() {
            service.ready();
        }
        if told.as_ref() != Some(&fault) {
            tracing::error!("no store, so nothing is taken from the sensors; tried again until it opens: {fault}");
            told = Some(fault);
        }
        let mut due = Instant::now() + pause;
        pause = (pause * 2).min(BACKOFF.1);
        let is_over = loop {
            tokio::select! {
                _ = terminate.recv() => break true,
                _ = interrupt.recv() => break true,
                _ = hang_up.recv() => {
                    take(path, config, log, &mut page, &service).await;
                    break false;
                }
                asking = reloads.next() => {
                    reload::answer(asking, &take(path, config, log, &mut page, &service).await);
                    due = Instant::now() + ANSWER_FIRST;
                }
                () = tokio::time::sleep_until(due) => break false,
                _ = looks.tick() => {
                    counters.board.health.note_progress(clock.boot());
                    if watchdog.is_some() {
                        service.feed_watchdog();
                    }
                }
            }
        };
        if is_over {
            service.stopping(Duration::ZERO);
            tracing::info!("stopped; the store was never opened");
            break None;
        }
        match fault_of(attempt(config))? {
            Ok(opened) => {
                tracing::info!("the store is open");
                break Some(opened);
            }
            Err(again) => fault = again,
        }
    };
    page.stop().await;
    if let Some((trigger, task)) = control {
        trigger.stop();
        // Whoever is being answered may keep it; the gateway's own socket replaces the file.
        let _ = tokio::time::timeout(FAREWELL, task).await;
    }
    Ok(opened)
}

/// Another process in the store is the end; everything else is a fault to wait for.
fn fault_of(attempt: Result<Opened, OpenError>) -> Result<Result<Opened, String>, Failure> {
    match attempt {
        Ok(opened) => Ok(Ok(opened)),
        Err(error @ OpenError::InUse { .. }) => Err(Failure::Failed(format!("error: {error}"))),
        Err(error @ (OpenError::Unusable { .. } | OpenError::Later { .. })) => Ok(Err(error.to_string())),
    }
}

/// Takes the configuration as it is now; a bad one is told, and the old one stays in force.
async fn take(
    path: &Path,
    config: &mut Config,
    log: &logging::Control,
    page: &mut Page,
    service: &ServiceManager,
) -> Outcome {
    service.reloading();
    let outcome = match load(path) {
        Err(report) => Outcome::Refused(Found::from(&report)),
        Ok(loaded) => match fixed(LOG_FORMAT, config, &loaded.config) {
            Some(key) => Outcome::RestartNeeded { keys: vec![key] },
            None => {
                let doubts = doubts(&loaded);
                tell_doubts(&doubts);
                log.set_level(loaded.config.gateway.log_level);
                let changes = Changes::between(config, &loaded.config);
                *config = loaded.config;
                page.follow(&config.http).await;
                let note = Some("the store was not open yet; `tidegate status` tells whether it is now".to_owned());
                Outcome::Reloaded { changes, note, found: Found::from(&doubts) }
            }
        },
    };
    match &outcome {
        Outcome::Reloaded { changes, .. } => tracing::info!("configuration reloaded: {changes}"),
        Outcome::Refused(_) | Outcome::RestartNeeded { .. } => tell_refused(&outcome),
    }
    service.ready();
    outcome
}
