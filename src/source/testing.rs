//! A source under test whose device sits on a line.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{FromSource, spawn, way};
use crate::clock::SystemClock;
use crate::config::model::Source;
use crate::counters::Counters;
use crate::shutdown::{self, Trigger};

/// Nothing in these tests takes as long unless it is broken.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// The source's task, the engine's end, and the word to stop.
pub(super) struct Rig {
    pub(super) counters: Arc<Counters>,
    pub(super) from: mpsc::Receiver<FromSource>,
    pub(super) task: JoinHandle<()>,
    pub(super) trigger: Trigger,
}

impl Rig {
    /// Starts the source; the engine has `room` for its messages.
    pub(super) fn start(source: &Source, room: usize) -> Self {
        let (out, from) = way::narrow(room);
        let (trigger, shutdown) = shutdown::channel();
        let counters = Arc::new(Counters::default());
        let task = spawn(source, out, Arc::clone(&counters), Arc::new(SystemClock::new()), shutdown);
        Self { counters, from, task, trigger }
    }

    /// What the source says next, in words.
    pub(super) async fn next(&mut self) -> String {
        match timeout(DEADLINE, self.from.recv()).await.unwrap().unwrap() {
            FromSource::Readings { readings, ack, .. } => {
                assert!(ack.is_none());
                let texts: Vec<String> =
                    readings.iter().map(|reading| format!("{}={}", reading.sensor, reading.value)).collect();
                texts.join(" ")
            }
            FromSource::Lost { source, reason } => format!("lost {source}: {reason}"),
            FromSource::Restored { source, reason, .. } => format!("restored {source}: {reason}"),
        }
    }

    /// Tells the source to stop, and waits for it.
    pub(super) async fn stop(self) {
        self.trigger.stop();
        timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}
