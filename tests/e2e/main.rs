//! End to end: the gateway's real binary between real brokers, through outages, kills and bad input.
//!
//! One binary for all scenarios: it links once, and what waits in one test leaves the processor to the others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod chromium;
mod stage;
mod stuck;

mod aside;
mod bad_input;
mod batch;
mod browser;
mod burst;
mod cli;
mod clock;
mod consumers;
mod credentials;
mod dead;
mod disk;
mod doctor;
mod events;
mod failover;
mod full;
mod harness;
mod idle;
mod keys;
mod kill;
mod links;
mod log;
mod metrics;
mod modbus;
mod mqtt5;
mod operator;
mod order;
mod outage;
mod page;
mod pipeline;
mod queue;
mod reload;
mod reload_command;
mod replay;
mod rotten;
mod serial;
mod systemd;
mod terms;
mod tls;
mod tools;
mod top;
mod unit;
mod versions;
mod waiting;
mod watch;
