//! A measurement, not a test: draining a backlog beside a bare publisher of the same library, window and payload.
//!
//! `cargo test --release --lib forward::measure -- --ignored --nocapture`
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, Incoming, QoS};

use super::options::connection_options;
use super::testing::{FakeStore, Mosquitto, Pki, unix_in_days, until, upstream};
use crate::clock::{SystemClock, WallTime};
use crate::config::model::{Credentials, Severity, Upstream};
use crate::counters::Counters;
use crate::event::wire;

const EVENTS: u64 = 100_000;

/// Text in each event; makes it about as large as an alarm event.
const TEXT_BYTES: usize = 400;

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn report(what: &str, started: Instant, cpu: Duration) {
    let (took, cpu) = (started.elapsed().as_secs_f64(), (thread_cpu() - cpu).as_secs_f64());
    let events = EVENTS as f64;
    println!("{what}: {took:.2} s, {:.0} events/s, {:.2} us of CPU an event", events / took, cpu * 1e6 / events);
}

async fn forwarder(upstream: Upstream, store: &FakeStore) {
    let (trigger, shutdown) = crate::shutdown::channel();
    let (started, cpu) = (Instant::now(), thread_cpu());
    let clock = Arc::new(SystemClock::new());
    let (task, _) = super::spawn(upstream, "gw".into(), store.handle(), Arc::new(Counters::default()), clock, shutdown);
    until("drained", || store.delivered() == EVENTS).await;
    report("forwarder", started, cpu);
    trigger.stop();
    task.await.unwrap();
}

async fn bare(upstream: Upstream, store: &FakeStore) {
    let events = store.handle().read(1, usize::MAX, usize::MAX).await.unwrap();
    let mut options = connection_options(&upstream, "gw", WallTime(0)).unwrap();
    options.set_inflight(upstream.window);
    let (started, cpu) = (Instant::now(), thread_cpu());
    let (client, mut link) = AsyncClient::new(options, usize::from(upstream.window));
    let publisher = tokio::spawn(async move {
        for event in events {
            let (mut topic, mut payload) = (String::new(), Vec::new());
            wire::topic(&upstream.topic, &event, "gw", &mut topic).unwrap();
            wire::encode(&event, "gw", upstream.encoding, true, &mut payload);
            client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < EVENTS {
        if let Event::Incoming(Incoming::PubAck(_)) = link.poll().await.unwrap() {
            acknowledged += 1;
        }
    }
    report("bare publisher", started, cpu);
    publisher.await.unwrap().disconnect().await.unwrap();
}

#[tokio::test]
#[ignore = "a measurement, to be run by hand in release"]
async fn draining_a_hundred_thousand_events_beside_a_bare_publisher() {
    let pki = Pki::new();
    pki.server("server", &["localhost"], unix_in_days(-1), unix_in_days(100));
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let credentials = Credentials { ca_file: Some(pki.ca_file()), ..Credentials::default() };
    for tls in [true, false] {
        for window in [64, 256, 1_000] {
            println!("window {window}, TLS {tls}");
            let port = if tls { broker.tls_port } else { broker.plain_port };
            let upstream = Upstream { window, ..upstream("localhost", port, tls.then(|| credentials.clone())) };
            let store = FakeStore::new();
            for _ in 0..EVENTS {
                store.add_text(TEXT_BYTES, Severity::Medium);
            }
            bare(upstream.clone(), &store).await;
            forwarder(upstream, &store).await;
        }
    }
}
