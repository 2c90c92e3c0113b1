//! Keeps recent readings on disk for `tidegate backtest`: off by default, and never in the way of anything.
//!
//! Owns the thread that writes and the bounded channel to it. The pipeline hands over the readings it has evaluated; when
//! the thread does not keep up they are dropped and counted. Blocks are written when they are full or a minute old, so
//! a kill costs the last block. The files' layout is `block`, the folder is `ring`.

pub mod block;
pub mod ring;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use crate::clock::WallTime;
use crate::config::model;
use crate::counters::{Counter, Counters, Note};
use crate::reading::Reading;
use crate::unit;
use block::Encoder;
use ring::Ring;

/// Messages that wait for the thread: two turns of the pipeline, and time enough for a card that stalls for a second at
/// a thousand messages a second.
const WAITING_MAX: usize = 1024;

/// Readings in those messages; a few megabytes. A data logger that catches up sends many in one.
const READINGS_WAITING_MAX: usize = 16_384;

/// A block is not kept longer in memory.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// What the recorder counts.
#[derive(Debug, Default)]
pub struct RecordCounters {
    /// Readings written to the folder.
    pub written: Counter,
    /// Bytes written for them.
    pub bytes: Counter,
    /// Readings that were not: the disk was too slow or could not be written.
    pub dropped: Counter,
    /// Why the folder cannot be written.
    pub fault: Note,
}

struct Batch {
    arrival: WallTime,
    readings: Vec<Reading>,
}

struct Running {
    config: model::Record,
    to: SyncSender<Batch>,
    /// Readings that wait for the thread.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// The recorder as the pipeline sees it: on or off.
pub struct Recorder {
    on: AtomicBool,
    running: Mutex<Option<Running>>,
    counters: Arc<Counters>,
}

impl Recorder {
    /// One that is off.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { on: AtomicBool::new(false), running: Mutex::new(None), counters }
    }

    /// Makes it what the configuration says; one that has not changed goes on.
    pub fn follow(&self, wanted: Option<&model::Record>) {
        let mut running = self.running();
        if running.as_ref().map(|running| &running.config) == wanted {
            return;
        }
        self.counters.record.fault.clear();
        // A thread without a sender writes what it has and ends; nobody needs to wait for it here.
        *running = wanted.and_then(|config| self.start(config));
        self.on.store(running.is_some(), Ordering::Relaxed);
    }

    /// Whether readings are wanted.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Hands over the readings of a message that came at `arrival`; never waits.
    pub fn offer(&self, arrival: WallTime, readings: Vec<Reading>) {
        let running = self.running();
        let Some(running) = &*running else { return };
        let count = readings.len();
        if running.waiting.load(Ordering::Relaxed) + count > READINGS_WAITING_MAX {
            self.counters.record.dropped.add(count as u64);
            return;
        }
        running.waiting.fetch_add(count, Ordering::Relaxed);
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            running.to.try_send(Batch { arrival, readings })
        {
            running.waiting.fetch_sub(count, Ordering::Relaxed);
            self.counters.record.dropped.add(batch.readings.len() as u64);
        }
    }

    /// Stops, and returns what is to be waited for (it blocks) until all is written.
    pub fn stop(&self) -> Option<JoinHandle<()>> {
        self.on.store(false, Ordering::Relaxed);
        self.running().take().map(|running| running.thread)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, config: &model::Record) -> Option<Running> {
        let (to, from) = sync_channel(WAITING_MAX);
        let (folder, bytes_max, counters) = (config.path.clone(), config.max_bytes, Arc::clone(&self.counters));
        let waiting = Arc::<AtomicUsize>::default();
        let theirs = Arc::clone(&waiting);
        let write = move || Writer::new(&folder, bytes_max, counters).run(&from, &theirs);
        match std::thread::Builder::new().name("record".to_owned()).spawn(write) {
            Ok(thread) => Some(Running { config: config.clone(), to, waiting, thread }),
            Err(error) => {
                tracing::error!(%error, "readings are not recorded: the recorder's thread cannot start");
                None
            }
        }
    }
}

/// Tries whether readings could be kept there, without making anything.
///
/// # Errors
/// In words, with what to do.
pub fn probe(folder: &Path) -> Result<String, String> {
    let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    match access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if !nearest.is_dir() => {
            Err(format!("{} is no folder; name another `path` in [record]", nearest.display()))
        }
        Ok(()) => Ok(format!("{} can be written", folder.display())),
        Err(error) => Err(format!(
            "{shown} cannot be written: {error}; it must belong to the user that runs the gateway: sudo install -d -o \
             tidegate -g tidegate -m 750 {shown}",
            shown = folder.display()
        )),
    }
}

