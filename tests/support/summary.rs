//! What the fault tests counted, one line each, for the table at the end of a long run.
//!
//! Owns the form of a line: a JSON object on its own line, appended in one write to the file that the environment
//! variable `TIDEGATE_SUMMARY` names; without it nothing is written. A test adds its numbers before it asserts
//! anything about them, so that a failure is in the table too. `tests/run --long` sets the variable and prints the sums.

use std::fs::OpenOptions;
use std::io::Write;

use serde::Serialize;

use super::consumer::Consumer;

/// The file's name is in this variable.
const VARIABLE: &str = "TIDEGATE_SUMMARY";

/// What is done to the gateway in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "each test program does only some of them")]
pub enum Kind {
    /// Power cuts.
    Cuts,
    /// kill -9.
    Kills,
    /// Stored bytes that rot.
    Corruptions,
    /// Disks that fill up.
    Fills,
    /// Quotas that are used up.
    Evictions,
}

/// What one test has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What is done in a round.
    pub kind: Kind,
    /// How often it was done.
    pub rounds: u64,
    /// Events whose cause was acknowledged: what must arrive or be announced.
    pub acknowledged: u64,
    /// Those that arrived.
    pub arrived: u64,
    /// Those that neither arrived nor were announced.
    pub lost: u64,
    /// Losses that were announced.
    pub announced: u64,
    /// Deliveries beyond the first of an event.
    pub repeated: u64,
    /// First deliveries behind a later one of their sensor.
    pub out_of_order: u64,
    /// Starts that did not become ready.
    pub refused_starts: u64,
}

impl Summary {
    /// What has arrived after `rounds` of a kind, of `acknowledged` messages each of which caused an event. Call it when
    /// nothing more is to come.
    pub fn of(kind: Kind, rounds: u64, acknowledged: u64, consumer: &Consumer) -> Self {
        let (arrived, announced) = (consumer.crossings(), consumer.announced_lost());
        Self {
            kind,
            rounds,
            acknowledged,
            arrived,
            lost: acknowledged.saturating_sub(arrived + announced),
            announced,
            repeated: consumer.repeats(),
            out_of_order: consumer.out_of_order(),
            refused_starts: 0,
        }
    }

    /// Prints it, and appends it to the summary file if one is wanted.
    pub fn add(&self) {
        let line = serde_json::to_string(self).expect("a struct of numbers is JSON") + "\n";
        print!("{line}");
        let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else { return };
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("{VARIABLE}={}: {error}", path.display()));
    }
}
