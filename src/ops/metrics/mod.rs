//! Metrics: everything that is counted, in the OpenMetrics text format.
//!
//! Owns the names, `tidegate_<noun>_<unit>[_total]`, and the route `/metrics`. All numbers are read from counters and
//! published snapshots when somebody asks; nothing is counted here, and no label has more values than the configuration
//! has sources or the program has types, reasons and states. The one question to the data path is the oldest event that
//! waits: it is read from the store, once for as long as it stays the oldest.

mod families;
mod page;
pub mod process;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::clock::{BootTime, WallTime};
use crate::event::Event;
use crate::ops::control::Routes;
use crate::ops::status::StatusSources;
use crate::store::handle::StoreHandle;
use families::Scrape;
use process::Process;

/// What the text is called on the way.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long the store may take to name its oldest event; a scraper gives up after ten seconds.
const OLDEST_WITHIN: Duration = Duration::from_secs(2);

/// Where the metrics come from.
#[derive(Debug)]
pub struct Metrics {
    sources: StatusSources,
    store: StoreHandle,
    oldest: Mutex<Option<Oldest>>,
}

/// The oldest event that waits.
#[derive(Clone, Copy, Debug)]
struct Oldest {
    sequence: u64,
    time: WallTime,
    boot: BootTime,
    /// `boot` is of this boot.
    is_of_this_boot: bool,
}

impl Metrics {
    /// Metrics of what a status is made from.
    pub fn new(sources: StatusSources, store: StoreHandle) -> Self {
        Self { sources, store, oldest: Mutex::new(None) }
    }

    /// The whole text at this moment.
    pub async fn text(&self) -> String {
        let oldest_age = self.oldest_age().await;
        let scrape = Scrape { sources: self.sources.clone(), oldest_age, process: Process::look() };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string cannot fail, and our families do nothing else.
        let _ = text::encode(&mut text, &registry);
        text
    }

    /// How old the oldest event is that waits; zero when none does, `None` when the store does not say.
    async fn oldest_age(&self) -> Option<Duration> {
        let (waiting, delivered) = {
            let status = self.sources.store.borrow();
            (status.waiting, status.delivered)
        };
        if waiting == 0 {
            return Some(Duration::ZERO);
        }
        let known = *self.known();
        let oldest = match known.filter(|oldest| oldest.sequence > delivered) {
            Some(oldest) => oldest,
            None => {
                let read = tokio::time::timeout(OLDEST_WITHIN, self.store.read(delivered + 1, 1, 1)).await;
                let event = read.ok()?.ok()?.into_iter().next()?;
                let oldest = self.oldest(&event);
                *self.known() = Some(oldest);
                oldest
            }
        };
        let clock = &self.sources.clock;
        match oldest.is_of_this_boot {
            true => Some(clock.boot().since(oldest.boot)),
            false => clock.wall().since(oldest.time),
        }
    }

    fn oldest(&self, event: &Event) -> Oldest {
        let is_of_this_boot = event.boot_id == self.sources.clock.boot_id;
        Oldest { sequence: event.sequence, time: event.time, boot: event.boot, is_of_this_boot }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Oldest>> {
        self.oldest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The route, for every server that shows it.
pub fn routes() -> Router<Routes> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(routes): State<Routes>) -> impl IntoResponse {
    let metrics: Arc<Metrics> = Arc::clone(&routes.metrics);
    (StatusCode::OK, [(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.text().await)
}
