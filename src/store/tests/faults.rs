//! Disks that refuse: nothing acknowledged is lost, nothing unacknowledged is forgotten, reading goes on.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use super::*;
use crate::store::Cause;
use crate::store::generation::Generation;

/// A disk whose syncs fail with this error number while it is not 0.
fn failing() -> (Arc<AtomicI32>, SyncHook) {
    let errno = Arc::new(AtomicI32::new(0));
    let hook = {
        let errno = Arc::clone(&errno);
        Arc::new(move || match errno.load(Ordering::SeqCst) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        })
    };
    (errno, hook)
}

fn refuses_and_recovers(number: i32) {
    let dirs = tempfile::tempdir().unwrap();
    let (errno, hook) = failing();
    let mut rig = Rig::open_hooked(&config(&dirs.path().join("a")), Some(hook));
    rig.commit(events(100), vec![record("a", "s", b"1")]);
    errno.store(number, Ordering::SeqCst);
    let token = rig.send(events(10), vec![record("a", "s", b"2")]);
    let status = rig.wait("a fault", |status| status.fault.is_some());
    assert!(!status.fault.unwrap().is_empty());
    assert_eq!(status.last_sequence, 100);
    assert!(rig.acks.1.try_recv().is_err());
    // Still served, from the disk as well as from memory.
    assert_eq!(sequences(&rig.read(1, 200)), (1..=100).collect::<Vec<_>>());
    rig.delivered(40);
    assert_eq!(sequences(&rig.read(41, 200)), (41..=100).collect::<Vec<_>>());
    // Killed now, everything acknowledged is there.
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert!(sequences(&killed.read_all()).starts_with(&(1..=100).collect::<Vec<_>>()));
    killed.close();
    errno.store(0, Ordering::SeqCst);
    assert_eq!(rig.acked(), token);
    let status = rig.wait("all well", |status| status.fault.is_none() && !status.full);
    assert_eq!((status.last_sequence, status.delivered), (110, 40));
    assert_eq!(sequences(&rig.read_all()), (41..=110).collect::<Vec<_>>());
    let rig = rig.reopen();
    assert_eq!(sequences(&rig.read_all()), (41..=110).collect::<Vec<_>>());
    assert_eq!(rig.opened.records, [record("a", "s", b"2")]);
    assert_eq!(rig.counters.events_lost.get(), 0);
    rig.close();
}

#[test]
fn a_full_disk_holds_commits_and_goes_on_when_there_is_room() {
    refuses_and_recovers(28);
}

#[test]
fn an_input_output_error_holds_commits_and_goes_on_in_a_new_generation() {
    refuses_and_recovers(5);
}

#[test]
fn a_file_size_limit_and_a_read_only_disk_are_faults_like_others() {
    refuses_and_recovers(27);
    refuses_and_recovers(30);
}

#[test]
fn one_refused_event_does_not_hold_up_all_others_while_the_disk_is_full() {
    let dirs = tempfile::tempdir().unwrap();
    let (errno, hook) = failing();
    let mut rig = Rig::open_hooked(&config(&dirs.path().join("a")), Some(hook));
    rig.commit(events(100), Vec::new());
    errno.store(28, Ordering::SeqCst);
    rig.send(events(10), Vec::new());
    rig.wait("a fault", |status| status.fault.is_some());
    rig.delivered(2);
    for sequence in [3, 5] {
        let event = rig.read(sequence, 1).remove(0);
        let handle = rig.handle();
        let set_aside = handle.dead_letter(event, super::dead::refusal(3));
        let done = async { tokio::time::timeout(Duration::from_secs(20), set_aside).await };
        rig.runtime.block_on(done).expect("set aside").unwrap();
    }
    assert_eq!(sequences(&rig.read(3, 3)), [4]);
    rig.delivered(40);
    let status = rig.wait("delivered", |status| status.delivered == 40);
    assert_eq!((status.dead, status.waiting), (2, 60));
    // Killed now, they wait again; told of or sent, none is forgotten.
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(sequences(&killed.read_all())[..100], (1..=100).collect::<Vec<_>>());
    killed.close();
    errno.store(0, Ordering::SeqCst);
    rig.acked();
    let killed = Rig::open(&rig.killed(&dirs.path().join("c")));
    for rig in [rig, killed] {
        let letters = rig.runtime.block_on(rig.handle().dead_letters()).unwrap();
        assert_eq!(letters.iter().map(|letter| letter.event.sequence).collect::<Vec<_>>(), [3, 5]);
        let all = rig.read_all();
        assert_eq!((rig.status().delivered, real(&all)), (40, 70));
        assert_eq!(losses(&all).iter().map(|lost| lost.count).sum::<u64>(), 2);
        rig.close();
    }
}

