//! What the control socket, the page and Home Assistant ask of the running engine, and how they get the answer.
//!
//! Owns the questions. The pipeline answers them between two readings; see `app::pipeline`.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::engine::{AlarmView, SensorView};

/// What the rest of the program may ask of the running engine.
pub enum Command {
    /// Tell the machines of an alarm something.
    Alarm {
        /// The alarm's name.
        alarm: String,
        /// The sensor's name or a pattern of names.
        sensor: String,
        /// What.
        command: AlarmCommand,
        /// Told whether any machine was changed, once the change is handed to the store.
        done: oneshot::Sender<bool>,
    },
    /// Show all machines.
    Alarms(oneshot::Sender<Vec<AlarmView>>),
    /// Show the sensors and what they are judged by.
    Sensors(oneshot::Sender<Vec<SensorView>>),
}

/// What an operator may tell an alarm (ISA-18.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmCommand {
    /// Seen; a latched one whose condition is gone becomes inactive.
    Acknowledge,
    /// Inactive for this long, whatever the values are.
    Shelve(Duration),
    /// No longer shelved.
    Unshelve,
    /// Inactive until told otherwise, whatever the values are.
    Suppress,
    /// No longer suppressed.
    Unsuppress,
}
