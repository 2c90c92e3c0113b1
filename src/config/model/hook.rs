//! `on_event` of an alarm as the rest of the program sees it.

use std::sync::Arc;
use std::time::Duration;

/// On which events of its alarm a program is run. The names are those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOn {
    /// Became active: `threshold.exceeded`, `sensor.stale`.
    Exceeded,
    /// Still active: `threshold.repeated`.
    Repeated,
    /// Became inactive: `threshold.cleared`, `sensor.recovered`.
    Cleared,
}

impl HookOn {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("exceeded", Self::Exceeded), ("repeated", Self::Repeated), ("cleared", Self::Cleared)];
}

/// `on_event`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The alarm's name.
    pub alarm: Arc<str>,
    /// `command`: the program, by its whole path, and its arguments. No shell is between.
    pub command: Vec<String>,
    /// `timeout`: then it is killed with all it has started. Default 10 s.
    pub timeout: Duration,
    /// `on`. Default exceeded and cleared.
    pub on: Vec<HookOn>,
}
