//! The disk's own promises: it keeps what was synced, and it does lose what was not.

use std::collections::BTreeSet;

use super::*;

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// A volume with the durable file `f` that holds `old`.
fn with_file(names: Names, old: &[u8]) -> (Volume, u64) {
    let mut volume = Volume::new(names);
    let file = volume.create(ROOT, name("f"), false, 0o644).unwrap();
    volume.write(file, 0, old).unwrap();
    volume.sync(file, false).unwrap();
    volume.sync(ROOT, false).unwrap();
    (volume, file)
}

fn content(volume: &Volume, text: &str) -> Option<Vec<u8>> {
    let inode = volume.lookup(ROOT, name(text)).ok()?;
    Some(volume.read(inode, 0, 1 << 20).unwrap())
}

#[test]
fn what_was_synced_outlives_every_cut_and_what_was_not_is_dropped() {
    for (seed, cut) in (0..).zip(Cut::ALL.repeat(20)) {
        for names in [Names::Journal, Names::Strict] {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut volume, file) = with_file(names, &[1; 10_000]);
            volume.write(file, 10_000, &[2; 30_000]).unwrap();
            let lost = volume.cut(cut, &mut rng);
            let left = content(&volume, "f").unwrap();
            assert_eq!(left[..10_000], [1; 10_000], "{cut:?}");
            assert!(left[10_000..].iter().all(|byte| [0, 2].contains(byte)));
            assert_eq!(lost.unsynced_bytes, 30_000);
            if cut == Cut::Drop {
                assert_eq!((left.len(), lost.kept_bytes), (10_000, 0));
            }
        }
    }
}

#[test]
fn every_kind_of_cut_loses_some_times_and_keeps_some_times() {
    for cut in Cut::ALL {
        let (mut nothing, mut everything, mut part) = (0, 0, 0);
        for seed in 0..200 {
            let (mut volume, file) = with_file(Names::Journal, &[1; 8192]);
            for block in 0..4 {
                volume.write(file, block * 4096, &[2; 4096]).unwrap();
            }
            volume.cut(cut, &mut fastrand::Rng::with_seed(seed));
            match content(&volume, "f").unwrap().iter().filter(|&&byte| byte == 2).count() {
                0 => nothing += 1,
                16_384 => everything += 1,
                _ => part += 1,
            }
        }
        let is_whole = matches!(cut, Cut::Prefix | Cut::Subset);
        let found = (nothing > 0, part > 20, everything > 0);
        let expected = if cut == Cut::Drop { (true, false, false) } else { (is_whole || nothing > 0, true, is_whole) };
        assert_eq!(found, expected, "{cut:?}: {nothing} nothing, {part} part, {everything} everything");
    }
}

#[test]
fn a_torn_write_keeps_the_old_bytes_behind_the_tear() {
    let torn = (0..200).filter(|&seed| {
        let (mut volume, file) = with_file(Names::Journal, &[1; 4096]);
        volume.write(file, 0, &[2; 4096]).unwrap();
        volume.cut(Cut::TornSubset, &mut fastrand::Rng::with_seed(seed));
        let left = content(&volume, "f").unwrap();
        let tear = left.iter().position(|&byte| byte == 1).unwrap_or(4096);
        assert!(left[..tear].iter().all(|&byte| byte == 2) && left[tear..].iter().all(|&byte| byte == 1));
        (1..4096).contains(&tear)
    });
    assert!(torn.count() > 50);
}

#[test]
fn an_earlier_state_of_a_block_may_be_the_one_that_stays_but_never_a_mixture_of_later_without_earlier() {
    let mut states = BTreeSet::new();
    for seed in 0..200 {
        let (mut volume, file) = with_file(Names::Journal, &[0; 10]);
        volume.write(file, 0, b"a").unwrap();
        volume.write(file, 1, b"b").unwrap();
        volume.cut(Cut::Subset, &mut fastrand::Rng::with_seed(seed));
        states.insert(content(&volume, "f").unwrap()[..2].to_vec());
    }
    assert_eq!(states, BTreeSet::from([vec![0, 0], b"a\0".to_vec(), b"ab".to_vec()]));
}

