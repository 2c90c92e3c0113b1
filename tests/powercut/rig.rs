//! The scene of a power cut: a gateway whose store is on a forgetting disk, brokers before and behind it, and the count
//! of what happened (`account`).

mod account;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::disk::{Countdown, Disk, Step};
use crate::plan::{Moment, Plan, SENSORS, alarms};
use crate::support::consumer::Consumer;
use crate::support::gateway::{Config, Gateway, SOURCE_CLIENT, crossing_value, line, said, tidegate};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::proxy::Proxy;
use crate::support::publisher::Publisher;
use crate::support::summary::Kind;
use crate::support::{LONG, SOON, wait_until};
use crate::volume::{Cut, Lost};

/// Messages published without a pause, at most.
const BURST_MAX: u64 = 60;

/// Messages of a round that waits for something particular, at most: more than two generations hold.
const UNTIL_OFF_MAX: u64 = 4_000;

/// How long it is waited for.
const OFF_PATIENCE: Duration = Duration::from_secs(2);

/// What a blob is made of: six bits a character, and nothing to compress beyond that.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// A cut that was made.
#[derive(Clone, Copy, Debug)]
struct Done {
    moment: Moment,
    cut: Cut,
    lost: Lost,
    before: Option<Step>,
}

/// The scene. Fields end in this order.
pub struct Rig {
    /// The gateway.
    pub gateway: Gateway,
    /// Counts at the upstream broker.
    pub consumer: Consumer,
    /// Between gateway and upstream broker.
    pub network: Proxy,
    /// Where the store is.
    pub disk: Disk,
    plan: Plan,
    publisher: Publisher,
    _local: Mosquitto,
    _upstream: Mosquitto,
    dir: TempDir,
    rng: fastrand::Rng,
    seed: u64,
    started: Instant,
    /// Messages that the local broker has taken.
    pub published: u64,
    cuts: Vec<Done>,
    /// The fewest bytes stored at a cut.
    least_bytes: u64,
    refused_starts: u64,
    /// Something was delivered before the end: after a cut nobody knows how much of it, and it may be announced too.
    has_drained: bool,
    /// Changes and syncs of a start.
    start_steps: u64,
}

impl Rig {
    /// Everything in place and the gateway started for the first time.
    pub fn new(plan: Plan, seed: u64) -> Self {
        Self::with(plan, seed, Consumer::start)
    }

    /// The same, for more events than are good to keep.
    pub fn new_lean(plan: Plan, seed: u64) -> Self {
        Self::with(plan, seed, Consumer::start_lean)
    }

    fn with(plan: Plan, seed: u64, consumer: fn(SocketAddr, &str) -> Consumer) -> Self {
        println!("seed {seed}, {:?} names", plan.names);
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let disk = Disk::mount(&at, plan.names);
        let local = Mosquitto::start(dir.path(), "local", Options::persistent());
        let upstream = Mosquitto::start(dir.path(), "upstream", Options::persistent());
        let network = Proxy::start(upstream.front());
        let url = format!("mqtt://127.0.0.1:{}", network.port());
        let mut config = Config::example(dir.path(), &local.url(), &url);
        config.store =
            line("path", at.join("store").display()) + &line("max_bytes", format_args!("{}MiB", plan.max_bytes >> 20));
        config.store += &line("when_full", plan.when_full);
        config.alarms = alarms();
        config.sources[0] = config.sources[0].replace("\"ts\"]", "\"ts\", \"blob\"]");
        let mut gateway = Gateway::new(&dir.path().join("gateway"), &config);
        let consumer = consumer(upstream.address(), "consumer");
        let publisher = Publisher::new(local.address(), "sensors");
        // Nothing arrives before it is asked for, so that it is known what has.
        network.down();
        gateway.start();
        local.wait_subscribed(SOURCE_CLIENT, 1);
        let start_steps = disk.steps();
        Self {
            gateway,
            consumer,
            network,
            disk,
            plan,
            publisher,
            _local: local,
            _upstream: upstream,
            dir,
            rng: fastrand::Rng::with_seed(seed),
            seed,
            started: Instant::now(),
            published: 0,
            cuts: Vec::new(),
            least_bytes: u64::MAX,
            refused_starts: 0,
            has_drained: false,
            start_steps,
        }
    }

