//! tidegate: an edge gateway that turns sensor readings into threshold events and loses none of them.
//!
//! One way for data: `source` -> `decode` -> `engine` -> `store` -> `forward`. `decode`, `engine`, `event` and the
//! delivery window are pure: input and time go in, actions come out. `store` is the only user of sled. Everything else
//! looks on from the side and can never slow the data path.

pub mod ack;
pub mod app;
pub mod backtest;
pub mod cli;
pub mod clock;
pub mod config;
pub mod counters;
pub mod decode;
pub mod discover;
pub mod engine;
pub mod error;
pub mod event;
pub mod forward;
pub mod moderation;
pub mod ops;
pub mod reading;
pub mod record;
pub mod replay;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod tap;
pub mod unit;
