//! Generations that are not what their names say: another store's, each other's, gone, or no generation at all.

use super::damage::{account, db, filled};
use super::*;
use crate::store::inspect::inspect as look;

/// Rounds that make several generations.
const ROUNDS: usize = 24;

fn quarantined(config: &Store) -> usize {
    fs::read_dir(config.path.join("quarantine")).map_or(0, Iterator::count)
}

/// Waits for something on disk.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::yield_now();
    }
}

fn findings(config: &Store) -> Vec<String> {
    let rig = Rig::open(config);
    let findings = rig.opened.findings.clone();
    rig.close();
    findings
}

#[test]
fn a_newer_generation_of_another_store_costs_nothing() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
    let (other, _) = filled(&dirs.path().join("b"), ROUNDS);
    let foreign = generations(&other.path).pop().unwrap();
    copy_dir(&foreign, &config.path.join("queue/gen-00000900.1"));
    copy_dir(&generations(&other.path)[0], &config.path.join("queue/gen-00000800.3"));
    assert_eq!(account(&config, last, true), 0);
    assert_eq!(quarantined(&config), 2);
}

#[test]
fn another_stores_file_in_place_of_an_old_one_is_never_delivered() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
    let (other, _) = filled(&dirs.path().join("b"), ROUNDS);
    fs::copy(db(&generations(&other.path)[1]), db(&generations(&config.path)[1])).unwrap();
    let foreign = fs::read(db(&generations(&config.path)[1])).unwrap();
    assert!(account(&config, last, true) > 0);
    let aside = fs::read_dir(config.path.join("quarantine")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(db(&aside)).unwrap(), foreign);
}

#[test]
fn another_stores_file_in_place_of_the_newest_is_set_aside_and_the_loss_announced() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
    let (other, _) = filled(&dirs.path().join("b"), ROUNDS);
    let newest = generations(&config.path).pop().unwrap();
    fs::copy(db(&generations(&other.path).pop().unwrap()), db(&newest)).unwrap();
    assert!(account(&config, last, true) > 0);
    assert_eq!(quarantined(&config), 1);
}

#[test]
fn a_whole_queue_from_another_store_is_taken_as_it_is() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, _) = filled(&dirs.path().join("a"), 3);
    let (other, last) = filled(&dirs.path().join("b"), ROUNDS);
    fs::remove_dir_all(config.path.join("queue")).unwrap();
    copy_dir(&other.path.join("queue"), &config.path.join("queue"));
    assert_eq!(account(&config, last, true), 0);
}

#[test]
fn files_that_changed_places_are_put_back_and_nothing_is_lost() {
    for (a, b) in [(0, 1), (1, 0), (0, usize::MAX), (2, usize::MAX)] {
        let dirs = tempfile::tempdir().unwrap();
        let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
        let all = generations(&config.path);
        let end = all.len() - 1;
        let (a, b) = (&all[a.min(end - 1)], &all[b.min(end)]);
        fs::rename(db(a), dirs.path().join("x")).unwrap();
        fs::rename(db(b), db(a)).unwrap();
        fs::rename(dirs.path().join("x"), db(b)).unwrap();
        assert_eq!(account(&config, last, true), 0, "{} and {}", a.display(), b.display());
        assert_eq!(quarantined(&config), 0);
    }
}

#[test]
fn a_copy_of_one_generation_over_another_loses_the_other_and_repeats_none() {
    let dirs = tempfile::tempdir().unwrap();
    let (origin, last) = filled(&dirs.path().join("a"), ROUNDS);
    let count = generations(&origin.path).len();
    for (from, to) in [(0, 1), (1, 0), (count - 1, 0), (0, count - 1)] {
        let copy = Store { path: dirs.path().join(format!("{from}-{to}")), ..origin.clone() };
        copy_dir(&origin.path, &copy.path);
        let all = generations(&copy.path);
        fs::copy(db(&all[from]), db(&all[to])).unwrap();
        assert!(account(&copy, last, true) > 0);
    }
}

