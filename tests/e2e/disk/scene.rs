//! The usual stage with the store on a small file system, sensors that never stop talking, and the bookkeeping of what
//! they said.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::stage::Stage;
use crate::support::gateway::{Config, crossing_value, line, said};
use crate::support::summary::{self, Summary};
use crate::support::volume::{Kind, Shape, Volume};
use crate::support::{PATIENT, SOON, wait_until};

/// Sensors that take turns.
const SENSORS: u64 = 4;

/// Random text carried by each message, characters, usually: so that the store grows by some generations in a test.
const PAD_CHARS: usize = 3_000;

/// The size of the file systems. The smallest store that can be configured does not fit: the disk is full before the
/// quota is.
pub const DISK_BYTES: u64 = 24 * 1024 * 1024;

/// The store's reserve with the smallest quota.
pub const RESERVE_BYTES: u64 = 512 * 1024;

/// What a generation of the smallest store takes on disk, at most: 2 MiB, and what was let in when it was nearly full.
const GENERATION_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Lines about the store that one fault may write, at most: it began, what it is after the reserve was given up, it is
/// over, and what was being made at that moment.
const LINES_PER_FAULT_MAX: usize = 6;

/// Stage, volume, and what was said.
pub struct Scene {
    /// Ends before the volume does.
    pub stage: Stage,
    /// Where the store is.
    pub volume: Volume,
    /// For moments and texts.
    pub rng: fastrand::Rng,
    /// Messages said so far.
    pub said: u64,
    /// Random text carried by each message, characters.
    pub pad_chars: usize,
    full_lines_before: usize,
}

impl Scene {
    /// Everything but the gateway's first start.
    pub fn new(kind: Kind, policy: &str, seed: u64) -> Self {
        Self::shaped(Shape { kind, bytes: DISK_BYTES, inodes: None }, policy, seed, |_| {})
    }

    /// On a volume of any shape, with changes to the configuration.
    pub fn shaped(shape: Shape, policy: &str, seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        println!("{shape:?}, {policy}, seed {seed}");
        let volume = Volume::new(shape);
        let stage = Stage::with(|config| {
            config.store = line("path", volume.path().join("store").display())
                + &line("max_bytes", "32MiB")
                + &line("when_full", policy);
            config.sources[0] = config.sources[0].replace("carry = [\"seq\", \"ts\"]", "carry = [\"seq\", \"pad\"]");
            change(config);
        });
        Self { stage, volume, rng: fastrand::Rng::with_seed(seed), said: 0, pad_chars: PAD_CHARS, full_lines_before: 0 }
    }

