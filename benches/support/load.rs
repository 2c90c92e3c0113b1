//! The load: sensors whose values cross a limit up and down, through the gateway's own decoder and engine, so that
//! events, alarm states and their proportions are those of the product.

use std::io::Write as _;
use std::path::Path;

use tidegate::clock::{BootTime, ClockState, Now, WallTime};
use tidegate::config::{self, model};
use tidegate::decode::{Decoded, Decoder, Message};
use tidegate::engine::{Engine, Output, Settings};
use tidegate::event::Event;
use tidegate::event::wire;
use uuid::Uuid;

/// The gateway's id in all benches.
pub const GATEWAY: &str = "bench";

const CONFIG: &str = r#"
    [gateway]
    id = "bench"

    [[source]]
    name = "site"
    type = "mqtt"
    url = "mqtt://127.0.0.1"
    topics = ["site/+"]
    decode = { format = "json", device = "{topic[1]}", fields = { value = "°C" }, carry = ["seq", "ts"] }

    [[alarm]]
    name = "too-warm"
    description = "Boiler room above what the pumps can stand"
    sensors = ["site/+/value"]
    high = 75.0
    deadband = 2.0
    severity = "high"
"#;

/// Sensors, taking turns.
const SENSORS: u64 = 100;

/// Readings per second over all sensors.
const READINGS_PER_S: u64 = 10_000;

/// 2026-01-01T00:00:00Z, ns.
const START_NS: i64 = 1_767_225_600_000_000_000;

/// A valid configuration from its text.
pub fn configuration(text: &str) -> model::Config {
    match config::load_text(Path::new("bench.toml"), text, &|_| None) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report}"),
    }
}

/// `[store]` as by default, at another place.
pub fn store(path: &Path) -> model::Store {
    model::Store { path: path.to_owned(), ..configuration(CONFIG).store }
}

/// What engines of benches are told.
pub fn settings(started: Now, sensors_max: usize) -> Settings {
    Settings { boot_id: Uuid::from_u128(0xb007), started, time_zone: jiff::tz::TimeZone::UTC, seed: 7, sensors_max }
}

/// All clocks, so many nanoseconds into the run.
pub fn at(ns: u64) -> Now {
    let wall = START_NS + i64::try_from(ns).unwrap();
    Now { boot: BootTime(1_000_000_000_000 + ns), wall: WallTime(wall - wall % 1_000), clock: ClockState::Synchronized }
}

/// A site that goes on and on.
pub struct Site {
    decoder: Decoder,
    decoded: Decoded,
    engine: Engine,
    random: fastrand::Rng,
    payload: Vec<u8>,
    messages: u64,
    /// Readings a sensor from one crossing to the next.
    between: u64,
}

impl Site {
    /// Every so many readings of a sensor cross its limit; all that raise have ten readings of context.
    pub fn new(between: u64) -> Self {
        let config = configuration(CONFIG);
        Self {
            decoder: Decoder::new(&config.sources[0]).unwrap(),
            decoded: Decoded::default(),
            engine: Engine::new(settings(at(0), 1_000), &config.alarms),
            random: fastrand::Rng::with_seed(7),
            payload: Vec::new(),
            messages: 0,
            between,
        }
    }

    /// The next messages' events and alarm states, until there are so many events.
    pub fn output(&mut self, events: usize) -> Output {
        let mut out = Output::default();
        while out.events.len() < events {
            let step_ns = 1_000_000_000 / READINGS_PER_S;
            let now = at(self.messages * step_ns + self.random.u64(..step_ns));
            let (sensor, round) = (self.messages % SENSORS, self.messages / SENSORS);
            let above = round / self.between % 2 == 1;
            let tenths = if above { 800 } else { 600 } + self.random.u32(..100);
            let (whole, tenth, seq, ts) = (tenths / 10, tenths % 10, self.messages, (now.wall.0 - 200_000) / 1_000);
            self.payload.clear();
            write!(self.payload, r#"{{"value":{whole}.{tenth},"seq":{seq},"ts":{ts}}}"#).unwrap();
            let topic = format!("site/s{sensor:02}");
            let message = Message { topic: Some(&topic), payload: &self.payload, retained: false, arrival: now.wall };
            self.decoded.clear();
            self.decoder.decode(&message, &mut self.decoded);
            for reading in &self.decoded.readings {
                self.engine.on_reading(reading, now, &mut out);
            }
            self.messages += 1;
        }
        out
    }

    /// As [`Site::output`], with sequence numbers from 1 and without the alarm states.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        // The first events of a sensor have little context yet.
        self.output(30 * usize::try_from(SENSORS).unwrap());
        let mut events = self.output(count).events;
        events.truncate(count);
        for (event, sequence) in events.iter_mut().zip(1..) {
            event.sequence = sequence;
        }
        events
    }
}

/// The event as it leaves the gateway in JSON.
pub fn json(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode(event, GATEWAY, model::Encoding::Json, false, &mut out);
    out
}
