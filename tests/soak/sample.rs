//! What the system says of the gateway's process, again and again.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the gateway may take to answer a scrape; without an answer the sample says what the last one said.
const SCRAPE_WAIT: Duration = Duration::from_secs(5);

/// At one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the beginning.
    pub seconds: f64,
    /// Of the plant's day.
    pub hour: f64,
    /// Memory in use, bytes.
    pub memory: u64,
    /// Of it, what is not backed by a file.
    pub anonymous: u64,
    /// Open files.
    pub files: u64,
    /// Threads.
    pub threads: u64,
    /// What the store takes on the disk, in blocks, bytes.
    pub store: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Processor time so far, seconds.
    pub processor: f64,
    /// Whether the network upstream is down on purpose.
    pub outage: bool,
}

/// Whom to look at.
pub struct Subject {
    pub pid: u32,
    pub store: PathBuf,
    pub http_port: u16,
}

/// Where the day is, told by who lives it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Thousandths of an hour.
    pub millihours: AtomicU64,
    pub outage: AtomicBool,
    ended: AtomicBool,
}

/// Takes samples in a thread of its own, until it is ended.
pub struct Sampler {
    pub progress: Arc<Progress>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: JoinHandle<()>,
}

impl Sampler {
    /// Begins.
    pub fn start(subject: Subject, every: Duration) -> Self {
        let (progress, samples) = (Arc::new(Progress::default()), Arc::new(Mutex::new(Vec::new())));
        let thread = thread::spawn({
            let (progress, samples) = (Arc::clone(&progress), Arc::clone(&samples));
            move || {
                let start = Instant::now();
                let mut last = Sample::default();
                while !progress.ended.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    last = take(&subject, &progress, last);
                    last.seconds = start.elapsed().as_secs_f64();
                    samples.lock().expect("no holder panics").push(last);
                    while begun.elapsed() < every && !progress.ended.load(Ordering::SeqCst) {
                        thread::park_timeout(every.saturating_sub(begun.elapsed()));
                    }
                }
            }
        });
        Self { progress, samples, thread }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.samples.lock().expect("no holder panics").len()
    }

    /// Ends; all samples.
    pub fn end(self) -> Vec<Sample> {
        self.progress.ended.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.thread.join().expect("taking samples does not panic");
        std::mem::take(&mut *self.samples.lock().expect("no holder panics"))
    }
}

fn take(subject: &Subject, progress: &Progress, last: Sample) -> Sample {
    let proc = PathBuf::from(format!("/proc/{}", subject.pid));
    let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Sample {
        seconds: 0.0,
        hour: progress.millihours.load(Ordering::SeqCst) as f64 / 1_000.0,
        memory: field("VmRSS:") * 1024,
        anonymous: field("RssAnon:") * 1024,
        files: fs::read_dir(proc.join("fd")).map_or(0, |files| files.count() as u64),
        threads: field("Threads:"),
        store: disk_bytes(&subject.store),
        waiting: waiting(subject.http_port).unwrap_or(last.waiting),
        processor: processor_seconds(&proc).unwrap_or(last.processor),
        outage: progress.outage.load(Ordering::SeqCst),
    }
}

/// In blocks; files may come and go meanwhile.
pub fn disk_bytes(path: &Path) -> u64 {
    let own = fs::symlink_metadata(path).map_or(0, |about| about.blocks() * 512);
    let within = fs::read_dir(path).into_iter().flatten().flatten();
    own + within
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => disk_bytes(&entry.path()),
            _ => fs::symlink_metadata(entry.path()).map_or(0, |about| about.blocks() * 512),
        })
        .sum::<u64>()
}

/// From the metrics, which are asked for as often as a scraper would at most.
fn waiting(port: u16) -> Option<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(SCRAPE_WAIT)).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().find_map(|line| line.strip_prefix("tidegate_queue_events "))?.trim().parse().ok()
}

/// All threads' time in user and system mode, in the system's ticks of 10 ms.
fn processor_seconds(proc: &Path) -> Option<f64> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    // The name may hold anything, but ends with the last bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map_while(|field| field.parse::<f64>().ok());
    Some((ticks.next()? + ticks.next()?) / 100.0)
}
