//! Readers: what they are given, and those that wait for what comes next.

use std::task::Poll;

use super::*;

/// What is known of a read without waiting for it.
fn state<F: Future<Output = Result<Vec<Arc<Event>>, crate::store::handle::Closed>>>(
    rig: &Rig,
    read: &mut std::pin::Pin<Box<F>>,
) -> Option<Vec<u64>> {
    let polled = rig.runtime.block_on(std::future::poll_fn(|context| Poll::Ready(read.as_mut().poll(context))));
    match polled {
        Poll::Ready(events) => Some(sequences(&events.unwrap())),
        Poll::Pending => None,
    }
}

#[test]
fn who_waits_for_the_next_event_has_it_when_it_is_on_stable_storage_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, gate, entries) = Rig::open_gated(&config(dir.path()));
    let handle = rig.handle();
    let mut read = Box::pin(handle.read_on(1, 10, usize::MAX));
    assert_eq!(state(&rig, &mut read), None, "it is asked for");
    rig.send(events(3), Vec::new());
    entries.recv().unwrap();
    // In the middle of the sync.
    assert_eq!(state(&rig, &mut read), None);
    gate.send(()).unwrap();
    rig.acked();
    assert_eq!(sequences(&rig.runtime.block_on(read).unwrap()), [1, 2, 3]);
    drop(gate);
    rig.close();
}

#[test]
fn who_is_behind_is_answered_at_once_and_who_has_gone_away_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(events(3), Vec::new());
    let handle = rig.handle();
    assert_eq!(sequences(&rig.runtime.block_on(handle.read_on(2, 10, usize::MAX)).unwrap()), [2, 3]);
    for _ in 0..10 {
        // More of them than may wait.
        let mut read = Box::pin(handle.read_on(4, 10, usize::MAX));
        assert_eq!(state(&rig, &mut read), None);
    }
    let mut read = Box::pin(handle.read_on(4, 10, usize::MAX));
    assert_eq!(state(&rig, &mut read), None);
    rig.commit(events(1), Vec::new());
    assert_eq!(sequences(&rig.runtime.block_on(read).unwrap()), [4]);
    rig.close();
}

#[test]
fn the_end_of_the_store_ends_the_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(&config(dir.path()));
    let handle = rig.handle();
    let mut read = Box::pin(handle.read_on(1, 10, usize::MAX));
    assert_eq!(state(&rig, &mut read), None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    rig.close();
    assert!(runtime.block_on(read).is_err());
}

#[test]
fn reads_give_what_was_asked_for_and_at_least_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(events(3_000), Vec::new());
    assert_eq!(sequences(&rig.read(1, 5)), [1, 2, 3, 4, 5]);
    assert_eq!(sequences(&rig.read(62, 5)), [62, 63, 64, 65, 66]);
    assert_eq!(sequences(&rig.read(2_999, 5)), [2_999, 3_000]);
    assert_eq!(rig.read(3_001, 5), []);
    assert_eq!(rig.read(u64::MAX, 5), []);
    assert_eq!(rig.read(1, 0), []);
    for from in [1, 2_900] {
        assert_eq!(rig.runtime.block_on(rig.handle().read(from, 100, 1)).unwrap().len(), 1);
        let some = rig.runtime.block_on(rig.handle().read(from, 100, 2_000)).unwrap().len();
        assert!((2..20).contains(&some), "{some}");
    }
    rig.close();
}
