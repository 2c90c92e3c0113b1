//! A TCP proxy that stands for the network: it can be cut, refuse, swallow everything, do much else that networks do
//! ([`Fault`]), and be repaired.
//!
//! Owns its port and one thread for each connection (`pipe`), which holds both sockets alone, so that a reset is one.

mod fault;
mod pipe;
mod streams;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use fault::{Fault, Way};

use super::free_port;
use super::wait::{SOON, wait_until};

/// How long a thread of the proxy may take to notice that its world has changed.
const NOTICE: Duration = Duration::from_millis(5);

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// Passes everything on, as far as the fault lets it.
    Open,
    /// Connections are taken and kept, but no byte arrives anywhere: a router that has lost its uplink.
    Stalled,
    /// Nobody listens.
    Down,
    /// The test is over.
    Ended,
}

#[derive(Debug)]
struct Shared {
    mode: AtomicU8,
    target: Mutex<SocketAddr>,
    fault: Mutex<Fault>,
    /// Changes with `fault`, so that connections need not look at that all the time.
    fault_number: AtomicU64,
    /// Connections there are, by number.
    connections: Mutex<BTreeSet<u64>>,
    /// Connections with a number up to this one are to end.
    cut_through: AtomicU64,
    accepted: AtomicU64,
    forgotten: AtomicU64,
    passed_bytes: AtomicU64,
    listening: AtomicU8,
    /// Read by a connection while it passes something on: who has it for writing knows that everything that passes
    /// later does so by the mode and fault as they are then.
    passing: RwLock<()>,
}

impl Shared {
    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Open,
            1 => Mode::Stalled,
            2 => Mode::Down,
            _ => Mode::Ended,
        }
    }

    fn connections(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.connections.lock().expect("no holder panics")
    }

    fn is_cut(&self, connection: u64) -> bool {
        connection <= self.cut_through.load(Ordering::SeqCst) || matches!(self.mode(), Mode::Down | Mode::Ended)
    }
}

/// The proxy; ends with its value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Passes connections on to `target`.
    pub fn start(target: SocketAddr) -> Self {
        let (port, listener) = loop {
            let port = free_port();
            if let Ok(listener) = bind(port) {
                break (port, listener);
            }
        };
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(Mode::Open as u8),
            target: Mutex::new(target),
            fault: Mutex::new(Fault::None),
            fault_number: AtomicU64::new(0),
            connections: Mutex::default(),
            cut_through: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            passed_bytes: AtomicU64::new(0),
            listening: AtomicU8::new(1),
            passing: RwLock::new(()),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_all(port, listener, &shared)
        });
        Self { port, shared, acceptor: Some(acceptor) }
    }

    /// Where to connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections taken so far: attempts by who is behind it.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that [`Fault::ForgetIdle`] has forgotten so far.
    pub fn forgotten(&self) -> u64 {
        self.shared.forgotten.load(Ordering::SeqCst)
    }

    /// Bytes passed on so far, both ways.
    pub fn passed_bytes(&self) -> u64 {
        self.shared.passed_bytes.load(Ordering::SeqCst)
    }

    /// Breaks all connections; new ones are served.
    pub fn cut(&self) {
        let last = self.accepted();
        self.shared.cut_through.fetch_max(last, Ordering::SeqCst);
        wait_until("the connections to end", SOON, || self.shared.connections().range(..=last).next().is_none());
    }

    /// Breaks all connections and refuses new ones until [`Proxy::restore`].
    pub fn down(&self) {
        self.set(Mode::Down);
        wait_until("the proxy to refuse", SOON, || self.shared.listening.load(Ordering::SeqCst) == 0);
        self.cut();
    }

    /// Keeps all connections, takes new ones, and passes nothing on until [`Proxy::restore`].
    pub fn stall(&self) {
        self.set(Mode::Stalled);
    }

    /// From now on the network does this, also to the connections there are.
    pub fn inject(&self, fault: Fault) {
        let _nothing_passes = self.shared.passing.write().unwrap_or_else(PoisonError::into_inner);
        *self.shared.fault.lock().expect("no holder panics") = fault;
        self.shared.fault_number.fetch_add(1, Ordering::SeqCst);
    }

    /// Passes everything on again, also what was held back. Connections from which a fault has taken something end.
    pub fn restore(&self) {
        self.inject(Fault::None);
        self.set(Mode::Open);
        wait_until("the proxy to listen", SOON, || self.shared.listening.load(Ordering::SeqCst) == 1);
    }

    /// Where new connections go from now on.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("no holder panics") = target;
    }

    fn set(&self, mode: Mode) {
        let _nothing_passes = self.shared.passing.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Ended);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept_all(port: u16, listener: TcpListener, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    loop {
        match shared.mode() {
            Mode::Ended => return,
            Mode::Down => {
                listener = None;
                shared.listening.store(0, Ordering::SeqCst);
            }
            Mode::Open | Mode::Stalled if listener.is_none() => {
                listener = bind(port).ok();
                shared.listening.store(u8::from(listener.is_some()), Ordering::SeqCst);
            }
            Mode::Open | Mode::Stalled => {}
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                let mut connections = shared.connections();
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                connections.insert(number);
                let shared = Arc::clone(shared);
                thread::spawn(move || {
                    // An error is how a connection ends.
                    let _ = pipe::serve(client, number, &shared);
                    shared.connections().remove(&number);
                });
            }
            _ => thread::park_timeout(NOTICE),
        }
    }
}
