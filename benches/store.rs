//! What it takes to have events on stable storage, beside a plain file.
//!
//! ```text
//! cargo bench --bench store               100,000 events waiting
//! cargo bench --bench store -- 1000000    a million; takes minutes
//! TIDEGATE_BENCH_DIR=/mnt/card            where to write, if not in target/
//! ```
//!
//! The plain file gets the same events as JSON made beforehand, appended and followed by one fdatasync for as many
//! events as shared one in the store just before. It is no queue: nothing can be taken out of it, a torn end is not
//! noticed, and it has no alarm states. So the ratio says what the store costs beyond the disk. Rounds of both
//! alternate; medians are printed. Bytes are those sent towards the disk (`write_bytes`: whole pages, each time they
//! are written). Filling includes what makes the events: decoding and the engine.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use support::child::{self, Child};
use support::load::{self, Site};
use support::queue::{self, TURN_EVENTS, UNDER_WAY};
use support::stats::{grouped, median, quantile, seconds};
use support::{machine, queue::runtime};
use tidegate::engine::Output;

const ROUNDS: usize = 3;

/// Above this many waiting events one round has to do.
const ROUNDS_EVENTS_MAX: usize = 300_000;

/// What the forwarder reads at once.
const READ: (usize, usize) = (512, 256 * 1024);

const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    if let Some([role, path, events]) = child::wanted() {
        return hold(&role, Path::new(&path), events.parse().unwrap());
    }
    if !machine::is_bench() {
        return println!("store: run it by `cargo bench --bench store`");
    }
    machine::announce("store");
    writing();
    let events = machine::argument(100_000);
    waiting(events);
    println!("\nload at the end: {}", machine::load());
}

/// One way to write.
struct Plan {
    events_a_commit: usize,
    under_way: usize,
    commits: usize,
}

/// What came of it once.
#[derive(Default)]
struct Written {
    seconds: f64,
    bytes: f64,
    syncs: f64,
    /// Seconds a commit.
    latencies: Vec<f64>,
}

fn writing() {
    let example = Site::new(1).events(1_000);
    let json: usize = example.iter().map(|event| load::json(event).len()).sum();
    let json = json as f64 / example.len() as f64;
    println!("\nwriting: alarm events of {json:.0} bytes as JSON, with their alarm states; medians of {ROUNDS} rounds");
    println!(
        "{:>8} {:>7} | {:>10} {:>10} {:>6} | {:>8} | {:>8} {:>8} {:>9}",
        "events", "commits", "events/s", "file", "ratio", "events", "bytes", "file", "bytes per"
    );
    println!(
        "{:>8} {:>7} | {:>10} {:>10} {:>6} | {:>8} | {:>8} {:>8} {:>9}",
        "a commit", "at once", "store", "", "", "a sync", "an event", "", "JSON byte"
    );
    let plan = |events_a_commit, under_way, commits| Plan { events_a_commit, under_way, commits };
    let mut lone = (Vec::new(), Vec::new());
    for plan in [
        plan(1, 1, 300),
        plan(1, UNDER_WAY, 600),
        plan(64, 1, 100),
        plan(64, UNDER_WAY, 200),
        plan(TURN_EVENTS, 1, 40),
        plan(TURN_EVENTS, UNDER_WAY, 60),
    ] {
        let (mut store, mut file) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut written = write_store(&plan);
            let mut plain = write_file(&plan, (plan.commits as f64 / written.syncs).round() as usize);
            if plan.events_a_commit == 1 && plan.under_way == 1 {
                lone.0.append(&mut written.latencies);
                lone.1.append(&mut plain.latencies);
            }
            store.push(written);
            file.push(plain);
        }
        let events = (plan.events_a_commit * plan.commits) as f64;
        let of = |all: &[Written], figure: fn(&Written) -> f64| median(all.iter().map(figure).collect());
        let (rate, plain) = (events / of(&store, |w| w.seconds), events / of(&file, |w| w.seconds));
        let bytes = of(&store, |w| w.bytes) / events;
        println!(
            "{:>8} {:>7} | {:>10} {:>10} {:>6.2} | {:>8.1} | {:>8.0} {:>8.0} {:>9.2}",
            plan.events_a_commit,
            plan.under_way,
            grouped(rate),
            grouped(plain),
            rate / plain,
            events / of(&store, |w| w.syncs),
            bytes,
            of(&file, |w| w.bytes) / events,
            bytes / json,
        );
    }
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut lone.0, share) * 1e3);
    let [file50, file99] = [0.5, 0.99].map(|share| quantile(&mut lone.1, share) * 1e3);
    println!("one event alone until it is safe: p50 {p50:.2} ms, p99 {p99:.2} ms");
    println!("the same in the file:             p50 {file50:.2} ms, p99 {file99:.2} ms");
    println!("ratio:                            p50 {:.2}, p99 {:.2}", p50 / file50, p99 / file99);
}

fn outputs(plan: &Plan) -> Vec<Output> {
    let mut site = Site::new(1);
    (0..plan.commits).map(|_| site.output(plan.events_a_commit)).collect()
}