/// The thread.
struct Writer {
    ring: Ring,
    folder: String,
    encoder: Encoder,
    began: Instant,
    counters: Arc<Counters>,
    failed: bool,
}

impl Writer {
    fn new(folder: &Path, bytes_max: u64, counters: Arc<Counters>) -> Self {
        Self {
            ring: Ring::new(folder, bytes_max),
            folder: folder.display().to_string(),
            encoder: Encoder::default(),
            began: Instant::now(),
            counters,
            failed: false,
        }
    }

    fn run(mut self, from: &Receiver<Batch>, waiting: &AtomicUsize) {
        // A block comes a minute later: whoever has just set this up must not have to wait for it.
        match self.ring.prepare() {
            Ok(()) => tracing::info!(folder = self.folder, "recording readings"),
            Err(error) => self.refused(&error),
        }
        loop {
            let left = match self.encoder.readings {
                0 => WRITE_EVERY,
                _ => WRITE_EVERY.saturating_sub(self.began.elapsed()),
            };
            match from.recv_timeout(left) {
                Ok(batch) => {
                    waiting.fetch_sub(batch.readings.len(), Ordering::Relaxed);
                    self.take(&batch);
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.write();
    }

    fn take(&mut self, batch: &Batch) {
        for reading in &batch.readings {
            if self.encoder.readings == 0 {
                self.began = Instant::now();
            }
            self.encoder.push(batch.arrival, reading);
            if self.encoder.is_full() {
                self.write();
            }
        }
        // A sensor that never pauses must not keep a block for ever.
        if self.encoder.readings > 0 && self.began.elapsed() >= WRITE_EVERY {
            self.write();
        }
    }

    fn write(&mut self) {
        let readings = self.encoder.readings;
        if readings == 0 {
            return;
        }
        match self.encoder.finish().and_then(|frame| self.ring.write(&frame).map(|()| frame.len() as u64)) {
            Ok(bytes) => {
                self.counters.record.written.add(readings);
                self.counters.record.bytes.add(bytes);
                if std::mem::take(&mut self.failed) {
                    self.counters.record.fault.clear();
                    tracing::info!(folder = self.folder, "readings are recorded again");
                }
            }
            Err(error) => {
                self.counters.record.dropped.add(readings);
                self.refused(&error);
            }
        }
    }

    /// Says once why nothing can be written.
    fn refused(&mut self, error: &io::Error) {
        if std::mem::replace(&mut self.failed, true) {
            return;
        }
        let help = match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => unit::read_only(Path::new(&self.folder)),
            io::ErrorKind::PermissionDenied => format!(
                "the folder must belong to the user tidegate runs as: `sudo install -d -o tidegate -g tidegate -m 750 {}`",
                self.folder
            ),
            io::ErrorKind::StorageFull => "the disk is full: `df -h` shows which".to_owned(),
            _ => "`path` of [record] must be a folder on a disk that can be written".to_owned(),
        };
        self.counters.record.fault.set(&format!("{}: {error}; {help}", self.folder));
        tracing::warn!(folder = self.folder, %error, help, "readings are not recorded; tried again with every block");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::backtest::input::Input;
    use crate::reading::{SensorId, TimeSource, Value};

    fn reading(number: f64) -> Reading {
        Reading {
            sensor: SensorId::new("plant/a/t"),
            value: Value::Number(number),
            unit: Some("°C".into()),
            time: WallTime::from_secs(1_800_000_000),
            time_source: TimeSource::Arrival,
            fresh: true,
            attributes: None,
        }
    }

    #[test]
    fn what_is_offered_is_found_in_the_folder_and_a_change_of_folder_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let counters = Arc::new(Counters::default());
        let recorder = Recorder::new(Arc::clone(&counters));
        recorder.offer(WallTime(0), vec![reading(0.0)]);
        assert!(!recorder.is_on(), "off by default");
        let config = |name: &str| model::Record { path: dir.path().join(name), max_bytes: 1 << 20 };
        recorder.follow(Some(&config("one")));
        let first = recorder.running().as_ref().map(|running| running.thread.thread().id());
        recorder.follow(Some(&config("one")));
        assert_eq!(recorder.running().as_ref().map(|running| running.thread.thread().id()), first, "goes on");
        let arrival = |second: i64| WallTime::from_secs(1_800_000_000 + second);
        for second in 0..500 {
            recorder.offer(arrival(second), vec![reading(second as f64)]);
        }
        let old = recorder.running().take().unwrap();
        drop(old.to);
        old.thread.join().unwrap();
        recorder.follow(Some(&config("two")));
        recorder.offer(arrival(500), vec![reading(1.0), reading(2.0)]);
        recorder.stop().unwrap().join().unwrap();
        assert_eq!((counters.record.written.get(), counters.record.dropped.get()), (502, 0));
        let in_files: u64 = ["one", "two"]
            .iter()
            .flat_map(|name| ring::files(&dir.path().join(name)).unwrap())
            .map(|(_, path)| std::fs::metadata(path).unwrap().len() - block::MAGIC.len() as u64)
            .sum();
        assert_eq!(counters.record.bytes.get(), in_files);
        let mut seen = Vec::new();
        let mut input = Input::default();
        for name in ["one", "two"] {
            input.read(&dir.path().join(name), &mut |recorded| seen.push(recorded.arrival)).unwrap();
        }
        assert_eq!(seen, (0..500).chain([500, 500]).map(arrival).collect::<Vec<_>>());
        assert_eq!((input.readings, input.bad.count, input.sensors.len()), (502, 0, 1));
    }

    #[test]
    fn a_reading_costs_as_many_bytes_as_the_reference_says() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut bytes, mut readings) = (0, 0);
        let mut values = [[21.5, 48.0, 1013.2]; 5];
        for minute in 0..10 {
            let mut encoder = Encoder::default();
            for message in 0..30 {
                let since_ms = 60_000 * minute + 2_000 * message;
                let arrival = WallTime(1_800_000_000_000_000_000 + since_ms * 1_000_000 + random.i64(0..4_000) * 1_000);
                let device = message as usize % 5;
                for (quantity, value) in ["temperature", "humidity", "pressure"].into_iter().zip(&mut values[device]) {
                    *value = ((*value * 10.0) as i64 + random.i64(-1..=1)) as f64 / 10.0;
                    let sensor = SensorId::new(format!("plant/{device}/{quantity}"));
                    encoder.push(arrival, &Reading { sensor, time: arrival, ..self::reading(*value) });
                }
            }
            readings += encoder.readings;
            bytes += encoder.finish().unwrap().len();
        }
        let each = bytes as f64 / readings as f64;
        assert!((3.0..=17.0).contains(&each), "{each} bytes");
    }

