//! Power cuts while the real binary works: everything published arrives, in order, and every start succeeds.

use std::time::Duration;

use crate::plan::{Moment, Plan};
use crate::rig::Rig;
use crate::support::{SOON, long_run, wait_until};
use crate::volume::{Cut, Names};

/// How long nothing may come before what is missing counts as lost, on the disk that lies.
const SILENCE: Duration = Duration::from_secs(2);

/// Bytes stored at every cut into a large backlog.
const LARGE_BACKLOG_BYTES: u64 = 200 << 20;

/// What a round may let go of it.
const LARGE_BACKLOG_MARGIN_BYTES: u64 = 48 << 20;

/// Stored bytes with which a store of 32 MiB soon has to drop something: below what is left when a generation has gone.
const FULL_BYTES: u64 = 24 << 20;

/// The seed to repeat a failed run with: `TIDEGATE_SEED` of the environment, else any. What the threads of the gateway
/// do at the same time differs all the same.
pub fn seed() -> u64 {
    std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}

/// A store of small generations, several of which fill and are removed in a run.
fn small(names: Names) -> Plan {
    Plan {
        names,
        max_bytes: 32 << 20,
        when_full: "reject",
        blob_bytes: 0..=4_000,
        batch_max: 400,
        backlog_max: 600,
        behind_max: 1_200,
        backlog_bytes: 0,
    }
}

/// Every kind of cut at every one of these moments in turn.
fn cut_again_and_again(rig: &mut Rig, moments: &[Moment], cuts: usize) {
    for round in 0..cuts {
        rig.round(moments[round % moments.len()], Cut::ALL[round / moments.len() % Cut::ALL.len()]);
    }
}

/// As many in the long run, or in the ordinary one.
fn cuts(long: usize, ordinary: usize) -> usize {
    if long_run() { long } else { ordinary }
}

fn cuts_of_a_small_store(names: Names) {
    let mut rig = Rig::new(small(names), seed());
    let moments = [Moment::Filling, Moment::Draining, Moment::Starting, Moment::Making, Moment::Removing];
    cut_again_and_again(&mut rig, &moments, cuts(100, 15));
    rig.finish();
}

#[test]
fn power_cuts_lose_nothing_where_any_sync_keeps_all_names() {
    cuts_of_a_small_store(Names::Journal);
}

#[test]
fn power_cuts_lose_nothing_where_each_directory_must_be_synced() {
    cuts_of_a_small_store(Names::Strict);
}

/// Cuts while a store of 32 MiB, which is full, makes room for more.
fn cuts_of_a_full_store(names: Names, when_full: &'static str, moments: &[Moment]) {
    let plan =
        Plan { when_full, blob_bytes: 2_000..=4_000, behind_max: u64::MAX, backlog_bytes: FULL_BYTES, ..small(names) };
    let mut rig = Rig::new(plan, seed());
    cut_again_and_again(&mut rig, moments, cuts(51, 6));
    rig.finish();
}

#[test]
fn power_cuts_while_the_oldest_are_dropped_lose_nothing_that_is_not_announced() {
    let names = if fastrand::bool() { Names::Journal } else { Names::Strict };
    let moments = [Moment::Evicting, Moment::Making, Moment::Starting];
    cuts_of_a_full_store(names, "drop-oldest", &moments);
}

#[test]
fn power_cuts_while_the_least_severe_are_dropped_lose_no_critical_event() {
    let names = if fastrand::bool() { Names::Journal } else { Names::Strict };
    let moments = [Moment::Rewriting, Moment::Evicting, Moment::Starting, Moment::Draining];
    cuts_of_a_full_store(names, "drop-least-severe", &moments);
}

fn cuts_of_a_large_backlog(names: Names) {
    if !long_run() {
        println!("only in the long run");
        return;
    }
    let plan = Plan {
        names,
        max_bytes: 512 << 20,
        when_full: "reject",
        blob_bytes: 3_500..=4_000,
        batch_max: 200,
        backlog_max: 40,
        behind_max: u64::MAX,
        backlog_bytes: LARGE_BACKLOG_BYTES + LARGE_BACKLOG_MARGIN_BYTES,
    };
    let mut rig = Rig::new(plan, seed());
    let moments = [Moment::Removing, Moment::Draining, Moment::Removing, Moment::Filling, Moment::Starting];
    cut_again_and_again(&mut rig, &moments, 50);
    assert!(rig.least_bytes() >= LARGE_BACKLOG_BYTES, "only {} bytes stored at a cut", rig.least_bytes());
    rig.finish();
}

#[test]
fn power_cuts_while_a_large_backlog_is_deleted_lose_nothing_where_any_sync_keeps_all_names() {
    cuts_of_a_large_backlog(Names::Journal);
}

#[test]
fn power_cuts_while_a_large_backlog_is_deleted_lose_nothing_where_each_directory_must_be_synced() {
    cuts_of_a_large_backlog(Names::Strict);
}

/// The same on a disk that answers syncs and does nothing: were this not noticed, the other tests would prove nothing.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let mut rig = Rig::new(small(Names::Journal), seed());
    rig.disk.lie();
    rig.network.down();
    let syncs = rig.disk.syncs();
    wait_until("a few commits, the first of them acknowledged", SOON, || {
        rig.publish_burst();
        rig.disk.syncs() > syncs + 10
    });
    rig.cut(Moment::Filling, Cut::Drop);
    rig.network.restore();
    rig.gateway.start();
    let everything = rig.consumer.arrives(SILENCE, || rig.behind() == 0);
    assert!(!everything, "all {} messages arrived though the disk had forgotten some of them", rig.published);
}
