//! Power cuts while the real binary works: everything published arrives, in order, and every start succeeds.

use std::time::Duration;

use crate::mount::Disk;
use crate::rig::{Moment, Plan, Rig};
use crate::support::{LONG, PATIENT, long_run, wait_until};
use crate::volume::{Cut, Names};

/// The seed to repeat a failed run with; `TIDEGATE_SEED` of the environment.
fn seed() -> u64 {
    std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}

/// A store of small generations, several of which fill in a run.
fn small(names: Names) -> Plan {
    Plan { names, max_bytes: "32MiB", blob_bytes_max: 3_000, batch_max: 400, behind_max: 4_000 }
}

/// Every kind of cut at every moment in turn.
fn cut_again_and_again(plan: Plan, cuts: usize) {
    let mut rig = Rig::new(plan, seed());
    let moments = [Moment::Filling, Moment::Draining, Moment::Starting];
    for round in 0..cuts {
        rig.round(moments[round % moments.len()], Cut::ALL[round / moments.len() % Cut::ALL.len()]);
    }
    rig.finish();
}

#[test]
fn power_cuts_lose_nothing_where_any_sync_keeps_all_names() {
    cut_again_and_again(small(Names::Journal), if long_run() { 120 } else { 15 });
}

#[test]
fn power_cuts_lose_nothing_where_each_directory_must_be_synced() {
    cut_again_and_again(small(Names::Strict), if long_run() { 120 } else { 15 });
}
