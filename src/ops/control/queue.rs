//! The queue's routes of the control socket: what waits upstream, counted; and giving it up.
//!
//! Owns what is said about it. Both answer in portions, which the asking side puts together: counting reads the store's
//! files on a thread that may block, giving up is the store's own work and is answered when it is on disk.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{ANSWER_WITHIN, Answer, Routes};
use crate::clock::WallTime;
use crate::config::pattern;
use crate::ops::backlog::{self, Backlog};
use crate::store::handle::{Closed, Purge, PurgeRefused};
use crate::store::history::History;

/// Where a portion begins.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The first sequence number.
    #[serde(default)]
    pub from: u64,
}

/// What is to be given up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeAsked {
    /// The first sequence number of the portion.
    #[serde(default)]
    pub from: u64,
    /// The last sequence number; what was stored by now, if it is not given.
    #[serde(default)]
    pub through: Option<u64>,
    /// Only what happened before this, ns since 1970.
    #[serde(default)]
    pub before_ns: Option<i64>,
    /// Only about this sensor or pattern.
    #[serde(default)]
    pub sensor: Option<String>,
}

/// What came of a portion.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PurgeAnswer {
    /// Events given up; they are announced.
    pub events: u64,
    /// Where the next portion begins; `None` when there is no more.
    pub next: Option<u64>,
    /// The last sequence number this is about.
    pub through: u64,
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/queue", get(waiting)).route("/v1/queue/purge", post(purge))
}

async fn waiting(State(routes): State<Routes>, query: Result<Query<From>, QueryRejection>) -> Answer<Backlog> {
    let Query(From { from }) = query.map_err(|error| (StatusCode::BAD_REQUEST, error.body_text()))?;
    let permit = routes.events.permit().await?;
    let standing = routes.events.standing().await?;
    let (path, gateway) = (routes.events.store_path().to_owned(), routes.gateway.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        backlog::look(&mut History::open(&path)?, from, &standing, &gateway)
    });
    let failed = |text: String| (StatusCode::INTERNAL_SERVER_ERROR, text);
    match looked.await {
        Ok(Ok(backlog)) => Ok(Json(backlog)),
        Ok(Err(error)) => Err(failed(format!("the store's files cannot be read: {error}"))),
        Err(_) => Err(failed("looking through the queue failed".to_owned())),
    }
}

async fn purge(State(routes): State<Routes>, Json(asked): Json<PurgeAsked>) -> Answer<PurgeAnswer> {
    if let Some(sensor) = &asked.sensor {
        pattern::check(sensor)
            .map_err(|(_, why)| (StatusCode::BAD_REQUEST, format!("`{sensor}` is no sensor or pattern: {why}")))?;
    }
    let through = asked.through.unwrap_or_else(|| routes.store.status().borrow().last_sequence);
    let before = asked.before_ns.map(WallTime);
    let purge = Purge { from: asked.from, through, before, sensor: asked.sensor };
    let unavailable = |what: &str| (StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
    match tokio::time::timeout(ANSWER_WITHIN, routes.store.purge(purge)).await {
        Ok(Ok(Ok(purged))) => Ok(Json(PurgeAnswer { events: purged.events, next: purged.next, through })),
        Ok(Ok(Err(PurgeRefused::NoRoom))) => Err(unavailable(
            "the store cannot write at the moment (`tidegate status` says why), and nothing is given up before its \
             announcement is on disk; try again later",
        )),
        Ok(Ok(Err(PurgeRefused::TooScattered))) => Err((
            StatusCode::CONFLICT,
            "too many single events would be given up between others that wait; give up more at once \
             (without --sensor), or go on when some are delivered"
                .to_owned(),
        )),
        Ok(Err(Closed)) => Err(unavailable("the gateway is stopping")),
        Err(_) => Err(unavailable("the store is slow; what was asked for may still be done, and is then announced")),
    }
}
