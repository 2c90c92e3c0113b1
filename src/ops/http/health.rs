//! Health checks: does it make progress, and is it ready? For supervisors that are not systemd.
//!
//! Owns the two answers. Neither asks anybody: a gateway that stands still must still be able to say so.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Page;
use crate::clock::BootTime;
use crate::ops::board::health::Health;
use crate::store::handle::StoreStatus;

type Verdict = (StatusCode, String);

/// The routes.
pub(super) fn routes() -> Router<Page> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz(State(page): State<Page>) -> Verdict {
    alive(&page.counters.board.health, page.routes.clock.boot())
}

async fn readyz(State(page): State<Page>) -> Verdict {
    let store = page.routes.store.status().borrow().clone();
    ready(&page.counters.board.health, &store)
}

/// Whether the process makes progress: the watchdog's evidence. Waiting for a store that is full or cannot be opened is
/// progress: starting anew would not help.
fn alive(health: &Health, now: BootTime) -> Verdict {
    match health.standstill(now) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(still) => {
            let seconds = still.as_secs();
            let text = format!("the engine or the store has stood still for {seconds} s; the log tells more\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// Whether readings are taken: the store is open and takes events, and the sources are started.
fn ready(health: &Health, store: &StoreStatus) -> Verdict {
    let why = match health.waiting_for() {
        Some(what) => what.to_string(),
        None => match &store.fault {
            Some(fault) => format!("the store takes no events: {fault}"),
            None if store.full => "the store is full and takes no more events".to_owned(),
            None => return (StatusCode::OK, "ready\n".to_owned()),
        },
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::board::health::STANDSTILL;

    #[test]
    fn a_gateway_that_stands_still_says_for_how_long() {
        let (health, start) = (Health::default(), BootTime(5));
        health.note_progress(start);
        assert_eq!(alive(&health, start.after(STANDSTILL / 2)).0, StatusCode::OK);
        let (status, text) = alive(&health, start.after(STANDSTILL * 2));
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("stood still for 40 s"), "{text}");
    }

    #[test]
    fn it_is_ready_once_all_is_started_and_while_the_store_takes_events() {
        let health = Health::default();
        assert_eq!(ready(&health, &StoreStatus::default()).0, StatusCode::SERVICE_UNAVAILABLE);
        health.wait_for(None);
        assert_eq!(ready(&health, &StoreStatus::default()), (StatusCode::OK, "ready\n".to_owned()));
        let full = StoreStatus { full: true, ..StoreStatus::default() };
        assert!(ready(&health, &full).1.contains("full"));
        let fault = StoreStatus { fault: Some("the disk is gone".into()), ..StoreStatus::default() };
        assert!(ready(&health, &fault).1.contains("the disk is gone"));
    }
}