    /// Sensors say one more message. Every one crosses the limit.
    pub fn publish(&mut self) {
        let (sensor, seq) = (self.published % SENSORS, self.published / SENSORS + 1);
        let rng = &mut self.rng;
        let length = rng.usize(self.plan.blob_bytes.clone());
        let blob: String = (0..length).map(|_| char::from(LETTERS[rng.usize(..64)])).collect();
        let payload = format!(r#"{{"value":{:?},"seq":{seq},"blob":"{blob}"}}"#, crossing_value(seq));
        self.publisher.publish(&format!("sensors/s{sensor}/temp"), payload);
        self.published += 1;
    }

    /// One cut at a moment, and what leads there. The gateway is down afterwards, the disk works.
    pub fn round(&mut self, moment: Moment, cut: Cut) {
        if self.plan.backlog_bytes > self.disk.used_bytes().0 {
            self.start();
            self.fill(self.plan.backlog_bytes);
        }
        if moment != Moment::Starting {
            self.start();
        }
        self.has_drained |= matches!(moment, Moment::Draining | Moment::Removing);
        match moment {
            Moment::Filling => {
                self.network.down();
                self.off_within(16);
                self.publish_batch(self.plan.batch_max);
                let patience = self.patience();
                self.disk.wait_off(patience);
            }
            Moment::Draining => {
                self.network.down();
                self.publish_batch(self.plan.backlog_max);
                self.network.restore();
                // Some of it is to be delivered, so that there is something to remove.
                let goal = self.consumer.arrived() + self.rng.u64(..300).min(self.behind());
                self.consumer.arrives(Duration::from_millis(500), || self.consumer.arrived() >= goal);
                self.off_within(12);
                self.publish_batch(self.plan.batch_max / 4);
                let patience = self.patience();
                self.disk.wait_off(patience);
            }
            Moment::Starting => {
                if self.gateway.is_running() {
                    self.gateway.kill();
                }
                let ready = self.gateway.notify.count("READY=1");
                self.off_within(self.start_steps);
                self.gateway.spawn();
                wait_until("the power to go or the gateway to be ready", SOON, || {
                    self.disk.is_off() || self.gateway.notify.count("READY=1") > ready || !self.gateway.is_running()
                });
                self.refused_starts += u64::from(!self.gateway.is_running());
                assert!(self.gateway.is_running(), "the gateway refuses to start");
            }
            Moment::Removing => {
                self.network.down();
                self.publish_batch(self.plan.backlog_max);
                self.off_after(Step::Removing, 8);
                self.network.restore();
                self.publish_until_off(20, self.plan.batch_max);
            }
            Moment::Making | Moment::Evicting | Moment::Rewriting => {
                self.network.down();
                let (step, steps) = match moment {
                    Moment::Making => (Step::Making, 40),
                    Moment::Evicting => (Step::Removing, 8),
                    _ => (Step::Copying, 60),
                };
                self.off_after(step, steps);
                self.publish_until_off(BURST_MAX, UNTIL_OFF_MAX);
            }
        }
        self.cut(moment, cut);
    }

    /// Starts it unless it runs.
    fn start(&mut self) {
        if !self.gateway.is_running() {
            // Should it not start the test is over, and this is in its numbers.
            self.refused_starts += 1;
            self.gateway.start();
            self.refused_starts -= 1;
        }
    }

    /// Lets the power go by itself at most so many steps after one of a kind.
    fn off_after(&mut self, awaited: Step, steps: u64) {
        let steps = self.rng.u64(..steps);
        self.disk.off_after(Countdown { awaits: Some(awaited), steps, only_syncs: false });
    }

    /// Messages until the power goes, at most so many, and then some time for it.
    fn publish_until_off(&mut self, burst_max: u64, most: u64) {
        let goal = self.published + most;
        while self.published < goal && !self.disk.is_off() {
            for _ in 0..self.rng.u64(1..=burst_max) {
                self.publish();
            }
            self.publisher.flush();
        }
        self.disk.wait_off(OFF_PATIENCE);
    }

    /// Lets the power go by itself before one of the next steps; every now and then it is left to go at some time.
    fn off_within(&mut self, steps: u64) {
        let only_syncs = self.rng.bool();
        let steps = self.rng.u64(..if only_syncs { steps.div_ceil(3) } else { steps });
        if self.rng.u64(..6) > 0 {
            self.disk.off_after(Countdown { awaits: None, steps, only_syncs });
        }
    }

    /// How long to wait for the power to go by itself.
    fn patience(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(..300))
    }

    /// A few messages; returns when the local broker has them.
    pub fn publish_burst(&mut self) {
        for _ in 0..self.rng.u64(1..=BURST_MAX) {
            self.publish();
        }
        self.publisher.flush();
    }

    /// Messages at most, in bursts so that there are many commits; ends early when the power goes.
    fn publish_batch(&mut self, most: u64) {
        let goal = self.published + self.rng.u64(1..=most);
        while self.published < goal && !self.disk.is_off() {
            self.publish_burst();
        }
    }

    /// Takes the power away, now if it has not gone by itself, and brings it back.
    pub fn cut(&mut self, moment: Moment, cut: Cut) {
        self.disk.off();
        // It dies before anything it waits for comes back.
        self.gateway.signal("KILL");
        self.disk.let_go();
        self.gateway.kill();
        self.least_bytes = self.least_bytes.min(self.disk.used_bytes().0);
        let (lost, before) = self.disk.cut(cut, &mut self.rng);
        self.cuts.push(Done { moment, cut, lost, before });
        if self.behind() > self.plan.behind_max {
            self.network.restore();
            self.start();
            let goal = self.published - self.plan.behind_max / 2;
            self.consumer.wait_for_crossings(goal, SOON);
        }
    }

    /// Messages not yet seen at the far end.
    pub fn behind(&self) -> u64 {
        self.published - self.consumer.crossings()
    }

    /// Lets the store fill up to so many bytes, without any cut.
    pub fn fill(&mut self, bytes: u64) {
        self.network.down();
        while self.disk.used_bytes().0 < bytes {
            self.publish_burst();
        }
    }

    /// The fewest bytes that were stored at a cut.
    pub fn least_bytes(&self) -> u64 {
        self.least_bytes
    }

    /// Waits until the gateway's status is as wanted: what it says of its store, and how many readings it has evaluated.
    pub fn wait_stored(&mut self, is_so: impl Fn(&serde_json::Value, u64) -> bool) {
        self.publisher.flush();
        let socket = self.dir.path().join("control.sock");
        let socket = socket.to_str().expect("a path in UTF-8");
        wait_until("the gateway to take what there is", LONG * 4, || {
            let output = tidegate(&["status", "--json", "--socket", socket]);
            let status: serde_json::Value =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
            is_so(&status["store"], status["readings"]["evaluated"].as_u64().unwrap_or(0))
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A gateway that waits for the disk cannot be ended.
        self.disk.let_go();
        if std::thread::panicking() {
            if self.refused_starts > 0 {
                self.summary(Kind::Cuts, self.cuts.len() as u64).add();
            }
            println!("seed {}, {:?} names; cuts so far: {:?}", self.seed, self.plan.names, self.cuts);
        }
    }
}