#[test]
fn a_generation_that_is_broken_or_gone_while_its_file_stands_in_anothers_place_is_read_from_there() {
    let dirs = tempfile::tempdir().unwrap();
    let (origin, last) = filled(&dirs.path().join("a"), ROUNDS);
    let report = look(&origin.path, None).unwrap();
    let events_of = |index: usize| report.generations[index].events;
    assert!(report.generations.len() > 2, "the newest and older ones");
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        for is_gone in [false, true] {
            let copy = Store { path: dirs.path().join(format!("{from}-{to}-{is_gone}")), ..origin.clone() };
            copy_dir(&origin.path, &copy.path);
            let all = generations(&copy.path);
            fs::copy(db(&all[from]), db(&all[to])).unwrap();
            if is_gone {
                fs::remove_dir_all(&all[from]).unwrap();
            } else {
                let length = fs::metadata(db(&all[from])).unwrap().len();
                fs::write(db(&all[from]), vec![0; usize::try_from(length).unwrap()]).unwrap();
            }
            assert_eq!(account(&copy, last, true), events_of(to), "{from} over {to}, gone: {is_gone}");
        }
    }
}

#[test]
fn a_newest_generation_that_is_gone_after_a_clean_stop_is_announced_exactly() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
    fs::remove_dir_all(generations(&config.path).pop().unwrap()).unwrap();
    assert!(account(&config, last, true) > 0);
}

#[test]
fn a_queue_that_is_gone_does_not_give_numbers_again() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
    fs::remove_dir_all(config.path.join("queue")).unwrap();
    assert_eq!(account(&config, last, true), last);
}

#[test]
fn a_lone_generation_without_a_readable_checkpoint_is_accounted_for_after_a_clean_stop() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 8);
    let newest = generations(&config.path).pop().unwrap();
    for older in generations(&config.path).iter().rev().skip(1) {
        fs::remove_dir_all(older).unwrap();
    }
    let mut bytes = fs::read(db(&newest)).unwrap();
    bytes[..64 * 1024].fill(0);
    fs::write(db(&newest), bytes).unwrap();
    assert!(account(&config, last, true) > 0);
}

#[test]
fn names_that_are_taken_do_not_keep_the_store_from_writing() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 4);
    let queue = config.path.join("queue");
    fs::write(queue.join("gen-00000002.1"), "a text").unwrap();
    fs::write(queue.join("gen-00000003.1"), "a text").unwrap();
    fs::create_dir(queue.join("gen-18446744073709551615.1")).unwrap();
    std::os::unix::fs::symlink("gen-00000007.1", queue.join("gen-00000007.1")).unwrap();
    assert_eq!(account(&config, last, true), 0);
    assert!(findings(&config).iter().any(|finding| finding.contains("18446744073709551615")));
}

#[test]
fn what_only_looks_like_a_file_is_not_waited_for() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), ROUNDS);
    let all = generations(&config.path);
    let pipe = |path: &Path| {
        let _ = fs::remove_file(path);
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    };
    pipe(&db(&all[0]));
    pipe(&db(all.last().unwrap()));
    fs::remove_file(db(&all[1])).unwrap();
    fs::create_dir(db(&all[1])).unwrap();
    assert!(account(&config, last, true) > 0);
}

#[test]
fn a_flipped_version_byte_is_damage_to_one_record_and_no_later_version() {
    use crate::store::frame::{Header, Look, VERSION};
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 6);
    let newest = generations(&config.path).pop().unwrap();
    let mut bytes = fs::read(db(&newest)).unwrap();
    let heads: Vec<usize> =
        (0..bytes.len() - 60).filter(|&at| matches!(Header::look(&bytes[at..]), Look::Chunk(_))).collect();
    bytes[heads[heads.len() / 2] + 4] = VERSION + 8;
    fs::write(db(&newest), bytes).unwrap();
    let lost = account(&config, last, true);
    assert!(lost <= 64, "{lost} events for one byte");
}

#[test]
fn the_end_of_a_killed_stores_file_is_missed_when_it_is_cut_off() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit((0..64).map(|_| big_event(Severity::Low, 2_000)).collect(), Vec::new());
    let length = fs::metadata(db(&generations(&rig.config.path)[0])).unwrap().len();
    rig.commit((0..64).map(|_| big_event(Severity::Low, 2_000)).collect(), Vec::new());
    let path = rig.config.path.clone();
    let mark = || crate::store::mark::Mark::read(&path);
    until("the mark is renewed", || mark().is_some_and(|mark| mark.next_sequence == 129));
    let copy = rig.killed(&dirs.path().join("b"));
    let file = fs::File::options().write(true).open(db(&generations(&copy.path)[0])).unwrap();
    file.set_len(length).unwrap();
    assert!(account(&copy, 128, true) > 0);
    rig.close();
}
