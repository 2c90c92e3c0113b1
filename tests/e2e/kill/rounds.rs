//! Series of kills at moments that are chosen by what the gateway is seen to do, and the count of what came of them.
//!
//! A round is one kill. Where it really fell is told by what it has left (`moments`).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::moments::{Left, Moment, Phase, is_copy, is_new, is_removed};
use super::reaper::{Cue, reap};
use crate::stage::Stage;
use crate::support::gateway::{Config, SOURCE_CLIENT, crossing_value, high_alarm};
use crate::support::proxy::Proxy;
use crate::support::summary::{Kind, Summary};
use crate::support::wait::holds_within;
use crate::support::{LONG, PATIENT, SOON, long_run};

/// Sensors that talk; the first is critical, the next three medium, the rest low.
const SENSORS: u64 = 8;

/// Most random text in a message, characters: with it, some thousand messages fill a generation.
const PAD_CHARS_MAX: usize = 3_500;

/// Messages of a round at most: more than a generation holds, so that one ends in most rounds.
const BATCH_MAX: u64 = 1_600;

/// Messages that may wait in a store that must not drop any, before a pause lets them through.
const BEHIND_MAX: u64 = 5_000;

/// Most rounds besides the planned ones until a kill has fallen where one must. One in three or four does.
const INSIST_ROUNDS_MAX: u64 = 60;

/// Alphabet of random text.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

struct Series {
    stage: Stage,
    /// Between the sensors' broker and the gateway: shows that something goes on there.
    cable: Proxy,
    rng: fastrand::Rng,
    seed: u64,
    drops: bool,
    /// Something was delivered before the end: after a kill nobody knows how much of it, and it may be announced too.
    has_drained: bool,
    published: u64,
    fell: BTreeMap<(Phase, Left), u64>,
    refused_starts: u64,
    /// How long a start takes.
    start: Duration,
}

impl Series {
    fn new(policy: &str) -> Self {
        let seed = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("{policy}, seed {seed}");
        let stage = Stage::with(|config| {
            config.store = config.store.replace("64MiB", "32MiB") + &format!("when_full = \"{policy}\"\n");
            config.alarms = alarms();
        });
        let cable = Proxy::start(stage.local.front());
        let mut config: Config = stage.config.clone();
        config.sources[0] = config.sources[0]
            .replace(&stage.local.url(), &format!("mqtt://127.0.0.1:{}", cable.port()))
            .replace("carry = [\"seq\", \"ts\"]", "carry = [\"seq\", \"pad\"]");
        stage.gateway.configure(&config);
        let mut series = Self {
            stage,
            cable,
            rng: fastrand::Rng::with_seed(seed),
            seed,
            drops: policy != "reject",
            has_drained: false,
            published: 0,
            fell: BTreeMap::new(),
            refused_starts: 0,
            start: Duration::ZERO,
        };
        series.stage.network.down();
        series.start();
        series.stage.local.wait_subscribed(SOURCE_CLIENT, 1);
        series
    }

    /// Starts, and counts it when that fails.
    fn start(&mut self) {
        let gateway = &mut self.stage.gateway;
        for _ in 0..3 {
            let ready = gateway.notify.count("READY=1");
            let began = Instant::now();
            gateway.spawn();
            holds_within(PATIENT, || !gateway.is_running() || gateway.notify.count("READY=1") > ready);
            if gateway.is_running() && gateway.notify.count("READY=1") > ready {
                self.start = began.elapsed();
                return;
            }
            self.refused_starts += 1;
            gateway.kill();
        }
        panic!("the gateway does not start");
    }

