//! Looks after the brokers before the present one, beside the connection.
//!
//! Owns the task that probes them (TCP, TLS and login under a client id of its own) when [`Return`] says so, and the
//! message that it is time to move. Never touches the connection in use.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::failover::Return;
use super::{explain, probe};
use crate::clock::WallTime;
use crate::config::model::Upstream;

/// Probes the brokers before the present one until one of them is to be moved to. Ends with its value.
#[derive(Debug, Default)]
pub struct Scout {
    task: Option<JoinHandle<()>>,
    verdict: Option<watch::Receiver<Option<usize>>>,
}

impl Scout {
    /// Starts for a connection to broker `at` of `upstream`; certificates are checked by a time of `earliest` or later.
    pub fn start(upstream: &Upstream, at: usize, earliest: WallTime) -> Self {
        let plan = Return::new(at, upstream.probe_every, upstream.return_after, Duration::ZERO, fastrand::f64());
        let Some(plan) = plan else { return Self::default() };
        let (tell, verdict) = watch::channel(None);
        let task = tokio::spawn(look(upstream.clone(), plan, earliest, tell));
        Self { task: Some(task), verdict: Some(verdict) }
    }

    /// Waits until a broker is to be moved to, and returns it; for ever where there is none before the present one.
    pub async fn better(&mut self) -> usize {
        if let Some(verdict) = &mut self.verdict
            && let Ok(broker) = verdict.wait_for(Option::is_some).await
            && let Some(broker) = *broker
        {
            return broker;
        }
        std::future::pending().await
    }
}

impl Drop for Scout {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn look(mut upstream: Upstream, mut plan: Return, earliest: WallTime, tell: watch::Sender<Option<usize>>) {
    let start = Instant::now();
    loop {
        let (broker, due) = plan.next();
        tokio::time::sleep_until(start + due).await;
        let Some(url) = upstream.urls.get(broker) else { return };
        upstream.url = url.clone();
        let answer = probe::answers(&upstream, earliest).await;
        let place = explain::place(&upstream);
        match &answer {
            Ok(()) => tracing::debug!(broker = place, "an earlier broker answers"),
            Err(why) => tracing::debug!(broker = place, "an earlier broker does not work yet: {why}"),
        }
        if let Some(broker) = plan.on_answer(answer.is_ok(), start.elapsed(), fastrand::f64()) {
            tracing::info!(
                broker = place,
                "an earlier broker works again: moving back to it once nothing is in flight"
            );
            let _ = tell.send(Some(broker));
            return;
        }
    }
}
