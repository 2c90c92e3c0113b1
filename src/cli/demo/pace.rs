//! How long each part of the demo takes.

use std::time::Duration;

/// How fast the play is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two readings of the presses together.
    pub press_every: Duration,
    /// Between two readings of the boiler.
    pub boiler_every: Duration,
    /// Between two lines about what happens often.
    pub show_every: Duration,
    /// All is well.
    pub live: Duration,
    /// The link is down, the gateway runs.
    pub down: Duration,
    /// The boiler says nothing for this long before the kill: what the gateway has read from a serial line and not yet
    /// stored dies with it, and no gateway can ask for it again.
    pub hush: Duration,
    /// The gateway is dead.
    pub dead: Duration,
    /// The link is down, the gateway runs again.
    pub down_again: Duration,
    /// The link is back.
    pub live_again: Duration,
}

impl Pace {
    /// About half a minute, to be read along.
    pub const NORMAL: Self = Self {
        press_every: Duration::from_millis(30),
        boiler_every: Duration::from_millis(200),
        show_every: Duration::from_millis(1_000),
        live: Duration::from_secs(7),
        down: Duration::from_secs(4),
        hush: Duration::from_secs(1),
        dead: Duration::from_secs(1),
        down_again: Duration::from_secs(5),
        live_again: Duration::from_secs(6),
    };
    /// A few seconds, to be sure that all works.
    pub const FAST: Self = Self {
        press_every: Duration::from_millis(10),
        boiler_every: Duration::from_millis(60),
        show_every: Duration::from_millis(500),
        live: Duration::from_millis(1_200),
        down: Duration::from_millis(700),
        hush: Duration::from_millis(400),
        dead: Duration::from_millis(300),
        down_again: Duration::from_millis(900),
        live_again: Duration::from_millis(600),
    };
}
