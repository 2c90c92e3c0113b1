//! The control socket: how a running gateway is asked and told things, by whoever may open the socket's file.
//!
//! Owns the socket file and the routes (HTTP/1.1 with JSON bodies over a unix socket). Asks the pipeline by messages
//! and reads published snapshots; never touches the engine or the store itself. Permission is the file's mode, 0660:
//! the service's user and group.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Json, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::app::pipeline::{AlarmCommand, Command};
use crate::clock::{BootTime, SystemClock};
use crate::config::model::Severity;
use crate::config::pattern;
use crate::engine::AlarmView;
use crate::event::{AlarmState, Limit};
use crate::ops::status::Status;
use crate::reading::Value;
use crate::shutdown::Shutdown;

/// Longest request body, bytes: an alarm's and a sensor's name with room to spare.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// How long the engine may take to answer; longer means that it waits for a full store.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What is told to an alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmRequest {
    /// The alarm's name.
    pub alarm: String,
    /// The sensor's name or a pattern of names.
    pub sensor: String,
    /// For shelving: for how long, seconds.
    #[serde(default)]
    pub for_seconds: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmAnswer {
    /// Whether any alarm was changed by it.
    pub changed: bool,
}

/// One alarm on one sensor, as shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmLine {
    /// The alarm's name.
    pub alarm: String,
    /// The sensor's name.
    pub sensor: String,
    /// How urgent.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlarmState,
    /// While active: since when, RFC 3339.
    pub since: Option<String>,
    /// The last value.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<String>,
    /// The limit.
    pub limit: Limit,
    /// The value furthest beyond the limit.
    pub peak: Option<Value>,
    /// Somebody has acknowledged it.
    pub acknowledged: bool,
    /// Latched, its condition gone: becomes inactive when acknowledged.
    pub waits_for_acknowledgement: bool,
    /// Shelved for so many more seconds.
    pub shelved_s: Option<u64>,
    /// Taken out of force.
    pub suppressed: bool,
}

impl AlarmLine {
    fn new(view: AlarmView, now: BootTime) -> Self {
        Self {
            alarm: view.alarm.to_string(),
            sensor: view.sensor.to_string(),
            severity: view.severity,
            state: view.state,
            since: view.since.map(|since| since.to_string()),
            value: view.value,
            unit: view.unit.map(|unit| unit.to_string()),
            limit: view.limit,
            peak: view.peak,
            acknowledged: view.acknowledged,
            waits_for_acknowledgement: view.waits_for_acknowledgement,
            shelved_s: view.shelved_until.map(|until| until.since(now).as_secs()),
            suppressed: view.suppressed,
        }
    }
}

/// Makes the status anew at each call.
pub type StatusFn = Arc<dyn Fn() -> Status + Send + Sync>;

#[derive(Clone)]
struct Routes {
    commands: mpsc::Sender<Command>,
    status: StatusFn,
    clock: Arc<SystemClock>,
}

/// Opens the socket and serves it until shutdown. An error is in words and leaves the gateway running without control.
///
/// # Errors
/// When the socket cannot be made, or another process answers on it.
pub async fn spawn(
    path: &Path,
    commands: mpsc::Sender<Command>,
    status: StatusFn,
    clock: Arc<SystemClock>,
    mut shutdown: Shutdown,
) -> Result<tokio::task::JoinHandle<()>, String> {
    let listener = bind(path).await?;
    let router = Router::new()
        .route("/v1/status", get(status_of))
        .route("/v1/alarms", get(alarms))
        .route("/v1/alarms/acknowledge", post(acknowledge))
        .route("/v1/alarms/shelve", post(shelve))
        .route("/v1/alarms/unshelve", post(unshelve))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Routes { commands, status, clock });
    let path = path.to_owned();
    Ok(tokio::spawn(async move {
        let stop = async move { shutdown.wait().await };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::warn!(%error, "the control socket stopped");
        }
        // Gone already is as good.
        let _ = std::fs::remove_file(path);
    }))
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
    let listener = UnixListener::bind(path).map_err(|error| format!("{shown} cannot be made: {error}"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(|error| format!("the mode of {shown} cannot be set: {error}"))?;
    Ok(listener)
}

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

async fn status_of(State(routes): State<Routes>) -> Json<Status> {
    Json((routes.status)())
}

async fn alarms(State(routes): State<Routes>) -> Answer<Vec<AlarmLine>> {
    let (reply, answer) = oneshot::channel();
    let Json(views) = ask(&routes, Command::Alarms(reply), answer).await?;
    let now = routes.clock.boot();
    Ok(Json(views.into_iter().map(|view| AlarmLine::new(view, now)).collect()))
}

async fn acknowledge(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |_| Ok(AlarmCommand::Acknowledge)).await
}

async fn shelve(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |request| {
        let seconds = request.for_seconds.ok_or("`for_seconds` is missing: how long to shelve")?;
        Ok(AlarmCommand::Shelve(Duration::from_secs(seconds)))
    })
    .await
}

async fn unshelve(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |_| Ok(AlarmCommand::Unshelve)).await
}

async fn tell(
    routes: &Routes,
    request: AlarmRequest,
    command: impl Fn(&AlarmRequest) -> Result<AlarmCommand, &'static str>,
) -> Answer<AlarmAnswer> {
    let command = command(&request).map_err(|what| (StatusCode::BAD_REQUEST, what.to_owned()))?;
    // One that is not well formed may match more than is meant.
    pattern::check(&request.sensor).map_err(|(_, why)| {
        (StatusCode::BAD_REQUEST, format!("`{}` is no sensor or pattern: {why}", request.sensor))
    })?;
    let (done, answer) = oneshot::channel();
    let command = Command::Alarm { alarm: request.alarm, sensor: request.sensor, command, done };
    let Json(changed) = ask(routes, command, answer).await?;
    Ok(Json(AlarmAnswer { changed }))
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
