//! MQTT 5: with mosquitto, and with a broker that answers what mosquitto never does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::sync::Mutex;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use super::*;
use crate::config::model::{Mode, Order, Protocol};
use crate::event::wire::ATTRIBUTES;

fn over_v5(upstream: Upstream) -> Upstream {
    Upstream { protocol: Protocol::V5, ..upstream }
}

/// A subscriber that speaks MQTT 5 and keeps events with their properties.
struct Listener {
    events: Arc<Mutex<Vec<Publish>>>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    async fn start(port: u16) -> Self {
        let (client, mut link) = AsyncClient::new(MqttOptions::new("listener", "127.0.0.1", port), 4);
        client.subscribe("tidegate/boiler-room-7/medium/#", QoS::AtMostOnce).await.unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (log, (subscribed, mut ready)) = (Arc::clone(&events), watch::channel(false));
        let task = tokio::spawn(async move {
            loop {
                match link.poll().await.unwrap() {
                    Event::Incoming(Packet::SubAck(_)) => drop(subscribed.send_replace(true)),
                    Event::Incoming(Packet::Publish(publish)) => log.lock().unwrap().push(publish),
                    _ => {}
                }
            }
        });
        tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await.unwrap().unwrap();
        Self { events, task }
    }

    fn events(&self) -> Vec<Publish> {
        self.events.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn structured_and_binary_events_arrive_with_their_properties() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let listener = Listener::start(broker.plain_port).await;
    let mut upstream = over_v5(upstream("localhost", broker.tls_port, Some(trusting(&pki))));
    upstream.user_properties = vec![("site".to_owned(), "north".to_owned())];
    upstream.message_expiry = Some(Duration::from_secs(7 * 24 * 3600));
    for mode in [Mode::Structured, Mode::Binary] {
        let store = FakeStore::new();
        store.add(300);
        let running = Running::start(Upstream { mode, ..upstream.clone() }, &store);
        until("all delivered", || store.delivered() == 300).await;
        until("all collected", || listener.events().len() >= 300).await;
        let counters = running.stop().await;
        assert_eq!((counters.upstream_unmatched.get(), counters.upstream_connects.get()), (0, 1));
        let events = std::mem::take(&mut *listener.events.lock().unwrap());
        let mut numbers_seen: Vec<u64> = Vec::new();
        for event in &events {
            let payload: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
            let properties = event.properties.clone().unwrap();
            assert_eq!(properties.message_expiry_interval, Some(604_800));
            assert_eq!(properties.user_properties[0], ("site".to_owned(), "north".to_owned()));
            let attribute = |name: &str| {
                let found = properties.user_properties.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value.as_str())
            };
            let sequence = if mode == Mode::Structured {
                assert_eq!(properties.content_type.as_deref(), Some("application/cloudevents+json"));
                assert_eq!(attribute("id"), None);
                payload["sequence"].as_str().unwrap().to_owned()
            } else {
                assert_eq!(properties.content_type.as_deref(), Some("application/json"));
                assert!(payload.get("specversion").is_none() && payload["version"].is_string(), "{payload}");
                for name in ATTRIBUTES.iter().filter(|name| !matches!(**name, "correlationid" | "replayed")) {
                    assert!(attribute(name).is_some(), "{name}");
                }
                assert_eq!(attribute("source"), Some("/tidegate/boiler-room-7"));
                attribute("sequence").unwrap().to_owned()
            };
            numbers_seen.push(sequence.parse().unwrap());
            assert!(event.topic.starts_with(b"tidegate/boiler-room-7/medium/test/device/sensor-"), "{event:?}");
        }
        assert_eq!(numbers_seen, numbers(1..=300));
    }
}

#[tokio::test]
async fn a_topic_that_mosquitto_forbids_goes_to_the_dead_letters_and_the_rest_flows() {
    let pki = server_pki();
    let acl = pki.file("acl");
    std::fs::write(&acl, "topic write tidegate/+/status\ntopic write tidegate/+/medium/#\n").unwrap();
    let extra = format!("allow_anonymous true\nacl_file {}", acl.display());
    let broker = Mosquitto::start(&pki, "server", &extra);
    let store = FakeStore::new();
    store.add(10);
    let forbidden = store.add_text(20, Severity::Critical);
    let last = store.add(10);
    let running = Running::start(over_v5(upstream("localhost", broker.tls_port, Some(trusting(&pki)))), &store);
    until("all done", || store.delivered() == last).await;
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, forbidden, 1));
    assert!(dead[0].reason.contains("publish to \"tidegate/boiler-room-7/critical/test/"), "{}", dead[0].reason);
    let counters = running.stop().await;
    // With `max_inflight_messages 0` mosquitto 2.0.11 hangs up after it has refused: it is not asked again all the same.
    assert_eq!(counters.upstream_refusals.get(), 1);
    assert_eq!(counters.upstream_unmatched.get(), 20, "nobody listens, and the broker says so");
    assert_eq!(counters.events_delivered.get(), 20);
}

#[tokio::test]
async fn an_event_larger_than_mosquitto_takes_is_not_sent_at_all() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true\nmax_packet_size 4000");
    let store = FakeStore::new();
    store.add(5);
    store.add_text(8_000, Severity::High);
    store.add(5);
    let running = Running::start(over_v5(upstream("localhost", broker.tls_port, Some(trusting(&pki)))), &store);
    until("all done", || store.delivered() == 11).await;
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, 6, 0));
    assert!(dead[0].reason.contains("more than the 4000 that the broker takes"), "{}", dead[0].reason);
    assert_eq!(running.stop().await.upstream_connects.get(), 1);
}

