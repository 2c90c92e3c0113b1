//! The state's routes of the control socket: what the local page shows, for a terminal.
//!
//! Owns that the board is kept while somebody looks, also where the page is off. The shape is that of the page's
//! `/api/v1/state`; see [`crate::ops::look`].

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::{Bytes, Frame};

use super::Routes;
use crate::ops::look::{HistoryQuery, NoRoom, Onlooker, Updates, Who};

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
    let looks = Onlooker::new(routes.live.counters().clone());
    match routes.live.join(Who::Terminal).await {
        Ok(updates) => {
            let body = Body::new(Watched { updates, _looks: looks });
            Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
        }
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

/// The stream, and that somebody looks while it lasts.
struct Watched {
    updates: Updates,
    _looks: Onlooker,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.updates).poll_frame(context)
    }
}
