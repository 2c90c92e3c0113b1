//! A thousand gateways lose their broker at one moment: do they come back at one moment?
//!
//! A simulation with a clock of its own and a seeded generator: the real [`Backoff`] and [`Breaker`] of every gateway,
//! a broker that is gone for ten minutes. Nothing waits.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::Backoff;
use crate::forward::breaker::{Breaker, PROBE_EVENTS};

const GATEWAYS: usize = 1_000;
const OUTAGE: Duration = Duration::from_secs(600);

/// The defaults of `backoff_min` and `backoff_max`.
const MIN: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(300);

/// The default of `window`.
const WINDOW: usize = 256;

/// What the broker saw.
struct Herd {
    /// Attempts in each second since the broker went.
    attempts: Vec<u32>,
    /// How long it was gone.
    outage: Duration,
    /// Events in flight at once if every gateway that comes back in the busiest second has a full store.
    first_events: usize,
}

impl Herd {
    fn since_return(&self) -> &[u32] {
        &self.attempts[self.outage.as_secs() as usize..]
    }

    fn busiest(&self) -> u32 {
        self.since_return().iter().copied().max().unwrap()
    }

    /// Seconds after the return when this many gateways were connected.
    fn connected(&self, share: f64) -> usize {
        let wanted = (GATEWAYS as f64 * share).ceil() as u32;
        let mut sum = 0;
        self.since_return()
            .iter()
            .position(|attempts| {
                sum += attempts;
                sum >= wanted
            })
            .unwrap()
    }
}

fn run(seed: u64, outage: Duration) -> Herd {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut gateways = vec![(Backoff::new(MIN, MAX), Breaker::default()); GATEWAYS];
    let mut due = BinaryHeap::new();
    for (index, (backoff, breaker)) in gateways.iter_mut().enumerate() {
        // All connections were stable and end in the same moment.
        breaker.on_failure(Duration::from_secs(3600));
        due.push(Reverse((backoff.after(Duration::from_secs(3600), random.f64()), index)));
    }
    let mut attempts = vec![0_u32; (outage + MAX).as_secs() as usize + 1];
    let mut largest_start = 0;
    while let Some(Reverse((now, index))) = due.pop() {
        attempts[now.as_secs() as usize] += 1;
        let (backoff, breaker) = &mut gateways[index];
        let probe = breaker.on_attempt();
        if now >= outage {
            largest_start = largest_start.max(probe.unwrap_or(WINDOW));
            continue;
        }
        breaker.on_failure(Duration::ZERO);
        due.push(Reverse((now + backoff.after(Duration::ZERO, random.f64()), index)));
    }
    let busiest = *attempts[outage.as_secs() as usize..].iter().max().unwrap() as usize;
    Herd { attempts, outage, first_events: busiest * largest_start }
}

#[test]
fn a_thousand_gateways_that_lost_their_broker_for_ten_minutes_come_back_one_by_one() {
    let herd = run(1, OUTAGE);
    println!("attempts of {GATEWAYS} gateways after an outage of {} s, 10 s a line:", OUTAGE.as_secs());
    for (tens, seconds) in herd.since_return().chunks(10).enumerate() {
        let sum: u32 = seconds.iter().sum();
        println!("{:>4} s {sum:>4} {}", tens * 10, "#".repeat(sum as usize / 2));
    }
    for (name, after) in [("half", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("all", 1.0)] {
        println!("{name} connected after {} s", herd.connected(after));
    }
    let busiest_in_outage = herd.attempts[10..OUTAGE.as_secs() as usize].iter().max().unwrap();
    println!("busiest second after the return: {}, from 10 s into the outage on: {busiest_in_outage}", herd.busiest());
    println!("events in flight from its new connections: {} at most, {} without", herd.first_events, {
        herd.busiest() as usize * WINDOW
    });
    for seed in 1..=20 {
        let herd = run(seed, OUTAGE);
        assert_eq!(herd.since_return().iter().sum::<u32>() as usize, GATEWAYS, "each connects once");
        assert!(herd.busiest() as usize <= GATEWAYS * 3 / 100, "seed {seed}: {} in one second", herd.busiest());
        assert!(herd.connected(0.5) <= 120 && herd.connected(1.0) <= MAX.as_secs() as usize);
        assert!(herd.first_events <= herd.busiest() as usize * PROBE_EVENTS);
    }
}

#[test]
fn after_a_short_outage_the_first_waits_are_what_spreads_them() {
    // An outage shorter than the back-off has grown finds most of the herd close behind: `backoff_min` is what to raise
    // where a broker with a thousand gateways is restarted often.
    for (outage_s, share_max) in [(5, 0.40), (30, 0.12), (60, 0.08), (600, 0.03)] {
        let herd = run(3, Duration::from_secs(outage_s));
        let (busiest, half) = (herd.busiest(), herd.connected(0.5));
        println!("after {outage_s} s: {busiest} in the busiest second, half connected after {half} s");
        assert!(f64::from(busiest) <= GATEWAYS as f64 * share_max, "{outage_s} s: {busiest} in one second");
    }
}
