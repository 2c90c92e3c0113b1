//! The table broker x fault: what each test has counted.
//!
//! Owns the form of a line: JSON, appended to the file that `TIDEGATE_BROKERS_TABLE` names; `tests/run --brokers` prints
//! the table from it. A test adds its numbers before it asserts anything about them.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::support::consumer::Consumer;

/// The file's name is in this variable.
const VARIABLE: &str = "TIDEGATE_BROKERS_TABLE";

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Tally {
    broker: String,
    fault: String,
    /// Events that sensors caused.
    caused: u64,
    /// Those that neither arrived nor were announced.
    pub lost: u64,
    /// Deliveries beyond the first of an event, whoever repeated it.
    repeated: u64,
    /// First deliveries behind a later one of their sensor.
    pub out_of_order: u64,
    /// From the end of the fault to the last event's arrival.
    recovery_ms: u64,
}

impl Tally {
    /// What has arrived of `caused` events; `recovery` since the end of the fault.
    pub fn of(broker: &str, fault: &str, caused: u64, consumer: &Consumer, recovery: Duration) -> Self {
        let row = Self {
            broker: broker.to_owned(),
            fault: fault.to_owned(),
            caused,
            lost: caused.saturating_sub(consumer.crossings() + consumer.announced_lost()),
            repeated: consumer.repeats(),
            out_of_order: consumer.out_of_order(),
            recovery_ms: u64::try_from(recovery.as_millis()).expect("a test is short"),
        };
        let line = serde_json::to_string(&row).expect("a row is JSON") + "\n";
        print!("{line}");
        if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.unwrap_or_else(|error| panic!("{VARIABLE}={}: {error}", path.display()));
        }
        row
    }
}
