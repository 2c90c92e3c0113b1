//! Several brokers: the next one takes over, the first is returned to, and nothing is lost or out of order on the way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::certs::Authority;
use crate::support::consumer::Consumer;
use crate::support::gateway::{Config, Gateway, SOURCE_CLIENT, crossing_value, line, reading, said, tidegate};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::mqtt::{Packet, Session};
use crate::support::proxy::Proxy;
use crate::support::publisher::Publisher;
use crate::support::{PATIENT, SOON, wait_until};

/// Sensors that talk.
const SENSORS: u64 = 8;

/// Crossings that may be on their way: the flow goes on for as long as a scenario takes, and no further.
const LEAD_MAX: u64 = 400;

/// Events at a broker after which something happens there, in mid-flow.
const MID_FLOW: usize = 300;

/// What a subscriber at one broker gets until the broker or the test ends, in the order of arrival. At QoS 0, so that
/// it has all that the broker had taken when that is killed: mosquitto passes such a message on before it acknowledges.
struct Watcher {
    seen: Arc<Mutex<Vec<Value>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn start(address: SocketAddr) -> Self {
        let mut session = Session::connect(address, "watcher", true).unwrap();
        session.subscribe_at("tidegate/#", 0).unwrap();
        wait_until("the subscription", SOON, || matches!(session.poll().unwrap(), Some(Packet::SubAck(_))));
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (seen, ended) = (Arc::clone(&seen), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::SeqCst) {
                    match session.poll() {
                        Ok(Some(Packet::Publish { payload, .. })) => {
                            seen.lock().unwrap().push(serde_json::from_slice(&payload).unwrap());
                        }
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            }
        });
        Self { seen, ended, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Everything there was to see at a broker that is gone.
    fn last_words(mut self) -> Vec<Value> {
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Everything so far.
    fn stop(self) -> Vec<Value> {
        self.ended.store(true, Ordering::SeqCst);
        self.last_words()
    }
}

/// A gateway with two brokers over TLS; the first is reached through a network that can fail.
struct Pair {
    gateway: Gateway,
    network: Proxy,
    local: Mosquitto,
    first: Mosquitto,
    second: Mosquitto,
    dir: TempDir,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::new(dir.path(), "ca");
        // One for both: issued twice it would be replaced while the first broker reads it.
        let identity = ca.server();
        let with_tls = || Options { persistence: false, ..Options::tls(&identity) };
        let local = Mosquitto::start(dir.path(), "local", Options::persistent());
        let first = Mosquitto::start(dir.path(), "first", with_tls());
        let second = Mosquitto::start(dir.path(), "second", with_tls());
        let network = Proxy::start(first.front());
        let mut config = Config::example(dir.path(), &local.url(), "");
        config.upstream = format!("urls = [\"mqtts://localhost:{}\", \"{}\"]\n", network.port(), second.url())
            + &line("ca_file", ca.cert.display())
            + "backoff_min = \"100ms\"\nbackoff_max = \"1s\"\nprobe_every = \"1s\"\nreturn_after = \"1s\"\n";
        let gateway = Gateway::new(&dir.path().join("gateway"), &config);
        Self { gateway, network, local, first, second, dir }
    }

    fn start(&mut self) {
        self.gateway.start();
        self.local.wait_subscribed(SOURCE_CLIENT, 1);
    }

    fn lose_first(&mut self) {
        self.first.kill();
        self.network.down();
    }

    /// What `tidegate status` says of the upstream, as JSON and for people.
    fn upstream(&self) -> (Value, String) {
        let socket = self.dir.path().join("control.sock");
        let ask = |arguments: &[&str]| {
            let output = tidegate(&[arguments, &["--socket", socket.to_str().unwrap()]].concat());
            assert!(output.status.success(), "{}", said(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        let status: Value = serde_json::from_str(&ask(&["status", "--json"])).unwrap();
        (status["upstream"].clone(), ask(&["status"]))
    }

    fn wait_connected_to(&self, number: u64) {
        wait_until(&format!("a connection to broker {number}"), PATIENT, || {
            let (upstream, _) = self.upstream();
            upstream["connected"] == true && upstream["broker_number"] == number
        });
    }
}

/// (subject, sequence, id) of the events among messages, in their order.
fn events(messages: &[Value]) -> Vec<(String, u64, String)> {
    let text = |message: &Value, name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let of =
        |message: &Value| (text(message, "subject"), text(message, "sequence").parse().unwrap(), text(message, "id"));
    messages.iter().filter(|message| message.get("specversion").is_some()).map(of).collect()
}

/// First deliveries must be in order per sensor, and repeats be repeats. Returns the sequence numbers.
fn assert_in_order(messages: &[Value]) -> BTreeSet<u64> {
    let (mut ids, mut last) = (HashMap::new(), HashMap::<String, u64>::new());
    for (subject, sequence, id) in events(messages) {
        if let Some(first) = ids.insert(sequence, id.clone()) {
            assert_eq!(first, id, "sequence {sequence} has two ids");
            continue;
        }
        let last = last.entry(subject.clone()).or_default();
        assert!(*last < sequence, "out of order on {subject}: {sequence} after {last}");
        *last = sequence;
    }
    ids.into_keys().collect()
}

/// (subject, publisher's number) of the events among messages.
fn crossings(messages: &[Value]) -> BTreeSet<(String, u64)> {
    let of = |message: &Value| {
        let seq = message["data"]["attributes"]["seq"].as_u64()?;
        Some((message["subject"].as_str()?.to_owned(), seq))
    };
    messages.iter().filter_map(of).collect()
}

/// Lets the sensors talk until told to stop, never further ahead than [`LEAD_MAX`]. Returns how often each has.
fn flow(sensors: SocketAddr, stop: &AtomicBool, arrived: &AtomicU64) -> u64 {
    let mut publisher = Publisher::new(sensors, "sensors");
    let mut seq = 0;
    while !stop.load(Ordering::SeqCst) {
        seq += 1;
        for sensor in 0..SENSORS {
            publisher.publish(&format!("sensors/s{sensor}/temp"), reading(crossing_value(seq), seq));
        }
        wait_until("the gateway to keep up", PATIENT, || {
            stop.load(Ordering::SeqCst) || seq * SENSORS < arrived.load(Ordering::SeqCst) + LEAD_MAX
        });
    }
    publisher.flush();
    seq
}

#[test]
fn the_second_broker_takes_over_in_mid_flow_and_the_first_is_returned_to_without_loss_or_disorder() {
    let mut pair = Pair::new();
    let (before, second) = (Watcher::start(pair.first.address()), Watcher::start(pair.second.address()));
    pair.start();
    let (stop, arrived) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let sensors = std::thread::spawn({
        let (address, stop, arrived) = (pair.local.address(), Arc::clone(&stop), Arc::clone(&arrived));
        move || flow(address, &stop, &arrived)
    });
    // Counts what is there: repeats make the flow run ahead a little further, no more.
    let note = |count: usize| arrived.store(count as u64, Ordering::SeqCst);
    let watch = |watcher: &Watcher, base: usize, more: usize| {
        let goal = watcher.count() + more;
        wait_until("events in mid-flow", PATIENT, || {
            note(base + watcher.count());
            watcher.count() >= goal
        });
    };

    watch(&before, 0, MID_FLOW);
    pair.lose_first();
    let before = before.last_words();
    watch(&second, before.len(), MID_FLOW);
    pair.gateway.kill();
    pair.gateway.start();
    watch(&second, before.len(), MID_FLOW);
    pair.wait_connected_to(2);

    pair.first.resume();
    let after = Watcher::start(pair.first.address());
    pair.network.restore();
    wait_until("the return to the first broker", PATIENT, || {
        note(before.len() + second.count() + after.count());
        after.count() >= MID_FLOW
    });
    pair.wait_connected_to(1);
    stop.store(true, Ordering::SeqCst);
    let each = sensors.join().unwrap();

    let all = || [&before[..], &second.seen.lock().unwrap()[..], &after.seen.lock().unwrap()[..]].concat();
    let expected = usize::try_from(each * SENSORS).unwrap();
    wait_until("every crossing at one of the brokers", PATIENT, || crossings(&all()).len() == expected);
    // One connection at a time: what the first broker had, then the second, then the first again.
    let sequences = assert_in_order(&all());
    assert_eq!(sequences.len() as u64, *sequences.last().unwrap(), "a sequence number is missing");
    let (second, after) = (second.stop(), after.stop());
    assert!(second.iter().any(|status| status["reason"] == "moved"), "the second broker was not told");
    let ids = |messages: &[Value]| events(messages).into_iter().map(|(_, _, id)| id).collect::<BTreeSet<_>>();
    assert!(ids(&second).is_disjoint(&ids(&after)), "the window was not empty when the second broker was left");
    pair.gateway.wait_logged(&["an earlier broker works again"]);
    assert!(pair.gateway.is_running());
}

#[test]
fn status_names_the_broker_in_use_and_a_restart_of_the_first_is_waited_out_at_the_second() {
    let mut pair = Pair::new();
    pair.start();
    pair.wait_connected_to(1);
    let first = format!("localhost:{}", pair.network.port());
    let second = format!("localhost:{}", pair.second.port());
    assert_eq!(pair.upstream().0["broker"], first.as_str());
    pair.lose_first();
    pair.wait_connected_to(2);
    let (json, text) = pair.upstream();
    assert_eq!((&json["broker"], &json["brokers"]), (&second.as_str().into(), &2.into()));
    assert!(text.contains(&format!("{second}, number 2 of 2")), "{text}");
    let tries = pair.network.accepted();
    pair.first.resume();
    pair.network.restore();
    pair.wait_connected_to(1);
    assert!(pair.network.accepted() >= tries + 3, "moved back without having tried it");
    assert!(pair.first.log().contains("as tidegate-gw1-probe"), "not tried under a client id of its own");
}

#[test]
fn with_no_broker_at_all_events_wait_and_go_to_the_one_that_comes_back() {
    let mut pair = Pair::new();
    pair.lose_first();
    // The gateway is at a broker that comes back sooner than a new subscriber: a session waits for what it brings.
    let consumer = Consumer::start(pair.second.address(), "consumer");
    pair.second.stop();
    pair.start();
    let mut publisher = Publisher::new(pair.local.address(), "sensors");
    for seq in 1..=20 {
        publisher.publish("sensors/s0/temp", reading(crossing_value(seq), seq));
    }
    publisher.flush();
    wait_until("a whole round of attempts", PATIENT, || {
        let (upstream, _) = pair.upstream();
        upstream["connected"] == false && upstream["last_error"].is_string()
    });
    pair.second.resume();
    consumer.wait_for_crossings(20, PATIENT);
    consumer.assert_lossless();
}
