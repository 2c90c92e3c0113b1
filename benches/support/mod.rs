//! What the benches share: a site's load, made by the gateway's own decoder and engine, and the figures of the machine.

#![allow(dead_code, reason = "each bench uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

pub mod child;
pub mod cloud_event;
pub mod json;
pub mod load;
pub mod machine;
pub mod pages;
pub mod queue;
pub mod stats;
