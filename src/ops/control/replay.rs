//! The replay's routes of the control socket: started, shown, cancelled.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{Answer, Routes};
use crate::clock::WallTime;
use crate::config::pattern;
use crate::replay::{Job, Refused, ReplayView};

/// What is to be sent again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Events from this time on, RFC 3339.
    pub since: String,
    /// Events up to this time.
    #[serde(default)]
    pub until: Option<String>,
    /// A sensor's name or a pattern of names; all events without it.
    #[serde(default)]
    pub sensor: Option<String>,
}

/// A replay, and what the gateway keeps to replay from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplayAnswer {
    /// The replay under way, or the last one since the gateway's start.
    pub replay: Option<ReplayView>,
    /// `store.retain_delivered`, bytes; 0 is off.
    pub retain_delivered: u64,
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/replay", get(shown).post(start)).route("/v1/replay/cancel", post(cancel))
}

async fn shown(State(routes): State<Routes>) -> Json<ReplayAnswer> {
    Json(answer(&routes, routes.replays.view()))
}

async fn start(State(routes): State<Routes>, Json(request): Json<ReplayRequest>) -> Answer<ReplayAnswer> {
    let wrong = |what: String| (StatusCode::BAD_REQUEST, what);
    let status = (routes.status)();
    if status.upstream.is_none() {
        return Err((StatusCode::CONFLICT, "no [upstream] is configured, so there is nowhere to send to".to_owned()));
    }
    let now = routes.clock.wall();
    let since = time("since", &request.since).map_err(wrong)?;
    let until = request.until.as_deref().map(|text| time("until", text)).transpose().map_err(wrong)?;
    if since > now {
        return Err(wrong(format!("`since` ({since}) is in the future; it is {now} by the gateway's clock")));
    }
    if until.is_some_and(|until| until < since) {
        return Err(wrong(format!("`until` ({}) is before `since` ({since})", request.until.unwrap_or_default())));
    }
    if let Some(sensor) = &request.sensor {
        pattern::check(sensor).map_err(|(_, why)| wrong(format!("`{sensor}` is no sensor or pattern: {why}")))?;
    }
    let job = Job::new(since, until, request.sensor.map(Arc::from), now, status.store.delivered);
    told(&routes, routes.replays.start(job).await)
}

async fn cancel(State(routes): State<Routes>) -> Answer<ReplayAnswer> {
    told(&routes, routes.replays.cancel().await)
}

fn told(routes: &Routes, done: Result<ReplayView, Refused>) -> Answer<ReplayAnswer> {
    match done {
        Ok(view) => Ok(Json(answer(routes, Some(view)))),
        Err(Refused::Busy(view)) => Err((
            StatusCode::CONFLICT,
            format!(
                "a replay is under way already, since {}: {}\n  = help: wait for it (`tidegate replay status`) or end \
                 it (`tidegate replay cancel`)",
                view.started,
                view.line()
            ),
        )),
        Err(Refused::Idle) => Err((StatusCode::CONFLICT, "no replay is under way".to_owned())),
        Err(Refused::Stopping) => Err((StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping".to_owned())),
    }
}

fn answer(routes: &Routes, replay: Option<ReplayView>) -> ReplayAnswer {
    ReplayAnswer { replay, retain_delivered: (routes.status)().store.retain_delivered }
}

fn time(name: &str, text: &str) -> Result<WallTime, String> {
    let stamp: jiff::Timestamp = text.parse().map_err(|error| format!("`{name}`: \"{text}\" is no time: {error}"))?;
    let nanos = i64::try_from(stamp.as_nanosecond()).map_err(|_| format!("`{name}`: {text} is out of range"))?;
    Ok(WallTime(nanos))
}
