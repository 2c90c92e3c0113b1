//! What is found broken on disk: the store opens, gives what it can, and says how much it cannot.

use std::os::unix::fs::FileExt;

use super::*;
use crate::store::PreviousStop;

/// Fills a store over several generations and closes it. All events are waiting.
pub(super) fn filled(path: &Path, rounds: usize) -> (Store, u64) {
    let mut rig = Rig::open(&config(path));
    for round in 0..rounds {
        let state = [round as u8];
        rig.commit((0..64).map(|_| big_event(Severity::Low, 5_000)).collect(), vec![record("a", "s", &state)]);
    }
    let last = rig.status().last_sequence;
    (rig.close(), last)
}

pub(super) fn db(generation: &Path) -> PathBuf {
    generation.join("db")
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    Truncate,
    FlipBits,
    ZeroBlocks,
    Garbage,
}

/// Damages a file somewhere; `seed` says where.
pub(super) fn damage(path: &Path, damage: Damage, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    match damage {
        Damage::Truncate => file.set_len(random.u64(..length)).unwrap(),
        Damage::FlipBits => {
            for _ in 0..random.usize(1..20) {
                let at = random.u64(..length);
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << random.u8(..8))], at).unwrap();
            }
        }
        Damage::ZeroBlocks => {
            for _ in 0..random.usize(1..40) {
                file.write_all_at(&[0; 4096], random.u64(..length) / 4096 * 4096).unwrap();
            }
        }
        Damage::Garbage => {
            let bytes: Vec<u8> = (0..random.usize(1..200_000)).map(|_| random.u8(..)).collect();
            file.write_all_at(&bytes, random.u64(..length)).unwrap();
        }
    }
}

/// Opens the store, reads all of it, and checks that what is missing is announced. Gives the number lost.
pub(super) fn account(config: &Store, last: u64, is_exact: bool) -> u64 {
    let rig = Rig::open(config);
    let first_look = rig.read_all();
    // What is found damaged while reading is announced a commit later.
    let lost = rig.counters.events_lost.get();
    let announced = |events: &[Arc<Event>]| losses(events).iter().map(|lost| lost.count).sum::<u64>();
    let start = std::time::Instant::now();
    let mut all = first_look;
    while announced(&all) < lost {
        assert!(start.elapsed() < Duration::from_secs(10), "{lost} lost, announced: {:?}", losses(&all));
        all = rig.read_all();
    }
    assert_eq!(announced(&all), lost);
    let found = all.iter().filter(|event| event.sequence <= last && losses(&[Arc::clone(event)]).is_empty()).count();
    let found = found as u64;
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence), "in order and none twice");
    if is_exact {
        assert_eq!(found + lost, last, "found {found}, announced {:?}", losses(&all));
    } else {
        assert!(found + lost >= last, "found {found}, announced {:?}", losses(&all));
    }
    for announcement in losses(&all) {
        let range = announcement.first_sequence..=announcement.last_sequence;
        assert!(announcement.count <= announcement.last_sequence + 1 - announcement.first_sequence);
        let inside = all.iter().filter(|event| range.contains(&event.sequence)).count() as u64;
        assert!(!announcement.whole_range || inside == 0, "{announcement:?} {inside}");
    }
    // New events get numbers that nobody had, and the loss is announced once only.
    let mut rig = rig;
    rig.commit(events(1), Vec::new());
    assert!(rig.status().last_sequence > last);
    let again = rig.reopen();
    assert_eq!(again.counters.events_lost.get(), 0, "announced again");
    assert_eq!(announced(&again.read_all()), lost);
    assert_eq!(real(&again.read_all()) as u64, found + 1);
    again.close();
    lost
}

fn damaged_after_a_clean_stop(kind: Damage, seeds: std::ops::Range<u64>) {
    let dirs = tempfile::tempdir().unwrap();
    let (origin, last) = filled(&dirs.path().join("origin"), 24);
    let mut lost = 0;
    for seed in seeds {
        let copy = Store { path: dirs.path().join(seed.to_string()), ..origin.clone() };
        copy_dir(&origin.path, &copy.path);
        let generations = generations(&copy.path);
        assert!(generations.len() > 1);
        damage(&db(&generations[seed as usize % generations.len()]), kind, seed);
        lost += account(&copy, last, true);
        fs::remove_dir_all(&copy.path).unwrap();
    }
    assert!(lost > 0, "the damage did none");
}

#[test]
fn a_truncated_file_costs_what_was_in_it_and_says_so() {
    damaged_after_a_clean_stop(Damage::Truncate, 0..10);
}

#[test]
fn flipped_bits_cost_their_frames_and_say_so() {
    damaged_after_a_clean_stop(Damage::FlipBits, 100..110);
}

#[test]
fn zeroed_blocks_cost_their_frames_and_say_so() {
    damaged_after_a_clean_stop(Damage::ZeroBlocks, 200..210);
}

#[test]
fn garbage_costs_what_it_overwrote_and_says_so() {
    damaged_after_a_clean_stop(Damage::Garbage, 300..310);
}

#[test]
fn damage_after_a_kill_never_keeps_the_store_from_opening() {
    let dirs = tempfile::tempdir().unwrap();
    let (origin, _) = filled(&dirs.path().join("origin"), 14);
    for path in generations(&origin.path) {
        let _ = fs::remove_file(path.join("clean"));
    }
    fs::remove_file(origin.path.join("mark")).unwrap();
    for (seed, kind) in
        (0..12).zip([Damage::Truncate, Damage::FlipBits, Damage::ZeroBlocks, Damage::Garbage].iter().cycle())
    {
        let copy = Store { path: dirs.path().join(seed.to_string()), ..origin.clone() };
        copy_dir(&origin.path, &copy.path);
        for generation in generations(&copy.path) {
            damage(&db(&generation), *kind, seed);
        }
        let mut rig = Rig::open(&copy);
        assert_eq!(rig.opened.previous_stop, PreviousStop::Unclean);
        rig.read_all();
        rig.commit(events(5), Vec::new());
        rig.reopen().close();
        fs::remove_dir_all(&copy.path).unwrap();
    }
}

