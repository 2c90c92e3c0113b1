//! The state's routes of the control socket: what the local page shows, for a terminal.
//!
//! Owns that the board is kept while somebody looks, also where the page is off. The shape is that of the page's
//! `/api/v1/state`; see [`crate::ops::look`].

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Routes;
use crate::ops::look::{HistoryQuery, NoRoom, Onlooker, Who};

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new()
        .route("/v1/state", get(now))
        .route("/v1/state/stream", get(stream))
        .route("/v1/state/history", get(history))
}

type Refused = (StatusCode, String);

fn stopping() -> Refused {
    (StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping".to_owned())
}

async fn now(State(routes): State<Routes>) -> Result<Response, Refused> {
    // Sensors that the engine knows are shown even where nothing was kept.
    let _looks = Onlooker::new(routes.live.counters().clone());
    let json = routes.live.full().await.ok_or_else(stopping)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

async fn stream(State(routes): State<Routes>) -> Result<Response, Refused> {
    match routes.live.join(Who::Terminal).await {
        Ok(updates) => Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(updates)).into_response()),
        Err(NoRoom::Full) => Err((StatusCode::SERVICE_UNAVAILABLE, "too many look on already".to_owned())),
        Err(NoRoom::Stopping) => Err(stopping()),
    }
}

async fn history(
    State(routes): State<Routes>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(|error| (StatusCode::BAD_REQUEST, error.body_text()))?;
    let json = query.answer(routes.live.counters(), routes.clock.boot())?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}
