//! A replay as it is shown: by `tidegate replay`, in the status, over the control socket.

use serde::{Deserialize, Serialize};

use super::Job;

/// Where a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Finding out how many events match.
    Counting,
    /// Sending, or waiting for the queue or the broker.
    Sending,
    /// All that matched and was still there has been sent or passed over.
    Done,
    /// Ended by an operator.
    Cancelled,
    /// Given up; `fault` says why.
    Failed,
}

/// A replay, for people and scripts. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayView {
    /// Where it stands.
    pub state: State,
    /// Events from this time on.
    pub since: String,
    /// Events up to this time.
    pub until: Option<String>,
    /// A sensor's name or pattern.
    pub sensor: Option<String>,
    /// When it was asked for.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// How many events match; `None` while they are counted.
    pub of: Option<u64>,
    /// Acknowledged by the broker.
    pub sent: u64,
    /// Passed over: cannot be sent, or the broker does not take them. The log names the first ones.
    pub refused: u64,
    /// Matched, and were no longer kept when it was their turn.
    pub gone: u64,
    /// The time of the event it has come to.
    pub cursor_time: Option<String>,
    /// The time of the oldest event that was kept at the start; older ones could not be looked at.
    pub kept_since: Option<String>,
    /// What is wrong, in words.
    pub fault: Option<String>,
}

impl ReplayView {
    /// Of a job.
    pub(super) fn new(job: &Job, state: State, fault: Option<String>) -> Self {
        Self {
            state,
            since: job.since.to_string(),
            until: job.until.map(|time| time.to_string()),
            sensor: job.sensor.as_deref().map(str::to_owned),
            started: job.started.to_string(),
            ended: None,
            of: job.of,
            sent: job.sent,
            refused: job.refused,
            gone: job.gone(state),
            cursor_time: job.cursor_time.map(|time| time.to_string()),
            kept_since: job.kept_since.map(|time| time.to_string()),
            fault,
        }
    }

    /// Whether it goes on.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Counting | State::Sending)
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let mut line = match (self.state, self.of) {
            (State::Counting, _) | (State::Sending, None) => "counting the events that match".to_owned(),
            (State::Sending, Some(of)) => format!("{} of {of} sent", self.sent),
            (State::Done, of) => format!("done, {} of {} sent", self.sent, of.unwrap_or(0)),
            (State::Cancelled, Some(of)) => format!("cancelled, {} of {of} sent", self.sent),
            (State::Cancelled, None) => "cancelled, nothing sent".to_owned(),
            (State::Failed, _) => format!("given up, {} sent", self.sent),
        };
        if self.refused > 0 {
            line.push_str(&format!(", {} passed over (the log says why)", self.refused));
        }
        if self.gone > 0 {
            line.push_str(&format!(", {} no longer kept", self.gone));
        }
        if let Some(time) = self.cursor_time.as_ref().filter(|_| self.state == State::Sending) {
            line.push_str(&format!(", at {time}"));
        }
        line
    }
}
