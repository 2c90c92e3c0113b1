//! Rotten bytes: the real gateway on stores damaged in every way we could think of. It starts, delivers what survived,
//! announces what did not, and does not end.
//!
//! The stores are made once, by a gateway whose upstream is away: one killed, one stopped cleanly, and one of another
//! gateway. Each case damages a copy. An ordinary run does every named case once; `TIDEGATE_LONG=1` adds several hundred
//! random ones. A failure prints the seed; `TIDEGATE_SEED` repeats it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;

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

/// How a frame begins, and the bytes of its head (see the store's documentation).
const MAGIC: [u8; 4] = [0xd7, b'T', 0x9b, b'G'];
const HEADER_BYTES: usize = 56;

type Damage = fn(&Path, &Stores, &mut Rng);

struct Case {
    name: &'static str,
    /// What was lost may be announced only as an upper bound: nothing left tells how much there was.
    inexact: bool,
    /// Nothing at all may be lost.
    harmless: bool,
    /// Some directory must be in quarantine afterwards.
    aside: bool,
    /// Runs as a user to whom part of the store is closed.
    as_nobody: bool,
    damage: Damage,
}

const fn case(name: &'static str, damage: Damage) -> Case {
    Case { name, inexact: false, harmless: false, aside: false, as_nobody: false, damage }
}

impl Case {
    const fn harmless(self) -> Self {
        Self { harmless: true, ..self }
    }

    const fn inexact(self) -> Self {
        Self { inexact: true, ..self }
    }

    const fn aside(self) -> Self {
        Self { aside: true, ..self }
    }

    const fn closed_to_us(self) -> Self {
        Self { as_nobody: true, ..self }
    }
}

const CASES: &[Case] = &[
    case("nothing", |_, _, _| {}).harmless(),
    case("truncate a file somewhere", |store, _, rng| truncate(&any(store, rng), rng)),
    case("truncate the newest somewhere", |store, _, rng| truncate(&newest(store), rng)),
    case("truncate every file somewhere", |store, _, rng| dbs(store).iter().for_each(|db| truncate(db, rng))).inexact(),
    case("empty the oldest", |store, _, _| {
        File::options().write(true).open(&dbs(store)[0]).unwrap().set_len(0).unwrap()
    }),
    case("empty the newest", |store, _, _| fs::write(newest(store), "").unwrap()).aside(),
    case("empty every file", |store, _, _| dbs(store).iter().for_each(|db| fs::write(db, "").unwrap())).inexact(),
    case("flip a few bits", |store, _, rng| flip(&any(store, rng), 8, rng)),
    case("flip a few bits of the newest", |store, _, rng| flip(&newest(store), 8, rng)),
    case("flip thousands of bits", |store, _, rng| dbs(store).iter().for_each(|db| flip(db, 3_000, rng))).inexact(),
    case("zero blocks", |store, _, rng| zero(&any(store, rng), 20, rng)),
    case("zero blocks everywhere", |store, _, rng| dbs(store).iter().for_each(|db| zero(db, 10, rng))),
    case("an old block over a newer one", |store, _, rng| old_block(&any(store, rng), rng)),
    case("a block of an older generation in the newest", |store, _, rng| {
        let bytes = fs::read(&dbs(store)[0]).unwrap();
        let (from, length) = (rng.usize(..bytes.len() / 2) / 4096 * 4096, 256 * 1024);
        let target = File::options().write(true).open(newest(store)).unwrap();
        target.write_all_at(&bytes[from..from + length], target.metadata().unwrap().len() / 2 / 4096 * 4096).unwrap();
    }),
    case("two old files swapped", |store, _, _| swap(&dbs(store)[0], &dbs(store)[1])).harmless(),
    case("an old file and the newest swapped", |store, _, _| swap(&dbs(store)[0], &newest(store))).harmless(),
    case("two directories swapped", |store, _, _| swap(dir(&dbs(store)[0]), dir(&newest(store)))).harmless(),
    case("an old file over another", |store, _, _| {
        fs::copy(&dbs(store)[1], &dbs(store)[0]).unwrap();
    })
    .aside(),
    case("another store's file over an old one", |store, stores, _| {
        fs::copy(newest(&stores.foreign), &dbs(store)[0]).unwrap();
    })
    .aside(),
    case("another store's file over the newest", |store, stores, _| {
        fs::copy(newest(&stores.foreign), newest(store)).unwrap();
    })
    .inexact()
    .aside(),
    case("another store's generation beside", |store, stores, _| {
        copy_dir(dir(&newest(&stores.foreign)), &store.join("queue/gen-00000321.1"));
    })
    .harmless()
    .aside(),
    case("names that are taken", |store, _, _| {
        let queue = store.join("queue");
        let number = dbs(store).len() as u64 + 1;
        for number in number..number + 3 {
            fs::write(queue.join(format!("gen-{number:08}.1")), "notes").unwrap();
        }
        fs::create_dir(queue.join("gen-99999999999999999999.1")).unwrap();
        fs::create_dir(queue.join("lost+found")).unwrap();
        fs::write(store.join("readme"), "").unwrap();
    })
    .harmless(),
    case("a directory named db", |store, _, _| {
        fs::remove_file(&dbs(store)[1]).unwrap();
        fs::create_dir(dir(&dbs(store)[0]).with_file_name("gen-00000002.1").join("db")).unwrap();
    })
    .aside(),
    case("an old generation gone", |store, _, _| fs::remove_dir_all(dir(&dbs(store)[1])).unwrap()),
    case("the newest generation gone", |store, _, _| fs::remove_dir_all(dir(&newest(store))).unwrap()).inexact(),
    case("the whole queue gone", |store, _, _| fs::remove_dir_all(store.join("queue")).unwrap()).inexact(),
    case("sled's other files gone", |store, _, _| {
        for db in dbs(store) {
            fs::remove_file(db.with_file_name("conf")).unwrap();
            fs::remove_dir_all(db.with_file_name("blobs")).unwrap();
        }
    })
    .harmless(),
    case("the marks gone", |store, _, _| {
        let _ = fs::remove_file(newest(store).with_file_name("clean"));
        fs::remove_file(store.join("mark")).unwrap();
    })
    .harmless(),
    case("an old generation closed to us", |store, _, _| close(dir(&dbs(store)[1]))).closed_to_us(),
    case("the newest generation closed to us", |store, _, _| close(dir(&newest(store)))).inexact().closed_to_us(),
    case("an old file closed to us", |store, _, _| close(&dbs(store)[0])).closed_to_us(),
    case("written by a later version", |store, _, _| later_version(&newest(store))).inexact().aside(),
    case("an old one written by a later version", |store, _, _| later_version(&dbs(store)[0])).aside(),
    case("links that lead nowhere", |store, _, _| {
        let db = dbs(store)[0].clone();
        fs::remove_file(&db).unwrap();
        symlink("db", &db).unwrap();
        symlink(".", store.join("queue/gen-00000500.1")).unwrap();
        symlink("gen-00000501.1", store.join("queue/gen-00000501.1")).unwrap();
    })
    .aside(),
    case("a pipe in place of a file", |store, _, _| {
        fs::remove_file(newest(store)).unwrap();
        let db = store.join("queue").join(format!("gen-{:08}.1", dbs(store).len() + 1)).join("db");
        assert!(Command::new("mkfifo").arg(&db).status().unwrap().success());
    })
    .inexact()
    .aside(),
    case("a quarantine that is full", |store, _, rng| {
        for number in 0..6 {
            let dir = store.join(format!("quarantine/00000000000{number}-gen-00000001.1"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("db"), vec![1; 1 << 20]).unwrap();
        }
        fs::write(store.join("quarantine/notes.txt"), "").unwrap();
        flip(&newest(store), 40, rng);
    }),
];

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

/// The generations' databases, oldest first.
fn dbs(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("queue")).unwrap().map(|entry| entry.unwrap().path().join("db"));
    let mut dbs: Vec<_> = entries.filter(|db| db.exists()).collect();
    dbs.sort_unstable();
    dbs
}

