//! Draining a backlog to a real broker over TLS, beside a bare publisher.
//!
//! ```text
//! cargo bench --bench forward                   100,000 events
//! cargo bench --bench forward -- 50000          fewer
//! cargo bench --bench forward -- live           what live events wait for while 1,000,000 others do
//! cargo bench --bench forward -- live 100000    the same with fewer
//! ```
//!
//! Needs mosquitto, as the tests do. The backlog is in a real store; the forwarder reads, decodes, encodes, sends and
//! reports each event. The bare publisher is the same MQTT library with the same window, TLS and topics; its payloads
//! are made beforehand, so it only sends; the library's own loop flushes after each packet, where the forwarder flushes
//! once for all that have room. Both begin with connecting. Processor time is that of the whole process, the
//! store's thread included and the broker not. Rounds of both alternate; medians are printed, of the ratios those of each
//! round, so that a slow minute of the machine falls on both.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

mod support;

#[path = "forward/live.rs"]
mod live;

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only the broker and its certificates are wanted")]
mod stage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS, TlsConfiguration, Transport};
use stage::certs::Authority;
use stage::mosquitto::{Mosquitto, Options};
use support::load::{self, GATEWAY, Site};
use support::queue::{self, runtime};
use support::stats::{grouped, median};
use support::{child, machine};
use tidegate::clock::SystemClock;
use tidegate::config::model::Upstream;
use tidegate::event::wire;
use tidegate::forward::{self, nudge::Nudge, tls};
use tidegate::shutdown;

const ROUNDS: usize = 5;

/// How long the broker may take for all of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// One run's figures.
struct Drained {
    seconds: f64,
    processor_seconds: f64,
}

fn main() {
    if let Some(wanted) = child::wanted() {
        return live::forward(wanted);
    }
    if !machine::is_bench() {
        return println!("forward: run it by `cargo bench --bench forward`");
    }
    machine::announce("forward");
    let dir = machine::directory();
    let authority = Authority::new(dir.path(), "upstream");
    let options = Options { persistence: false, ..Options::tls(&authority.server()) };
    let broker = Mosquitto::start(dir.path(), "broker", options);
    if std::env::args().any(|argument| argument == live::ROLE) {
        live::measure(&broker, &authority.cert, machine::argument(1_000_000));
        return println!("\nload at the end: {}", machine::load());
    }
    let events = machine::argument(100_000);
    println!("\ndraining {} events over TLS; medians of {ROUNDS} rounds", grouped(events as f64));
    println!(
        "{:>6} {:>8} | {:>9} {:>9} {:>6} | {:>9} {:>9} {:>6}",
        "window", "encoding", "events/s", "bare", "ratio", "CPU us", "bare", "ratio"
    );
    for (window, encoding) in [(64, "json"), (256, "json"), (1_000, "json"), (256, "cbor")] {
        let upstream = upstream(&broker, &authority.cert, window, encoding);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(drain_store(&upstream, events));
            bare.push(publish(&upstream, events));
        }
        let of = |all: &[Drained], figure: fn(&Drained) -> f64| median(all.iter().map(figure).collect());
        let ratio = |figure: fn(&Drained) -> f64| {
            median(ours.iter().zip(&bare).map(|(ours, bare)| figure(ours) / figure(bare)).collect())
        };
        let each = events as f64;
        let rates = [&ours, &bare].map(|all| each / of(all, |run| run.seconds));
        let processor = [&ours, &bare].map(|all| of(all, |run| run.processor_seconds) * 1e6 / each);
        println!(
            "{window:>6} {encoding:>8} | {:>9} {:>9} {:>6.2} | {:>9.2} {:>9.2} {:>6.2}",
            grouped(rates[0]),
            grouped(rates[1]),
            1.0 / ratio(|run| run.seconds),
            processor[0],
            processor[1],
            ratio(|run| run.processor_seconds)
        );
    }
    println!("\nload at the end: {}", machine::load());
}

/// `[upstream]` with the defaults of the configuration.
fn upstream(broker: &Mosquitto, ca_file: &Path, window: u16, encoding: &str) -> Upstream {
    let text = format!(
        "gateway.id = \"{GATEWAY}\"\n\
         [upstream]\nurl = \"{}\"\nca_file = \"{}\"\nwindow = {window}\nencoding = \"{encoding}\"\n",
        broker.url(),
        ca_file.display()
    );
    load::configuration(&text).upstream.unwrap()
}

/// Carries it out and takes its time.
fn measure(task: impl Future<Output = ()>) -> Drained {
    let runtime = runtime();
    let (start, processor) = (Instant::now(), machine::processor_time());
    runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await.expect("the broker takes all in time") });
    let processor_seconds = (machine::processor_time() - processor).as_secs_f64();
    Drained { seconds: start.elapsed().as_secs_f64(), processor_seconds }
}

fn drain_store(upstream: &Upstream, events: usize) -> Drained {
    let dir = machine::directory();
    let (opened, _) = queue::open(dir.path());
    runtime().block_on(queue::fill(&opened.handle, &mut Site::new(1), events));
    queue::close(opened);
    // As after an outage and a restart: nothing is in memory yet.
    let (opened, counters) = queue::open(dir.path());
    let store = opened.handle.clone();
    let drained = measure(async {
        let (trigger, shutdown) = shutdown::channel();
        let (_, side) = forward::side::channel();
        let means = forward::Means {
            gateway: Arc::from(GATEWAY),
            store,
            side,
            nudge: Nudge::default(),
            counters: Arc::clone(&counters),
            clock: Arc::new(SystemClock::new()),
        };
        let (task, _) = forward::spawn(upstream.clone(), means, shutdown);
        let mut status = opened.handle.status();
        status.wait_for(|status| status.waiting == 0).await.unwrap();
        trigger.stop();
        task.await.unwrap();
    });
    assert_eq!(counters.events_delivered.get(), events as u64);
    queue::close(opened);
    drained
}

fn publish(upstream: &Upstream, events: usize) -> Drained {
    let messages: Vec<(String, Bytes)> = Site::new(1)
        .events(events)
        .iter()
        .map(|event| {
            let (mut topic, mut payload) = (String::new(), Vec::new());
            wire::topic(&upstream.topic, event, GATEWAY, &upstream.profile.topic_rules(), &mut topic).unwrap();
            wire::encode(event, GATEWAY, upstream.encoding, true, &mut payload);
            (topic, payload.into())
        })
        .collect();
    let mut options = MqttOptions::new("bare", &upstream.url.host, upstream.url.port);
    let tls = tls::client_config(&upstream.credentials, tidegate::clock::BUILT, &Default::default()).unwrap();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.into())));
    options.set_inflight(upstream.window);
    measure(async {
        let (client, mut link) = AsyncClient::new(options, usize::from(upstream.window));
        link.network_options.set_tcp_nodelay(true);
        let publisher = tokio::spawn(async move {
            for (topic, payload) in messages {
                client.publish_bytes(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
            }
            client
        });
        let mut acknowledged = 0;
        while acknowledged < events {
            if let Event::Incoming(Incoming::PubAck(_)) = link.poll().await.unwrap() {
                acknowledged += 1;
            }
        }
        publisher.await.unwrap().disconnect().await.unwrap();
    })
}
