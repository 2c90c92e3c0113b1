//! The service manager: ready, reloading, stopping, status and the watchdog (sd_notify(3)).
//!
//! Owns the messages. Without a service manager (`NOTIFY_SOCKET` unset) everything here does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Closing the store, after the grace: a worn SD card may take many seconds for its last sync. As long as the unit's own
/// `TimeoutStopSec`.
const CLOSING: Duration = Duration::from_secs(30);

/// Talks to the service manager.
#[derive(Debug, Default)]
pub struct ServiceManager {
    last_status: String,
}

impl ServiceManager {
    /// The pipeline runs.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// A reload has begun; [`ServiceManager::ready`] ends it. Carries the monotonic time that `Type=notify-reload`
    /// asks for.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(stamp) => send(&[NotifyState::Reloading, stamp]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
    }

    /// A stop has begun that goes on for `grace` at most, besides what closing the store takes. Asks for that much time
    /// (`EXTEND_TIMEOUT_USEC`), so that a grace above the unit's `TimeoutStopSec` is not cut short by a kill.
    pub fn stopping(&self, grace: Duration) {
        let asked = (grace + CLOSING).as_micros();
        send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(u32::try_from(asked).unwrap_or(u32::MAX))]);
    }

    /// One line for `systemctl status`; sent only when it changes.
    pub fn status(&mut self, status: String) {
        if status != self.last_status {
            send(&[NotifyState::Status(&status)]);
            self.last_status = status;
        }
    }

    /// Feeds the watchdog.
    pub fn feed_watchdog(&self) {
        send(&[NotifyState::Watchdog]);
    }

    /// How often the watchdog wants to be fed at the latest; `None` when there is none.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