#[test]
fn the_journal_takes_all_names_along_and_the_strict_disk_only_those_of_the_directory() {
    for names in [Names::Journal, Names::Strict] {
        let (mut volume, file) = with_file(names, b"old");
        let dir = volume.create(ROOT, name("d"), true, 0o755).unwrap();
        volume.rename((ROOT, name("f")), (ROOT, name("g"))).unwrap();
        volume.write(file, 3, b"new").unwrap();
        volume.sync(file, false).unwrap();
        volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
        let found = (content(&volume, "f"), content(&volume, "g"), volume.lookup(ROOT, name("d")).ok());
        match names {
            Names::Journal => assert_eq!(found, (None, Some(b"oldnew".to_vec()), Some(dir))),
            Names::Strict => assert_eq!(found, (Some(b"oldnew".to_vec()), None, None)),
        }
    }
}

#[test]
fn a_data_sync_that_has_no_need_of_the_journal_leaves_names_behind() {
    let (mut volume, file) = with_file(Names::Journal, b"old");
    volume.create(ROOT, name("d"), true, 0o755).unwrap();
    volume.write(file, 0, b"new").unwrap();
    volume.sync(file, true).unwrap();
    volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
    assert_eq!(content(&volume, "f").unwrap(), b"new");
    assert_eq!(volume.lookup(ROOT, name("d")), Err(Refusal::Missing));
}

#[test]
fn a_journalled_name_brings_no_bytes_with_it() {
    let (mut volume, other) = with_file(Names::Journal, b"old");
    let file = volume.create(ROOT, name("new"), false, 0o644).unwrap();
    volume.write(file, 0, b"bytes").unwrap();
    volume.write(other, 0, b"longer than before").unwrap();
    volume.sync(other, true).unwrap();
    volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
    assert_eq!(content(&volume, "new").unwrap(), b"");
}

#[test]
fn a_removed_file_is_back_after_a_cut_until_its_removal_was_synced() {
    for names in [Names::Journal, Names::Strict] {
        let (mut volume, _) = with_file(names, b"old");
        volume.remove(ROOT, name("f"), false).unwrap();
        assert_eq!(content(&volume, "f"), None);
        volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
        assert_eq!(content(&volume, "f").unwrap(), b"old");
        volume.remove(ROOT, name("f"), false).unwrap();
        volume.sync(ROOT, false).unwrap();
        volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
        assert_eq!(content(&volume, "f"), None);
        assert_eq!(volume.inodes.len(), 1, "bytes without a name are forgotten");
    }
}

#[test]
fn a_rename_between_directories_is_one_step() {
    let (mut volume, file) = with_file(Names::Strict, b"old");
    let dir = volume.create(ROOT, name("d"), true, 0o755).unwrap();
    volume.sync(ROOT, false).unwrap();
    volume.rename((ROOT, name("f")), (dir, name("g"))).unwrap();
    volume.sync(ROOT, false).unwrap();
    volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
    assert_eq!(volume.lookup(dir, name("g")), Ok(file));
    assert_eq!(volume.lookup(ROOT, name("f")), Err(Refusal::Missing));
}

#[test]
fn a_lying_disk_keeps_nothing() {
    let mut volume = Volume::new(Names::Journal);
    volume.ignores_syncs = true;
    let file = volume.create(ROOT, name("f"), false, 0o644).unwrap();
    volume.write(file, 0, b"bytes").unwrap();
    volume.sync(file, false).unwrap();
    volume.sync(ROOT, false).unwrap();
    volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(0));
    assert_eq!(content(&volume, "f"), None);
}

#[test]
fn what_is_taken_of_the_disk_is_counted_as_it_changes_and_a_file_that_is_open_counts_without_its_name() {
    let mut volume = Volume::new(Names::Strict);
    let dir = volume.create(ROOT, name("d"), true, 0o755).unwrap();
    let (a, b) =
        (volume.create(dir, name("a"), false, 0o644).unwrap(), volume.create(dir, name("b"), false, 0o644).unwrap());
    volume.write(a, 0, &[1; 10_000]).unwrap();
    volume.allocate(b, 0, 8192).unwrap();
    assert_eq!(volume.used(), Used { blocks: 2 + 3 + 2, most: 7 });
    volume.resize(a, 4096).unwrap();
    assert_eq!(volume.used(), Used { blocks: 5, most: 7 });
    volume.open(a);
    volume.rename((dir, name("b")), (dir, name("a"))).unwrap();
    assert_eq!(volume.used().blocks, 5);
    volume.close(a);
    assert_eq!(volume.used().blocks, 4);
    volume.remove(dir, name("a"), false).unwrap();
    volume.remove(ROOT, name("d"), true).unwrap();
    assert_eq!(volume.used(), Used { blocks: 1, most: 7 });
    // Nothing was synced: a cut leaves the root.
    volume.cut(Cut::Drop, &mut fastrand::Rng::with_seed(1));
    assert_eq!(volume.used().blocks, 1);
}
