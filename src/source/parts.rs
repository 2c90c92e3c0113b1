//! What every kind of source is made of, and how those wait and stop to whom nobody sends again.
//!
//! Never reads from a device or broker itself: that is for each kind to do.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::Intake;
use super::link::Link;
use super::outbox::{EngineGone, Outbox};
use crate::decode::Decoder;
use crate::shutdown::Shutdown;

/// How long a stop waits for the engine to take what is held.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A source's own.
pub(super) struct Parts<D = Decoder> {
    pub(super) intake: Intake<D>,
    pub(super) link: Link,
    pub(super) outbox: Outbox,
    pub(super) shutdown: Shutdown,
}

/// The source is to end, or there is nobody to read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop;

impl From<EngineGone> for Stop {
    fn from(_: EngineGone) -> Self {
        Self
    }
}

impl<D> Parts<D> {
    /// Waits for something, handing on what waits; ends when we are to stop.
    pub(super) async fn meanwhile<F: Future>(&mut self, what: F) -> Result<F::Output, Stop> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.wait() => return Err(Stop),
                flushed = self.outbox.flush(), if !self.outbox.is_empty() => flushed?,
                done = &mut what => return Ok(done),
            }
        }
    }

    /// Gives the engine a little time to take what waits: nobody will send it again.
    pub(super) async fn drain(&mut self) {
        let flushed = timeout(DRAIN_TIMEOUT, async {
            while !self.outbox.is_empty() {
                self.outbox.flush().await?;
            }
            Ok::<(), EngineGone>(())
        });
        if !matches!(flushed.await, Ok(Ok(()))) {
            let readings = self.outbox.readings();
            warn!(source = %self.intake.name, readings, "stopped with readings that the store could not take in time");
        }
    }
}
