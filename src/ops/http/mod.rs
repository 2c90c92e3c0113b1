//! The local page: how it all stands, for a browser, live and read-only.
//!
//! Owns the routes and what they share; one file a subject: `server` (the port and its limits), `guard` (who may read),
//! `login`, `health`, `assets` (the page itself). What is shown is [`crate::ops::look`]'s. Nothing here changes anything,
//! and no page asks any other host for anything.

mod assets;
mod guard;
mod health;
mod login;
mod server;
pub mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::config::model::Http;
use crate::counters::Counters;
use crate::ops::control::Routes;
use crate::ops::look::{HistoryQuery, NoRoom, Who};
use crate::shutdown::Shutdown;
use guard::Guard;

/// Longest request body, bytes: a token with room to spare.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// What the routes work with.
#[derive(Clone)]
struct Page {
    /// As the control socket.
    routes: Routes,
    counters: Arc<Counters>,
    guard: Arc<Guard>,
}

/// Serves the page until shutdown, or tries to.
pub fn spawn(config: Http, routes: Routes, counters: Arc<Counters>, shutdown: Shutdown) -> tokio::task::JoinHandle<()> {
    tokio::spawn(server::run(config, routes, counters, shutdown))
}

/// All routes, guarded.
fn router(page: Page) -> Router {
    let guard = Arc::clone(&page.guard);
    Router::new()
        .route("/api/v1/state", get(state_now))
        .route("/api/v1/stream", get(stream))
        .route("/api/v1/history", get(history))
        .route("/login", post(login::login))
        .merge(assets::routes())
        .merge(health::routes())
        .merge(crate::ops::metrics::routes().with_state(page.routes.clone()))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(guard, guard::check))
        .with_state(page)
}

async fn state_now(State(page): State<Page>) -> Response {
    match page.routes.live.full().await {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => stopping(),
    }
}

async fn stream(State(page): State<Page>) -> Response {
    match page.routes.live.join(Who::Page).await {
        Ok(body) => ([(header::CONTENT_TYPE, "text/event-stream")], axum::body::Body::new(body)).into_response(),
        Err(NoRoom::Full) => {
            let text = "as many pages are open as there can be; close one and try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Err(NoRoom::Stopping) => stopping(),
    }
}

fn stopping() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n").into_response()
}

async fn history(State(page): State<Page>, Query(query): Query<HistoryQuery>) -> Response {
    match query.answer(&page.counters, page.routes.clock.boot()) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(refused) => refused.into_response(),
    }
}