#[test]
fn alarm_states_survive_damage_to_the_newest_generation() {
    let dir = tempfile::tempdir().unwrap();
    let (config, _) = filled(dir.path(), 24);
    let newest = generations(dir.path()).pop().unwrap();
    // All of it: the generation before still knows.
    fs::write(db(&newest), vec![0x55; 300_000]).unwrap();
    let rig = Rig::open(&config);
    assert_eq!(rig.opened.records.len(), 1);
    assert!(!rig.opened.findings.is_empty());
    rig.close();
}

#[test]
fn a_store_whose_every_file_is_garbage_opens_and_jumps_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let (config, last) = filled(dir.path(), 24);
    for generation in generations(dir.path()) {
        fs::write(db(&generation), vec![0xd7; 100_000]).unwrap();
        let _ = fs::remove_file(generation.join("clean"));
    }
    account(&config, last, false);
}

#[test]
fn a_generation_that_disappeared_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (config, last) = filled(dir.path(), 24);
    fs::remove_dir_all(&generations(dir.path())[1]).unwrap();
    assert!(account(&config, last, true) > 0);
}

#[test]
fn a_newest_generation_without_its_file_is_set_aside_and_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (config, last) = filled(dir.path(), 24);
    fs::remove_file(db(&generations(dir.path()).pop().unwrap())).unwrap();
    assert!(account(&config, last, false) > 0);
    assert_eq!(fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 1);
}

#[test]
fn foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (config, last) = filled(dir.path(), 4);
    let queue = dir.path().join("queue");
    fs::write(queue.join("notes.txt"), "do not delete").unwrap();
    fs::write(queue.join("gen-00000001.x"), "").unwrap();
    fs::create_dir(queue.join("gen-1.1")).unwrap();
    let rig = Rig::open(&config);
    assert_eq!(rig.read_all().len() as u64, last);
    assert_eq!(rig.opened.findings.len(), 3);
    assert!(queue.join("notes.txt").exists());
    rig.close();
}

/// Says of every frame of a generation that a later version wrote it.
fn make_later(db: &Path) -> Vec<u8> {
    use crate::store::frame::{self, Look};
    let mut bytes = fs::read(db).unwrap();
    for at in 0..bytes.len() - frame::HEADER_BYTES {
        let Look::Chunk(header) = frame::Header::look(&bytes[at..]) else { continue };
        let chunk = &mut bytes[at..at + header.chunk_bytes()];
        chunk[4] = frame::VERSION + 1;
        let (head, body) = chunk.split_at(frame::HEADER_BYTES);
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..frame::HEADER_BYTES - 4]), body);
        chunk[frame::HEADER_BYTES - 4..frame::HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(db, &bytes).unwrap();
    bytes
}

#[test]
fn a_store_of_a_later_version_stays_shut_and_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (config, _) = filled(dir.path(), 4);
    let all = generations(dir.path());
    let bytes = make_later(&db(all.last().unwrap()));
    let opened = crate::store::open(&config, Arc::default(), Arc::new(SystemClock::new()));
    let Err(error @ OpenError::Later { .. }) = opened else { panic!("{opened:?}") };
    assert!(error.to_string().contains("later version"), "{error}");
    assert_eq!(generations(dir.path()), all);
    assert_eq!(fs::read(db(all.last().unwrap())).unwrap(), bytes);
    assert!(!dir.path().join("quarantine").exists());
}

#[test]
fn an_old_generation_of_a_later_version_is_set_aside_and_the_loss_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (config, _) = filled(dir.path(), 24);
    let oldest = generations(dir.path()).remove(0);
    let bytes = make_later(&db(&oldest));
    let rig = Rig::open(&config);
    assert_eq!(losses(&rig.read_all())[0].reason, "quarantined");
    let aside = fs::read_dir(dir.path().join("quarantine")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(db(&aside)).unwrap(), bytes);
    rig.close();
}

#[test]
fn quarantine_keeps_the_newest_few() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    for round in 0..8 {
        rig.commit(events(5), Vec::new());
        let config = rig.close();
        damage(&db(&generations(dir.path()).pop().unwrap()), Damage::Garbage, round);
        rig = Rig::open(&config);
    }
    assert!(fs::read_dir(dir.path().join("quarantine")).unwrap().count() <= 4);
    rig.close();
}

#[test]
fn what_is_quarantined_under_a_clock_that_is_behind_counts_as_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(events(5), Vec::new());
    let config = rig.close();
    let quarantine = dir.path().join("quarantine");
    let future = |n: u32| quarantine.join(format!("99999999999{n}-gen-{n}.0"));
    for n in 0..4 {
        fs::create_dir_all(future(n)).unwrap();
        fs::write(future(n).join("db"), "x").unwrap();
    }
    let newest = generations(dir.path()).pop().unwrap();
    damage(&db(&newest), Damage::Garbage, 1);
    Rig::open(&config).close();
    assert!(!future(0).exists(), "the oldest gives way");
    let name = newest.file_name().unwrap().to_str().unwrap();
    let kept: Vec<String> =
        fs::read_dir(&quarantine).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(kept.iter().any(|kept| kept.ends_with(name)), "{name} is not among {kept:?}");
}
