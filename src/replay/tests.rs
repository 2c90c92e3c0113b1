//! The task against a past in memory and a lane whose other end the test holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::*;
use crate::clock::WallTime;
use crate::config::model::Severity;
use crate::forward::side::{self, SideLane, SideReceiver};
use crate::forward::testing::{FakeStore, PATIENCE, event, until};
use crate::store::handle::{DeadLetter, DeadRequest, Request};

/// Milliseconds between two events of the past; event `n` happened at `n` of them.
const STEP_MS: i64 = 1_000;

fn at(sequence: u64) -> WallTime {
    WallTime::from_millis(sequence as i64 * STEP_MS)
}

#[derive(Clone, Default)]
struct Memory {
    events: Arc<Mutex<Vec<Arc<Event>>>>,
    faults: Arc<AtomicU32>,
}

impl Memory {
    fn with(numbers: std::ops::RangeInclusive<u64>) -> Self {
        let memory = Self::default();
        let events = numbers.map(|n| Arc::new(Event { time: at(n), ..event(n, 20, Severity::Medium) }));
        memory.events.lock().unwrap().extend(events);
        memory
    }
}

impl Past for Memory {
    fn read(&mut self, from: u64, max_events: usize, _max_bytes: usize) -> io::Result<Vec<Arc<Event>>> {
        if self.faults.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(io::Error::other("a bad sector"));
        }
        let events = self.events.lock().unwrap();
        Ok(events.iter().filter(|event| event.sequence >= from).take(max_events).cloned().collect())
    }
}

struct Scene {
    dir: TempDir,
    memory: Memory,
    fake: FakeStore,
    side: side::SideSender,
    exit: SideReceiver,
    lane: SideLane,
    replays: Replays,
    task: Option<Task>,
    got: Vec<u64>,
}

impl Scene {
    fn new(memory: Memory) -> Self {
        Self::build(tempfile::tempdir().unwrap(), memory)
    }

    fn build(dir: TempDir, memory: Memory) -> Self {
        let fake = FakeStore::new();
        let (side, exit) = side::channel();
        let (replays, task) = spawn(surroundings(&dir, &memory, &fake, &side));
        let lane = SideLane::new(exit.clone());
        Self { dir, memory, fake, side, exit, lane, replays, task: Some(task), got: Vec::new() }
    }

    /// As a new process would find things; what is in the lane is forgotten.
    fn restart(&mut self) {
        let (side, exit) = side::channel();
        (self.side, self.exit) = (side, exit);
        self.lane = SideLane::new(self.exit.clone());
        let (replays, task) = spawn(surroundings(&self.dir, &self.memory, &self.fake, &self.side));
        (self.replays, self.task) = (replays, Some(task));
    }

    async fn start(&self, job: Job) -> Result<ReplayView, Refused> {
        self.replays.start(job).await
    }

    /// Plays the forwarder until so many events more have been acknowledged.
    async fn take(&mut self, count: usize) {
        for _ in 0..count {
            if self.lane.wants_more() {
                tokio::time::timeout(PATIENCE, self.lane.arrival()).await.expect("an event to arrive");
            }
            let (slot, event, mark) = self.lane.peek().unwrap();
            assert_eq!(mark, side::Mark::Replayed);
            self.lane.on_outgoing(slot, 1, tokio::time::Instant::now());
            self.lane.on_puback(slot);
            self.got.push(event.sequence);
        }
    }

    async fn ended(&self) -> ReplayView {
        let mut view = self.replays.view.clone();
        let ended = view.wait_for(|view| view.as_ref().is_some_and(|view| !view.is_active()));
        tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().clone().unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("replay")
    }
}

fn surroundings(dir: &TempDir, memory: &Memory, fake: &FakeStore, side: &side::SideSender) -> Surroundings {
    let memory = memory.clone();
    Surroundings {
        store_path: dir.path().to_owned(),
        past: Arc::new(move || Ok(Box::new(memory.clone()))),
        store: fake.handle(),
        side: side.clone(),
        clock: Arc::new(SystemClock::new()),
        read_again_after: std::time::Duration::from_millis(5),
    }
}