#[test]
fn a_disk_that_fails_from_the_start_serves_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(events(100), vec![record("a", "s", b"1")]);
    let config = rig.close();
    let (errno, hook) = failing();
    errno.store(5, Ordering::SeqCst);
    let mut rig = Rig::open_hooked(&config, Some(hook));
    assert!(rig.status().fault.is_some());
    assert_eq!(rig.opened.records.len(), 1);
    assert_eq!(rig.read_all().len(), 100);
    let token = rig.send(events(1), Vec::new());
    errno.store(0, Ordering::SeqCst);
    assert_eq!(rig.acked(), token);
    assert_eq!(rig.read_all().len(), 101);
    rig.close();
}

#[test]
fn what_is_delivered_is_kept_until_its_alarm_states_and_numbers_are_elsewhere() {
    let dirs = tempfile::tempdir().unwrap();
    let (errno, hook) = failing();
    let mut rig = Rig::open_hooked(&config(&dirs.path().join("a")), Some(hook));
    rig.commit(events(100), vec![record("a", "s", b"1")]);
    rig.delivered(100);
    // The mark goes to disk with it.
    rig.commit(events(1), Vec::new());
    rig.delivered(101);
    rig.commit(Vec::new(), vec![record("a", "s", b"2")]);
    errno.store(5, Ordering::SeqCst);
    rig.send(events(1), Vec::new());
    rig.wait("a fault", |status| status.fault.is_some());
    rig.wait("nothing to be left", |status| status.waiting == 0);
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(killed.opened.records, [record("a", "s", b"2")]);
    assert!(killed.status().last_sequence >= 101);
    killed.close();
    errno.store(0, Ordering::SeqCst);
    rig.close();
}

#[test]
fn a_generation_whose_last_step_failed_does_not_stand_in_the_way_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let make =
        || Generation::create(dir.path(), 7, 1, 1, None).and_then(|mut made| made.sync().map(|()| made)).unwrap();
    let mut half = make();
    half.publish().unwrap();
    // It has its name, and nobody knows whether the name is on stable storage.
    drop(half);
    let mut next = make();
    next.publish().unwrap();
    assert!(next.dir().join("db").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_fault_is_known_by_its_error_and_by_the_text_of_it() {
    for (number, cause) in
        [(28, Cause::NoRoom), (122, Cause::NoRoom), (27, Cause::FileTooLarge), (30, Cause::ReadOnly), (5, Cause::Other)]
    {
        let error = io::Error::from_raw_os_error(number);
        assert_eq!(Fault::io("writing", Path::new("/x"), &error).cause, cause);
        for text in [error.to_string(), format!("{error:?}")] {
            assert_eq!(Fault::sled("writing", &text, None).cause, cause, "{text}");
            // sled wraps errors into others of no kind.
            let wrapped = io::Error::other(text.clone());
            assert_eq!(Fault::sled("writing", &text, Some(&wrapped)).cause, cause, "{text}");
        }
    }
}

#[test]
fn closing_while_the_disk_fails_ends_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (errno, hook) = failing();
    let mut rig = Rig::open_hooked(&config(dir.path()), Some(hook));
    rig.commit(events(100), Vec::new());
    errno.store(5, Ordering::SeqCst);
    rig.send(events(10), Vec::new());
    let config = rig.close();
    let rig = Rig::open(&config);
    assert!(rig.read_all().len() >= 100);
    rig.close();
}

#[test]
fn a_panic_on_the_way_to_the_disk_is_a_fault_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hook: SyncHook = {
        let panics = Arc::clone(&panics);
        Arc::new(move || {
            if panics.swap(false, Ordering::SeqCst) {
                std::panic::resume_unwind(Box::new("as sled does on a damaged file"));
            }
            Ok(())
        })
    };
    let mut rig = Rig::open_hooked(&config(dir.path()), Some(hook));
    rig.commit(events(10), Vec::new());
    panics.store(true, Ordering::SeqCst);
    rig.commit(events(10), Vec::new());
    assert_eq!(rig.counters.store_errors.get(), 1);
    assert_eq!(sequences(&rig.read_all()), (1..=20).collect::<Vec<_>>());
    rig.close();
}

#[test]
fn what_a_technician_can_repair_is_said_with_the_fault() {
    for (kind, help) in [
        (io::ErrorKind::PermissionDenied, "must belong to the user tidegate runs as"),
        (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
    ] {
        let fault = Fault::io("creating", Path::new("/store/queue"), &kind.into()).to_string();
        assert!(fault.starts_with("creating /store/queue: ") && fault.contains(help), "{fault}");
    }
}
