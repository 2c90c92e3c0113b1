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
pub mod subscriber;
pub mod summary;
pub mod volume;
pub mod wait;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

pub use wait::{LONG, PATIENT, SOON, long_run, wait_until};

/// Ports are given out from here up to [`PORT_LAST`]: below the range that Linux takes for outgoing connections, so that
/// a broker or proxy that is down for a while finds its port free when it comes back.
const PORT_FIRST: u16 = 15_000;

/// See [`PORT_FIRST`].
const PORT_LAST: u16 = 31_999;

/// Ports that a process claims at a time.
const BLOCK_PORTS: u16 = 100;

/// Ports that no other test process gives out, as long as it sees the claim: the UDP port with the first one's number.
struct Block {
    ports: Range<u16>,
    _claim: UdpSocket,
}

impl Block {
    /// One that nobody has claimed.
    fn claim() -> Self {
        let count = (PORT_LAST - PORT_FIRST + 1) / BLOCK_PORTS;
        // Test processes that run side by side begin at different places.
        let start = std::process::id() % u32::from(count);
        let numbers = (0..count).map(|number| (number + u16::try_from(start).expect("less than count")) % count);
        let mut blocks = numbers.map(|number| PORT_FIRST + number * BLOCK_PORTS);
        let claimed = blocks.find_map(|first| {
            let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
            Some(Self { ports: first..first + BLOCK_PORTS, _claim: claim })
        });
        claimed.unwrap_or_else(|| panic!("no block of ports between {PORT_FIRST} and {PORT_LAST} is free"))
    }
}

/// A TCP port that nobody listens on, never given out twice by any test process that still runs, so that it is free also
/// after a broker was down. A stranger may still take it; who starts something on it must be ready to try the next.
pub fn free_port() -> u16 {
    static CLAIMED: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        if let Some(port) = claimed.last_mut().and_then(|block| block.ports.find(is_free)) {
            return port;
        }
        claimed.push(Block::claim());
    }
}

/// Sends a signal by name ("TERM", "HUP", "STOP") to a process.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: the program of that name is not on every system.
    let status = Command::new("sh").arg("-c").arg(format!("kill -s {name} {pid}")).status();
    assert!(status.expect("sh runs").success(), "signal {name} to process {pid} failed");
}