    /// Sensors say `count` more messages, each of which crosses the limit; returns when they are on their way.
    pub fn say(&mut self, count: u64) {
        for _ in 0..count {
            let (sensor, seq) = (self.said % SENSORS, self.said / SENSORS + 1);
            let length = self.rng.usize(self.pad_chars / 2..self.pad_chars);
            let pad: String = std::iter::repeat_with(|| self.rng.alphanumeric()).take(length).collect();
            let payload = format!(r#"{{"value":{:?},"seq":{seq},"pad":"{pad}"}}"#, crossing_value(seq));
            self.stage.publisher.publish(&format!("sensors/s{sensor}/temp"), payload);
            self.said += 1;
        }
    }

    /// A number of messages up to `most`.
    pub fn say_some(&mut self, most: u64) {
        let count = self.rng.u64(1..=most);
        self.say(count);
    }

    /// Says something now and then until the store says that it takes nothing more.
    #[track_caller]
    pub fn say_until_full(&mut self) {
        wait_until("the store to be full", PATIENT, || {
            self.say(1);
            self.store()["full"] == true
        });
        self.stage.publisher.flush();
    }

    /// Says something now and then until the store says what is wrong.
    #[track_caller]
    pub fn say_until_fault(&mut self) {
        wait_until("a fault of the store", PATIENT, || {
            self.say(1);
            !self.store()["fault"].is_null()
        });
        self.stage.publisher.flush();
    }

    /// Says something now and then until the log has one more line that says so.
    #[track_caller]
    pub fn say_until_said_full(&mut self) {
        wait_until("the log to say that the disk is full", PATIENT, || {
            // A generation that was just delivered and given back would be room enough to live from.
            self.volume.fill();
            self.say(1);
            self.full_lines() > self.full_lines_before
        });
        self.full_lines_before = self.full_lines();
        self.stage.publisher.flush();
        assert!(self.stage.gateway.is_running());
    }

    fn full_lines(&self) -> usize {
        let log = self.stage.gateway.log();
        log.lines().filter(|line| line.contains("ERROR") && line.contains("is full")).count()
    }

    /// `store` of the status.
    pub fn store(&self) -> serde_json::Value {
        self.stage.status()["store"].clone()
    }

    /// Waits for the fault to be said, with all these words, to whoever asks.
    #[track_caller]
    pub fn wait_fault(&mut self, words: &[&str]) {
        let mut text = String::new();
        wait_until(&format!("a fault with the words {words:?}"), SOON, || {
            text = said(&self.stage.ask(&["status"]));
            words.iter().all(|word| text.contains(word)) && text.contains("FAULT")
        });
        assert!(self.stage.gateway.is_running());
    }

    /// Waits until so many events wait for an upstream that is away.
    #[track_caller]
    pub fn wait_stored(&self, events: u64) {
        wait_until("all to be stored", PATIENT, || self.store()["waiting"].as_u64() >= Some(events));
    }

    /// Waits until everything stored is delivered.
    #[track_caller]
    pub fn wait_drained(&mut self) {
        wait_until("the store to drain", PATIENT, || self.store()["waiting"] == 0);
        assert!(self.stage.gateway.is_running());
    }

    /// Waits until the store takes everything again, with its reserve in hand.
    #[track_caller]
    pub fn wait_well(&mut self) {
        let mut store = self.store();
        let is_well = |store: &serde_json::Value| store["full"] == false && store["fault"].is_null();
        wait_until("the store to be well", PATIENT, || {
            store = self.store();
            is_well(&store)
        });
        let reserve = self.volume.path().join("store/reserve");
        let bytes = fs::metadata(&reserve).map_or(0, |data| data.blocks() * 512);
        assert!(bytes >= RESERVE_BYTES, "the reserve has {bytes} bytes");
        assert!(self.stage.gateway.is_running());
    }

    /// Waits until all that was said has arrived, and counts: nothing lost, nothing out of order.
    #[track_caller]
    pub fn wait_all(&mut self) {
        self.stage.publisher.flush();
        self.stage.consumer.wait_for_crossings(self.said, PATIENT);
        self.stage.consumer.assert_lossless();
        assert_eq!(self.stage.consumer.crossings(), self.said);
        assert!(self.stage.gateway.is_running());
    }

    /// The counts, and that the log was not flooded by so many faults. Call it last.
    #[track_caller]
    pub fn report(&self, faults: usize) {
        let log = self.stage.gateway.log();
        let about: Vec<&str> = log
            .lines()
            .filter(|line| (line.contains("ERROR") || line.contains("WARN")) && !line.contains("broker"))
            .collect();
        println!("{faults} faults wrote {} lines into the log", about.len());
        Summary::of(summary::Kind::Fills, faults as u64, self.said, &self.stage.consumer).add();
        assert!(about.len() <= LINES_PER_FAULT_MAX * faults, "{faults} faults wrote\n{}", about.join("\n"));
    }

    /// Waits until of everything stored no more than the newest generation is left on the disk.
    #[track_caller]
    pub fn wait_given_back(&self) {
        wait_until("delivered generations to be removed", PATIENT, || self.queue_bytes() <= GENERATION_BYTES_MAX);
    }

    /// Bytes that the generations take.
    pub fn queue_bytes(&self) -> u64 {
        bytes_below(&self.volume.path().join("store/queue"))
    }
}

/// Sum of the blocks of all files below a directory; files that vanish meanwhile do not count.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}
