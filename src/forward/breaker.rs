//! Whether the broker is to be trusted with a full load: the circuit breaker.
//!
//! Owns the state and the count of failures in a row. Never reads a clock, never waits and never decides when an attempt
//! is made: that is the back-off's, in every state. What it decides is how much goes out on the next connection: after
//! [`FAILURES_MAX`] failures in a row a connection starts with [`PROBE_EVENTS`] in flight and grows by what is
//! acknowledged, so a broker that breaks down under load, or just comes back to a thousand gateways with full stores, is
//! not hit with a whole window by each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::STABLE;

/// Failures in a row that open it. One or two are a restarted broker or a lost modem connection; with the default
/// back-off the fifth is some 15 seconds after the first.
pub const FAILURES_MAX: u32 = 5;

/// Most events in flight on a connection that proves the broker. More than one: a single event in flight when a
/// connection ends is suspected of having ended it, and a probe must not bring events under suspicion.
pub const PROBE_EVENTS: usize = 8;

/// What is thought of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All is well, or not yet bad enough.
    #[default]
    Closed,
    /// Too many failures in a row; nothing is sent until the next attempt.
    Open,
    /// An attempt is under way, or a connection on which nothing has been acknowledged yet.
    HalfOpen,
}

impl State {
    /// As status and log say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// The breaker of one upstream.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    failures: u32,
}

impl Breaker {
    /// What is thought of the broker now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Failures since the last connection that was stable.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt begins. Returns how many events its connection may start with; `None` for as many as the window has.
    pub fn on_attempt(&mut self) -> Option<usize> {
        if self.state == State::Open {
            self.state = State::HalfOpen;
        }
        (self.state == State::HalfOpen).then_some(PROBE_EVENTS)
    }

    /// The broker has acknowledged an event, or that we are here when there is none. True when that closed it.
    pub fn on_acknowledged(&mut self) -> bool {
        let was_open = self.state != State::Closed;
        self.state = State::Closed;
        was_open
    }

    /// An attempt failed, or a connection ended after `lasted` (zero if it never came up). True when that opened it.
    ///
    /// A connection that was not stable counts whatever was acknowledged on it: a broker that takes a hundred events and
    /// falls over is asked with a small window too.
    pub fn on_failure(&mut self, lasted: Duration) -> bool {
        if lasted >= STABLE {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let was_closed = self.state == State::Closed;
        self.state = if self.failures >= FAILURES_MAX { State::Open } else { State::Closed };
        was_closed && self.state == State::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(times: u32) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..times {
            breaker.on_attempt();
            breaker.on_failure(Duration::ZERO);
        }
        breaker
    }

    #[test]
    fn the_fifth_failure_in_a_row_opens_it_and_says_so_once() {
        let mut breaker = failed(FAILURES_MAX - 1);
        assert_eq!((breaker.state(), breaker.on_attempt()), (State::Closed, None));
        assert!(breaker.on_failure(Duration::ZERO));
        assert_eq!((breaker.state(), breaker.failures()), (State::Open, 5));
        breaker.on_attempt();
        assert!(!breaker.on_failure(Duration::ZERO), "it never closed");
        assert_eq!((breaker.state(), breaker.failures()), (State::Open, 6));
    }

    #[test]
    fn an_attempt_while_it_is_open_is_a_probe_that_closes_it_when_acknowledged() {
        let mut breaker = failed(FAILURES_MAX);
        assert_eq!(breaker.on_attempt(), Some(PROBE_EVENTS));
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(breaker.on_acknowledged());
        assert_eq!(breaker.state(), State::Closed);
        assert!(!breaker.on_acknowledged(), "said once");
    }

    #[test]
    fn a_probe_that_fails_opens_it_again() {
        let mut breaker = failed(FAILURES_MAX);
        breaker.on_attempt();
        breaker.on_failure(STABLE - Duration::from_millis(1));
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn a_connection_that_breaks_soon_after_progress_makes_the_next_one_a_probe_again() {
        let mut breaker = failed(FAILURES_MAX);
        breaker.on_attempt();
        breaker.on_acknowledged();
        assert!(breaker.on_failure(Duration::from_secs(5)));
        assert_eq!(breaker.on_attempt(), Some(PROBE_EVENTS));
    }

    #[test]
    fn only_a_stable_connection_forgets_the_failures() {
        let mut breaker = failed(FAILURES_MAX);
        breaker.on_attempt();
        breaker.on_acknowledged();
        breaker.on_failure(STABLE);
        assert_eq!((breaker.state(), breaker.failures(), breaker.on_attempt()), (State::Closed, 1, None));
    }
}