fn job(since: u64, until: Option<u64>, through: u64) -> Job {
    Job::new(at(since), until.map(at), None, WallTime::from_millis(0), through)
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

#[tokio::test]
async fn events_of_the_time_asked_for_are_sent_once_in_order() {
    let mut scene = Scene::new(Memory::with(1..=2_000));
    let view = scene.start(job(500, Some(1_499), 1_900)).await.unwrap();
    assert_eq!(view.state, State::Counting);
    scene.take(1_000).await;
    let ended = scene.ended().await;
    assert_eq!((ended.state, ended.of, ended.sent, ended.gone), (State::Done, Some(1_000), 1_000, 0));
    assert_eq!(scene.got, numbers(500..=1_499));
    assert!(ended.ended.is_some() && !scene.file().exists());
    assert_eq!(scene.replays.view(), Some(ended), "the last one stays to be asked for");
}

#[tokio::test]
async fn nothing_above_the_mark_and_no_other_sensor_is_sent() {
    let mut scene = Scene::new(Memory::with(1..=100));
    let wanted = Job { sensor: Some("test/+/sensor-3".into()), ..job(0, None, 50) };
    scene.start(wanted).await.unwrap();
    scene.take(10).await;
    assert_eq!(scene.ended().await.of, Some(10));
    assert_eq!(scene.got, (1..=50).filter(|n| n % 5 == 3).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_no_longer_kept_is_said() {
    let scene = Scene::new(Memory::with(800..=900));
    scene.start(job(1, Some(700), 900)).await.unwrap();
    let ended = scene.ended().await;
    assert_eq!((ended.state, ended.of, ended.sent), (State::Done, Some(0), 0));
    assert_eq!(ended.kept_since, Some(at(800).to_string()));

    let empty = Scene::new(Memory::default());
    empty.start(job(1, None, 900)).await.unwrap();
    assert_eq!((empty.ended().await.of, empty.replays.view().unwrap().kept_since), (Some(0), None));
}

#[tokio::test]
async fn events_that_go_while_the_replay_waits_are_counted_as_gone() {
    let mut scene = Scene::new(Memory::with(1..=1_000));
    scene.start(job(0, None, 1_000)).await.unwrap();
    scene.take(1).await;
    // One read of 256 is in memory by now; all that follows it has been rotated out.
    scene.memory.events.lock().unwrap().retain(|event| event.sequence <= 256);
    scene.take(255).await;
    let ended = scene.ended().await;
    assert_eq!((ended.state, ended.of, ended.sent, ended.gone), (State::Done, Some(1_000), 256, 744));
}

#[tokio::test]
async fn dead_letters_are_left_out() {
    let scene = Scene::new(Memory::with(1..=5));
    let (handle, inbox) = StoreHandle::new(scene.fake.handle().status());
    std::thread::spawn(move || {
        while let Ok(request) = inbox.recv_timeout(std::time::Duration::from_secs(3600)) {
            if let Request::Dead(DeadRequest::List(reply)) = request {
                let event = Arc::new(event(3, 20, Severity::Medium));
                let (reason, attempts, time) = ("refused".to_owned(), 3, at(3));
                let _ = reply.send(vec![DeadLetter {
                    event,
                    reason,
                    attempts,
                    time,
                    history: Vec::new(),
                    retry: false,
                    announced: true,
                }]);
            }
        }
    });
    let around = Surroundings { store: handle, ..surroundings(&scene.dir, &scene.memory, &scene.fake, &scene.side) };
    let (replays, _task) = spawn(around);
    let mut scene = Scene { replays, ..scene };
    scene.start(job(0, None, 5)).await.unwrap();
    scene.take(4).await;
    assert_eq!(scene.ended().await.of, Some(4));
    assert_eq!(scene.got, [1, 2, 4, 5]);
}

#[tokio::test]
async fn a_second_one_is_refused_while_the_first_is_under_way() {
    let mut scene = Scene::new(Memory::with(1..=100));
    scene.start(job(0, None, 100)).await.unwrap();
    scene.take(10).await;
    let Err(Refused::Busy(view)) = scene.start(job(0, None, 50)).await else { panic!("it is busy") };
    assert!(view.is_active());
    scene.take(90).await;
    scene.ended().await;
    assert!(scene.start(job(99, None, 100)).await.is_ok());
}

#[tokio::test]
async fn a_cancelled_one_sends_nothing_more_and_leaves_no_file() {
    let mut scene = Scene::new(Memory::with(1..=1_000));
    assert_eq!(scene.replays.cancel().await, Err(Refused::Idle));
    scene.start(job(0, None, 1_000)).await.unwrap();
    scene.take(100).await;
    let view = scene.replays.cancel().await.unwrap();
    assert_eq!((view.state, view.of, view.gone), (State::Cancelled, Some(1_000), 0));
    assert!(view.sent <= 100 && !scene.file().exists());
    assert!(scene.lane.peek().is_none(), "what waited in the lane is not sent any more");
    assert_eq!(scene.replays.cancel().await, Err(Refused::Idle));
}

#[tokio::test]
async fn a_stop_saves_the_place_and_the_next_start_goes_on_there() {
    let mut scene = Scene::new(Memory::with(1..=1_000));
    scene.start(job(0, None, 1_000)).await.unwrap();
    scene.take(100).await;
    let replays = scene.replays.clone();
    until("the acknowledgements are taken", || replays.view().unwrap().sent == 100).await;
    scene.task.take().unwrap().stop().await;
    scene.restart();
    scene.take(900).await;
    let ended = scene.ended().await;
    assert_eq!((ended.state, ended.sent), (State::Done, 1_000));
    assert_eq!(scene.got, numbers(1..=1_000), "none twice, none left out");
}

#[tokio::test]
async fn a_crash_repeats_a_little_and_leaves_nothing_out() {
    let mut scene = Scene::new(Memory::with(1..=2_000));
    scene.start(job(0, None, 2_000)).await.unwrap();
    scene.take(700).await;
    let task = scene.task.take().unwrap();
    task.task.abort();
    scene.restart();
    let first = scene.got.len();
    scene.take(1).await;
    let again = scene.got[first];
    assert!((257..=701).contains(&again), "went on at {again}");
    scene.take(2_000 - again as usize).await;
    let ended = scene.ended().await;
    assert_eq!((ended.state, ended.sent), (State::Done, 2_000));
    assert_eq!(scene.got[first..], numbers(again..=2_000));
    assert!(!scene.file().exists());
}

#[tokio::test]
async fn a_forwarder_that_is_replaced_costs_no_event() {
    let mut scene = Scene::new(Memory::with(1..=500));
    scene.start(job(0, None, 500)).await.unwrap();
    scene.take(100).await;
    // Some are in flight and some wait in the lane when it goes.
    for _ in 0..5 {
        if scene.lane.wants_more() {
            scene.lane.arrival().await;
        }
        let (slot, ..) = scene.lane.peek().unwrap();
        scene.lane.on_outgoing(slot, 1, tokio::time::Instant::now());
    }
    scene.lane = SideLane::new(scene.exit.clone());
    while scene.replays.view().unwrap().is_active() {
        tokio::select! {
            () = scene.lane.arrival() => {}
            _ = scene.replays.view.changed() => {}
        }
        while let Some((slot, event, _)) = scene.lane.peek() {
            scene.lane.on_outgoing(slot, 1, tokio::time::Instant::now());
            scene.lane.on_puback(slot);
            scene.got.push(event.sequence);
        }
    }
    let seen: std::collections::BTreeSet<u64> = scene.got.iter().copied().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), numbers(1..=500));
    assert_eq!(scene.replays.view().unwrap().sent, 500);
}

#[tokio::test]
async fn a_refused_event_is_passed_over_and_counted() {
    let mut scene = Scene::new(Memory::with(1..=10));
    scene.start(job(0, None, 10)).await.unwrap();
    scene.take(4).await;
    if scene.lane.wants_more() {
        scene.lane.arrival().await;
    }
    scene.lane.peek().unwrap();
    scene.lane.refuse("too large".to_owned());
    scene.take(5).await;
    let ended = scene.ended().await;
    assert_eq!((ended.state, ended.sent, ended.refused, ended.gone), (State::Done, 9, 1, 0));
}

#[tokio::test]
async fn a_past_that_cannot_be_read_is_tried_again_and_then_given_up() {
    let memory = Memory::with(1..=10);
    memory.faults.store(2, Ordering::Relaxed);
    let mut scene = Scene::new(memory);
    scene.start(job(0, None, 10)).await.unwrap();
    scene.take(10).await;
    assert_eq!(scene.ended().await.state, State::Done);
    scene.memory.faults.store(3, Ordering::Relaxed);
    scene.start(job(0, None, 10)).await.unwrap();
    let ended = scene.ended().await;
    assert_eq!(ended.state, State::Failed);
    assert!(ended.fault.unwrap().contains("a bad sector") && !scene.file().exists());
}

#[tokio::test]
async fn a_disk_that_takes_nothing_does_not_stop_a_replay_and_is_said() {
    let mut scene = Scene::new(Memory::with(1..=400));
    // A directory in the place of the temporary file: nothing can be written there.
    std::fs::create_dir(scene.dir.path().join("replay.tmp")).unwrap();
    let view = scene.start(job(0, None, 400)).await.unwrap();
    assert!(view.fault.unwrap().contains("not saved"));
    scene.take(400).await;
    assert_eq!(scene.ended().await.sent, 400);
}
