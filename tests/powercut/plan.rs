//! What a rig is like, and what is done with it: the store's limits, what the sensors say, and the moments of cuts.

use std::ops::RangeInclusive;

use crate::support::gateway::high_alarm;
use crate::volume::Names;

/// Sensors that talk.
pub const SENSORS: u64 = 8;

/// What the gateway is doing when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It stores: the upstream is away.
    Filling,
    /// It delivers and removes, and stores what still comes.
    Draining,
    /// It starts.
    Starting,
    /// It begins a generation.
    Making,
    /// It removes a generation that was delivered.
    Removing,
    /// It removes a generation to make room.
    Evicting,
    /// It takes the least severe events out of a generation to make room.
    Rewriting,
}

/// What a rig is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What makes names durable.
    pub names: Names,
    /// `max_bytes` of the store.
    pub max_bytes: u64,
    /// `when_full` of the store.
    pub when_full: &'static str,
    /// How long a blob the messages carry, bytes. The gateway carries 4 KiB at most.
    pub blob_bytes: RangeInclusive<usize>,
    /// Messages of a round, at most.
    pub batch_max: u64,
    /// Messages that come together before a drain, at most.
    pub backlog_max: u64,
    /// Messages that may wait before a drain without a cut makes room.
    pub behind_max: u64,
    /// Stored bytes with which each round begins, at least.
    pub backlog_bytes: u64,
}

/// One alarm a severity: the first sensor is critical, the next three medium, the rest low.
pub fn alarms() -> Vec<String> {
    let of = |name: &str, sensors: std::ops::Range<u64>, severity: &str| {
        let list: Vec<String> = sensors.map(|sensor| format!("\"plant/s{sensor}/value\"")).collect();
        high_alarm(name, "*", 75.0, severity).replace("\"*\"", &list.join(", "))
    };
    vec![of("vital", 0..1, "critical"), of("useful", 1..4, "medium"), of("nice-to-know", 4..SENSORS, "low")]
}
