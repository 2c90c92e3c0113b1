//! What the local page costs: the gateway's throughput with five pages open, beside that with none.
//!
//! ```text
//! cargo bench --bench page             7 rounds of each
//! cargo bench --bench page -- 15       more
//! ```
//!
//! The real binary reads 1,000 sensors from a pseudo-terminal as fast as it can, each through one alarm that nothing
//! crosses: what is left is reading, decoding, judging and the page. Rounds with and without pages alternate; a round is
//! as many lines as take some seconds, so that every page gets several updates. The pages are read on this machine, by
//! threads of this process, which a Pi's browsers would not be: beside the throughput stands the gateway's own processor
//! time. Medians of the rounds' ratios are printed. Exits with 1 when the pages cost 5 % or more of both.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

mod support;

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only the gateway and its port are wanted")]
mod stage;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use stage::gateway::{Config, Gateway, high_alarm, line, serial_source};
use stage::pty::SerialDevice;
use stage::{free_port, wait_until};
use support::machine;
use support::pages::Pages;
use support::stats::{grouped, median};

const ROUNDS: usize = 7;
const PAGES: usize = 5;
const SENSORS: usize = 1_000;
/// Sensors in a line; a line is some 1 KB.
const SENSORS_A_LINE: usize = 100;
/// How long a round is about.
const ROUND: Duration = Duration::from_secs(5);
/// Lines of the round that tells how many a round has.
const TRIAL_LINES: usize = 1_000;
/// How long a round may take at most.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the pages may cost.
const COST_MAX: f64 = 0.05;

fn main() {
    if !machine::is_bench() {
        return println!("page: run it by `cargo bench --bench page`");
    }
    machine::announce("page");
    let rounds = machine::argument(ROUNDS);
    let dir = machine::directory();
    let port = free_port();
    let device = SerialDevice::plug_in(&dir.path().join("port"));
    let mut config = Config::example(dir.path(), "mqtt://127.0.0.1:1", "mqtt://127.0.0.1:1");
    config.sources = vec![serial_source("plant", device.link())];
    config.alarms = vec![high_alarm("too-warm", "plant/#", 1_000.0, "high")];
    config.upstream = String::new();
    config.http = line("listen", format!("127.0.0.1:{port}"));
    let mut gateway = Gateway::new(&dir.path().join("gateway"), &config);
    gateway.start();
    let line = device.far_end().into();
    let plant = Plant { device, line, socket: dir.path().join("control.sock"), pid: gateway.pid(), texts: texts() };
    // The first line of a port is never whole.
    plant.device.repeat_until("s0000=20.0\n", "the port to be read", || plant.evaluated() > 0);
    let plant = plant.faster();
    plant.round(SENSORS / SENSORS_A_LINE * 2);
    let trial = plant.round(TRIAL_LINES);
    let lines = (TRIAL_LINES as f64 * ROUND.as_secs_f64() / trial.seconds) as usize;
    let (mut speeds, mut times, mut alone, mut bytes, mut seconds) = (vec![], vec![], vec![], 0, 0.0);
    for round in 0..rounds {
        let with = || {
            let pages = Pages::open(port, PAGES);
            let figures = plant.round(lines);
            (figures, pages.close())
        };
        // Which comes first alternates, too.
        let ((open, read), none) = if round % 2 == 0 {
            (with(), plant.round(lines))
        } else {
            let none = plant.round(lines);
            (with(), none)
        };
        bytes += read;
        seconds += open.seconds;
        speeds.push(none.seconds / open.seconds);
        times.push(none.processor_seconds / open.processor_seconds);
        alone.push(lines as f64 * SENSORS_A_LINE as f64 / none.seconds);
    }
    gateway.kill();
    let (speed, time) = (median(speeds), median(times));
    println!("\n{SENSORS} sensors, {PAGES} pages, {rounds} rounds of about {} s", ROUND.as_secs());
    println!("readings a second, no page open       {:>12}", grouped(median(alone)));
    println!("throughput with the pages open        {:>12.3} of that", speed);
    println!("the same by the gateway's own time    {:>12.3}", time);
    println!("bytes a page and second               {:>12}", grouped(bytes as f64 / PAGES as f64 / seconds));
    println!("load at the end: {}", machine::load());
    if speed < 1.0 - COST_MAX && time < 1.0 - COST_MAX {
        println!("more than {:.0} % of the throughput", COST_MAX * 100.0);
        std::process::exit(1);
    }
}

/// One round's figures.
struct Figures {
    seconds: f64,
    processor_seconds: f64,
}

struct Plant {
    device: SerialDevice,
    line: fs::File,
    socket: std::path::PathBuf,
    pid: u32,
    texts: Vec<String>,
}

impl Plant {
    /// From here on writing waits for the gateway instead of asking again and again.
    fn faster(self) -> Self {
        rustix::fs::fcntl_setfl(&self.line, rustix::fs::OFlags::empty()).unwrap();
        self
    }

    /// Sends so many lines and waits until all their readings are judged.
    fn round(&self, lines: usize) -> Figures {
        let wanted = self.evaluated() + (lines * SENSORS_A_LINE) as u64;
        let (start, before) = (Instant::now(), self.processor_seconds());
        for line in 0..lines {
            (&self.line).write_all(self.texts[line % self.texts.len()].as_bytes()).unwrap();
        }
        wait_until("all readings to be judged", PATIENCE, || self.evaluated() >= wanted);
        Figures { seconds: start.elapsed().as_secs_f64(), processor_seconds: self.processor_seconds() - before }
    }

    fn evaluated(&self) -> u64 {
        let status: serde_json::Value = serde_json::from_str(&ask(&self.socket, "/v1/status")).unwrap();
        status["readings"]["evaluated"].as_u64().unwrap()
    }

    /// The gateway's processor time.
    fn processor_seconds(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        // Behind the name, which may hold anything: state is the first.
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }
}

/// Different lines, so that every sensor changes all the time.
fn texts() -> Vec<String> {
    let groups = SENSORS / SENSORS_A_LINE;
    let line = |number: usize| {
        let mut text = String::new();
        for sensor in 0..SENSORS_A_LINE {
            let name = number % groups * SENSORS_A_LINE + sensor;
            write!(text, "s{name:04}={}.{} ", 20 + number % 7, sensor % 10).unwrap();
        }
        text.trim_end().to_owned() + "\n"
    };
    (0..groups * 7).map(line).collect()
}

/// The answer's body.
fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}
