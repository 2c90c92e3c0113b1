//! Rotten bytes: the real gateway on stores damaged in every way we could think of. It starts, delivers what survived,
//! announces what did not, and does not end.
//!
//! The stores are made once, by a gateway whose upstream is away: one killed, one stopped cleanly, and one of another
//! gateway. Each case damages a copy. An ordinary run does every named case once; `TIDEGATE_LONG=1` adds several hundred
//! random ones. A failure prints the seed; `TIDEGATE_SEED` repeats it.

mod cases;
pub(crate) mod damage;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;

use self::cases::{CASES, Case, case};
use self::damage::{any, copy_dir, dbs, flip, old_block, swap, truncate, zero};
use crate::stage::Stage;
use crate::support::consumer::{Consumer, LOST};
use crate::support::gateway::{Gateway, crossing_value, reading, tidegate};
use crate::support::summary::{Kind, Summary};
use crate::support::{LONG, PATIENT, long_run, wait_until};

/// Sensors that talk.
const SENSORS: u64 = 8;

/// Crossings of each sensor; an odd number, so that all alarms are active in the end.
const PER_SENSOR: u64 = 375;

/// Random text in each message, characters: makes several generations out of a few thousand events.
const PAD_CHARS: usize = 3000;

/// A store that cannot tell how far its numbers went jumps further than this.
const JUMP_MIN: u64 = 1 << 19;

/// Random cases of a long run.
const RANDOM_CASES: u64 = 300;

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

struct Stores {
    killed: PathBuf,
    killed_events: u64,
    clean: PathBuf,
    clean_events: u64,
    foreign: PathBuf,
}

#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    events: u64,
    arrived: u64,
    lost: u64,
    announced: u64,
    jumped: u64,
    repeated: u64,
    out_of_order: u64,
}

