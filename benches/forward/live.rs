//! What live events wait for while a backlog drains: `order = "live-first"` beside `"oldest-first"`.
//!
//! The gateway's part runs in a process of its own, so that the memory is its own: it opens the store that was filled
//! for it, forwards, and stores two live events a second, one of a sensor of which nothing waits and one of a sensor
//! that has its share of the backlog. Events of one sensor keep their order whatever else is asked for, so the latter
//! shows what that costs. Latency is from the event's making to its arrival at a subscriber.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tidegate::clock::{ClockState, SystemClock};
use tidegate::forward::{self, nudge::Nudge};
use tidegate::shutdown;
use tidegate::store::handle::{Commit, StoreHandle};
use uuid::Uuid;

use super::stage::mosquitto::Mosquitto;
use super::stage::mqtt::{Packet, Session};
use super::support::child::{self, Child};
use super::support::load::{GATEWAY, Site};
use super::support::queue::{self, runtime};
use super::support::stats::{grouped, quantile};
use super::support::{load, machine};

/// Of this sensor nothing waits.
const QUIET: &str = "live/quiet/value";

/// This one has as many events in the backlog as the others.
const BUSY: &str = "site/s07/value";

/// How often each of them has an event.
const EVERY: Duration = Duration::from_secs(1);

/// How long the drain may take.
const PATIENCE: Duration = Duration::from_secs(900);

const MIB: f64 = 1024.0 * 1024.0;

/// Marks this part's processes.
pub const ROLE: &str = "live";

/// Measures both orders with so many events waiting.
pub fn measure(broker: &Mosquitto, ca_file: &Path, events: usize) {
    println!(
        "\nlive events while {} wait, window 256, JSON, over TLS; memory of the whole process",
        grouped(events as f64)
    );
    println!(
        "{:>13} | {:>10} {:>8} | {:>5} {:>9} {:>9} | {:>9} {:>9} | {:>8} {:>8}",
        "order", "drain", "seconds", "live", "quiet p50", "max", "busy p50", "max", "open", "peak"
    );
    println!(
        "{:>13} | {:>10} {:>8} | {:>5} {:>9} {:>9} | {:>9} {:>9} | {:>8} {:>8}",
        "", "events/s", "", "", "ms", "ms", "ms", "ms", "MiB", "MiB"
    );
    for order in ["oldest-first", "live-first"] {
        let dir = machine::directory();
        let (opened, _) = queue::open(dir.path());
        runtime().block_on(queue::fill(&opened.handle, &mut Site::new(1), events));
        queue::close(opened);
        let upstream = format!(
            "url = \"{}\"\nca_file = \"{}\"\nwindow = 256\norder = \"{order}\"\n",
            broker.url(),
            ca_file.display()
        );
        let heard = Listener::start(broker);
        let store = dir.path().to_str().unwrap();
        let mut child = Child::start([ROLE, store, &events.to_string(), &upstream]);
        let [seconds, live, open, peak] = child.figures()[..] else { panic!("four figures") };
        child.end();
        let [mut quiet, mut busy] = heard.latencies(live as usize);
        println!(
            "{order:>13} | {:>10} {seconds:>8.1} | {live:>5} {:>9.1} {:>9.1} | {:>9.0} {:>9.0} | {open:>8.1} {peak:>8.1}",
            grouped(events as f64 / seconds),
            quantile(&mut quiet, 0.5),
            quantile(&mut quiet, 1.0),
            quantile(&mut busy, 0.5),
            quantile(&mut busy, 1.0),
        );
    }
}

/// Hears live events at the broker and takes the time each was on its way.
struct Listener {
    thread: std::thread::JoinHandle<[Vec<f64>; 2]>,
    over: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
}