    fn message(&mut self, pad_chars: usize) -> (String, String) {
        let (sensor, seq) = (self.published % SENSORS, self.published / SENSORS + 1);
        self.published += 1;
        let pad: String = (0..pad_chars).map(|_| char::from(LETTERS[self.rng.usize(..64)])).collect();
        let payload = format!(r#"{{"value":{:?},"seq":{seq},"pad":"{pad}"}}"#, crossing_value(seq));
        (format!("sensors/s{sensor}/temp"), payload)
    }

    /// Fills the store until something has been dropped.
    fn fill(&mut self) {
        while self.stage.status()["store"]["lost"].as_u64() == Some(0) {
            for _ in 0..500 {
                let (topic, payload) = self.message(PAD_CHARS_MAX);
                self.stage.publisher.publish(&topic, payload);
            }
            self.stage.publisher.flush();
        }
    }

    /// One round, or several of starting.
    fn round(&mut self, moment: Moment) {
        if moment == Moment::Starting {
            for _ in 0..self.rng.u32(1..=4) {
                self.kill_starting();
            }
            return;
        }
        if !self.stage.gateway.is_running() {
            self.start();
        }
        self.kill_working(moment);
    }

    fn kill_starting(&mut self) {
        if self.stage.gateway.is_running() {
            self.stage.gateway.kill();
        }
        let ready = self.stage.gateway.notify.count("READY=1");
        self.stage.gateway.spawn();
        let pid = self.stage.gateway.pid();
        let queue = self.stage.path("store").join("queue");
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
        let (cue, most) = match self.rng.u32(..4) {
            0 | 1 => (Cue::Sight(Box::new(|| true)), Duration::from_millis(5)),
            2 => (Cue::Sight(Box::new(|| true)), self.start),
            _ => (Cue::Name(is_new), Duration::from_millis(3)),
        };
        let delay = Duration::from_micros(self.rng.u64(..micros(most)));
        let no_longer = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reaper = scope.spawn(|| reap(pid, &queue, cue, delay, &no_longer));
            holds_within(SOON, || reaper.is_finished());
            no_longer.store(true, Ordering::SeqCst);
        });
        let is_ready = self.stage.gateway.notify.count("READY=1") > ready;
        self.note(if is_ready { Phase::Draining } else { Phase::Starting });
    }

    fn kill_working(&mut self, moment: Moment) {
        let drains = moment == Moment::Draining || (moment == Moment::Removing && !self.drops);
        self.has_drained |= drains;
        let messages = self.rng.u64(200..=BATCH_MAX);
        let batch: Vec<_> = (0..messages)
            .map(|_| {
                let chars = self.rng.usize(..=PAD_CHARS_MAX);
                self.message(chars)
            })
            .collect();
        let delay = Duration::from_micros(self.rng.u64(
            ..match moment {
                Moment::Writing | Moment::Draining => 20_000,
                Moment::Removing => 300,
                _ => 6_000,
            },
        ));
        let (passed, arrived) = (self.cable.passed_bytes(), self.stage.consumer.arrived());
        let (bytes, events) = (self.rng.u64(..2 << 20), self.rng.u64(1..1_500));
        let Self { stage, cable, .. } = self;
        let (pid, queue) = (stage.gateway.pid(), stage.path("store").join("queue"));
        let Stage { publisher, consumer, network, .. } = stage;
        let (cable, consumer) = (&*cable, &*consumer);
        let cue = match moment {
            Moment::Writing => Cue::Sight(Box::new(move || cable.passed_bytes() > passed + bytes)),
            Moment::Draining => Cue::Sight(Box::new(move || consumer.arrived() >= arrived + events)),
            Moment::Making | Moment::Starting => Cue::Name(is_new),
            Moment::Removing => Cue::Name(is_removed),
            Moment::Rewriting => Cue::Name(is_copy),
        };
        let no_longer = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reaper = scope.spawn(|| reap(pid, &queue, cue, delay, &no_longer));
            if drains {
                network.restore();
            }
            for (topic, payload) in batch {
                publisher.publish(&topic, payload);
            }
            publisher.flush();
            // All that was said has been taken, and the cue may still come; if not, any moment is a moment.
            holds_within(Duration::from_millis(1_500), || reaper.is_finished());
            no_longer.store(true, Ordering::SeqCst);
        });
        network.down();
        self.note(if drains { Phase::Draining } else { Phase::Writing });
        if !self.drops && self.published - self.stage.consumer.crossings() > BEHIND_MAX {
            self.start();
            self.stage.network.restore();
            self.stage.consumer.wait_for_crossings(self.published, PATIENT);
            self.stage.network.down();
        }
    }

    /// Counts a kill by what it has left.
    fn note(&mut self, phase: Phase) {
        let status = self.stage.gateway.kill();
        if status.signal() != Some(9) {
            self.refused_starts += 1;
        }
        let left = Left::of(&self.stage.path("store").join("queue"));
        *self.fell.entry((phase, left)).or_default() += 1;
        println!("kill {}: {phase:?}, left {left:?}, {} messages", self.kills(), self.published);
    }

    fn kills(&self) -> u64 {
        self.fell.values().sum()
    }

    /// Rounds at these moments in turn.
    fn run(&mut self, moments: &[Moment], kills: u64) {
        for moment in moments.iter().cycle() {
            if self.kills() >= kills {
                break;
            }
            self.round(*moment);
        }
    }

    /// Starts for good, lets everything through, and accounts for it. Gives who has counted.
    fn finish(mut self) -> Stage {
        if !self.stage.gateway.is_running() {
            self.start();
        }
        self.stage.network.restore();
        let Self { stage, published, .. } = &self;
        let (consumer, published) = (&stage.consumer, *published);
        let last_of_each = || {
            (0..SENSORS)
                .all(|n| consumer.last_seq(&format!("plant/s{n}/value")) == Some((published - n).div_ceil(SENSORS)))
        };
        let arrived = consumer.arrives(LONG, || last_of_each() && consumer.unannounced() == 0);
        let kills = self.kills();
        let mut summary = Summary::of(Kind::Kills, kills, stage.publisher.acknowledged(), consumer);
        summary.refused_starts = self.refused_starts;
        summary.add();
        let absent = consumer.absent();
        println!(
            "{kills} kills, seed {}: {:?}; {published} messages, {} crossings arrived, {absent} numbers did not, {} \
             announced as lost; start {:?}",
            self.seed,
            self.fell,
            consumer.crossings(),
            consumer.announced_lost(),
            self.start,
        );
        assert!(arrived, "not everything is accounted for; {}", consumer.summary());
        assert_eq!(self.refused_starts, 0, "refused starts");
        consumer.assert_sound();
        assert_eq!((summary.lost, summary.out_of_order), (0, 0));
        if self.drops {
            assert!(published - consumer.crossings() <= absent, "a message was taken and made no event");
            assert!(self.has_drained || consumer.announced_lost() == absent, "more is announced than was lost");
        } else {
            consumer.assert_lossless();
        }
        let log = stage.gateway.log();
        let words = ["set aside", "salvage", "damaged"];
        let findings: Vec<&str> = log.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
        assert!(findings.is_empty(), "a kill damages nothing:\n{}", findings.join("\n"));
        self.stage
    }

    /// Further rounds of a moment until so many kills have fallen where it is asked: where one falls is chance, and that
    /// enough did must not be.
    fn insist(&mut self, moment: Moment, what: &str, is_meant: impl Fn(Phase, Left) -> bool, least: u64) {
        let count = |fell: &BTreeMap<(Phase, Left), u64>| -> u64 {
            fell.iter().filter(|((phase, left), _)| is_meant(*phase, *left)).map(|(_, n)| n).sum()
        };
        for _ in 0..INSIST_ROUNDS_MAX {
            if count(&self.fell) >= least {
                break;
            }
            self.round(moment);
        }
        let count = count(&self.fell);
        assert!(count >= least, "{count} of {} kills fell in {what}: {:?}", self.kills(), self.fell);
    }
}