    #[test]
    fn a_message_of_more_readings_than_may_wait_is_counted_and_takes_no_room_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let counters = Arc::new(Counters::default());
        let recorder = Recorder::new(Arc::clone(&counters));
        recorder.follow(Some(&model::Record { path: dir.path().join("readings"), max_bytes: 1 << 20 }));
        let many = |count: usize| std::iter::repeat_with(|| reading(1.0)).take(count);
        recorder.offer(WallTime(0), many(READINGS_WAITING_MAX + 1).collect());
        recorder.offer(WallTime(0), many(READINGS_WAITING_MAX).collect());
        recorder.stop().unwrap().join().unwrap();
        let counts = (counters.record.written.get(), counters.record.dropped.get());
        assert_eq!(counts, (READINGS_WAITING_MAX as u64, READINGS_WAITING_MAX as u64 + 1));
    }

    #[test]
    fn a_folder_is_tried_without_making_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/readings");
        assert!(probe(&folder).is_ok_and(|text| text.ends_with("readings can be written")));
        assert!(!folder.exists());
        std::fs::write(dir.path().join("deep"), "").unwrap();
        assert!(probe(&folder).is_err(), "a file stands in the way");
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_readings_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("file");
        std::fs::write(&place, "no folder").unwrap();
        let counters = Arc::new(Counters::default());
        let recorder = Recorder::new(Arc::clone(&counters));
        recorder.follow(Some(&model::Record { path: place, max_bytes: 1 << 20 }));
        recorder.offer(WallTime(0), vec![reading(0.0)]);
        recorder.stop().unwrap().join().unwrap();
        assert_eq!((counters.record.written.get(), counters.record.dropped.get()), (0, 1));
        assert!(counters.record.fault.get().is_some_and(|fault| fault.contains("`path` of [record]")));
    }
}
