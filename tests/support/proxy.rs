//! A TCP proxy that stands for the network: it can be cut, refuse, swallow everything, and be repaired.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::free_port;
use super::wait::{SOON, wait_until};

/// How long a thread of the proxy may take to notice that its world has changed.
const NOTICE: Duration = Duration::from_millis(5);

/// Bytes passed on at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// Passes everything on.
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
    /// Both ends of every connection since the last cut.
    streams: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
    passed_bytes: AtomicU64,
    listening: AtomicU8,
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
            streams: Mutex::default(),
            accepted: AtomicU64::new(0),
            passed_bytes: AtomicU64::new(0),
            listening: AtomicU8::new(1),
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

    /// Bytes passed on so far, both ways.
    pub fn passed_bytes(&self) -> u64 {
        self.shared.passed_bytes.load(Ordering::SeqCst)
    }

    /// Breaks all connections; new ones are served.
    pub fn cut(&self) {
        let streams = std::mem::take(&mut *self.shared.streams.lock().expect("no holder panics"));
        for stream in streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
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

    /// Passes everything on again, also what was held back.
    pub fn restore(&self) {
        self.set(Mode::Open);
        wait_until("the proxy to listen", SOON, || self.shared.listening.load(Ordering::SeqCst) == 1);
    }

    /// Where new connections go from now on.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("no holder panics") = target;
    }

    fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Ended);
        self.cut();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        // Connections taken between the cut and the end of the acceptor.
        self.cut();
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
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(shared);
                thread::spawn(move || serve(client, &shared));
            }
            _ => thread::park_timeout(NOTICE),
        }
    }
}

fn serve(client: TcpStream, shared: &Arc<Shared>) {
    // A stalled network takes the connection (the near router answers) and reaches nobody.
    while shared.mode() == Mode::Stalled {
        thread::park_timeout(NOTICE);
    }
    let target = *shared.target.lock().expect("no holder panics");
    let server = if shared.mode() == Mode::Open { TcpStream::connect(target) } else { return };
    let Ok(server) = server else { return };
    let ends = (|| {
        client.set_nonblocking(false)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(NOTICE))?;
        }
        Ok::<_, io::Error>([(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)])
    })();
    let Ok(ends) = ends else { return };
    {
        let mut streams = shared.streams.lock().expect("no holder panics");
        if shared.mode() != Mode::Open && shared.mode() != Mode::Stalled {
            return;
        }
        streams.extend([client, server]);
    }
    for (from, to) in ends {
        let shared = Arc::clone(shared);
        thread::spawn(move || pass_on(from, to, &shared));
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while shared.mode() == Mode::Stalled {
            thread::park_timeout(NOTICE);
        }
        if shared.mode() != Mode::Open || to.write_all(&chunk[..count]).is_err() {
            break;
        }
        shared.passed_bytes.fetch_add(count as u64, Ordering::SeqCst);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
