//! MQTT 5 upstream: the whole gateway over TLS, in both modes of CloudEvents, and at a broker that refuses something;
//! beside it what MQTT 3.1.1 makes of such a broker.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{Client, Event, MqttOptions};

use serde_json::Value;

use crate::stage::Stage;
use crate::support::certs::Authority;
use crate::support::consumer::LOST;
use crate::support::gateway::{line, said};
use crate::support::mosquitto::Options;
use crate::support::{PATIENT, wait_until};

fn stage(further: &str) -> Stage {
    stage_at("5", &[], further)
}

/// Speaks a version of MQTT over TLS to a broker with further lines in its configuration. A sensor's `note` is carried
/// into its events.
fn stage_at(protocol: &str, broker: &[&str], further: &str) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let trusted = line("ca_file", ca.cert.display());
    let extra = broker.iter().map(|line| line.replace("{dir}", dir.path().to_str().unwrap())).collect();
    fs::write(dir.path().join("acl"), ACL).unwrap();
    let upstream = Options { extra, ..Options::tls(&ca.server()) };
    Stage::build(dir, upstream, |config| {
        config.sources[0] = config.sources[0].replace("\"ts\"]", "\"ts\", \"note\"]");
        config.upstream += &(trusted + &line("protocol", protocol) + further);
    })
}

/// Nobody may say anything of the second sensor.
const ACL: &str = "topic readwrite #\ntopic deny tidegate/gw1/high/plant/s1/#\n";

/// With the tests' usual 0 this mosquitto (2.0.11) hangs up after each refusal.
const QUEUED: &str = "max_queued_messages 100000";

