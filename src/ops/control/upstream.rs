//! The upstream's route of the control socket: connect now.
//!
//! Owns the answer. Never touches a connection that is up.

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::{Answer, Routes};

/// What there was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconnect {
    /// An attempt was waited for; it is made now.
    Attempting,
    /// One was under way already.
    UnderWay,
    /// The connection is up.
    Connected,
}

/// The answer to [`routes`]' only question.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReconnectAnswer {
    /// What there was to do.
    pub reconnect: Reconnect,
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/upstream/reconnect", post(reconnect))
}

async fn reconnect(State(routes): State<Routes>) -> Answer<ReconnectAnswer> {
    let Some(upstream) = (routes.status)().upstream else {
        return Err((
            StatusCode::CONFLICT,
            "no [upstream] is configured, or the gateway still waits for its store".to_owned(),
        ));
    };
    // All tasks share one thread: nothing changes between the question and the nudge.
    let reconnect = if upstream.connected {
        Reconnect::Connected
    } else if upstream.next_attempt.is_some() {
        routes.nudge.attempt_now();
        Reconnect::Attempting
    } else {
        Reconnect::UnderWay
    };
    Ok(Json(ReconnectAnswer { reconnect }))
}
