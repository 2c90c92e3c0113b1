//! What looks on from the side: logging, the service manager, progress. Reads snapshots and counters only and can
//! never slow the data path.

pub mod backlog;
pub mod board;
pub mod command;
pub mod control;
pub mod home_assistant;
pub mod hooks;
pub mod http;
pub mod logging;
pub mod look;
pub mod metrics;
pub mod ports;
pub mod progress;
pub mod reload;
pub mod status;
pub mod systemd;
pub mod trail;
pub mod wear;
