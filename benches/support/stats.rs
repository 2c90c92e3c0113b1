//! Rounds, medians, and how to write a number so that it can be read.

use std::time::{Duration, Instant};

use super::machine::processor_time;

/// The value below which a share of all values lies.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The middle of an odd number of rounds.
pub fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}

/// Seconds a step takes.
pub fn seconds(step: impl FnOnce()) -> f64 {
    let start = Instant::now();
    step();
    start.elapsed().as_secs_f64()
}

/// Nanoseconds an item takes, for two ways to do the same in turns: what else the machine does meets both. By processor
/// time: on a busy machine the time by the clock says more of the others than of a step that waits for nothing. A round
/// is as many calls as take about 40 ms; each call does `items`.
pub fn beside(rounds: usize, items: usize, mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let (one_calls, other_calls) = (calls(&mut one), calls(&mut other));
    let mut took = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        took.0.push(round(&mut one, one_calls, items));
        took.1.push(round(&mut other, other_calls, items));
    }
    (median(took.0), median(took.1))
}

/// [`beside`] for one alone.
pub fn alone(rounds: usize, items: usize, mut one: impl FnMut()) -> f64 {
    let calls = calls(&mut one);
    median((0..rounds).map(|_| round(&mut one, calls, items)).collect())
}

/// [`beside`] for any number of ways, each with its own number of items a call.
pub fn in_turn(rounds: usize, items: &[usize], ways: &mut [impl FnMut()]) -> Vec<f64> {
    let calls: Vec<usize> = ways.iter_mut().map(|way| calls(way)).collect();
    let mut took = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (at, way) in ways.iter_mut().enumerate() {
            took[at].push(round(way, calls[at], items[at]));
        }
    }
    took.into_iter().map(median).collect()
}

/// See [`beside`].
const ROUND: Duration = Duration::from_millis(40);

/// How many calls make a round; warms up at the same time.
fn calls(step: &mut impl FnMut()) -> usize {
    let (start, mut calls) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        step();
        calls += 1;
    }
    calls
}

fn round(step: &mut impl FnMut(), calls: usize, items: usize) -> f64 {
    let start = processor_time();
    (0..calls).for_each(|_| step());
    (processor_time() - start).as_secs_f64() * 1e9 / (calls * items) as f64
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
