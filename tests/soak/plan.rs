//! How large the plant is, how long its day takes, and what happens in it.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Set by `tests/run --soak DURATION`: how long the day takes.
const VARIABLE: &str = "TIDEGATE_SOAK";

/// How long the day must take for all its readings: 2,500 a second.
const WHOLE_DAY: Duration = Duration::from_secs(600);

/// Readings of each sensor before memory is judged: events carry the ten before them, so every sensor keeps those.
const WARM_READINGS: u64 = 16;

/// The long outage, hours.
pub const OUTAGE: Range<f64> = 2.0..18.0;

/// Largest message, bytes.
const MESSAGE_BYTES_MAX: usize = 100_000;

/// What is done to the gateway's surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network upstream goes.
    Down,
    /// It comes back.
    Restore,
    /// All connections upstream break.
    Cut,
    /// The upstream broker stops and starts again.
    UpstreamRestart,
    /// So does the local one.
    LocalRestart,
    /// The configuration is read again, unchanged.
    Reload,
}

/// The faults, by the hour.
pub const FAULTS: [(f64, Fault); 8] = [
    (OUTAGE.start, Fault::Down),
    (10.0, Fault::Reload),
    (OUTAGE.end, Fault::Restore),
    (20.0, Fault::Cut),
    (20.5, Fault::Reload),
    (21.0, Fault::UpstreamRestart),
    (22.0, Fault::LocalRestart),
    (23.0, Fault::Cut),
];

/// A plant and its day.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What its files are called.
    pub name: &'static str,
    /// Connections to the local broker.
    pub sources: u64,
    /// Over all sources.
    pub sensors: u64,
    /// Each watches its share of the sensors.
    pub alarms: u64,
    /// Readings a sensor; each crosses a limit.
    pub readings: u64,
    /// How long the day is to take; without it, as long as it takes.
    pub day: Option<Duration>,
    /// Between two samples.
    pub sample_every: Duration,
}

impl Plan {
    /// What was asked for, else the miniature.
    pub fn of_this_run() -> Self {
        let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Self::miniature() };
        let text = text.into_string().unwrap();
        let day = humantime::parse_duration(&text).unwrap_or_else(|error| panic!("{VARIABLE}={text}: {error}"));
        let large = Self::large();
        // A shorter day has fewer readings, not more of them a second.
        let share = (day.as_secs_f64() / WHOLE_DAY.as_secs_f64()).min(1.0);
        let readings = ((large.readings as f64 * share) as u64).max(48);
        Self { day: Some(day), sample_every: Duration::from_secs(1), readings, ..large }
    }

    /// A reading of each sensor about every ten minutes, so many that in the end of the outage a million wait.
    fn large() -> Self {
        Self { name: "soak", sources: 64, sensors: 10_000, alarms: 2_000, readings: 152, ..Self::miniature() }
    }

    fn miniature() -> Self {
        Self {
            name: "miniature",
            sources: 16,
            sensors: 800,
            alarms: 160,
            readings: 8,
            day: None,
            sample_every: Duration::from_millis(50),
        }
    }

    /// The same plant for a small machine; as fast as it goes.
    pub fn of_a_small_machine() -> Self {
        Self { name: "small-machine", readings: 24, ..Self::large() }
    }

    /// Whether the whole day was asked for.
    pub fn is_whole(&self) -> bool {
        self.day.is_some()
    }

    /// Readings of the day, and events, since each crosses.
    pub fn total(&self) -> u64 {
        self.sensors * self.readings
    }

    /// The hour at which this reading comes.
    pub fn hour(&self, index: u64) -> f64 {
        index as f64 * 24.0 / self.total() as f64
    }

    /// From when on memory and the rest are judged: all sensors are known, and have spoken often.
    pub fn warm_hour(&self) -> f64 {
        self.hour(WARM_READINGS * self.sensors).clamp(OUTAGE.start, OUTAGE.start + 10.0)
    }

    /// When this reading is due, from the beginning.
    pub fn due(&self, index: u64) -> Option<Duration> {
        self.day.map(|day| day.mul_f64(index as f64 / self.total() as f64))
    }

    /// Topic and payload of a reading.
    pub fn message(&self, index: u64) -> (String, String) {
        let (sensor, seq) = (index % self.sensors, index / self.sensors + 1);
        let value = if seq % 2 == 1 { 80.0 } else { 20.0 };
        let ts = 1_767_225_600_000 + (self.hour(index) * 3_600_000.0) as u64;
        let note = match index % 1_000 {
            0 => MESSAGE_BYTES_MAX - 100,
            1..=10 => 10_000,
            other => usize::try_from(other % 100).unwrap(),
        };
        let (source, note) = (sensor % self.sources, "n".repeat(note));
        let payload = format!(r#"{{"value":{value:?},"seq":{seq},"ts":{ts},"note":"{note}"}}"#);
        (format!("soak/s{source:02}/d{sensor:05}"), payload)
    }

    /// The sensor that an event is about, by its name.
    pub fn sensor(&self, subject: &str) -> Option<usize> {
        let device = subject.split('/').nth(1)?.strip_prefix('d')?;
        device.parse().ok().filter(|sensor| (*sensor as u64) < self.sensors)
    }

    /// The name of the sensor with this number.
    pub fn subject(&self, sensor: u64) -> String {
        format!("s{:02}/d{sensor:05}/value", sensor % self.sources)
    }

    /// Where samples are left.
    pub fn path(&self, extension: &str) -> PathBuf {
        // Beside what cargo keeps for tests, which is `target/tmp`.
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("soak").join(self.name).with_extension(extension)
    }
}