fn letters(stage: &Stage) -> Vec<Value> {
    let output = stage.ask(&["dead", "list", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

/// Alarm events as they come from the broker, to a subscriber that speaks MQTT 5.
fn listen(port: u16) -> mpsc::Receiver<Publish> {
    let (events, receiver) = mpsc::channel();
    let (ready, subscribed) = mpsc::channel();
    let (client, mut link) = Client::new(MqttOptions::new("listener", "127.0.0.1", port), 8);
    client.subscribe("tidegate/gw1/high/#", QoS::AtLeastOnce).unwrap();
    thread::spawn(move || {
        // Lives as long as the connection is wanted.
        let _client = client;
        for event in link.iter() {
            match event {
                Ok(Event::Incoming(Packet::SubAck(_))) => ready.send(()).unwrap(),
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if events.send(publish).is_err() {
                        break;
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    });
    subscribed.recv_timeout(PATIENT).unwrap();
    receiver
}

#[test]
fn structured_events_cross_an_outage_over_mqtt_5_without_loss() {
    let mut stage = stage("user_properties = { site = \"north\" }\nmessage_expiry = \"7d\"\n");
    stage.start();
    stage.cross(4, 1, 50);
    stage.consumer.wait_for_crossings(200, PATIENT);
    stage.upstream.kill();
    stage.cross(4, 51, 50);
    stage.upstream.resume();
    stage.consumer.wait_for_crossings(400, PATIENT);
    stage.consumer.assert_lossless();
    let status = stage.status();
    assert_eq!(status["upstream"]["connected"], true, "{status}");
}

#[test]
fn binary_events_have_their_attributes_as_properties_and_the_data_alone_as_payload() {
    let mut stage = stage(&line("mode", "binary"));
    let events = listen(stage.upstream.address().port());
    stage.start();
    stage.cross(1, 1, 10);
    let until = Instant::now() + PATIENT;
    let mut sequences = Vec::new();
    for _ in 0..10 {
        let event = events.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap();
        let properties = event.properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("application/json"));
        let attribute = |name: &str| {
            let found = properties.user_properties.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(attribute("specversion"), "1.0");
        assert_eq!(attribute("subject"), "plant/s0/value");
        assert!(attribute("type").starts_with("tidegate.threshold."));
        assert_eq!(attribute("correlationid").len(), 36);
        let data: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(data["alarm"], "too-warm", "{data}");
        sequences.push(attribute("sequence"));
    }
    assert!(sequences.is_sorted() && sequences[0].len() == 20, "{sequences:?}");
}

#[test]
fn delivered_events_that_nobody_subscribes_to_are_shown() {
    let mut stage = stage("");
    let unheard = stage.config.text().replace("tidegate/{gateway}/{severity}", "unheard/{gateway}/{severity}");
    stage.gateway.configure_text(&unheard);
    stage.start();
    stage.cross(1, 1, 4);
    wait_until("delivered to nobody", PATIENT, || {
        stage.status()["upstream"]["unmatched"].as_u64().is_some_and(|count| count >= 4)
    });
    let shown = said(&stage.ask(&["status"]));
    assert!(shown.contains("had no subscriber at the broker"), "{shown}");
}

#[test]
fn what_the_access_rules_forbid_is_a_dead_letter_and_the_rest_flows() {
    let mut stage = stage_at("5", &["acl_file {dir}/acl", QUEUED], "");
    stage.start();
    stage.cross(3, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    wait_until("every event of the second sensor to be set aside", PATIENT, || letters(&stage).len() == 10);
    let letters = letters(&stage);
    for letter in &letters {
        assert_eq!((&letter["sensor"], &letter["attempts"]), (&"plant/s1/value".into(), &1.into()), "{letter}");
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.contains("publish to \"tidegate/gw1/high/plant/s1/value\""), "{reason}");
        assert!(reason.contains("access rules"), "{reason}");
    }
    wait_until("the losses to be announced", PATIENT, || stage.consumer.count(LOST) > 0);
    stage.consumer.assert_accounted();
    assert_eq!((stage.consumer.repeats(), stage.consumer.out_of_order()), (0, 0));
    assert!(!stage.gateway.logged(&["not connected upstream"]), "the connection stays");
    assert_eq!(stage.status()["upstream"]["refusals"], letters.len(), "each is asked about once");
    assert!(said(&stage.ask(&["status"])).contains("times the broker refused an event"));
}

#[test]
fn access_rules_that_forbid_everything_by_mistake_cost_no_event() {
    let mut stage = stage_at("5", &["acl_file {dir}/acl", QUEUED], "");
    let rules = stage.path("acl");
    fs::write(&rules, "topic read #\n").unwrap();
    stage.upstream.kill();
    stage.upstream.resume();
    stage.start();
    stage.cross(3, 1, 20);
    wait_until("the status to tell", PATIENT, || stage.status()["upstream"]["refused"].is_string());
    wait_until("it to have been asked again", PATIENT, || {
        stage.status()["upstream"]["refusals"].as_u64().is_some_and(|count| count > 17)
    });
    let shown = said(&stage.ask(&["status"]));
    for part in ["EVENTS ARE REFUSED", "tidegate/gw1/", "access rules (ACL)", "are kept"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(stage.gateway.logged(&["the broker refuses events and has taken none since"]));
    assert_eq!((letters(&stage).len(), stage.consumer.arrived()), (0, 0));
    fs::write(&rules, "topic readwrite #\n").unwrap();
    stage.upstream.kill();
    stage.upstream.resume();
    stage.consumer.wait_for_crossings(60, PATIENT);
    stage.consumer.assert_lossless();
    assert!(letters(&stage).is_empty());
    wait_until("the status to tell no more", PATIENT, || stage.status()["upstream"]["refused"].is_null());
}

#[test]
fn what_is_too_large_for_the_broker_is_a_dead_letter_and_the_rest_flows() {
    let mut stage = stage_at("5", &["message_size_limit 2500", QUEUED], "");
    stage.start();
    shout(&mut stage);
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    wait_until("the event to be set aside", PATIENT, || letters(&stage).len() == 1);
    let letter = letters(&stage).remove(0);
    assert_eq!((&letter["sensor"], &letter["attempts"]), (&"plant/s9/value".into(), &1.into()), "{letter}");
    assert!(letter["reason"].as_str().unwrap().contains("too large"), "{letter}");
    wait_until("the loss to be announced", PATIENT, || stage.consumer.count(LOST) == 1);
    stage.consumer.assert_accounted();
}

#[test]
fn over_mqtt_3_1_1_mosquitto_swallows_what_it_refuses_and_the_rest_flows() {
    let mut stage = stage_at("3.1.1", &["acl_file {dir}/acl", "message_size_limit 2500", QUEUED], "");
    stage.start();
    shout(&mut stage);
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(10, PATIENT);
    // It acknowledges them like all others: nobody can know. That is what MQTT 5 is for.
    let swallowed =
        || stage.status()["upstream"]["delivered"].as_u64().unwrap().saturating_sub(stage.consumer.arrived());
    wait_until("the broker to take what does not arrive", PATIENT, || swallowed() == 11);
    assert!(letters(&stage).is_empty());
    assert!(stage.consumer.about("plant/s1/value").is_empty() && stage.consumer.about("plant/s9/value").is_empty());
    assert_eq!(stage.consumer.count(LOST), 0);
}

/// A crossing whose event has more than 3,000 bytes.
fn shout(stage: &mut Stage) {
    let payload = format!(r#"{{"value":80.0,"seq":1,"note":"{}"}}"#, "x".repeat(3_000));
    stage.publisher.publish("sensors/s9/temp", payload);
    stage.publisher.flush();
}