#[test]
fn whatever_is_found_on_disk_the_gateway_starts_and_accounts_for_every_event() {
    let seed =
        std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("TIDEGATE_SEED={seed}");
    let mut stage = Stage::with(|config| {
        config.store = config.store.replace("64MiB", "32MiB");
        config.gateway += "shutdown_grace = \"1s\"\n";
        config.sources[0] = config.sources[0].replace("carry = [\"seq\", \"ts\"]", "carry = [\"seq\", \"pad\"]");
    });
    let stores = build(&mut stage);
    fs::set_permissions(stage.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    stage.network.restore();
    let mut tally = Tally::default();
    let only = std::env::var("TIDEGATE_CASE").ok();
    for (index, case) in CASES.iter().enumerate() {
        if case.as_nobody && !rustix::process::geteuid().is_root()
            || only.as_ref().is_some_and(|only| only != case.name)
        {
            continue;
        }
        for is_killed in [index % 2 == 0, index % 2 == 1].into_iter().take(if long_run() { 2 } else { 1 }) {
            println!("case: {} ({})", case.name, if is_killed { "killed" } else { "clean" });
            run(&mut stage, &stores, case, is_killed, seed ^ index as u64, &mut tally);
        }
    }
    if long_run() {
        let random = case("random", |store, _, rng| {
            for _ in 0..rng.usize(1..4) {
                let db = any(store, rng);
                match rng.u8(..5) {
                    0 => truncate(&db, rng),
                    1 => flip(&db, 300, rng),
                    2 => zero(&db, 30, rng),
                    3 => old_block(&db, rng),
                    _ => swap(&db, &any(store, rng)),
                }
            }
        })
        .inexact();
        for number in 0..RANDOM_CASES {
            let seed = seed.wrapping_add(number);
            println!("random case {number}: TIDEGATE_SEED={seed}");
            run(&mut stage, &stores, &random, number % 2 == 0, seed, &mut tally);
        }
    }
    println!("{tally:?}");
    // Each case has asserted that every event that is missing lies in an announced range.
    let Tally { cases, events, arrived, lost, repeated, out_of_order, .. } = tally;
    Summary {
        kind: Kind::Corruptions,
        rounds: cases,
        acknowledged: events,
        arrived,
        lost: events - arrived - lost,
        announced: lost,
        repeated,
        out_of_order,
        refused_starts: 0,
    }
    .add();
}

/// Fills the stores.
fn build(stage: &mut Stage) -> Stores {
    let path = |name: &str| stage.dir().join(name);
    let stores = (path("store"), path("killed"), path("clean"), path("foreign"));
    let (store, killed, clean, foreign) = stores;
    stage.network.down();
    stage.start();
    publish(stage, 1, PER_SENSOR);
    let messages = SENSORS * PER_SENSOR;
    let stored = |stage: &Stage| {
        let status = stage.status();
        let last = status["store"]["last_sequence"].as_u64().unwrap_or(0);
        (
            status["readings"]["evaluated"].as_u64() >= Some(messages),
            last,
            status["store"]["waiting"].as_u64() == Some(last),
        )
    };
    let mut last = 0;
    wait_until("everything to be stored and marked", LONG, || {
        let (is_all, now, is_waiting) = stored(stage);
        last = now;
        is_all && is_waiting && last > messages && is_marked(&store, last)
    });
    stage.gateway.kill();
    copy_dir(&store, &killed);
    let killed_events = last;
    stage.start();
    wait_until("the start to be stored", PATIENT, || stage.status()["store"]["last_sequence"] == killed_events + 1);
    assert_eq!(stage.gateway.stop().code(), Some(0));
    copy_dir(&store, &clean);
    // Another gateway's store, with numbers that clash.
    fs::remove_dir_all(&store).unwrap();
    stage.start();
    publish(stage, 1, PER_SENSOR / 3);
    wait_until("the other store", LONG, || stage.status()["store"]["last_sequence"].as_u64() > Some(messages / 3));
    stage.gateway.kill();
    copy_dir(&store, &foreign);
    assert!(dbs(&killed).len() >= 3, "several generations are needed: {:?}", dbs(&killed));
    Stores { killed, killed_events, clean, clean_events: killed_events + 1, foreign }
}

fn publish(stage: &mut Stage, first: u64, per_sensor: u64) {
    let mut rng = Rng::with_seed(41);
    for seq in first..first + per_sensor {
        for sensor in 0..SENSORS {
            let pad: String = std::iter::repeat_with(|| rng.alphanumeric()).take(PAD_CHARS).collect();
            let payload = format!(r#"{{"value":{:?},"seq":{seq},"pad":"{pad}"}}"#, crossing_value(seq));
            stage.publisher.publish(&format!("sensors/s{sensor}/temp"), payload);
        }
    }
    stage.publisher.flush();
}

/// Whether the store's mark says that this was the last number given out.
fn is_marked(store: &Path, last: u64) -> bool {
    fs::read_to_string(store.join("mark")).is_ok_and(|mark| mark.contains(&format!(" {:020} ", last + 1)))
}

fn run(stage: &mut Stage, stores: &Stores, case: &Case, is_killed: bool, seed: u64, tally: &mut Tally) {
    let mut rng = Rng::with_seed(seed);
    let name = format!("case-{}", tally.cases);
    let dir = stage.path(&name);
    let store = dir.join("store");
    let (origin, events) =
        if is_killed { (&stores.killed, stores.killed_events) } else { (&stores.clean, stores.clean_events) };
    copy_dir(origin, &store);
    (case.damage)(&store, stores, &mut rng);
    let doctor = tidegate(&["doctor", "--json", "--store", store.to_str().unwrap()]);
    let told: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("a report");
    assert!(matches!(doctor.status.code(), Some(0 | 1)), "{doctor:?}");

    let mut config = stage.config.clone();
    let socket = dir.join("control.sock");
    let replace =
        |text: &str, from: &Path, to: &Path| text.replace(&from.display().to_string(), &to.display().to_string());
    config.store = replace(&config.store, &stage.path("store"), &store);
    config.gateway = replace(&config.gateway, &stage.path("control.sock"), &socket);
    let consumer = Consumer::start(stage.upstream.address(), &name);
    let mut gateway = Gateway::new(&dir.join("gateway"), &config);
    if case.as_nobody {
        hand_over(&dir, &store);
        gateway.run_as(NOBODY);
    }
    gateway.start();
    let status = || -> serde_json::Value {
        let output = tidegate(&["status", "--json", "--socket", socket.to_str().unwrap()]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let mut last = 0;
    let drained = consumer.arrives(PATIENT, || {
        let status = status();
        last = status["store"]["last_sequence"].as_u64().unwrap_or(0);
        let lost = status["store"]["lost"].as_u64();
        status["store"]["waiting"] == 0
            && consumer.highest_sequence() == last
            && Some(consumer.announced_lost()) == lost
    });
    assert!(drained, "{}: not drained: {}; {}", case.name, status(), consumer.summary());
    consumer.assert_sound();
    assert!(gateway.is_running());

    // What came, what is missing, what was said about it.
    let all = consumer.events();
    let arrived: BTreeSet<u64> =
        all.iter().map(|event| event.sequence).filter(|&sequence| sequence <= events).collect();
    let missing: Vec<u64> = (1..=events).filter(|sequence| !arrived.contains(sequence)).collect();
    let announced = consumer.announced_lost();
    let ranges: Vec<_> = all
        .iter()
        .filter(|event| event.kind == LOST)
        .map(|event| event.data("first_sequence").as_u64().unwrap()..=event.data("last_sequence").as_u64().unwrap())
        .collect();
    let context =
        || format!("{} (seed {seed}): {} missing, {announced} announced in {ranges:?}", case.name, missing.len());
    let untold = missing.iter().find(|sequence| !ranges.iter().any(|range| range.contains(sequence)));
    assert_eq!(untold, None, "lost silently; {}", context());
    let has_jumped = last > events + JUMP_MIN;
    if has_jumped {
        // A killed store whose newest snapshot is gone cannot be sure of its last second.
        assert!(case.inexact || is_killed, "sequence numbers jumped; {}", context());
        assert!(missing.len() as u64 <= announced, "{}", context());
    } else {
        assert_eq!(missing.len() as u64, announced, "{}", context());
    }
    if case.harmless {
        assert_eq!(announced, 0, "{}", context());
    }
    let foretold: u64 =
        told["start"]["lost"].as_array().unwrap().iter().map(|lost| lost["count"].as_u64().unwrap()).sum();
    if !case.as_nobody {
        assert_eq!(foretold, announced, "the doctor said otherwise; {}; {told:#}", context());
    }
    let aside = fs::read_dir(store.join("quarantine")).map_or(0, |dir| dir.count());
    assert!(!case.aside || aside > 0, "nothing in quarantine; {}", context());
    assert!(aside <= 5, "{aside} in quarantine");

    // The alarms go on from where they were.
    let seq = PER_SENSOR + 1;
    for sensor in 0..SENSORS {
        stage.publisher.publish(&format!("sensors/s{sensor}/temp"), reading(crossing_value(PER_SENSOR), seq));
    }
    stage.publisher.publish("sensors/sentinel/temp", reading(80.0, 1));
    stage.publisher.flush();
    let last_seq = || consumer.last_seq("plant/sentinel/value");
    assert!(consumer.arrives(PATIENT, || last_seq() == Some(1)), "nothing new arrives; {}", context());
    let repeated = consumer.events().iter().filter(|event| event.seq == Some(seq)).count();
    if announced == 0 {
        assert_eq!(repeated, 0, "alarms are repeated; {}", context());
    }
    assert_eq!(gateway.stop().code(), Some(0), "{}", context());
    tally.cases += 1;
    tally.events += events;
    tally.arrived += arrived.len() as u64;
    tally.lost += missing.len() as u64;
    tally.announced += if has_jumped { 0 } else { announced };
    tally.jumped += u64::from(has_jumped);
    tally.repeated += consumer.repeats();
    tally.out_of_order += consumer.out_of_order();
    drop(gateway);
    consumer.leave();
    let _ = Command::new("chmod").arg("-R").arg("u+rwX").arg(&dir).status();
    fs::remove_dir_all(&dir).unwrap();
}

/// Gives a case's directory to the user that the gateway runs as, but for what is closed to it.
fn hand_over(dir: &Path, store: &Path) {
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    let is_open = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o700 != 0;
    let mut dirs = vec![store.to_owned()];
    give(dir);
    while let Some(dir) = dirs.pop() {
        if !is_open(&dir) {
            continue;
        }
        give(&dir);
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else if is_open(&entry.path()) {
                give(&entry.path());
            }
        }
    }
}
