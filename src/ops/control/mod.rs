//! The control socket: how a running gateway is asked and told things, by whoever may open the socket's file.
//!
//! Owns the socket file and what all routes share (HTTP/1.1 with JSON bodies over a unix socket); one file a subject.
//! Asks the pipeline by messages and reads published snapshots and the store's files; never touches the engine or the
//! store's thread itself. Permission is the file's mode, 0660: the service's user and group.

pub mod alarms;
pub mod dead;
pub mod events;
pub mod log;
pub mod queue;
pub mod reload;
pub mod replay;
pub mod state;
pub mod tap;
pub mod upstream;

use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Json, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::clock::SystemClock;
use crate::forward::nudge::Nudge;
use crate::ops::command::Command;
use crate::ops::logging;
use crate::ops::look::Live;
use crate::ops::metrics::{self, Metrics};
use crate::ops::reload::Asker;
use crate::ops::status::Status;
use crate::replay::Replays;
use crate::shutdown::Shutdown;
use crate::store::handle::StoreHandle;
use crate::tap::Tap;

/// Longest request body, bytes: an alarm's and a sensor's name with room to spare.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// How long the engine may take to answer; longer means that it waits for a full store.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Makes the status anew at each call.
pub type StatusFn = Arc<dyn Fn() -> Status + Send + Sync>;

/// What the routes work with.
#[derive(Clone)]
pub struct Routes {
    /// To the engine.
    pub commands: mpsc::Sender<Command>,
    /// Makes the status.
    pub status: StatusFn,
    /// To the app, which reloads.
    pub reload: Asker,
    /// To the store.
    pub store: StoreHandle,
    /// To what sends delivered events again.
    pub replays: Replays,
    /// To the forwarder while it waits for its next attempt.
    pub nudge: Nudge,
    /// `gateway.id`
    pub gateway: Arc<str>,
    /// The time.
    pub clock: Arc<SystemClock>,
    /// How much is logged.
    pub log: logging::Control,
    /// What is counted, for scrapers.
    pub metrics: Arc<Metrics>,
    /// Looks back.
    pub events: Arc<events::Events>,
    /// Looks on.
    pub tap: Arc<Tap>,
    /// Shows the whole state, once a second.
    pub live: Live,
}

/// Opens the socket and serves it until shutdown. An error is in words and leaves the gateway running without control.
///
/// # Errors
/// When the socket cannot be made, or another process answers on it.
pub async fn spawn(path: &Path, routes: Routes, mut shutdown: Shutdown) -> Result<tokio::task::JoinHandle<()>, String> {
    let listener = bind(path).await?;
    let router = Router::new()
        .route("/v1/status", get(status_of))
        .merge(alarms::routes())
        .merge(dead::routes())
        .merge(events::routes())
        .merge(log::routes())
        .merge(metrics::routes())
        .merge(queue::routes())
        .merge(reload::routes())
        .merge(replay::routes())
        .merge(state::routes())
        .merge(tap::routes())
        .merge(upstream::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let path = path.to_owned();
    let ours = identity(&path);
    let live = routes.live.clone();
    let router = router.with_state(routes);
    Ok(tokio::spawn(async move {
        let stop = async move {
            shutdown.wait().await;
            live.close().await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::warn!(%error, "the control socket stopped");
        }
        // Who was still being answered may have kept us until another socket has taken the place of this one.
        if ours.is_some() && identity(&path) == ours {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }))
}

/// Which file it is, whatever its name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Binds, replacing the socket file of a process that is gone.
async fn bind(path: &Path) -> Result<UnixListener, String> {
    let shown = path.display();
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(format!("{shown} exists and is no socket"));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(format!("another process answers on {shown}"));
        }
        std::fs::remove_file(path).map_err(|error| format!("the old socket {shown} cannot be removed: {error}"))?;
    }
    // systemd makes /run/tidegate for the service; whoever runs this by hand has none.
    if let Some(folder) = path.parent()
        && !folder.exists()
    {
        std::fs::DirBuilder::new().mode(0o750).create(folder).map_err(|error| {
            let folder = folder.display();
            format!(
                "its folder {folder} cannot be made: {error}; `sudo install -d -o tidegate -g tidegate -m 750 {folder}`, or \
                 name another `control_socket` in [gateway]"
            )
        })?;
    }
    let listener = UnixListener::bind(path).map_err(|error| format!("{shown} cannot be made: {error}"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(|error| format!("the mode of {shown} cannot be set: {error}"))?;
    Ok(listener)
}

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

async fn status_of(State(routes): State<Routes>) -> Json<Status> {
    Json((routes.status)())
}

async fn ask<T>(routes: &Routes, command: Command, answer: oneshot::Receiver<T>) -> Answer<T> {
    let unavailable = |what: &str| (StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
    let asked = async {
        routes.commands.send(command).await.map_err(|_| unavailable("the gateway is stopping"))?;
        answer.await.map(Json).map_err(|_| unavailable("the gateway is stopping"))
    };
    tokio::time::timeout(ANSWER_WITHIN, asked)
        .await
        .unwrap_or_else(|_| Err(unavailable("the engine waits for the store, which is full or slow; try again later")))
}
