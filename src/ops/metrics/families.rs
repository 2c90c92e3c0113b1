//! Which metrics there are, what they are called and where each is read.
//!
//! Owns names and help texts. Names end with their unit; a `_state` is 1 or 0. Labels: `type`, `severity`, `reason`,
//! `state`, `role` from closed sets, `source` from the configuration; never a sensor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::Page;
use super::process::Process;
use crate::clock::{ClockState, WallTime};
use crate::counters::SourceCounters;
use crate::forward::backoff::STABLE;
use crate::forward::breaker;
use crate::forward::tls::expiry::Whose;
use crate::ops::status::{Configured, StatusSources};
use crate::ops::wear;
use crate::reading::own;

/// Everything that one answer is made from.
#[derive(Debug)]
pub(super) struct Scrape {
    pub sources: StatusSources,
    /// Age of the oldest event that waits; `None` where the store did not say.
    pub oldest_age: Option<Duration>,
    pub process: Process,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        let configured = self.sources.configured.borrow().clone();
        self.events(&mut page)?;
        self.readings(&mut page, &configured)?;
        self.queue(&mut page, &configured)?;
        self.upstream(&mut page, &configured)?;
        self.disk(&mut page)?;
        self.clock(&mut page)?;
        self.process(&mut page)
    }
}

impl Scrape {
    fn events(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters = &self.sources.counters;
        page.counter(
            "tidegate_raised_events",
            "Events made by alarms and by the gateway itself.",
            counters.events_raised.get(),
        )?;
        page.counters(
            "tidegate_stored_events",
            "Events on stable storage, by CloudEvents type and severity.",
            counters
                .events_stored_by
                .all()
                .map(|(kind, severity, count)| ([("type", kind), ("severity", severity.as_str())], count)),
        )?;
        page.histogram(
            "tidegate_stored_latency_seconds",
            "From the arrival of a reading to the sync of the event it caused.",
            &counters.stored_after.observed(),
        )?;
        page.counter(
            "tidegate_published_events",
            "Events sent upstream, repeats included.",
            counters.events_published.get(),
        )?;
        page.counter(
            "tidegate_delivered_events",
            "Events acknowledged by the upstream broker.",
            counters.events_delivered.get(),
        )?;
        page.histogram(
            "tidegate_delivered_latency_seconds",
            "From the making of an event to its acknowledgement by the upstream broker, outages included.",
            &counters.delivered_after.observed(),
        )?;
        page.counters(
            "tidegate_lost_events",
            "Events given up, by reason; each is announced upstream.",
            counters.events_lost_by.all().map(|(reason, count)| ([("reason", reason.as_str())], count)),
        )?;
        page.counter(
            "tidegate_quarantined_events",
            "Events set aside as dead letters because the upstream refuses them.",
            counters.events_dead.get(),
        )?;
        page.counter(
            "tidegate_hook_attempts",
            "Programs run because of an alarm's event (on_event), those included that failed.",
            counters.hooks_run.get(),
        )?;
        page.counter(
            "tidegate_hook_failures",
            "Programs of alarms that could not be started, took too long or ended with an error.",
            counters.hooks_failed.get(),
        )?;
        page.counter(
            "tidegate_hook_dropped_events",
            "Programs of alarms not run because too many were waiting.",
            counters.hooks_dropped.get(),
        )?;
        page.counter(
            "tidegate_repaired_events",
            "Events sent with times that were repaired once the wall clock was known.",
            counters.events_repaired.get(),
        )?;
        page.counter(
            "tidegate_side_published_events",
            "Events sent beside the queue (replays, retried dead letters), repeats included.",
            counters.side_published.get(),
        )?;
        page.counter(
            "tidegate_side_delivered_events",
            "Events sent beside the queue that the upstream broker has acknowledged.",
            counters.side_delivered.get(),
        )?;
        page.counter(
            "tidegate_side_refused_events",
            "Events beside the queue that cannot be sent or that the broker does not take.",
            counters.side_refused.get(),
        )
    }

