//! A day of a large plant, compressed: 10,000 sensors, 2,000 alarms and 64 sources between real brokers, messages of up
//! to 100 kB, an outage of 16 hours that lets about a million events wait, and smaller faults behind it.
//!
//! Memory, open files, threads and bytes on the disk are sampled all the while; after the warm-up they must stay where
//! they are, and nothing may be lost or change its order. Judged are counts, never times: a slow machine takes longer.
//!
//! ```text
//! tests/run --soak 10m       the whole day in about ten minutes, then one on a small machine
//! cargo test --test soak     a miniature of some seconds
//! ```
//!
//! The samples are left in `target/soak/` as `soak.csv` and, drawn, as `soak.svg`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]
mod support;

mod day;
mod flat;
mod plan;
mod plot;
mod sample;
mod scene;
mod small;
mod tally;

use plan::Plan;

#[test]
fn a_day_of_a_large_plant_loses_nothing_and_leaves_memory_files_and_threads_where_they_were() {
    let plan = Plan::of_this_run();
    let day = day::live(&plan, None);
    day.print();
    plot::write(&plan, &day.samples);
    day.assert_lossless();
    flat::assert_flat(&plan, &day.samples);
}
