//! What must stay where it is, once the gateway is warm.
//!
//! Memory is judged by the slope of a straight line through its samples (least squares), during the outage and after
//! it: what leaks with each event grows along such a line, what a phase takes and gives back does not. Bounds are
//! generous; they are about events in their hundreds of thousands, not about a page more or less.

use crate::plan::{OUTAGE, Plan};
use crate::sample::Sample;

const MIB: u64 = 1 << 20;

/// How much memory may grow along the line within the outage, and within the hours after it. A byte an event that waits
/// would be a MiB of it.
const GROWTH_MAX: u64 = 8 * MIB;

/// The most memory at any time that is not of a file: 10,000 sensors, their alarms and records, 64 connections.
const MEMORY_MAX: u64 = 64 * MIB;

/// How many more open files and threads there may be than when the gateway was warm: generations open and close.
const MORE_MAX: u64 = 16;

/// What the store may take in the end, when nothing waits: its reserve, and the generation that is written.
const EMPTY_STORE_MAX: u64 = 96 * MIB;

/// How far the straight line through the figures rises from the first to the last.
pub fn rise(samples: &[Sample], figure: fn(&Sample) -> u64) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    let count = samples.len() as f64;
    let mean = |value: &dyn Fn(&Sample) -> f64| samples.iter().map(value).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(&|sample| sample.seconds), mean(&|sample| figure(sample) as f64));
    let (mut xy, mut xx) = (0.0, 0.0);
    for sample in samples {
        let x = sample.seconds - mean_x;
        xy += x * (figure(sample) as f64 - mean_y);
        xx += x * x;
    }
    if xx == 0.0 { 0.0 } else { xy / xx * (last.seconds - first.seconds) }
}

/// See the top.
#[track_caller]
pub fn assert_flat(plan: &Plan, samples: &[Sample]) {
    let warm: Vec<Sample> = samples.iter().copied().filter(|sample| sample.hour > plan.warm_hour()).collect();
    let within = |from: f64, to: f64| -> Vec<Sample> {
        warm.iter().copied().filter(|sample| sample.hour >= from && sample.hour <= to).collect()
    };
    // Both begin with what the change of the phase brings along.
    let phases = [
        ("the outage", within(plan.warm_hour() + 1.0, OUTAGE.end)),
        ("the hours after it", within(OUTAGE.end + 2.0, 24.0)),
    ];
    for (phase, samples) in &phases {
        assert!(samples.len() >= 3 || !plan.is_whole(), "{} samples of {phase}", samples.len());
        for (what, figure) in
            [("memory", (|s| s.memory) as fn(&Sample) -> u64), ("memory not of a file", |s| s.anonymous)]
        {
            let rise = rise(samples, figure);
            println!("{what} along {phase}: {:+.2} MiB", rise / MIB as f64);
            assert!(rise <= GROWTH_MAX as f64, "{what} grows along {phase} by {:.1} MiB", rise / MIB as f64);
        }
    }
    let begin_and_most = |figure: fn(&Sample) -> u64| {
        let mut figures = warm.iter().map(figure);
        (figures.next().unwrap_or(0), figures.max().unwrap_or(0))
    };
    for (what, figure) in [("open files", (|s| s.files) as fn(&Sample) -> u64), ("threads", |s| s.threads)] {
        let (begin, most) = begin_and_most(figure);
        println!("{what}: {begin} when warm, {most} at most");
        assert!(most <= begin + MORE_MAX, "{what} from {begin} to {most}");
    }
    let (_, memory) = begin_and_most(|sample| sample.anonymous);
    assert!(memory <= MEMORY_MAX, "{:.1} MiB of memory", memory as f64 / MIB as f64);
    let last = samples.last().expect("there are samples");
    assert_eq!(last.waiting, 0, "nothing waits in the end");
    assert!(last.store <= EMPTY_STORE_MAX, "an empty store takes {} MiB", last.store / MIB);
}

#[test]
fn a_leak_is_seen_in_the_slope_and_a_step_back_and_forth_is_not() {
    let at = |second: u64, memory: u64| Sample { seconds: second as f64, memory, ..Sample::default() };
    let leak: Vec<Sample> = (0..100).map(|second| at(second, 10 * MIB + second * MIB)).collect();
    assert!((rise(&leak, |sample| sample.memory) - 99.0 * MIB as f64).abs() < 1.0);
    let steps: Vec<Sample> = (0..100).map(|second| at(second, (10 + second % 2 * 20) * MIB)).collect();
    assert!(rise(&steps, |sample| sample.memory) < MIB as f64);
}