    fn readings(&self, page: &mut Page<'_>, configured: &Configured) -> fmt::Result {
        let counters = &self.sources.counters;
        page.counter("tidegate_evaluated_readings", "Readings judged by the alarms.", counters.readings.get())?;
        page.counter(
            "tidegate_late_readings",
            "Readings older than the newest of their sensor; not judged.",
            counters.readings_late.get(),
        )?;
        page.counter(
            "tidegate_refused_readings",
            "Readings of sensors beyond the most that are kept.",
            counters.readings_refused.get(),
        )?;
        let mut names = configured.sources.clone();
        if configured.watches_itself {
            names.push(Arc::from(own::NAME));
        }
        let sources: Vec<(Arc<str>, Arc<SourceCounters>)> =
            names.into_iter().map(|name| (Arc::clone(&name), counters.source(&name))).collect();
        let each = |of: fn(&SourceCounters) -> u64| {
            sources.iter().map(move |(name, counts)| ([("source", &**name)], of(counts))).collect::<Vec<_>>()
        };
        // What comes over a Modbus line is counted by its units `line/unit`, and told once: sums over `source` are right.
        let is_line = |name: &str| {
            sources.iter().any(|(other, _)| other.strip_prefix(name).is_some_and(|unit| unit.starts_with('/')))
        };
        let counted: Vec<_> = sources.iter().filter(|(name, _)| !is_line(name)).collect();
        let each_counted = |of: fn(&SourceCounters) -> u64| {
            counted.iter().map(|(name, counts)| ([("source", &**name)], of(counts))).collect::<Vec<_>>()
        };
        page.gauges(
            "tidegate_source_connected_state",
            "1 while the source's broker or port is there.",
            each(|counts| u64::from(counts.up.get() > 0)),
        )?;
        page.counters(
            "tidegate_source_connections",
            "Connections or port openings that succeeded.",
            each(|counts| counts.connects.get()),
        )?;
        page.counters(
            "tidegate_source_disconnections",
            "Connections or port openings that failed or ended.",
            each(|counts| counts.disconnects.get()),
        )?;
        page.counters(
            "tidegate_source_messages",
            "Messages, lines or frames received.",
            each_counted(|counts| counts.messages.get()),
        )?;
        page.counters(
            "tidegate_source_readings",
            "Readings decoded from them.",
            each_counted(|counts| counts.readings.get()),
        )?;
        page.counters(
            "tidegate_source_ignored_readings",
            "Values passed over as configured sentinels.",
            each_counted(|counts| counts.ignored.get()),
        )?;
        page.counters(
            "tidegate_source_rebirth_attempts",
            "Requests to Sparkplug nodes for their birth.",
            each_counted(|counts| counts.rebirths.get()),
        )?;
        let rejects: Vec<_> = counted
            .iter()
            .flat_map(|(name, counts)| counts.rejects().into_iter().map(move |(reason, count)| (name, reason, count)))
            .collect();
        page.counters(
            "tidegate_source_rejects",
            "Input refused, by reason.",
            rejects.iter().map(|(name, reason, count)| ([("source", &***name), ("reason", reason.as_str())], *count)),
        )?;
        page.counter(
            "tidegate_recorded_readings",
            "Readings kept for backtests ([record]).",
            counters.record.written.get(),
        )?;
        page.counter("tidegate_recorded_bytes", "Bytes written for them.", counters.record.bytes.get())?;
        page.counter(
            "tidegate_recorded_dropped_readings",
            "Readings not kept: the disk was too slow or could not be written.",
            counters.record.dropped.get(),
        )
    }

    fn queue(&self, page: &mut Page<'_>, configured: &Configured) -> fmt::Result {
        let counters = &self.sources.counters;
        let store = self.sources.store.borrow().clone();
        page.gauge("tidegate_queue_events", "Events that wait to be delivered.", store.waiting)?;
        page.gauge("tidegate_queue_bytes", "Bytes on disk under the store's path.", store.bytes)?;
        page.gauge("tidegate_queue_limit_bytes", "store.max_bytes.", configured.store_bytes_max)?;
        let share = (configured.store_bytes_max > 0).then(|| store.bytes as f64 / configured.store_bytes_max as f64);
        page.gauge_f64("tidegate_queue_used_ratio", "Bytes on disk as a share of store.max_bytes.", share)?;
        page.gauge_f64(
            "tidegate_queue_oldest_age_seconds",
            "How long ago the oldest event that waits was made; 0 when none waits.",
            self.oldest_age.map(|age| age.as_secs_f64()),
        )?;
        page.gauge("tidegate_queue_full_state", "1 while the store takes nothing more.", u64::from(store.full))?;
        page.gauge(
            "tidegate_queue_fault_state",
            "1 while the store works around a fault; `tidegate status` says which.",
            u64::from(store.fault.is_some()),
        )?;
        page.gauge(
            "tidegate_retained_bytes",
            "Bytes of delivered events that are kept (store.retain_delivered).",
            counters.retained_bytes.get(),
        )?;
        page.gauge("tidegate_dead_letters_events", "Dead letters there are.", store.dead)?;
        page.gauge("tidegate_dead_retries_events", "Dead letters that wait to be sent again.", store.retries)?;
        page.counter("tidegate_store_commits", "Commits.", counters.store_commits.get())?;
        page.counter("tidegate_store_syncs", "Syncs to stable storage.", counters.store_syncs.get())?;
        page.counter("tidegate_store_errors", "Store operations that failed.", counters.store_errors.get())
    }

