//! The store as the pipeline uses it: commits under way, acknowledged when they are safe.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tidegate::ack::Ack;
use tidegate::clock::SystemClock;
use tidegate::counters::Counters;
use tidegate::engine::Output;
use tidegate::store::handle::{Commit, StoreHandle};
use tidegate::store::{self, Opened};
use tokio::sync::mpsc;

use super::load::{self, Site};

/// Events in a commit at full load: a turn of the pipeline takes up to 512 messages.
pub const TURN_EVENTS: usize = 512;

/// Commits the pipeline has under way at most.
pub const UNDER_WAY: usize = store::handle::COMMITS_UNDER_WAY_MAX;

/// A runtime as the gateway's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Opens the store at `path` with the default limits.
pub fn open(path: &Path) -> (Opened, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let opened = store::open(&load::store(path), Arc::clone(&counters), Arc::new(SystemClock::new()));
    match opened {
        Ok(opened) => (opened, counters),
        Err(error) => panic!("{error}"),
    }
}

/// A clean stop.
pub fn close(opened: Opened) {
    opened.handle.close().unwrap();
    opened.thread.join().unwrap();
}

/// Commits all, at most `under_way` at a time, and waits until all are safe. Gives the seconds each took.
pub async fn commit(store: &StoreHandle, outputs: impl Iterator<Item = Output>, under_way: usize) -> Vec<f64> {
    let (released, mut safe) = mpsc::unbounded_channel();
    let mut sent = Vec::new();
    let mut took = Vec::new();
    for output in outputs {
        while sent.len() - took.len() >= under_way {
            take(&mut safe, &sent, &mut took).await;
        }
        let permit = store.reserve().await.unwrap();
        let acks = vec![Ack::new(released.clone(), sent.len() as u64)];
        sent.push(Instant::now());
        store
            .commit(Commit { events: output.events, records: output.records, acks, ..Commit::default() }, permit)
            .unwrap();
    }
    while took.len() < sent.len() {
        take(&mut safe, &sent, &mut took).await;
    }
    took
}

async fn take(safe: &mut mpsc::UnboundedReceiver<u64>, sent: &[Instant], took: &mut Vec<f64>) {
    let token = safe.recv().await.unwrap();
    took.push(sent[usize::try_from(token).unwrap()].elapsed().as_secs_f64());
}

/// Commits so many events as the pipeline does at full load.
pub async fn fill(store: &StoreHandle, site: &mut Site, events: usize) {
    let mut left = events;
    let turns = std::iter::from_fn(|| {
        let turn = left.min(TURN_EVENTS);
        left -= turn;
        (turn > 0).then(|| site.output(turn))
    });
    commit(store, turns, UNDER_WAY).await;
}
