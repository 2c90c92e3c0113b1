//! Both kinds of line with a pymodbus server on them: TCP on a free port, and two pseudo terminals with a wire between.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::{Value, json};

use crate::support::pty::SerialDevice;
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, free_port, wait_until};

/// The interpreter that has pymodbus; made at first use.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pymodbus");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("run tests/pymodbus");
        assert!(output.status.success(), "no pymodbus (see above): run tests/run, which installs what it needs");
        PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end())
    })
}

/// What the server holds and how it misbehaves; see `server.py`.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub units: BTreeMap<u8, Tables>,
    pub errors: BTreeMap<u8, Tables>,
    pub silent: Vec<u8>,
    pub noise: String,
}

/// By table, then by address.
pub type Tables = BTreeMap<&'static str, BTreeMap<u16, u16>>;

/// One table of values in a row.
pub fn row(table: &'static str, first: u16, values: &[u16]) -> Tables {
    Tables::from([(table, (first..).zip(values.iter().copied()).collect())])
}

impl State {
    fn json(&self) -> Value {
        json!({ "units": self.units, "errors": self.errors, "silent": self.silent, "noise": self.noise })
    }
}

/// How the gateway reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rtu,
    Tcp,
    /// Frames of a serial line over TCP, as a device server hands them through.
    RtuOverTcp,
}

/// A line with a server.
pub struct Bus {
    kind: Kind,
    port: u16,
    path: PathBuf,
    server: Option<(Child, JoinHandle<()>)>,
    asked: Arc<Mutex<Vec<String>>>,
    wire: Option<Wire>,
    /// Change it by [`Bus::set`].
    pub state: State,
}

impl Bus {
    pub fn start(kind: Kind, dir: &Path, state: State) -> Self {
        let wire = (kind == Kind::Rtu).then(|| Wire::lay(dir));
        let path = dir.join("modbus-state.json");
        let mut bus = Self { kind, port: free_port(), path, server: None, asked: Arc::default(), wire, state };
        bus.set(|_| {});
        bus.resume();
        bus
    }

    /// What a `[[source]]` needs to reach it.
    pub fn address(&self) -> String {
        match &self.wire {
            Some(wire) => format!("port = \"{}\"\nbaud = 115200\n", wire.gateway_end().display()),
            None if self.kind == Kind::RtuOverTcp => format!("url = \"modbus-rtu-tcp://127.0.0.1:{}\"\n", self.port),
            None => format!("url = \"modbus-tcp://127.0.0.1:{}\"\n", self.port),
        }
    }

    /// Changes what the server does from the next request on.
    pub fn set(&mut self, change: impl FnOnce(&mut State)) {
        change(&mut self.state);
        let new = self.path.with_extension("new");
        fs::write(&new, self.state.json().to_string()).expect("write the server's state");
        fs::rename(&new, &self.path).expect("put the server's state in place");
    }

    /// Starts the server, at the same place as before.
    pub fn resume(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let place = self.wire.as_ref().map_or_else(|| self.port.to_string(), |wire| wire.server_end());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/modbus/server.py");
        let mut child = Command::new(python())
            .arg(script)
            .arg(match self.kind {
                Kind::Rtu => "serial",
                Kind::Tcp => "tcp",
                Kind::RtuOverTcp => "rtu-tcp",
            })
            .arg(place)
            .arg(&self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the Modbus server");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let asked = Arc::clone(&self.asked);
        let before = asked.lock().unwrap().iter().filter(|line| *line == "ready").count();
        let reader =
            thread::spawn(move || lines.map_while(Result::ok).for_each(|line| asked.lock().unwrap().push(line)));
        self.server = Some((child, reader));
        let port = self.port;
        wait_until("the Modbus server", PATIENT, || {
            self.asked().iter().filter(|line| *line == "ready").count() > before
                && (self.kind == Kind::Rtu || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        });
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        if let Some((mut child, reader)) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
            let _ = reader.join();
        }
    }

    /// Pulls the plug of the gateway's end.
    pub fn unplug(&mut self) {
        let wire = self.wire.as_mut().expect("a serial line");
        wire.cut();
        wire.gateway.unplug();
    }

    /// Puts it back.
    pub fn replug(&mut self) {
        let wire = self.wire.as_mut().expect("a serial line");
        wire.gateway.replug();
        wire.join();
    }

    /// The requests so far: "unit function address count".
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests for a unit there were.
    pub fn asked_of(&self, unit: u8) -> usize {
        let start = format!("{unit} ");
        self.asked().iter().filter(|line| line.starts_with(&start)).count()
    }

    /// Waits for so many more requests for a unit.
    #[track_caller]
    pub fn wait_asked(&self, unit: u8, more: usize) {
        let before = self.asked_of(unit);
        let came = holds_within(SOON, || self.asked_of(unit) >= before + more);
        let asked = self.asked();
        let last = &asked[asked.len().saturating_sub(20)..];
        assert!(came, "{} of {more} requests within {SOON:?}; the last of all: {last:?}", self.asked_of(unit) - before);
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
        if let Some(wire) = &mut self.wire {
            wire.cut();
        }
    }
}

/// Two serial devices whose far ends are tied together.
struct Wire {
    gateway: SerialDevice,
    server: SerialDevice,
    tie: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Wire {
    fn lay(dir: &Path) -> Self {
        let gateway = SerialDevice::plug_in(&dir.join("usb-rs485-gateway"));
        let server = SerialDevice::plug_in(&dir.join("usb-rs485-server"));
        let mut wire = Self { gateway, server, tie: None };
        wire.join();
        wire
    }

    fn gateway_end(&self) -> &Path {
        self.gateway.link()
    }

    fn server_end(&self) -> String {
        self.server.link().display().to_string()
    }

    /// Carries bytes both ways until it is cut.
    fn join(&mut self) {
        let (one, other) = (self.gateway.far_end(), self.server.far_end());
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let carry = move || {
            let mut chunk = [0; 1024];
            while !stopping.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(&one, PollFlags::IN), PollFd::new(&other, PollFlags::IN)];
                let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                let _ = rustix::event::poll(&mut ready, Some(&wait));
                let mut idle = true;
                for (from, to) in [(&one, &other), (&other, &one)] {
                    // A side that nobody has open is a hang-up: its bytes are lost, as on a real wire.
                    if let Ok(count @ 1..) = rustix::io::read(from.as_fd(), &mut chunk) {
                        let _ = rustix::io::write(to.as_fd(), &chunk[..count]);
                        idle = false;
                    }
                }
                if idle {
                    // A side that is hung up is always "ready".
                    thread::park_timeout(Duration::from_millis(1));
                }
            }
        };
        self.tie = Some((stop, thread::spawn(carry)));
    }

    fn cut(&mut self) {
        if let Some((stop, tie)) = self.tie.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = tie.join();
        }
    }
}
