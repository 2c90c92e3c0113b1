//! A day of the plant: readings in, faults around, events out, samples on the way.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::plan::{FAULTS, Fault, Plan};
use crate::sample::{Sample, Sampler, Subject};
use crate::scene::Scene;
use crate::small::Small;
use crate::support::wait::{LONG, holds_within};
use crate::tally::{Counts, Tally};

/// Readings between two looks at the clock and the list of faults.
const STEP: u64 = 50;

/// Samples at rest after the day.
const REST_SAMPLES: usize = 10;

/// What a day has come to.
pub struct Day {
    pub total: u64,
    pub counts: Counts,
    pub samples: Vec<Sample>,
    /// From the first reading until the local broker had the last.
    pub published_seconds: f64,
    /// Until the last event had arrived.
    pub arrived_seconds: f64,
    /// The most that waited.
    pub waiting_max: u64,
    /// Megabytes that memory peaked at, as the limit counts it, if there was one.
    pub limit_peak: Option<u64>,
}

/// Lives it.
pub fn live(plan: &Plan, small: Option<&Small>) -> Day {
    let mut scene = Scene::new(plan, small);
    let tally = Tally::start(plan, scene.upstream.address());
    scene.start(plan);
    let subject = Subject { pid: scene.gateway.pid(), store: scene.store.clone(), http_port: scene.http_port };
    let sampler = Sampler::start(subject, plan.sample_every);
    let start = Instant::now();
    publish(plan, &mut scene, &tally, &sampler);
    let published_seconds = start.elapsed().as_secs_f64();
    wait_for(plan.total(), &tally, &mut scene);
    let arrived_seconds = start.elapsed().as_secs_f64();
    let rest = sampler.count() + REST_SAMPLES;
    assert!(holds_within(LONG, || sampler.count() >= rest), "samples are taken");
    assert!(scene.gateway.is_running());
    let limit_peak = small.and_then(Small::peak_bytes);
    let samples = sampler.end();
    assert_eq!(scene.gateway.stop().code(), Some(0));
    let waiting_max = samples.iter().map(|sample| sample.waiting).max().unwrap_or(0);
    Day {
        total: plan.total(),
        counts: tally.counts(),
        samples,
        published_seconds,
        arrived_seconds,
        waiting_max,
        limit_peak,
    }
}

fn publish(plan: &Plan, scene: &mut Scene, tally: &Tally, sampler: &Sampler) {
    let start = Instant::now();
    let mut faults = FAULTS.iter().peekable();
    for index in 0..plan.total() {
        if index % STEP == 0 {
            let hour = plan.hour(index);
            sampler.progress.millihours.store((hour * 1_000.0) as u64, Ordering::SeqCst);
            while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= hour) {
                match fault {
                    Fault::Down => sampler.progress.outage.store(true, Ordering::SeqCst),
                    Fault::Restore => sampler.progress.outage.store(false, Ordering::SeqCst),
                    // A broker that stops writes down all that it has not handed on, which may take minutes.
                    Fault::UpstreamRestart | Fault::LocalRestart => {
                        scene.publisher.flush();
                        wait_for(index, tally, scene);
                    }
                    Fault::Cut | Fault::Reload => {}
                }
                scene.suffer(*fault);
            }
            let due = plan.due(index).unwrap_or_default();
            while let Some(early) = due.checked_sub(start.elapsed()).filter(|early| *early > Duration::from_millis(2)) {
                thread::park_timeout(early);
            }
        }
        let (topic, payload) = plan.message(index);
        scene.publisher.publish(&topic, payload);
    }
    scene.publisher.flush();
    sampler.progress.millihours.store(24_000, Ordering::SeqCst);
}

/// Until so many have arrived, however long that takes, as long as something arrives now and then.
fn wait_for(readings: u64, tally: &Tally, scene: &mut Scene) {
    while tally.arrived() < readings {
        let before = tally.arrived();
        let goes_on = holds_within(LONG, || tally.arrived() > before || !scene.gateway.is_running());
        assert!(scene.gateway.is_running(), "the gateway has ended by itself or was ended");
        if !goes_on {
            // What is missing is told by the counts.
            return;
        }
    }
}

impl Day {
    /// Events that neither arrived nor were announced as lost.
    pub fn lost(&self) -> u64 {
        self.total.saturating_sub(self.counts.arrived + self.counts.announced)
    }

    /// In a few lines.
    pub fn print(&self) {
        let Counts { arrived, repeats, out_of_order, announced, .. } = self.counts;
        let peak = |figure: fn(&Sample) -> u64| self.samples.iter().map(figure).max().unwrap_or(0);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{} readings published in {:.0} s, all arrived after {:.0} s: {arrived} arrived, {} lost, {announced} announced \
             as lost, {repeats} repeated, {out_of_order} out of order; {} waited at most",
            self.total,
            self.published_seconds,
            self.arrived_seconds,
            self.lost(),
            self.waiting_max
        );
        println!(
            "at most: memory {:.1} MiB ({:.1} MiB of it not of a file), {} open files, {} threads, store {:.1} MiB; \
             processor {:.1} s",
            mib(peak(|sample| sample.memory)),
            mib(peak(|sample| sample.anonymous)),
            peak(|sample| sample.files),
            peak(|sample| sample.threads),
            mib(peak(|sample| sample.store)),
            self.samples.last().map_or(0.0, |sample| sample.processor)
        );
    }

    /// Everything has arrived, in order.
    #[track_caller]
    pub fn assert_lossless(&self) {
        let Counts { arrived, out_of_order, announced, strange, .. } = self.counts;
        assert_eq!((arrived, announced, strange), (self.total, 0, 0), "arrived, announced as lost, not to be read");
        assert_eq!(out_of_order, 0, "out of order");
    }
}