fn write_store(plan: &Plan) -> Written {
    let dir = machine::directory();
    let (opened, counters) = queue::open(dir.path());
    let outputs = outputs(plan);
    let (bytes, syncs) = (machine::written_bytes(), counters.store_syncs.get());
    let start = Instant::now();
    let latencies = runtime().block_on(queue::commit(&opened.handle, outputs.into_iter(), plan.under_way));
    let seconds = start.elapsed().as_secs_f64();
    let syncs = (counters.store_syncs.get() - syncs) as f64;
    let bytes = (machine::written_bytes() - bytes) as f64;
    queue::close(opened);
    Written { seconds, bytes, syncs, latencies }
}

fn write_file(plan: &Plan, commits_a_sync: usize) -> Written {
    let dir = machine::directory();
    let outputs = outputs(plan);
    let batches: Vec<Vec<u8>> = outputs
        .chunks(commits_a_sync.max(1))
        .map(|outputs| outputs.iter().flat_map(|output| &output.events).flat_map(load::json).collect())
        .collect();
    drop(outputs);
    let mut file = File::options().create(true).append(true).open(dir.path().join("plain")).unwrap();
    let bytes = machine::written_bytes();
    let latencies: Vec<f64> = batches
        .iter()
        .map(|batch| {
            seconds(|| {
                file.write_all(batch).unwrap();
                file.sync_data().unwrap();
            })
        })
        .collect();
    let bytes = (machine::written_bytes() - bytes) as f64;
    Written { seconds: latencies.iter().sum(), bytes, syncs: batches.len() as f64, latencies }
}

/// What it takes to hold events back, to start with them waiting, and to hand them out. In processes of their own, so
/// that their memory is theirs and one can be killed.
fn waiting(events: usize) {
    let rounds = if events > ROUNDS_EVENTS_MAX { 1 } else { ROUNDS };
    println!(
        "\nwaiting: {} events; medians of {rounds} rounds; memory beyond the bare process",
        grouped(events as f64)
    );
    println!(
        "{:>10} | {:>10} {:>8} {:>8} {:>9} | {:>8} {:>8} | {:>10} {:>8}",
        "last stop", "fill", "memory", "peak", "bytes", "open", "memory", "drain", "peak"
    );
    println!(
        "{:>10} | {:>10} {:>8} {:>8} {:>9} | {:>8} {:>8} | {:>10} {:>8}",
        "", "events/s", "MiB", "MiB", "an event", "ms", "MiB", "events/s", "MiB"
    );
    for stop in ["clean", "killed"] {
        let mut figures: [Vec<f64>; 8] = Default::default();
        for _ in 0..rounds {
            let dir = machine::directory();
            let path = dir.path().to_str().unwrap();
            let mut fill = Child::start(["fill", path, &events.to_string()]);
            let filled = fill.figures();
            match stop {
                "clean" => fill.end(),
                _ => fill.kill(),
            }
            let mut drain = Child::start(["drain", path, &events.to_string()]);
            let drained = drain.figures();
            drain.end();
            for (all, figure) in figures.iter_mut().zip(filled.into_iter().chain(drained)) {
                all.push(figure);
            }
        }
        let [fill, memory, peak, bytes, open, open_memory, drain, drain_peak] = figures.map(median);
        println!(
            "{stop:>10} | {:>10} {memory:>8.1} {peak:>8.1} {bytes:>9.0} | {open:>8.1} {open_memory:>8.1} | {:>10} \
             {drain_peak:>8.1}",
            grouped(fill),
            grouped(drain)
        );
    }
}

/// What a process of its own does: `fill` or `drain`.
fn hold(role: &str, path: &Path, events: usize) {
    let runtime = runtime();
    let mut site = Site::new(1);
    site.events(TURN_EVENTS);
    machine::forget_peak();
    let bare = machine::resident_bytes();
    let beyond = |bytes: u64| bytes.saturating_sub(bare) as f64 / MIB;
    let start = Instant::now();
    let (opened, _) = queue::open(path);
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    match role {
        "fill" => {
            let seconds = seconds(|| runtime.block_on(queue::fill(&opened.handle, &mut site, events)));
            let (memory, peak) = (beyond(machine::resident_bytes()), beyond(machine::peak_bytes()));
            let stored = opened.handle.status().borrow().bytes - opened.status.bytes;
            child::tell(&[events as f64 / seconds, memory, peak, stored as f64 / events as f64]);
        }
        _ => {
            let memory = beyond(machine::resident_bytes());
            assert_eq!(opened.status.waiting, events as u64, "all wait, none was evicted");
            let seconds = seconds(|| runtime.block_on(drain(&opened)));
            child::tell(&[open_ms, memory, events as f64 / seconds, beyond(machine::peak_bytes())]);
        }
    }
    child::wait();
    queue::close(opened);
}

/// Reads everything as the forwarder does and says that it is delivered.
async fn drain(opened: &tidegate::store::Opened) {
    let mut status = opened.handle.status();
    let (mut next, last) = (opened.status.delivered + 1, opened.status.last_sequence);
    while next <= last {
        let events = opened.handle.read(next, READ.0, READ.1).await.unwrap();
        assert_eq!(events[0].sequence, next, "none is missing");
        next = events[events.len() - 1].sequence + 1;
        opened.handle.delivered(next - 1).unwrap();
    }
    status.wait_for(|status| status.delivered >= last).await.unwrap();
}