impl Listener {
    fn start(broker: &Mosquitto) -> Self {
        let mut session = Session::connect(broker.address(), "listener", true).unwrap();
        let topics = [QUIET, BUSY].map(|sensor| format!("tidegate/{GATEWAY}/+/{sensor}"));
        for topic in &topics {
            session.subscribe_at(topic, 0).unwrap();
        }
        // mosquitto answers in order; without both answers an event could pass unheard.
        let mut granted = 0;
        while granted < topics.len() {
            granted += usize::from(matches!(session.poll().unwrap(), Some(Packet::SubAck(_))));
        }
        let over = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let since = jiff::Timestamp::now();
        let (is_over, counted) = (Arc::clone(&over), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            let mut latencies = [Vec::new(), Vec::new()];
            while !is_over.load(Relaxed) {
                let Some(Packet::Publish { topic, payload, .. }) = session.poll().unwrap() else { continue };
                let arrived = jiff::Timestamp::now();
                let event: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let made: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
                if made < since {
                    continue;
                }
                assert_ne!(event["backlog"], true, "what was stored on this connection is live");
                let took_ms = arrived.duration_since(made).as_secs_f64() * 1e3;
                latencies[usize::from(topic.ends_with(BUSY))].push(took_ms);
                counted.fetch_add(1, Relaxed);
            }
            latencies
        });
        Self { thread, over, count }
    }

    /// Those of the quiet and of the busy sensor, ms, when so many have come of each.
    fn latencies(self, each: usize) -> [Vec<f64>; 2] {
        let until = Instant::now() + PATIENCE;
        while self.count.load(Relaxed) < 2 * each {
            assert!(Instant::now() < until, "all live events arrive");
            std::thread::yield_now();
        }
        self.over.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

/// The gateway's part, in a process of its own.
pub fn forward([_, path, events, upstream]: [String; 4]) {
    let text = format!("gateway.id = \"{GATEWAY}\"\n[upstream]\n{upstream}");
    let upstream = load::configuration(&text).upstream.unwrap();
    let events: u64 = events.parse().unwrap();
    let mut examples = Site::new(1).events(1);
    let example = examples.remove(0);
    machine::forget_peak();
    let (opened, counters) = queue::open(Path::new(&path));
    assert_eq!(opened.status.waiting, events, "all wait, none was evicted");
    let open = machine::resident_bytes() as f64 / MIB;
    let store = opened.handle.clone();
    let (seconds, live) = runtime().block_on(async {
        let (trigger, shutdown) = shutdown::channel();
        let clock = Arc::new(SystemClock::new());
        let (_, side) = forward::side::channel();
        let start = Instant::now();
        let (task, view) = forward::spawn(
            upstream,
            Arc::from(GATEWAY),
            store.clone(),
            side,
            Nudge::default(),
            Arc::clone(&counters),
            Arc::clone(&clock),
            shutdown,
        );
        // What is stored before there is a connection is part of the backlog.
        let mut connected = view.clone();
        connected.wait_for(|view| view.connected).await.unwrap();
        let mut status = store.status();
        let mut tick = tokio::time::interval(EVERY);
        let mut live = 0_u64;
        let drained = async {
            let mut status = store.status();
            status.wait_for(|status| status.delivered >= events).await.unwrap();
            start.elapsed()
        };
        tokio::pin!(drained);
        let took = loop {
            tokio::select! {
                took = &mut drained => break took,
                _ = tick.tick() => {
                    live += 1;
                    let made = [QUIET, BUSY].map(|sensor| {
                        let mut event = example.clone();
                        let now = clock.now();
                        event.sequence = 0;
                        event.id = Uuid::from_u128(u128::from(live) << 1 | u128::from(sensor == BUSY));
                        event.subject = Arc::from(sensor);
                        (event.time, event.boot, event.clock) = (now.wall, now.boot, ClockState::Synchronized);
                        event
                    });
                    commit(&store, made.into()).await;
                }
            }
        };
        status.wait_for(|status| status.waiting == 0).await.unwrap();
        trigger.stop();
        task.await.unwrap();
        (took.as_secs_f64(), live)
    });
    assert_eq!(counters.events_delivered.get(), events + 2 * live);
    child::tell(&[seconds, live as f64, open, machine::peak_bytes() as f64 / MIB]);
    child::wait();
    queue::close(opened);
}

async fn commit(store: &StoreHandle, events: Vec<tidegate::event::Event>) {
    let permit = store.reserve().await.unwrap();
    store.commit(Commit { events, ..Commit::default() }, permit).unwrap();
}
