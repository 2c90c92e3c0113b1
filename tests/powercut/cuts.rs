//! Power cuts while the real binary works: everything published arrives, in order, and every start succeeds.

use std::time::Duration;

use crate::rig::{Moment, Plan, Rig};
use crate::support::{SOON, long_run, wait_until};
use crate::volume::{Cut, Names};

/// How long nothing may come before what is missing counts as lost, on the disk that lies.
const SILENCE: Duration = Duration::from_secs(2);

/// Bytes stored before the first cut into a large backlog.
const LARGE_BACKLOG_BYTES: u64 = 200 << 20;

/// The seed to repeat a failed run with: `TIDEGATE_SEED` of the environment, else any. What the threads of the gateway
/// do at the same time differs all the same.
fn seed() -> u64 {
    std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}

/// A store of small generations, several of which fill and are removed in a run.
fn small(names: Names) -> Plan {
    Plan { names, max_bytes: "32MiB", blob_bytes: 0..=4_000, batch_max: 400, backlog_max: 600, behind_max: 1_200 }
}

/// Every kind of cut at every moment in turn.
fn cut_again_and_again(rig: &mut Rig, cuts: usize) {
    let moments = [Moment::Filling, Moment::Draining, Moment::Starting];
    for round in 0..cuts {
        rig.round(moments[round % moments.len()], Cut::ALL[round / moments.len() % Cut::ALL.len()]);
    }
}

fn cuts_of_a_small_store(names: Names) {
    let mut rig = Rig::new(small(names), seed());
    cut_again_and_again(&mut rig, if long_run() { 150 } else { 15 });
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

#[test]
fn power_cuts_lose_nothing_of_a_large_backlog() {
    if !long_run() {
        println!("only in the long run");
        return;
    }
    let names = if fastrand::bool() { Names::Journal } else { Names::Strict };
    let plan = Plan {
        names,
        max_bytes: "512MiB",
        blob_bytes: 3_500..=4_000,
        batch_max: 200,
        backlog_max: 40,
        behind_max: u64::MAX,
    };
    let mut rig = Rig::new(plan, seed());
    rig.fill(LARGE_BACKLOG_BYTES);
    println!("{} bytes stored for {} messages", rig.stored_bytes(), rig.published);
    cut_again_and_again(&mut rig, 45);
    println!("{} bytes stored after the cuts", rig.stored_bytes());
    rig.finish();
}

/// The same on a disk that answers syncs and does nothing: were this not noticed, the other tests would prove nothing.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let mut rig = Rig::new(small(Names::Journal), seed());
    rig.disk.lie();
    rig.network.down();
    let syncs = rig.disk.syncs();
    wait_until("a few commits", SOON, || {
        rig.publish_burst();
        rig.disk.syncs() > syncs + 3
    });
    rig.cut(Moment::Filling, Cut::Drop);
    rig.network.restore();
    rig.gateway.start();
    let everything = rig.consumer.arrives(SILENCE, || rig.behind() == 0);
    assert!(!everything, "all {} messages arrived though the disk had forgotten some of them", rig.published);
}
