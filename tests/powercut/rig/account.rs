//! The count of what happened: whether everything is accounted for, and what a series of cuts came to.

use std::collections::BTreeMap;

use super::{Done, Rig};
use crate::plan::SENSORS;
use crate::support::SOON;
use crate::support::summary::{Kind, Summary};

impl Rig {
    /// The numbers so far.
    pub(super) fn summary(&self, kind: Kind, rounds: u64) -> Summary {
        let mut summary = Summary::of(kind, rounds, self.publisher.acknowledged(), &self.consumer);
        summary.refused_starts = self.refused_starts;
        summary
    }

    /// Whether all that is to come has come: the newest of each sensor, and nothing is missing that is not announced.
    fn is_complete(&self) -> bool {
        let newest = |sensor: u64| (self.published - sensor).div_ceil(SENSORS);
        let has_newest =
            |sensor: u64| self.consumer.last_seq(&format!("plant/s{sensor}/value")) == Some(newest(sensor));
        (0..SENSORS).all(has_newest) && self.consumer.unannounced() == 0
    }

    /// Waits until everything is accounted for, and checks that it is.
    pub fn account(&mut self, kind: Kind, rounds: u64) {
        self.publisher.flush();
        let is_complete = self.consumer.arrives(SOON, || self.is_complete());
        let summary = self.summary(kind, rounds);
        summary.add();
        assert!(is_complete, "not everything is accounted for; {}", self.consumer.summary());
        self.consumer.assert_sound();
        assert_eq!((summary.lost, summary.out_of_order), (0, 0));
        if self.plan.when_full == "reject" {
            assert_eq!(self.consumer.crossings(), self.published);
            self.consumer.assert_lossless();
        } else {
            let unseen = self.published - self.consumer.crossings();
            let absent = self.consumer.absent();
            assert!(unseen <= absent, "a message was taken and made no event");
            assert!(self.has_drained || self.consumer.announced_lost() == absent, "more is announced than was lost");
        }
        if self.plan.when_full == "drop-least-severe" {
            let mut critical: Vec<u64> =
                self.consumer.about("plant/s0/value").iter().filter_map(|event| event.seq).collect();
            critical.sort_unstable();
            critical.dedup();
            assert_eq!(critical, (1..=self.published.div_ceil(SENSORS)).collect::<Vec<_>>());
        }
    }

    /// Starts for good, lets everything through, and says what came of it.
    pub fn finish(mut self) {
        self.network.restore();
        self.start();
        self.account(Kind::Cuts, self.cuts.len() as u64);
        let (_, most_bytes) = self.disk.used_bytes();
        assert!(most_bytes <= self.plan.max_bytes, "{most_bytes} bytes on the disk at some time");
        let log = self.gateway.log();
        let findings: Vec<&str> = log
            .lines()
            .filter(|line| ["set aside", "salvage", "damaged"].iter().any(|word| line.contains(word)))
            .collect();
        assert!(findings.is_empty(), "a power cut damages nothing that counts:\n{}", findings.join("\n"));
        let count = |what: &dyn Fn(&Done) -> String| {
            let mut counted = BTreeMap::<_, u64>::new();
            self.cuts.iter().for_each(|done| *counted.entry(what(done)).or_default() += 1);
            counted
        };
        let with_bytes = self.cuts.iter().filter(|done| done.lost.unsynced_bytes > 0).count();
        let with_names = self.cuts.iter().filter(|done| done.lost.names > 0).count();
        let unsynced: u64 = self.cuts.iter().map(|done| done.lost.unsynced_bytes).sum();
        let kept: u64 = self.cuts.iter().map(|done| done.lost.kept_bytes).sum();
        // A message that was stored and not acknowledged comes again, and makes an event of its own.
        let again = self.consumer.alarm_events() - self.consumer.crossings();
        println!(
            "{} cuts, {:?} names, seed {}: {:?}, {:?}, before {:?}; {with_bytes} with bytes unsynced ({unsynced}, of which \
             {kept} kept), {with_names} with names\n{} messages: lost 0, announced {}, out of order 0, refused starts 0, \
             delivered again {}, taken twice {again}; {} to {} bytes on the disk; {:.1} s",
            self.cuts.len(),
            self.plan.names,
            self.seed,
            count(&|done| format!("{:?}", done.moment)),
            count(&|done| format!("{:?}", done.cut)),
            count(&|done| done.before.map_or("nothing".to_owned(), |step| format!("{step:?}"))),
            self.published,
            self.consumer.announced_lost(),
            self.consumer.repeats(),
            self.least_bytes,
            most_bytes,
            self.started.elapsed().as_secs_f64(),
        );
    }
}
