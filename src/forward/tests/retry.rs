//! Dead letters sent again, between a real store and a broker that refuses them at first.

use std::path::Path;

use super::*;
use crate::config::model::{Store, WhenFull};
use crate::forward::retry;
use crate::forward::side::SideLane;
use crate::forward::testing::{Got, event};
use crate::store::handle::{Commit, DeadLetter, Refusal, StoreHandle, Which};
use crate::store::{self, Opened};

/// A gateway's second half: store, forwarder, retries.
struct Half {
    opened: Opened,
    counters: Arc<Counters>,
    trigger: Trigger,
    forwarder: JoinHandle<()>,
    retries: JoinHandle<()>,
}

fn open(path: &Path, counters: &Arc<Counters>, clock: &Arc<SystemClock>) -> Opened {
    let config = Store {
        path: path.to_owned(),
        max_bytes: 32 * 1024 * 1024,
        retain_delivered: 0,
        when_full: WhenFull::DropOldest,
        commit_interval: Duration::ZERO,
    };
    store::open(&config, Arc::clone(counters), Arc::clone(clock)).unwrap()
}

async fn add(store: &StoreHandle, count: u64) {
    let events = (1..=count).map(|number| event(number, 20, Severity::Medium)).collect();
    let permit = store.reserve().await.unwrap();
    store.commit(Commit { events, ..Commit::default() }, permit).unwrap();
}

impl Half {
    fn start(path: &Path, upstream: Upstream) -> Self {
        let (counters, clock) = (Arc::new(Counters::default()), Arc::new(SystemClock::new()));
        let opened = open(path, &counters, &clock);
        let (trigger, shutdown) = shutdown::channel();
        let (side, exit) = side::channel();
        let retries = tokio::spawn(retry::run(opened.handle.clone(), side, Arc::clone(&clock)));
        let means = Means {
            gateway: "gw1".into(),
            store: opened.handle.clone(),
            side: exit,
            nudge: Nudge::default(),
            counters: Arc::clone(&counters),
            clock,
        };
        let (forwarder, _) = spawn(upstream, means, shutdown);
        Self { opened, counters, trigger, forwarder, retries }
    }

    fn handle(&self) -> &StoreHandle {
        &self.opened.handle
    }

    async fn add(&self, count: u64) {
        add(self.handle(), count).await;
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        self.handle().dead_letters().await.unwrap()
    }

    async fn idle(&self, letters: u64) {
        let mut status = self.handle().status();
        let done = status.wait_for(|s| s.last_sequence > 0 && s.waiting == 0 && s.dead == letters && s.retries == 0);
        tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
    }

    async fn stop(self) {
        self.trigger.stop();
        tokio::time::timeout(PATIENCE, self.forwarder).await.unwrap().unwrap();
        self.retries.abort();
        self.opened.handle.close().unwrap();
        self.opened.thread.join().unwrap();
    }
}

fn arrived(broker: &FakeBroker) -> Vec<u64> {
    broker.events().iter().map(Got::sequence).collect()
}

#[tokio::test]
async fn a_letter_is_sent_again_with_its_id_refused_once_more_and_then_taken() {
    let dir = tempfile::tempdir().unwrap();
    let broker = FakeBroker::start(Manner::ClosesAt(2)).await;
    let half = Half::start(dir.path(), upstream("127.0.0.1", broker.port, None));
    half.add(3).await;
    half.idle(1).await;
    // Number 4 announces the loss.
    assert_eq!(broker.first_arrivals(), [1, 3, 4]);
    let letter = half.letters().await.remove(0);
    assert_eq!((letter.event.sequence, letter.attempts, letter.history.len()), (2, 3, 3));
    assert!(letter.history.iter().all(|attempt| attempt.text.contains("closed the connection")));

    assert_eq!(half.handle().retry_dead(Which::All).await.unwrap(), 1);
    half.idle(1).await;
    let again = half.letters().await.remove(0);
    assert_eq!((again.attempts, again.history.len(), again.retry), (4, 4, false));
    assert!(again.history[3].text.contains("sent again"), "{:?}", again.history);
    assert_eq!(broker.first_arrivals(), [1, 3, 4], "refused again is not announced again");

    broker.behave(Manner::Good);
    half.handle().retry_dead(Which::Id(letter.event.id)).await.unwrap();
    half.idle(0).await;
    assert_eq!(broker.first_arrivals(), [1, 3, 4, 2]);
    let got = broker.events().into_iter().find(|got| got.sequence() == 2).unwrap();
    assert_eq!(got.payload["id"], letter.event.id.to_string());
    assert_eq!(got.payload["backlog"], true);
    assert!(got.payload.get("replayed").is_none(), "it was never delivered");
    assert_eq!((half.counters.events_delivered.get(), half.counters.events_lost.get()), (4, 0));
    half.stop().await;
}

#[tokio::test]
async fn what_was_to_be_sent_again_still_is_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = FakeBroker::start(Manner::Good).await;
    let to = |payload_bytes_max| Upstream { payload_bytes_max, ..upstream("127.0.0.1", broker.port, None) };
    let half = Half::start(dir.path(), to(10));
    half.add(2).await;
    // The announcements of their loss cannot be sent either, and are not announced in their turn.
    let mut status = half.handle().status();
    status.wait_for(|status| status.dead >= 3 && status.waiting == 0).await.unwrap();
    let letters = half.letters().await;
    assert_eq!((letters[0].attempts, letters[0].history.len()), (0, 1));
    assert!(letters[0].history[0].text.contains("payload_bytes_max"), "{:?}", letters[0].history);
    half.stop().await;

    // A gateway without an upstream: marked, and nobody to send.
    let opened = open(dir.path(), &Arc::default(), &Arc::new(SystemClock::new()));
    assert_eq!(opened.handle.retry_dead(Which::Sequence(1)).await.unwrap(), 1);
    opened.handle.close().unwrap();
    opened.thread.join().unwrap();
    assert_eq!(arrived(&broker), Vec::<u64>::new());

    let left = letters.len() as u64 - 1;
    let half = Half::start(dir.path(), to(10_000));
    half.idle(left).await;
    assert_eq!(broker.first_arrivals(), [1]);
    half.stop().await;
}

#[tokio::test]
async fn a_letter_dropped_while_it_waits_in_the_lane_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let Opened { handle, thread, .. } = open(dir.path(), &Arc::default(), &clock);
    add(&handle, 3).await;
    let mut status = handle.status();
    status.wait_for(|status| status.last_sequence == 3).await.unwrap();
    let event = handle.read(2, 1, usize::MAX).await.unwrap().remove(0);
    handle.dead_letter(event, Refusal::default()).await.unwrap();
    // The lane without a connection.
    let (side, exit) = side::channel();
    let mut lane = SideLane::new(exit);
    let retries = tokio::spawn(retry::run(handle.clone(), side, clock));
    handle.retry_dead(Which::All).await.unwrap();
    until("the letter is given", || lane.peek().is_some()).await;
    assert_eq!(handle.drop_dead(Which::Sequence(2)).await.unwrap(), 1);
    until("the letter is taken back", || lane.peek().is_none()).await;
    retries.abort();
    handle.close().unwrap();
    thread.join().unwrap();
}
