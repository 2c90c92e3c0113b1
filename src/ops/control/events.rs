//! The events' route of the control socket: what waits and what was delivered and is still kept.
//!
//! Owns how many may look at once, and the reader that is kept open between the portions of one answer. Reads the
//! store's files beside the store's thread, on threads that may block; never asks that thread for events, so looking
//! back cannot hold up the data path.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ANSWER_WITHIN, Answer, Routes};
use crate::ops::trail::{self, Filter, Page, Standing};
use crate::store::handle::{Closed, StoreHandle};
use crate::store::history::History;

/// How many may look at once: each reads a generation and holds its index, up to a megabyte or so.
const READERS_MAX: usize = 2;

/// How long a reader is kept open for the next portion. It holds on to a file that may be removed meanwhile.
const READER_KEPT: Duration = Duration::from_secs(5);

/// A reader between two portions, and the highest number there was when it was opened.
type Kept = Arc<Mutex<Option<(History, u64)>>>;

/// What the route needs.
pub struct Events {
    store_path: PathBuf,
    store: StoreHandle,
    readers: Arc<Semaphore>,
    kept: Kept,
    turn: Arc<AtomicU64>,
}

impl Events {
    /// For the store in `store_path`.
    pub fn new(store_path: PathBuf, store: StoreHandle) -> Self {
        let readers = Arc::new(Semaphore::new(READERS_MAX));
        Self { store_path, store, readers, kept: Kept::default(), turn: Arc::default() }
    }

    /// Where the store is.
    pub fn store_path(&self) -> &Path {
        &self.store_path
    }

    /// Where events stand now.
    pub(super) async fn standing(&self) -> Result<Standing, (StatusCode, String)> {
        let unavailable = |what: &str| (StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
        let asked = async { Ok((self.store.dead_letters().await?, self.store.settled().await?)) };
        let (dead, settled) = tokio::time::timeout(ANSWER_WITHIN, asked)
            .await
            .map_err(|_| unavailable("the store is slow; try again later"))?
            .map_err(|_: Closed| unavailable("the gateway is stopping"))?;
        let status = self.store.status().borrow().clone();
        Ok(Standing {
            last: status.last_sequence,
            delivered: status.delivered,
            dead: dead.iter().map(|letter| letter.event.sequence).collect(),
            settled: settled.into_iter().collect(),
        })
    }

    /// The right to look: only so many may at once.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, (StatusCode, String)> {
        let permit = tokio::time::timeout(ANSWER_WITHIN, Arc::clone(&self.readers).acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            let text = "others are looking through the events; try again in a moment".to_owned();
            return Err((StatusCode::SERVICE_UNAVAILABLE, text));
        };
        Ok(permit)
    }
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/events", get(events))
}

async fn events(State(routes): State<Routes>, query: Result<Query<trail::Query>, QueryRejection>) -> Answer<Page> {
    let Query(query) = query.map_err(|error| (StatusCode::BAD_REQUEST, error.body_text()))?;
    let filter = Filter::new(&query).map_err(|what| (StatusCode::BAD_REQUEST, what))?;
    let events = &routes.events;
    let permit = events.permit().await?;
    let standing = events.standing().await?;
    let shown = (routes.status)();
    let (path, kept) = (events.store_path.clone(), Arc::clone(&events.kept));
    let looked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        // The next portion of an answer goes on with the reader of the last. One that goes back from the end must not
        // begin with an old list.
        let last = standing.last;
        let goes_on = |opened: u64| query.from.is_some() || query.before.is_some_and(|before| before <= opened);
        let reader = lock(&kept).take_if(|(_, opened)| goes_on(*opened));
        let (mut history, opened) = match reader {
            Some(reader) => reader,
            None => (History::open(&path)?, last),
        };
        let mut page = trail::look(&mut history, &query, &filter, &standing, &shown.gateway)?;
        page.retain_delivered = Some(shown.store.retain_delivered);
        if page.next.is_some() {
            *lock(&kept) = Some((history, opened));
        }
        Ok::<_, std::io::Error>(page)
    });
    let page = match looked.await {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => {
            let text = format!("the store's files cannot be read: {error}");
            return Err((StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        Err(_) => return Err((StatusCode::INTERNAL_SERVER_ERROR, "looking through the events failed".to_owned())),
    };
    if page.next.is_some() {
        close_later(events);
    }
    Ok(Json(page))
}

/// Closes the reader that is kept unless it is used again soon.
fn close_later(events: &Events) {
    let (kept, turns) = (Arc::clone(&events.kept), Arc::clone(&events.turn));
    let turn = turns.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::spawn(async move {
        tokio::time::sleep(READER_KEPT).await;
        if turns.load(Ordering::Relaxed) == turn {
            lock(&kept).take();
        }
    });
}

fn lock(kept: &Kept) -> std::sync::MutexGuard<'_, Option<(History, u64)>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
