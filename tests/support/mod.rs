//! What end-to-end tests are made of: real brokers, a counting consumer, a cuttable network, a simulated serial
//! device, and the gateway's real binary.
//!
//! Rules: every test has its own directory, ports and processes, and ends them itself. Nothing waits a fixed time for
//! something to have happened; everything waits for a condition, see [`wait_until`].

pub mod certs;
pub mod clock;
pub mod consumer;
pub mod envelope;
pub mod gateway;
pub mod mosquitto;
pub mod mqtt;
pub mod notify;
pub mod openmetrics;
pub mod proxy;
pub mod pty;
pub mod publisher;
pub mod schema;
pub mod summary;
pub mod volume;
pub mod wait;

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub use wait::{LONG, PATIENT, SOON, long_run, wait_until};

/// Ports are given out from here up to [`PORT_LAST`]: below the range that Linux takes for outgoing connections, so that
/// a broker or proxy that is down for a while finds its port free when it comes back.
const PORT_FIRST: u32 = 15_000;

/// See [`PORT_FIRST`].
const PORT_LAST: u32 = 31_999;

/// A TCP port that nobody listens on, never given out twice in this process. Another process may still take it; who
/// starts something on it must be ready to try the next.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = PORT_LAST - PORT_FIRST + 1;
    // Test processes that run side by side begin at different places.
    let start = std::process::id().wrapping_mul(331) % span;
    for _ in 0..span {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % span;
        let port = u16::try_from(PORT_FIRST + offset).expect("the range is below 65,536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free TCP port between {PORT_FIRST} and {PORT_LAST}");
}

/// Sends a signal by name ("TERM", "HUP", "STOP") to a process.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: the program of that name is not on every system.
    let status = Command::new("sh").arg("-c").arg(format!("kill -s {name} {pid}")).status();
    assert!(status.expect("sh runs").success(), "signal {name} to process {pid} failed");
}
