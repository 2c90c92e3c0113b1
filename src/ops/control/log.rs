//! The log's routes of the control socket: how much is said, and for how long.

use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::{Answer, Routes};
use crate::ops::logging::{self, Levels};

/// Longest time a change may be asked for: a month; what is to hold longer belongs into the configuration.
pub const FOR_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// What is to be said from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLevelRequest {
    /// A level, `target=level`, or `default` for what is configured.
    pub what: String,
    /// For how long, seconds; until the next start without it.
    #[serde(default)]
    pub for_s: Option<u64>,
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/log-level", get(shown).post(change))
}

async fn shown(State(routes): State<Routes>) -> Json<Levels> {
    Json(routes.log.levels())
}

async fn change(State(routes): State<Routes>, Json(request): Json<LogLevelRequest>) -> Answer<Levels> {
    let wrong = |what: String| (StatusCode::BAD_REQUEST, what);
    let change: logging::Change = request.what.parse().map_err(wrong)?;
    let time = request.for_s.map(Duration::from_secs);
    if time.is_some_and(|time| time.is_zero() || time > FOR_MAX) {
        return Err(wrong("for how long? expected 1 s to 31 d".to_owned()));
    }
    let turn = routes.log.change(&change);
    tracing::info!(what = request.what, for_s = request.for_s, "the log level is changed by an operator");
    if let Some(time) = time {
        logging::end_after(routes.log.clone(), turn, time);
    }
    Ok(Json(routes.log.levels()))
}
