//! The usual scene with an upstream of any make: sensors at a local broker, a gateway, a network, a broker, a counter.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::broker::{ACCOUNT, Broker, Make, PASSWORD, Pki};
use crate::support::certs::write_secret;
use crate::support::consumer::Consumer;
use crate::support::gateway::{Config, Gateway, SOURCE_CLIENT, crossing_value, line, reading};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::mqtt::Door;
use crate::support::proxy::Proxy;
use crate::support::publisher::Publisher;

/// How long nothing may arrive before a test gives up: brokers of other makes redeliver after tens of seconds.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait for what a broker may well have lost.
const RESIGNED: Duration = Duration::from_secs(20);

/// Sensors that talk.
pub const SENSORS: u64 = 10;

/// Everything on this side of the upstream broker, and who counts on the other.
pub struct Scene {
    pub gateway: Gateway,
    pub config: Config,
    pub publisher: Publisher,
    pub consumer: Consumer,
    pub network: Proxy,
    pub local: Mosquitto,
    dir: TempDir,
}

impl Scene {
    /// In front of a broker that runs; the consumer comes in by `door`.
    pub fn new(dir: TempDir, upstream: std::net::SocketAddr, pki: &Pki, door: Door, lean: bool) -> Self {
        let local = Mosquitto::start(dir.path(), "local", Options::persistent());
        let network = Proxy::start(upstream);
        let password = dir.path().join("password");
        write_secret(&password, PASSWORD);
        let mut config = Config::example(dir.path(), &local.url(), &format!("mqtts://localhost:{}", network.port()));
        config.sources[0] = config.sources[0].replace("\"ts\"]", "\"ts\", \"note\"]");
        config.store = config.store.replace("64MiB", "512MiB");
        config.upstream += &(line("ca_file", pki.ca.display())
            + &line("cert_file", pki.client.cert.display())
            + &line("key_file", pki.client.key.display())
            + &line("username", ACCOUNT)
            + &line("password_file", password.display()));
        let gateway = Gateway::new(&dir.path().join("gateway"), &config);
        let consumer =
            if lean { Consumer::start_lean_by(door, "consumer") } else { Consumer::start_by(door, "consumer") };
        let publisher = Publisher::new(local.address(), "sensors");
        Self { gateway, config, publisher, consumer, network, local, dir }
    }

    /// With one broker of a make.
    pub fn with(make: Make) -> (Self, Broker) {
        Self::with_picky(make, false)
    }

    /// With one broker of a make that closes the connection at some events, if `picky`.
    pub fn with_picky(make: Make, picky: bool) -> (Self, Broker) {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::start(make, dir.path(), "upstream", picky);
        let scene = Self::new(dir, broker.address(), &broker.pki, broker.door(), false);
        (scene, broker)
    }

    /// A file in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the gateway for the first time and waits until it listens to the sensors.
    #[track_caller]
    pub fn start(&mut self) {
        self.gateway.start();
        self.local.wait_subscribed(SOURCE_CLIENT, 1);
    }

    /// `per_sensor` crossings of each sensor, with numbers from `first` on; returns when the local broker has them.
    pub fn cross(&mut self, first: u64, per_sensor: u64) {
        for seq in first..first + per_sensor {
            for sensor in 0..SENSORS {
                let topic = format!("sensors/s{sensor}/temp");
                self.publisher.publish(&topic, reading(crossing_value(seq), seq));
            }
        }
        self.publisher.flush();
    }

    /// Waits until `count` crossings have arrived or, when the broker may lose some (`sure` is false), until nothing more
    /// comes. Returns how long that took from `since`.
    #[track_caller]
    pub fn settle(&self, count: u64, sure: bool, since: Instant) -> Duration {
        if sure {
            self.consumer.wait_for_crossings(count, PATIENCE);
            return since.elapsed();
        }
        let mut last = since.elapsed();
        let mut arrived = self.consumer.crossings();
        self.consumer.arrives(RESIGNED, || {
            if self.consumer.crossings() > arrived {
                arrived = self.consumer.crossings();
                last = since.elapsed();
            }
            arrived >= count
        });
        last
    }
}
