//! What the engine must do, in sentences: single scenarios, restarts and reloads, and properties over random histories.
#![allow(clippy::unwrap_used, reason = "a test may panic, that is how it fails")]

mod clock;
mod groups;
mod model;
mod operators;
mod properties;
mod reload;
mod restart;
mod scenarios;
mod stale;
pub(super) mod support;
mod why;