#[tokio::test]
async fn a_broker_that_takes_few_at_a_time_and_topic_aliases_is_given_no_more() {
    // Five topics in turn: two aliases are always others when they come again. Eight serve for all but the first round,
    // and for the farewell too.
    for (aliases, used) in [(2, 0), (8, 196), (0, 0)] {
        let broker = FakeBroker::start(Manner::Narrow { aliases }).await;
        let store = FakeStore::new();
        store.add(200);
        let running = Running::start(over_v5(upstream("127.0.0.1", broker.port, None)), &store);
        until("all delivered", || store.delivered() == 200).await;
        assert_eq!(broker.pending_max(), 2);
        assert_eq!(broker.first_arrivals(), numbers(1..=200));
        for got in broker.events() {
            assert!(got.topic.ends_with(&format!("sensor-{}", got.sequence() % 5)), "{got:?}");
        }
        running.stop().await;
        assert_eq!(broker.aliases_used(), used, "of {aliases}");
    }
}

#[tokio::test]
async fn an_event_refused_without_a_reason_is_tried_three_times_and_then_set_aside() {
    let broker = FakeBroker::start(Manner::Answers { sequence: 5, reason: 0x83, times: usize::MAX }).await;
    let store = FakeStore::new();
    store.add(20);
    let running = Running::start(over_v5(upstream("127.0.0.1", broker.port, None)), &store);
    until("all done", || store.delivered() == 20).await;
    let dead = store.dead();
    assert_eq!((dead.len(), dead[0].sequence, dead[0].attempts), (1, 5, 3));
    assert_eq!((broker.answered(), broker.connections()), (3, 1));
    running.stop().await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_pauses_and_loses_nothing() {
    let broker = FakeBroker::start(Manner::Answers { sequence: 5, reason: 0x97, times: 6 }).await;
    let store = FakeStore::new();
    store.add(40);
    let running = Running::start(over_v5(upstream("127.0.0.1", broker.port, None)), &store);
    until("all delivered", || store.delivered() == 40).await;
    assert!(store.dead().is_empty());
    assert_eq!((broker.answered(), broker.connections()), (6, 1));
    let counters = running.stop().await;
    assert_eq!((counters.events_delivered.get(), counters.upstream_refusals.get()), (40, 6));
}

#[tokio::test]
async fn an_event_refused_for_good_is_set_aside_at_once_with_the_reason() {
    for (reason, words) in
        [(0x87, "access rules"), (0x90, "does not take the topic"), (0x95, "too large"), (0x99, "payload")]
    {
        let broker = FakeBroker::start(Manner::Answers { sequence: 2, reason, times: usize::MAX }).await;
        let store = FakeStore::new();
        store.add(4);
        let running = Running::start(over_v5(upstream("127.0.0.1", broker.port, None)), &store);
        until("all done", || store.delivered() == 4).await;
        let dead = store.dead();
        assert_eq!((dead.len(), dead[0].sequence, broker.answered()), (1, 2, 1));
        assert!(dead[0].reason.contains(words), "{}", dead[0].reason);
        running.stop().await;
    }
}

#[tokio::test]
async fn refusals_and_goodbyes_of_mqtt_5_are_told_in_words() {
    let broker = FakeBroker::start(Manner::Refuses(0x8a)).await;
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(over_v5(upstream("127.0.0.1", broker.port, None)), &store);
    running.error_with("has banned this gateway").await;
    broker.behave(Manner::Refuses(0x86));
    running.error_with("refuses the user name or password").await;
    broker.behave(Manner::Refuses(0x84));
    running.error_with("protocol = \"3.1.1\"").await;
    broker.behave(Manner::Goodbye(0x8b));
    running.error_with("is being shut down").await;
    broker.behave(Manner::Goodbye(0x97));
    running.error_with("a quota is used up").await;
    broker.behave(Manner::Good);
    until("all delivered", || store.delivered() == 3).await;
    assert!(store.dead().is_empty(), "no event is blamed for any of it");
    running.stop().await;
}

#[tokio::test]
async fn a_gateway_whose_status_is_refused_forwards_all_the_same() {
    let broker = FakeBroker::start(Manner::RefusesStatus(0x87)).await;
    let store = FakeStore::new();
    store.add(50);
    let running = Running::start(over_v5(upstream("127.0.0.1", broker.port, None)), &store);
    until("all delivered", || store.delivered() == 50).await;
    running.stop().await;
    assert!(store.dead().is_empty());
    assert_eq!((broker.connections(), broker.disconnects(), broker.status().len()), (1, 1, 2));
}

#[tokio::test]
async fn refused_events_that_went_ahead_go_back_to_the_queue_which_sets_the_bad_one_aside() {
    for (reason, dead) in [(0x87, vec![15]), (0x97, vec![])] {
        let broker = FakeBroker::start(Manner::Answers { sequence: 15, reason, times: 6 }).await;
        let store = FakeStore::new();
        store.add(14);
        store.add_text(20, Severity::Critical);
        store.add(20);
        let upstream = Upstream { order: Order::SeverityFirst, ..over_v5(upstream("127.0.0.1", broker.port, None)) };
        let running = Running::start(upstream, &store);
        until("all done", || store.delivered() == 35).await;
        running.stop().await;
        assert_eq!(store.dead().iter().map(|letter| letter.sequence).collect::<Vec<_>>(), dead, "{reason:#x}");
        assert_eq!(broker.connections(), 1);
        let mut arrived = broker.first_arrivals();
        arrived.sort_unstable();
        arrived.extend(dead);
        arrived.sort_unstable();
        assert_eq!(arrived, numbers(1..=35));
    }
}
