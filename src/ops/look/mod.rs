//! Looking on: what the local page and `tidegate top` show, looked up once a second for all of them.
//!
//! Owns the look and its shape as JSON; one file a subject: `live` (who looks, and when), `state` (what is seen),
//! `shape` (its members), `queue` (rates). Reads the board, published snapshots and counters, and asks the engine by
//! messages at most once a second, only while somebody looks. Changes nothing.

mod live;
mod queue;
mod shape;
mod state;

use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::clock::{BootTime, SystemClock};
use crate::counters::Counters;
use crate::ops::command::Command;
use crate::ops::control::StatusFn;

pub use live::{Live, NoRoom, Updates, Who};

/// Most sensors of one question for their last hour: more than a screen holds. An answer has some 200 KB at most.
const HISTORY_ROWS_MAX: usize = 64;

/// What is looked at.
#[derive(Clone)]
pub struct LookAt {
    /// To the engine.
    pub commands: mpsc::Sender<Command>,
    /// Makes the status.
    pub status: StatusFn,
    /// The time.
    pub clock: Arc<SystemClock>,
    /// `store.path`
    pub store_path: Arc<Path>,
}

/// Somebody in a terminal looks: what the board keeps is kept for as long as this lives, page or no page.
pub struct Onlooker(Arc<Counters>);

impl Onlooker {
    /// Begins to look.
    pub fn new(counters: Arc<Counters>) -> Self {
        counters.board.onlooker(true);
        Self(counters)
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.0.board.onlooker(false);
    }
}

/// Whose last hour is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// As in the state: rows are numbered anew when some have gone.
    epoch: u32,
    /// Numbers of rows, separated by commas.
    rows: String,
}

impl HistoryQuery {
    /// The answer as JSON.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn answer(&self, counters: &Counters, now: BootTime) -> Result<Vec<u8>, (StatusCode, String)> {
        let rows: Result<Vec<u32>, _> = self.rows.split(',').take(HISTORY_ROWS_MAX + 1).map(str::parse).collect();
        let Some(rows) = rows.ok().filter(|rows| rows.len() <= HISTORY_ROWS_MAX) else {
            let text = format!("`rows` takes at most {HISTORY_ROWS_MAX} numbers, separated by commas\n");
            return Err((StatusCode::BAD_REQUEST, text));
        };
        let sensors = counters.board.sensors();
        if self.epoch != sensors.epoch() {
            let text = "the sensors have been numbered anew; read the state again\n";
            return Err((StatusCode::CONFLICT, text.to_owned()));
        }
        Ok(state::history(&sensors, &rows, now))
    }
}
