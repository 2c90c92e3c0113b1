//! The store is full and the upstream is away: each policy does what it says, and says what it did.

use std::fs;
use std::path::Path;

use crate::stage::Stage;
use crate::support::gateway::{Config, crossing_value};
use crate::support::{LONG, PATIENT, wait_until};

/// The smallest store that can be configured, bytes.
const STORE_BYTES: u64 = 32 * 1024 * 1024;

/// Random text carried by each message, characters. Six bits of chance in each, so no compression makes it smaller
/// than three quarters.
const PAD_CHARS: usize = 3000;

/// Messages in the outage, all of them crossings: at least 45 MB of events for a store of 33.5 MB.
const MESSAGES: u64 = 20_000;

/// Sensors that take turns.
const SENSORS: u64 = 8;

/// Crossings of one sensor.
const PER_SENSOR: u64 = MESSAGES / SENSORS;

/// Messages that the gateway takes and does not acknowledge at most: `inflight_max`, which is left as it is.
const INFLIGHT_MAX: u64 = 1_000;

/// Most events besides alarms that a test of this kind may see: starts and announcements of losses.
const OTHERS_MAX: u64 = 200;

/// A stage whose store is smaller than the outage.
pub struct Full {
    pub stage: Stage,
}

impl Full {
    /// With a policy; the upstream is away.
    pub fn new(policy: &str, alarms: impl FnOnce(&mut Config)) -> Self {
        let mut stage = Stage::with(|config| {
            config.store = config.store.replace("64MiB", "32MiB") + &format!("when_full = \"{policy}\"\n");
            config.sources[0] = config.sources[0].replace("carry = [\"seq\", \"ts\"]", "carry = [\"seq\", \"pad\"]");
            alarms(config);
        });
        stage.network.down();
        stage.start();
        Self { stage }
    }

    /// All messages of the outage.
    pub fn fill(&mut self) {
        let mut rng = fastrand::Rng::with_seed(29);
        for seq in 1..=PER_SENSOR {
            for sensor in 0..SENSORS {
                let payload = format!(
                    r#"{{"value":{:?},"seq":{seq},"pad":"{}"}}"#,
                    crossing_value(seq),
                    random_text(&mut rng, PAD_CHARS)
                );
                self.stage.publisher.publish(&format!("sensors/s{sensor}/temp"), payload);
            }
        }
        self.stage.publisher.flush();
    }

    /// Waits until the gateway has evaluated every message, so that nothing is evicted while it drains.
    pub fn wait_taken(&self) {
        let evaluated = || self.stage.status()["readings"]["evaluated"].as_u64();
        wait_until("the gateway to take all messages", LONG, || evaluated() >= Some(MESSAGES));
    }

    /// Ends the outage and waits until everything is accounted for.
    fn drain(&self) {
        let consumer = &self.stage.consumer;
        self.stage.network.restore();
        consumer.arrives(PATIENT, || {
            let highest = consumer.highest_sequence();
            let last_of_each =
                || (0..SENSORS).all(|n| consumer.last_seq(&format!("plant/s{n}/value")) == Some(PER_SENSOR));
            highest >= MESSAGES && consumer.arrived() + consumer.announced_lost() == highest && last_of_each()
        });
        consumer.assert_accounted();
        let others = consumer.highest_sequence().checked_sub(MESSAGES);
        assert!(others.is_some_and(|others| (1..=OTHERS_MAX).contains(&others)), "{}", consumer.summary());
        let alarms = consumer.alarm_events();
        let lost = consumer.announced_lost();
        assert!(alarms + lost >= MESSAGES, "of {MESSAGES} crossings {alarms} came and {lost} were announced as lost");
    }

    fn assert_bounded(&self) {
        let bytes = bytes_below(&self.stage.path("store"));
        assert!(bytes <= STORE_BYTES, "the store takes {bytes} bytes of {STORE_BYTES}");
    }
}

#[test]
fn drop_oldest_loses_the_oldest_and_announces_each() {
    let mut full = Full::new("drop-oldest", |_| {});
    full.fill();
    full.wait_taken();
    full.assert_bounded();
    // A stop stores all that was taken. Were something still to be stored when draining begins, room for it would be
    // made behind what is already on its way.
    assert_eq!(full.stage.gateway.stop().code(), Some(0));
    full.stage.start();
    full.drain();
    let consumer = &full.stage.consumer;
    assert!(consumer.announced_lost() > 0);
    // What is left of a sensor is its newest, without a hole.
    for sensor in 0..SENSORS {
        let seqs: Vec<u64> =
            consumer.about(&format!("plant/s{sensor}/value")).iter().filter_map(|event| event.seq).collect();
        let first = seqs[0];
        assert!(first > 1, "nothing of sensor {sensor} was dropped");
        assert_eq!(seqs, (first..=PER_SENSOR).collect::<Vec<_>>());
    }
}

#[test]
fn drop_least_severe_keeps_every_critical_event() {
    let mut full = Full::new("drop-least-severe", |config| {
        let severity = |config: &str, severity: &str| config.replace("severity = \"high\"", severity);
        let alarm = config.alarms[0].clone();
        config.alarms = vec![
            severity(&alarm, "severity = \"critical\"")
                .replace("plant/+/value", "plant/s0/value")
                .replace("too-warm", "vital"),
        ];
        let others: Vec<String> = (1..SENSORS).map(|sensor| format!("\"plant/s{sensor}/value\"")).collect();
        config.alarms.push(
            severity(&alarm, "severity = \"low\"")
                .replace("\"plant/+/value\"", &others.join(", "))
                .replace("too-warm", "nice-to-know"),
        );
    });
    full.fill();
    full.wait_taken();
    full.assert_bounded();
    full.drain();
    let consumer = &full.stage.consumer;
    assert!(consumer.announced_lost() > 0);
    let critical: Vec<_> = consumer.about("plant/s0/value").iter().filter_map(|event| event.seq).collect();
    assert_eq!(critical, (1..=PER_SENSOR).collect::<Vec<_>>());
}

#[test]
fn reject_loses_nothing_and_lets_the_messages_wait_at_their_broker() {
    let mut full = Full::new("reject", |_| {});
    full.fill();
    full.stage.gateway.wait_logged(&[" full"]);
    // What lies in the connection's buffers, which may be many megabytes, is not taken.
    let status = full.stage.status();
    let taken = status["sources"]["plant"]["messages"].as_u64().unwrap();
    let stored = status["store"]["last_sequence"].as_u64().unwrap();
    assert!(taken < MESSAGES, "the gateway took more than it can keep: {status}");
    assert!(taken <= stored + INFLIGHT_MAX, "the gateway took {taken} messages and stored {stored} events");
    full.assert_bounded();
    full.drain();
    full.stage.consumer.assert_lossless();
    assert_eq!(full.stage.consumer.crossings(), MESSAGES);
    assert!(full.stage.gateway.is_running());
}

/// Text of 64 different characters.
fn random_text(rng: &mut fastrand::Rng, chars: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(chars + 10);
    while text.len() < chars {
        let mut bits = rng.u64(..);
        for _ in 0..10 {
            text.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
    text.truncate(chars);
    text
}

/// Sum of the lengths of all files below a directory; files that vanish meanwhile do not count.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_below(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}
