//! MQTT 5 upstream: the whole gateway over TLS, in both modes of CloudEvents.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{Client, Event, MqttOptions};

use crate::stage::Stage;
use crate::support::certs::Authority;
use crate::support::gateway::{line, said};
use crate::support::mosquitto::Options;
use crate::support::{PATIENT, wait_until};

fn stage(further: &str) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let trusted = line("ca_file", ca.cert.display());
    Stage::build(dir, Options::tls(&ca.server()), |config| {
        config.upstream += &(trusted + &line("protocol", "5") + further);
    })
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
    let events = listen(stage.upstream.port());
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