fn newest(store: &Path) -> PathBuf {
    dbs(store).pop().unwrap()
}

fn any(store: &Path, rng: &mut Rng) -> PathBuf {
    let dbs = dbs(store);
    dbs[rng.usize(..dbs.len())].clone()
}

fn dir(db: &Path) -> &Path {
    db.parent().unwrap()
}

fn open(path: &Path) -> (File, u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    (file, length)
}

fn truncate(db: &Path, rng: &mut Rng) {
    let (file, length) = open(db);
    file.set_len(rng.u64(..=length)).unwrap();
}

fn flip(db: &Path, most: usize, rng: &mut Rng) {
    let (file, length) = open(db);
    for _ in 0..rng.usize(1..=most) {
        let Some(at) = length.checked_sub(1).map(|end| rng.u64(..=end)) else { return };
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << rng.u8(..8))], at).unwrap();
    }
}

fn zero(db: &Path, most: usize, rng: &mut Rng) {
    let (file, length) = open(db);
    for _ in 0..rng.usize(1..=most) {
        let blocks = length / 4096;
        if blocks > 0 {
            file.write_all_at(&[0; 4096], rng.u64(..blocks) * 4096).unwrap();
        }
    }
}

fn old_block(db: &Path, rng: &mut Rng) {
    let (file, length) = open(db);
    let blocks = length / 4096;
    if blocks > 40 {
        let count = rng.u64(1..16);
        let (a, b) = (rng.u64(..blocks - count), rng.u64(..blocks - count));
        let mut bytes = vec![0; usize::try_from(count * 4096).unwrap()];
        file.read_exact_at(&mut bytes, a.min(b) * 4096).unwrap();
        file.write_all_at(&bytes, a.max(b) * 4096).unwrap();
    }
}

fn swap(a: &Path, b: &Path) {
    if a != b {
        let aside = a.with_file_name("swapping");
        fs::rename(a, &aside).unwrap();
        fs::rename(b, a).unwrap();
        fs::rename(aside, b).unwrap();
    }
}

fn close(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

/// Says of every record that a later version wrote it, with the checksum to match.
fn later_version(db: &Path) {
    let mut bytes = fs::read(db).unwrap();
    for at in 0..bytes.len().saturating_sub(HEADER_BYTES) {
        if bytes[at..at + 4] != MAGIC {
            continue;
        }
        let length = u32::from_le_bytes(bytes[at + 48..at + 52].try_into().unwrap()) as usize;
        let Some(chunk) = bytes.get_mut(at..at + HEADER_BYTES + length) else { continue };
        chunk[4] += 1;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&chunk[..52]), &chunk[HEADER_BYTES..]);
        chunk[52..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(db, bytes).unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