/// Each number once: a message that comes again after a kill may cause an event of its own.
fn distinct(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// One alarm a severity.
fn alarms() -> Vec<String> {
    let of = |name: &str, sensors: std::ops::Range<u64>, severity: &str| {
        let list: Vec<String> = sensors.map(|sensor| format!("\"plant/s{sensor}/value\"")).collect();
        high_alarm(name, "*", 75.0, severity).replace("\"*\"", &list.join(", "))
    };
    vec![of("vital", 0..1, "critical"), of("useful", 1..4, "medium"), of("nice-to-know", 4..SENSORS, "low")]
}

/// As many in the long run, or in the ordinary one.
fn kills(long: u64, ordinary: u64) -> u64 {
    if long_run() { long } else { ordinary }
}

#[test]
fn kills_while_writing_sealing_draining_and_starting_lose_nothing() {
    let mut series = Series::new("reject");
    let moments =
        [Moment::Writing, Moment::Making, Moment::Starting, Moment::Draining, Moment::Removing, Moment::Starting];
    series.run(&moments, kills(100, 10));
    series.insist(Moment::Starting, "starting", |phase, _| phase == Phase::Starting, kills(10, 1));
    series.insist(Moment::Draining, "draining", |phase, _| phase == Phase::Draining, kills(10, 1));
    let making = |_, left| left == Left::Making;
    series.insist(Moment::Making, "the making of a generation", making, kills(10, 1));
    series.finish();
}

#[test]
fn kills_while_the_oldest_are_dropped_lose_nothing_that_is_not_announced() {
    let mut series = Series::new("drop-oldest");
    series.fill();
    let moments = [Moment::Making, Moment::Removing, Moment::Writing, Moment::Starting];
    series.run(&moments, kills(50, 5));
    let making = |_, left| left == Left::Making;
    series.insist(Moment::Making, "the making of a generation", making, kills(5, 1));
    let stage = series.finish();
    assert!(stage.consumer.announced_lost() > 0, "nothing was dropped");
}

#[test]
fn kills_while_the_least_severe_are_dropped_lose_no_critical_event() {
    let mut series = Series::new("drop-least-severe");
    series.fill();
    let moments = [Moment::Rewriting, Moment::Making, Moment::Starting, Moment::Rewriting, Moment::Draining];
    series.run(&moments, kills(50, 5));
    series.insist(Moment::Rewriting, "a rewriting", |_, left| left == Left::Rewriting, kills(5, 1));
    let critical = series.published.div_ceil(SENSORS);
    let stage = series.finish();
    assert!(stage.consumer.announced_lost() > 0, "nothing was dropped");
    let seqs: Vec<u64> = stage.consumer.about("plant/s0/value").iter().filter_map(|event| event.seq).collect();
    assert_eq!(distinct(seqs), (1..=critical).collect::<Vec<_>>());
}