    fn upstream(&self, page: &mut Page<'_>, configured: &Configured) -> fmt::Result {
        let (counters, clock) = (&self.sources.counters, &self.sources.clock);
        let Some(view) = &configured.upstream else { return Ok(()) };
        let view = view.borrow().clone();
        page.gauge(
            "tidegate_upstream_connected_state",
            "1 while the upstream broker has accepted us.",
            u64::from(view.connected),
        )?;
        page.gauge_f64(
            "tidegate_upstream_connected_since_seconds",
            "Unix time since when; absent while not connected.",
            view.connected.then(|| seconds(clock.wall_at(view.since))),
        )?;
        page.counter("tidegate_upstream_attempts", "Connections tried.", counters.upstream_attempts.get())?;
        page.counter("tidegate_upstream_connections", "Connections made.", counters.upstream_connects.get())?;
        page.counter(
            "tidegate_upstream_failures",
            "Connections that failed or ended by a fault.",
            counters.upstream_disconnects.get(),
        )?;
        page.counter(
            "tidegate_upstream_unmatched_events",
            "Delivered events that nobody at the broker subscribes to; known with MQTT 5 only.",
            counters.upstream_unmatched.get(),
        )?;
        page.counter(
            "tidegate_upstream_refused_events",
            "Events that the broker refused in its acknowledgement, each time it did; known with MQTT 5 only.",
            counters.upstream_refusals.get(),
        )?;
        page.counter(
            "tidegate_upstream_retries",
            "Events sent again because the connection ended before they were acknowledged, or the broker refused them.",
            counters.upstream_retries.get(),
        )?;
        page.histogram(
            "tidegate_upstream_batch_events",
            "Events in each message that held several (upstream.batch), repeats included.",
            &counters.upstream_batches.observed(),
        )?;
        page.counters(
            "tidegate_upstream_payload_bytes",
            "Payload bytes of messages with events, repeats included: as encoded, and as sent (upstream.compress).",
            [
                ([("state", "encoded")], counters.upstream_encoded_bytes.get()),
                ([("state", "sent")], counters.upstream_payload_bytes.get()),
            ],
        )?;
        let is_stable = view.connected && clock.boot().since(view.since) >= STABLE;
        page.gauge(
            "tidegate_upstream_consecutive_failures",
            "Failures since the last connection that lasted a minute.",
            if is_stable { 0 } else { u64::from(view.failures) },
        )?;
        let states = [breaker::State::Closed, breaker::State::Open, breaker::State::HalfOpen];
        page.state(
            "tidegate_upstream_breaker_state",
            "What is thought of the broker after failures.",
            &states.map(breaker::State::as_str),
            view.breaker.as_str(),
        )?;
        page.gauge(
            "tidegate_upstream_between_calls_state",
            "1 while not connected because upstream.connect_when says so.",
            u64::from(view.between_calls),
        )?;
        page.gauge("tidegate_upstream_window_events", "Events that may be in flight.", view.window as u64)?;
        page.gauge("tidegate_upstream_inflight_events", "Events in flight.", counters.upstream_inflight.get())?;
        let certificates = view.certificates.by_end();
        let roles = [(Whose::Client, "client"), (Whose::Ca, "ca"), (Whose::Broker, "broker")];
        let first_end = |whose| certificates.iter().find(|one| one.whose == whose).map(|one| one.not_after);
        page.gauges(
            "tidegate_certificate_expiry_seconds",
            "Unix time at which the first certificate of the role ends.",
            roles.iter().filter_map(|(whose, role)| {
                let end = first_end(*whose)?.as_millis().max(0).unsigned_abs() / 1_000;
                Some(([("role", *role)], end))
            }),
        )
    }

    fn disk(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(written) = wear::written_bytes() else { return Ok(()) };
        let stored = self.sources.counters.events_stored.get();
        let wear = self.sources.wear.show(self.sources.clock.boot(), written, stored);
        page.counter("tidegate_written_bytes", "Bytes this process has had the disk write.", wear.written_bytes)?;
        page.known(
            "tidegate_written_per_event_bytes",
            "Bytes written for each event stored since the start; absent before the first.",
            wear.per_event_bytes,
        )?;
        page.gauge("tidegate_written_day_bytes", "Bytes written in the last day, or since the start.", wear.day_bytes)
    }

    fn clock(&self, page: &mut Page<'_>) -> fmt::Result {
        let clock = &self.sources.clock;
        let state = match clock.now().clock {
            ClockState::Synchronized => "synchronized",
            ClockState::Estimated => "estimated",
            ClockState::Unsynchronized => "unsynchronized",
        };
        page.state(
            "tidegate_clock_state",
            "What the wall clock is worth.",
            &["synchronized", "estimated", "unsynchronized"],
            state,
        )?;
        page.counter("tidegate_clock_jumps", "Times it was set by more than two seconds.", clock.view().jumps)
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let Process { resident_bytes, open_files, open_files_max, cpu, started } = self.process;
        page.info(
            "tidegate_build",
            "This program.",
            [("version", env!("CARGO_PKG_VERSION")), ("arch", std::env::consts::ARCH)],
        )?;
        page.gauge_f64(
            "tidegate_process_start_time_seconds",
            "Unix time at which the process was started.",
            started.map(|started| seconds(self.sources.clock.wall_at(started))),
        )?;
        if let Some(cpu) = cpu {
            page.counter_f64("tidegate_process_cpu_seconds", "Processor time used.", cpu.as_secs_f64())?;
        }
        page.known("tidegate_process_resident_bytes", "Memory in RAM.", resident_bytes)?;
        page.known("tidegate_process_open_files", "File descriptors in use.", open_files)?;
        page.known("tidegate_process_limit_files", "Most file descriptors that may be.", open_files_max)
    }
}

fn seconds(time: WallTime) -> f64 {
    time.as_millis() as f64 / 1_000.0
}
