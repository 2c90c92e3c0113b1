//! The reload's route of the control socket: take the configuration as it is in its files now.
//!
//! Owns how long an answer is waited for. The app does the work and says what came of it; see [`crate::ops::reload`]. A
//! configuration that is not taken is an outcome like any other, and no error of the request.

use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::post;

use super::{Answer, Routes};
use crate::ops::reload::Outcome;

/// How long a reload may take, one that runs already included: reading 5,000 alarms on the smallest board takes a part of
/// it. The asking side waits a little longer.
const OUTCOME_WITHIN: Duration = Duration::from_secs(8);

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/reload", post(reload))
}

async fn reload(State(routes): State<Routes>) -> Answer<Outcome> {
    let unavailable = |what: &str| (StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
    match tokio::time::timeout(OUTCOME_WITHIN, routes.reload.ask()).await {
        Ok(Some(outcome)) => Ok(Json(outcome)),
        Ok(None) => Err(unavailable("the gateway is stopping, or has only just opened its store; try again")),
        Err(_) => Err(unavailable("the gateway has not come to it yet; its log tells what comes of it")),
    }
}
