//! The plant's day on a small machine: the gateway under limits of memory and processor time, set by the system.
//!
//! Beside it the flow without limits, in the same run. With too little of everything the gateway may only become slower:
//! the local broker keeps what it does not take yet. Nothing may be lost, and memory must stay within the limit without
//! the system having to end the gateway.

use std::path::Path;
use std::process::Command;

use crate::day::{self, Day};
use crate::plan::Plan;
use crate::plot;
use crate::support::gateway::Gateway;

/// Sets the limits and becomes the gateway; says how.
const CONFINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak/confine");

/// A machine's limits.
pub struct Small {
    memory: &'static str,
    processor_percent: &'static str,
    /// Of the group of processes that has the limits.
    name: String,
}

impl Small {
    fn new(memory: &'static str, processor_percent: &'static str) -> Self {
        Self { memory, processor_percent, name: format!("tidegate-soak-{}", std::process::id()) }
    }

    /// Lets the gateway start within the limits.
    pub fn confine(&self, gateway: &mut Gateway) {
        gateway.wrap(&[CONFINE, "run", &self.name, self.memory, self.processor_percent]);
    }

    /// The most memory that was counted against the limit, bytes; that holds what the system keeps of files, too.
    pub fn peak_bytes(&self) -> Option<u64> {
        let output = Command::new(CONFINE).args(["peak", &self.name]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new(CONFINE).args(["remove", &self.name]).status();
    }
}

#[test]
fn a_small_machine_is_slower_and_loses_nothing() {
    let plan = Plan::of_this_run();
    if !plan.is_whole() {
        println!("not run: it takes minutes; tests/run --soak runs it");
        return;
    }
    let possible = Command::new(CONFINE).arg("check").output().unwrap();
    if !possible.status.success() {
        println!("not run: {}", String::from_utf8_lossy(&possible.stderr));
        assert!(Path::new(CONFINE).exists());
        return;
    }
    let plan = Plan::of_a_small_machine();
    let free = day::live(&plan, None);
    let small = Small::new("64M", "50");
    let confined = day::live(&plan, Some(&small));
    plot::write(&plan, &confined.samples);
    print(&free, &confined);
    for day in [&free, &confined] {
        day.assert_lossless();
    }
    // What is of a file may be counted elsewhere, where another process had it first.
    let memory = confined.samples.iter().map(|sample| sample.anonymous).max().unwrap_or(0);
    assert!(memory <= 64 << 20, "{memory} bytes of memory");
}

fn print(free: &Day, confined: &Day) {
    println!(
        "{:<28} {:>9} {:>9} {:>10} {:>10} {:>9} {:>10} {:>6} {:>6} {:>8} {:>12}",
        "",
        "events",
        "taken s",
        "arrived s",
        "memory MiB",
        "limit",
        "counted",
        "CPU s",
        "lost",
        "repeats",
        "out of order"
    );
    for (name, limit, day) in [("no limits", "-", free), ("64 MiB, half a core", "64", confined)] {
        let memory = day.samples.iter().map(|sample| sample.anonymous).max().unwrap_or(0);
        let counted =
            day.limit_peak.map_or("-".to_owned(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)));
        println!(
            "{name:<28} {:>9} {:>9.1} {:>10.1} {:>10.1} {limit:>9} {counted:>10} {:>6.1} {:>6} {:>8} {:>12}",
            day.total,
            day.published_seconds,
            day.arrived_seconds,
            memory as f64 / f64::from(1 << 20),
            day.samples.last().map_or(0.0, |sample| sample.processor),
            day.lost(),
            day.counts.repeats,
            day.counts.out_of_order
        );
    }
}
