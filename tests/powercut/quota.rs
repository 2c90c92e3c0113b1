//! The quota of the store at every moment of a long outage: the disk itself counts what is taken of it.
//!
//! Blocks count, not lengths, directories too, and files without a name as long as somebody has them open: what is found
//! by looking now and then (`du`) can only be less. Nothing is cut here.

use std::time::Instant;

use crate::cuts::seed;
use crate::plan::Plan;
use crate::rig::Rig;
use crate::support::long_run;
use crate::support::summary::Kind;
use crate::volume::Names;

/// The smallest store that can be configured, bytes.
const STORE_BYTES: u64 = 32 << 20;

/// An event a second for a week.
const WEEK_EVENTS: u64 = 7 * 24 * 3600;

/// The ordinary run's outage.
const SHORT_EVENTS: u64 = 60_000;

/// What an outage came to.
struct Outcome {
    /// Events announced as lost.
    announced: u64,
    /// Bytes read from the disk in the outage, and written.
    read_bytes: u64,
    written_bytes: u64,
}

/// The upstream is away, sensors go on talking, critical ones among them; then it comes back.
fn outage(when_full: &'static str) -> Outcome {
    let (events, blob_bytes) = if long_run() { (WEEK_EVENTS, 60..=180) } else { (SHORT_EVENTS, 800..=1_400) };
    let plan = Plan {
        names: Names::Strict,
        max_bytes: STORE_BYTES,
        when_full,
        blob_bytes,
        batch_max: 0,
        backlog_max: 0,
        behind_max: u64::MAX,
        backlog_bytes: 0,
    };
    let mut rig = Rig::new_lean(plan, seed());
    rig.network.down();
    let began = Instant::now();
    let (read_before, written_before) = (rig.disk.read_bytes(), rig.disk.written_bytes());
    for _ in 0..events {
        rig.publish();
    }
    // With `reject` the rest waits at the sensors' broker.
    let has_all = when_full != "reject";
    rig.wait_stored(|store, evaluated| if has_all { evaluated >= events } else { store["full"] == true });
    let (outage, most) = (began.elapsed(), rig.disk.used_bytes().1);
    let read_bytes = rig.disk.read_bytes() - read_before;
    let written_bytes = rig.disk.written_bytes() - written_before;
    rig.network.restore();
    rig.account(Kind::Evictions, 1);
    let (arrived, announced) = (rig.consumer.arrived(), rig.consumer.announced_lost());
    let (left, most_at_all) = rig.disk.used_bytes();
    println!(
        "{when_full}: {events} crossings in an outage of {:.1} s; {arrived} events sent, {announced} announced as lost, {} \
         produced; at most {most} bytes on the disk in the outage and {most_at_all} at all, {left} at the end; in the \
         outage {written_bytes} bytes written and {read_bytes} read; drained in {:.1} s",
        outage.as_secs_f64(),
        rig.consumer.highest_sequence(),
        (began.elapsed() - outage).as_secs_f64(),
    );
    rig.consumer.assert_accounted();
    assert!(most_at_all <= STORE_BYTES, "{most_at_all} bytes on the disk at some time, {STORE_BYTES} allowed");
    assert!(most > STORE_BYTES * 3 / 4, "only {most} bytes were taken: the quota was never used up");
    Outcome { announced, read_bytes, written_bytes }
}

#[test]
fn the_quota_holds_at_every_moment_of_an_outage_in_which_the_oldest_are_dropped() {
    let outcome = outage("drop-oldest");
    assert!(outcome.announced > 0, "nothing was dropped");
    let Outcome { read_bytes, written_bytes, .. } = outcome;
    assert!(read_bytes < written_bytes / 100, "dropping reads what it drops: {read_bytes} of {written_bytes}");
}

#[test]
fn the_quota_holds_at_every_moment_of_an_outage_in_which_the_least_severe_are_dropped() {
    let outcome = outage("drop-least-severe");
    assert!(outcome.announced > 0, "nothing was dropped");
    // What is kept of a generation is read once for each severity that goes, of which there are three here.
    let Outcome { read_bytes, written_bytes, .. } = outcome;
    assert!(read_bytes < written_bytes * 3, "picking out reads more than that: {read_bytes} of {written_bytes}");
}

#[test]
fn the_quota_holds_at_every_moment_of_an_outage_in_which_nothing_may_be_dropped() {
    assert_eq!(outage("reject").announced, 0);
}
