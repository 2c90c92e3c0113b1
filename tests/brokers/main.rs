//! The gateway's real binary against other people's brokers: mosquitto, RabbitMQ and NATS JetStream, each over mutual TLS
//! with a password, through outages, kills, wrong credentials and events that they do not take.
//!
//! Not part of the ordinary run, since it needs two more brokers and some minutes: `tests/run --brokers` installs them,
//! runs it and prints a table at the end. Without `TIDEGATE_BROKERS=1` each test says so and returns.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]
mod support;

mod broker;
mod cluster;
mod credentials;
mod faults;
mod owned;
mod poison;
mod scene;
mod tally;

/// Whether these tests were asked for (`tests/run --brokers`); says so if not.
fn wanted() -> bool {
    let wanted = std::env::var_os("TIDEGATE_BROKERS").is_some_and(|value| value == "1");
    if !wanted {
        println!("not run: it needs RabbitMQ and NATS; tests/run --brokers installs and runs them");
    }
    wanted
}
