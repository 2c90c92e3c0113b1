//! Power cuts: of what was written after the last sync, any blocks may be on disk and any may not.

use std::sync::Mutex;

use super::*;

const BLOCK: usize = 4096;

/// What the file would be with some of the blocks written since the last sync.
fn cut(synced: &[u8], written: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut file = synced.to_vec();
    let reach = match random.u8(..3) {
        // Only the first so many bytes made it.
        0 => random.usize(..=written.len()),
        _ => written.len(),
    };
    let keeps = |random: &mut fastrand::Rng| reach < written.len() || random.bool();
    for (index, block) in written.chunks(BLOCK).enumerate() {
        let at = index * BLOCK;
        if at >= reach || synced.get(at..at + block.len()) == Some(block) || !keeps(random) {
            continue;
        }
        file.resize(file.len().max(at + block.len()), 0);
        file[at..at + block.len()].copy_from_slice(block);
    }
    file
}

#[test]
fn a_power_cut_in_the_middle_of_a_commit_keeps_all_that_was_acknowledged_and_no_state_without_its_events() {
    let dirs = tempfile::tempdir().unwrap();
    let path = dirs.path().join("store");
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let hook: SyncHook = {
        let (path, seen) = (path.clone(), Arc::clone(&seen));
        Arc::new(move || {
            // Flushed by sled, not yet synced; before the first publication there is nothing to see.
            if let Some(newest) = generations(&path).pop().filter(|dir| !dir.to_string_lossy().contains("tmp-")) {
                seen.lock().unwrap().push(fs::read(newest.join("db")).unwrap());
            }
            Ok(())
        })
    };
    let mut rig = Rig::open_hooked(&config(&path), Some(hook));
    let newest = generations(&path).pop().unwrap();
    let mut synced = fs::read(newest.join("db")).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut cuts, mut partial) = (0, 0);
    for round in 0..14 {
        let before = rig.status().last_sequence;
        let count = random.u64(1..400);
        let state = (before + count).to_le_bytes();
        rig.commit((0..count).map(|_| big_event(Severity::Low, 150)).collect(), vec![record("a", "s", &state)]);
        let written = seen.lock().unwrap().pop().unwrap();
        for _ in 0..4 {
            let copy = Store { path: dirs.path().join(format!("cut-{cuts}")), ..rig.config.clone() };
            cuts += 1;
            let dir = copy.path.join("queue").join(newest.file_name().unwrap());
            copy_dir(&newest, &dir);
            fs::write(dir.join("db"), cut(&synced, &written, &mut random)).unwrap();
            let after = Rig::open(&copy);
            let last = after.status().last_sequence;
            assert!(last == before || last == before + count, "{before} acknowledged, {count} more, {last} there");
            partial += usize::from(last == before);
            assert_eq!(sequences(&after.read_all()), (1..=last).collect::<Vec<_>>());
            let known = after
                .opened
                .records
                .first()
                .map_or(0, |record| u64::from_le_bytes(record.state.as_slice().try_into().unwrap()));
            assert_eq!(known, last, "round {round}");
            assert_eq!(after.counters.events_lost.get(), 0);
            assert_eq!(after.opened.findings, Vec::<String>::new());
            fs::remove_dir_all(after.close().path).unwrap();
        }
        synced = written;
    }
    assert!(partial > cuts / 8, "{partial} of {cuts} cuts fell into the commit");
    rig.close();
}

#[test]
fn a_power_cut_before_a_new_generation_got_its_name_leaves_the_old_one() {
    let dirs = tempfile::tempdir().unwrap();
    let path = dirs.path().join("store");
    let mut rig = Rig::open(&config(&path));
    rig.commit(events(50), vec![record("a", "s", b"1")]);
    let config = rig.close();
    // At every sync of the next start, what is on disk at that moment is a store to open.
    let copies: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
    let hook: SyncHook = {
        let (path, copies, root) = (path.clone(), Arc::clone(&copies), dirs.path().to_owned());
        Arc::new(move || {
            let mut copies = copies.lock().unwrap();
            let copy = root.join(format!("copy-{}", copies.len()));
            copy_dir(&path, &copy);
            copies.push(copy);
            Ok(())
        })
    };
    let mut rig = Rig::open_hooked(&config, Some(hook));
    rig.commit(events(1), Vec::new());
    rig.close();
    let copies = copies.lock().unwrap().clone();
    assert!(copies.len() >= 2);
    for path in copies {
        let rig = Rig::open(&Store { path, ..config.clone() });
        assert!(rig.read_all().len() >= 50);
        assert_eq!(rig.opened.records.len(), 1);
        assert_eq!(rig.counters.events_lost.get(), 0);
        rig.close();
    }
}
