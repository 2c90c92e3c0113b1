//! The local page: how it all stands, for a browser, live and read-only.
//!
//! Owns the routes and what they share; one file a subject: `server` (the port and its limits), `guard` (who may read),
//! `login`, `live` and `state` (what is shown), `health`, `assets` (the page itself). Reads the board, published
//! snapshots and counters, and asks the engine by messages at most once a second, only while somebody looks. Nothing
//! here changes anything, and no page asks any other host for anything.

mod assets;
mod guard;
mod health;
mod live;
mod login;
mod queue;
mod server;
mod shape;
mod state;
pub mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::config::model::Http;
use crate::counters::Counters;
use crate::ops::control::Routes;
use crate::shutdown::Shutdown;
use guard::Guard;
use live::Live;

/// Longest request body, bytes: a token with room to spare.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Most sensors of one question for their last hour: more than a screen holds. An answer has some 200 KB at most.
const HISTORY_ROWS_MAX: usize = 64;

/// What the routes work with.
#[derive(Clone)]
struct Page {
    /// As the control socket.
    routes: Routes,
    counters: Arc<Counters>,
    guard: Arc<Guard>,
    live: Live,
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
    match page.live.full().await {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => stopping(),
    }
}

async fn stream(State(page): State<Page>) -> Response {
    match page.live.join().await {
        Ok(body) => ([(header::CONTENT_TYPE, "text/event-stream")], axum::body::Body::new(body)).into_response(),
        Err(live::NoRoom::Full) => {
            let text = "as many pages are open as there can be; close one and try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Err(live::NoRoom::Stopping) => stopping(),
    }
}

fn stopping() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n").into_response()
}

/// Whose last hour is asked for.
#[derive(Deserialize)]
struct HistoryQuery {
    /// As in the state: rows are numbered anew when some have gone.
    epoch: u32,
    /// Numbers of rows, separated by commas.
    rows: String,
}

async fn history(State(page): State<Page>, Query(query): Query<HistoryQuery>) -> Response {
    let rows: Result<Vec<u32>, _> = query.rows.split(',').take(HISTORY_ROWS_MAX + 1).map(str::parse).collect();
    let Some(rows) = rows.ok().filter(|rows| rows.len() <= HISTORY_ROWS_MAX) else {
        let text = format!("`rows` takes at most {HISTORY_ROWS_MAX} numbers, separated by commas\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let sensors = page.counters.board.sensors();
    if query.epoch != sensors.epoch() {
        return (StatusCode::CONFLICT, "the sensors have been numbered anew; read the state again\n").into_response();
    }
    let json = state::history(&sensors, &rows, page.routes.clock.boot());
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}
