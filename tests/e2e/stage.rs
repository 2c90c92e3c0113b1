//! The usual scene: a local broker with sensors, a gateway, a network, an upstream broker, and somebody who counts.

use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::support::consumer::Consumer;
use crate::support::gateway::{Config, Gateway, SOURCE_CLIENT, crossing_value, reading, said, tidegate};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::proxy::Proxy;
use crate::support::publisher::Publisher;

/// Everything a scenario needs. Fields end in this order: first who talks, then who listens.
pub struct Stage {
    /// Configured, not started.
    pub gateway: Gateway,
    /// What the gateway is configured with.
    pub config: Config,
    /// Sensors.
    pub publisher: Publisher,
    /// Counts at the upstream broker.
    pub consumer: Consumer,
    /// Between gateway and upstream broker.
    pub network: Proxy,
    /// The sensors' broker; keeps sessions over restarts.
    pub local: Mosquitto,
    /// The upstream broker.
    pub upstream: Mosquitto,
    dir: TempDir,
}

impl Stage {
    /// With the example configuration.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With the example configuration and a change to it.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::build(tempfile::tempdir().expect("make a directory"), Options::persistent(), change)
    }

    /// In a directory that already holds something, with an upstream broker of some kind.
    pub fn build(dir: TempDir, upstream: Options, change: impl FnOnce(&mut Config)) -> Self {
        let local = Mosquitto::start(dir.path(), "local", Options::persistent());
        let upstream = Mosquitto::start(dir.path(), "upstream", upstream);
        let network = Proxy::start(upstream.front());
        let url = if upstream.options.tls.is_some() {
            format!("mqtts://localhost:{}", network.port())
        } else {
            format!("mqtt://127.0.0.1:{}", network.port())
        };
        let mut config = Config::example(dir.path(), &local.url(), &url);
        change(&mut config);
        let gateway = Gateway::new(&dir.path().join("gateway"), &config);
        let consumer = Consumer::start(upstream.address(), "consumer");
        let publisher = Publisher::new(local.address(), "sensors");
        Self { gateway, config, publisher, consumer, network, local, upstream, dir }
    }

    /// Starts the gateway for the first time and waits until it listens to the sensors.
    #[track_caller]
    pub fn start(&mut self) {
        self.gateway.start();
        self.local.wait_subscribed(SOURCE_CLIENT, 1);
    }

    /// Asks the running gateway over its control socket; the arguments are the subcommand's.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        let socket = self.path("control.sock");
        tidegate(&[arguments, &["--socket", socket.to_str().expect("a path in UTF-8")]].concat())
    }

    /// `tidegate status --json`
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let output = self.ask(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    /// The test's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A sensor says a value; returns when the local broker has it.
    pub fn say(&mut self, device: &str, value: f64, seq: u64) {
        self.publisher.publish(&format!("sensors/{device}/temp"), reading(value, seq));
        self.publisher.flush();
    }

    /// `per_sensor` crossings of each of `sensors` sensors (`s0`, `s1`, ...), all with numbers from `first` on;
    /// returns when the local broker has them.
    pub fn cross(&mut self, sensors: u64, first: u64, per_sensor: u64) {
        cross(&mut self.publisher, sensors, first, per_sensor);
    }
}

/// See [`Stage::cross`].
pub fn cross(publisher: &mut Publisher, sensors: u64, first: u64, per_sensor: u64) {
    for seq in first..first + per_sensor {
        for sensor in 0..sensors {
            publisher.publish(&format!("sensors/s{sensor}/temp"), reading(crossing_value(seq), seq));
        }
    }
    publisher.flush();
}
