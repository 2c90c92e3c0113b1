//! Health checks: does it make progress, and is it ready? For supervisors that are not systemd.
//!
//! Owns the two answers. Neither asks anybody: a gateway that stands still must still be able to say so.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Page;

/// The routes.
pub(super) fn routes() -> Router<Page> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// Whether the process makes progress: the watchdog's evidence. Waiting for a store that is full or cannot be opened is
/// progress: starting anew would not help.
async fn healthz(State(page): State<Page>) -> (StatusCode, String) {
    match page.counters.board.health.standstill(page.routes.clock.boot()) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(still) => {
            let seconds = still.as_secs();
            let text = format!("the engine or the store has stood still for {seconds} s; the log tells more\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// Whether readings are taken: the store is open and takes events, and the sources are started.
async fn readyz(State(page): State<Page>) -> (StatusCode, String) {
    let store = page.routes.store.status().borrow().clone();
    let why = match page.counters.board.health.waiting_for() {
        Some(what) => what.to_string(),
        None => match &store.fault {
            Some(fault) => format!("the store takes no events: {fault}"),
            None if store.full => "the store is full and takes no more events".to_owned(),
            None => return (StatusCode::OK, "ready\n".to_owned()),
        },
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
}
