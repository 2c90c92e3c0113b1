//! Every way a link fails: what it costs, what is said, how long it takes until all is well again.
//!
//! Each test: events flow over TLS, a fault begins, more events are made, the fault ends, and all of them arrive, in
//! order, none lost. `cargo test --test e2e links:: -- --nocapture | grep '^|'` gives the table.

mod absent;
mod answers;
mod breaker;
mod lossy;
mod silent;

use std::time::{Duration, Instant};

use crate::stage::Stage;
use crate::support::certs::Authority;
use crate::support::gateway::line;
use crate::support::mosquitto::Options;
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, wait_until};

/// Sensors in each trial.
const SENSORS: u64 = 4;

/// Crossings of each sensor before, during and after a fault.
const CROSSINGS: [u64; 3] = [20, 40, 10];

/// Limits short enough for a test. What they are by default is in `config/reference.md`.
const IMPATIENT: &str = "keep_alive = \"1s\"\nack_timeout = \"2s\"\nconnect_timeout = \"2s\"\n";

/// A fault's trial.
struct Trial {
    name: &'static str,
    stage: Stage,
    repeats_before: u64,
    made: u64,
    restored: Instant,
}

impl Trial {
    /// Over TLS, with events that have arrived.
    fn start(name: &'static str) -> Self {
        Self::tls(name, IMPATIENT)
    }

    /// The same with these limits.
    fn tls(name: &'static str, limits: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::new(dir.path(), "ca");
        let further = line("ca_file", ca.cert.display()) + limits;
        Self::of(name, Stage::build(dir, Options::tls(&ca.server()), |config| config.upstream += &further))
    }

    /// Without TLS, for faults that must understand what passes.
    fn plain(name: &'static str, limits: &str) -> Self {
        Self::of(name, Stage::with(|config| config.upstream += limits))
    }

    fn of(name: &'static str, mut stage: Stage) -> Self {
        stage.start();
        let mut trial = Self { name, stage, repeats_before: 0, made: 0, restored: Instant::now() };
        trial.cross(CROSSINGS[0]);
        trial.stage.consumer.wait_for_crossings(trial.made * SENSORS, PATIENT);
        trial.repeats_before = trial.stage.consumer.repeats();
        trial
    }

    /// Every sensor crosses its limit so many times more.
    fn cross(&mut self, per_sensor: u64) {
        self.stage.cross(SENSORS, self.made + 1, per_sensor);
        self.made += per_sensor;
    }

    /// What the events of the fault itself are.
    fn cross_during(&mut self) {
        self.cross(CROSSINGS[1]);
    }

    /// Whether everything made so far has arrived.
    fn has_all(&self) -> bool {
        self.stage.consumer.crossings() >= self.made * SENSORS
    }

    /// Waits until status and log tell the fault in these words, one of them at least.
    #[track_caller]
    fn told(&self, words: &[&str]) {
        let tells = |text: &str| words.iter().any(|word| text.contains(word));
        let status = || self.stage.status()["upstream"]["last_error"].as_str().unwrap_or_default().to_owned();
        let told = holds_within(PATIENT, || tells(&status()));
        assert!(told, "{}: the status says \"{}\", expected one of {words:?}", self.name, status());
        let logged = holds_within(SOON, || words.iter().any(|word| self.stage.gateway.logged(&["upstream", word])));
        assert!(logged, "{}: no line of the log has {words:?}", self.name);
    }

    /// The network works again.
    fn restore(&mut self) {
        self.stage.network.restore();
        self.restored = Instant::now();
    }

    /// Everything arrives, then more; adds the line of the table, and checks it.
    #[track_caller]
    fn recovers(mut self) -> Self {
        let arrived = holds_within(PATIENT, || self.has_all());
        let recovered = self.restored.elapsed();
        self.cross(CROSSINGS[2]);
        let arrived = arrived && holds_within(PATIENT, || self.has_all());
        // What is delivered is also known to be: nothing is kept or sent again.
        let settled = arrived && holds_within(PATIENT, || self.stage.status()["store"]["waiting"] == 0);
        let consumer = &self.stage.consumer;
        let status = self.stage.status();
        let lost = self.made * SENSORS - consumer.crossings();
        let repeated = consumer.repeats() - self.repeats_before;
        println!(
            "| {} | {} | {lost} | {repeated} | {} | {:.1} |",
            self.name,
            self.made * SENSORS,
            consumer.out_of_order(),
            recovered.as_secs_f64()
        );
        assert!(settled, "{}: not everything has arrived: {status}", self.name);
        consumer.assert_lossless();
        assert_eq!(status["store"]["dead"], 0, "{}: an event was blamed for the network", self.name);
        assert!(self.stage.gateway.is_running());
        self
    }
}

/// Events one after the other, each when the last has arrived or the time is up, so that a fault of the stream meets
/// many writes.
fn trickle(trial: &mut Trial, per_sensor: u64, each: Duration) {
    for _ in 0..per_sensor {
        trial.cross(1);
        holds_within(each, || trial.has_all());
    }
}

/// Waits for so many connections more than there have been.
fn wait_for_attempts(trial: &Trial, count: u64) {
    let before = trial.stage.network.accepted();
    wait_until("further attempts", PATIENT, || trial.stage.network.accepted() >= before + count);
}
