//! The end of the gateway: the order in which its tasks stop, and who will not wait for it.

use std::time::{Duration, Instant};

use tokio::signal::unix::Signal;

use super::{App, pipeline_ended};
use crate::error::Failure;

/// Part of the shutdown grace that sources may take to hand over what they have; the rest is for draining upstream.
const SOURCES_GRACE_SHARE: u32 = 4;

/// How long a repeated word to stop counts as the same.
const SAME_WORD: Duration = Duration::from_secs(1);

/// How long the control socket may take to close, and a replay to save how far it is.
pub(super) const FAREWELL: Duration = Duration::from_millis(200);

impl App {
    /// Stops in the order of the data's way, within the grace: sources, pipeline, forwarder, store.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let grace = self.config.gateway.shutdown_grace;
        let deadline = Instant::now() + grace;
        // Who waits for a reload is told that there will be none.
        drop(self.reloads);
        self.service.stopping(grace);
        self.counters.board.health.wait_for(Some("the gateway is stopping"));
        tracing::info!(grace_ms = grace.as_millis() as u64, "stopping");
        self.watcher.stop().await;
        self.sources.stop(grace / SOURCES_GRACE_SHARE).await;
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, self.pipeline).await {
            Ok(Ok(Ok(()))) => {}
            Ok(ended) => return Err(pipeline_ended(ended)),
            Err(_) => tracing::warn!(
                "the store could not take all readings in time; brokers send theirs again, those of serial ports are lost"
            ),
        }
        if let Some(thread) = self.recorder.stop() {
            // What it has still to write is a block.
            let _ = tokio::time::timeout(FAREWELL, tokio::task::spawn_blocking(move || thread.join())).await;
        }
        // It must not feed the draining.
        let _ = tokio::time::timeout(FAREWELL, self.replaying.stop()).await;
        self.forwarder.stop(deadline.saturating_duration_since(Instant::now())).await;
        self.counters.tap.close();
        if let Some((trigger, task)) = self.control {
            trigger.stop();
            // Whoever is being answered may keep it; the socket's file is then cleared away by the next start.
            let _ = tokio::time::timeout(FAREWELL, task).await;
        }
        self.page.stop().await;
        self.aside.stop().await;
        let waiting = self.store.status().borrow().waiting;
        // An error means that the thread has ended already; joining it tells.
        let _ = self.store.close();
        tracing::info!(waiting, "stopped; what waits is in the store");
        Ok(())
    }
}

/// Waits for another word to stop. What follows on the heels of the first is the same word: `timeout` says it twice, and
/// so does Ctrl-C to a program under `sudo`.
pub(super) async fn told_again(terminate: &mut Signal, interrupt: &mut Signal) {
    let since = Instant::now();
    while since.elapsed() < SAME_WORD {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
