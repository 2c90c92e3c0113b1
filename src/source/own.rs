//! The gateway as a source of its own readings: heat, voltage, disk, memory, clock, queue, upstream.
//!
//! Owns the sensors `gateway/<quantity>` and when they are read. What the machine says is read by [`machine`], the rest
//! from the gateway's own counters. They take the same way as any sensor's readings, so alarms on them are alarms like
//! others. Nothing here is a device that could be lost: what the machine does not have is not said.

pub mod machine;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::FromSource;
use super::way::{Room, ToEngine};
use crate::clock::{ClockState, Now, SystemClock};
use crate::counters::Counters;
use crate::reading::own::{NAME, QUANTITIES};
use crate::reading::{Reading, SensorId, TimeSource, Value};
use crate::shutdown::Shutdown;
use machine::Machine;

/// What is read how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `gateway.watch_every`
    pub every: Duration,
    /// `store.path`, whose disk is looked at.
    pub store: PathBuf,
    /// There is an upstream to be connected to.
    pub has_upstream: bool,
}

/// Starts reading. The task ends with `shutdown` or when the engine's end of `out` is gone.
pub fn spawn(
    plan: Plan,
    out: ToEngine,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
    mut shutdown: Shutdown,
) -> JoinHandle<()> {
    let counts = counters.source(&Arc::from(NAME));
    tokio::spawn(async move {
        counts.up.set(1);
        let mut ticks = tokio::time::interval(plan.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                ticks.tick().await;
                let store = plan.store.clone();
                // A disk that hangs holds up the next look and nothing else.
                let looked = tokio::task::spawn_blocking(move || Machine::look(Path::new("/"), &store)).await;
                let now = clock.now();
                let readings = readings(&plan, looked.unwrap_or_default(), &counters, now);
                counts.messages.add(1);
                counts.readings.add(readings.len() as u64);
                let message = FromSource::Readings { readings, arrived: now.boot, ack: None, room: Room::default() };
                if out.send(message).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.wait() => {}
        }
        counts.up.set(0);
    })
}

fn readings(plan: &Plan, machine: Machine, counters: &Counters, now: Now) -> Vec<Reading> {
    let number = |value: f64| Some(Value::Number(value));
    let values: [(Option<Value>, Option<&str>); QUANTITIES.len()] = [
        (machine.cpu_temperature.map(Value::Number), Some("°C")),
        (machine.under_voltage.map(Value::Bool), None),
        (machine.disk_free.map(|bytes| Value::Number(bytes as f64)), Some("B")),
        (machine.disk_free_percent.map(Value::Number), Some("%")),
        (machine.memory_available.map(|bytes| Value::Number(bytes as f64)), Some("B")),
        (machine.load_1m.map(Value::Number), None),
        (Some(Value::Bool(now.clock == ClockState::Synchronized)), None),
        (plan.has_upstream.then(|| Value::Bool(counters.upstream_up.get() > 0)), None),
        (number(counters.store_events.get() as f64), None),
        (number(Duration::from_nanos(now.boot.0).as_secs_f64().floor()), Some("s")),
    ];
    let reading = |(quantity, (value, unit)): (&str, (Option<Value>, Option<&str>))| {
        Some(Reading {
            sensor: SensorId::new(format!("{NAME}/{quantity}")),
            value: value?,
            unit: unit.map(Into::into),
            time: now.wall,
            time_source: TimeSource::Arrival,
            fresh: true,
            attributes: None,
        })
    };
    QUANTITIES.into_iter().zip(values).filter_map(reading).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::super::way;
    use super::*;
    use crate::shutdown;

    fn plan(every: Duration) -> Plan {
        Plan { every, store: std::env::temp_dir(), has_upstream: true }
    }

    #[test]
    fn what_is_known_is_said_and_the_rest_is_not() {
        let now = SystemClock::new().now();
        let counters = Counters::default();
        counters.store_events.set(12);
        let machine = Machine { cpu_temperature: Some(48.5), disk_free: Some(1 << 30), ..Machine::default() };
        let said = |plan: &Plan, machine: &Machine| -> Vec<(String, Value)> {
            let readings = readings(plan, machine.clone(), &counters, now);
            readings.into_iter().map(|reading| (reading.sensor.to_string(), reading.value)).collect()
        };
        let all = said(&plan(Duration::from_secs(1)), &machine);
        let of = |name: &str| all.iter().find(|(sensor, _)| sensor == name).map(|(_, value)| value.clone());
        assert_eq!(of("gateway/cpu_temperature"), Some(Value::Number(48.5)));
        assert_eq!(of("gateway/disk_free"), Some(Value::Number(1_073_741_824.0)));
        assert_eq!(of("gateway/queue_events"), Some(Value::Number(12.0)));
        assert_eq!(of("gateway/upstream_connected"), Some(Value::Bool(false)));
        assert_eq!(of("gateway/under_voltage"), None);
        assert_eq!(all.len(), 6, "{all:?}");
        let alone = Plan { has_upstream: false, ..plan(Duration::from_secs(1)) };
        assert_eq!(said(&alone, &machine).len(), 5);
    }

    #[tokio::test]
    async fn readings_come_at_once_and_again_until_told_to_stop() {
        let (out, mut engine) = way::narrow(4);
        let (trigger, shutdown) = shutdown::channel();
        let counters: Arc<Counters> = Arc::default();
        let clock = Arc::new(SystemClock::new());
        let task = spawn(plan(Duration::from_millis(1)), out, Arc::clone(&counters), clock, shutdown);
        for _ in 0..2 {
            let Some(FromSource::Readings { readings, ack: None, .. }) = engine.recv().await else {
                panic!("expected readings")
            };
            // This machine has memory, a disk and an age at least.
            assert!(readings.len() >= 5, "{readings:?}");
            assert!(readings.iter().all(|reading| reading.sensor.as_str().starts_with("gateway/")));
        }
        let counts = counters.source(&Arc::from(NAME));
        assert_eq!(counts.up.get(), 1);
        trigger.stop();
        task.await.unwrap();
        assert_eq!(counts.up.get(), 0);
    }

    #[tokio::test]
    async fn an_engine_that_waits_for_the_store_keeps_nobody_from_stopping() {
        let (out, _engine) = way::narrow(1);
        let (trigger, shutdown) = shutdown::channel();
        let counters: Arc<Counters> = Arc::default();
        let task = spawn(plan(Duration::from_millis(1)), out, Arc::clone(&counters), Arc::default(), shutdown);
        let counts = counters.source(&Arc::from(NAME));
        // The second message has no room.
        while counts.messages.get() < 2 {
            tokio::task::yield_now().await;
        }
        trigger.stop();
        task.await.unwrap();
    }
}
