//! What stands aside of the data path: Home Assistant's view of the alarms, and programs run for their events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use crate::stage::Stage;
use crate::support::gateway::{SOURCE_CLIENT, line};
use crate::support::mqtt::{Packet, Session, publish_frame};
use crate::support::{PATIENT, SOON, wait_until};

/// A topic of our own, on which we tell ourselves that we have seen everything.
const SEEN: &str = "test/seen";

/// What a broker keeps, under which topics; nothing while it is away.
fn retained(address: SocketAddr) -> BTreeMap<String, Vec<u8>> {
    look(address).unwrap_or_default()
}

fn look(address: SocketAddr) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut session = Session::connect(address, "looks-at-retained", true)?;
    for filter in [SEEN, "homeassistant/#", "tidegate/#"] {
        session.subscribe(filter)?;
    }
    // It comes behind all that the subscriptions bring.
    session.send(&publish_frame(SEEN, b"", Some(1), false))?;
    let mut found = BTreeMap::new();
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        if let Some(Packet::Publish { topic, payload, .. }) = session.poll()? {
            if topic == SEEN {
                return Ok(found);
            }
            // An empty one is being taken away while we look.
            if payload.is_empty() {
                found.remove(&topic);
            } else {
                found.insert(topic, payload);
            }
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

fn discovery(address: SocketAddr) -> Vec<Value> {
    let all = retained(address);
    let configs = all.iter().filter(|(topic, _)| topic.ends_with("/config"));
    configs.map(|(_, payload)| serde_json::from_slice(payload).unwrap()).collect()
}

fn text(address: SocketAddr, topic: &Value) -> String {
    let found = retained(address).remove(topic.as_str().unwrap()).unwrap_or_default();
    String::from_utf8(found).unwrap()
}

/// A stage whose gateway also has `[home_assistant]`; the configuration's text is put together here.
fn show_at_home(stage: &Stage) {
    let text = stage.config.text() + "\n[home_assistant]\nenabled = true\n" + &line("source", "plant");
    stage.gateway.configure_text(&text);
}

#[test]
fn home_assistant_sees_alarms_come_and_go_through_a_broker_that_forgets() {
    let mut stage = Stage::new();
    show_at_home(&stage);
    stage.start();
    let address = stage.local.address();
    stage.say("oven", 20.0, 1);
    wait_until("discovery", PATIENT, || discovery(address).len() == 1);
    let message = discovery(address).remove(0);
    assert_eq!((&message["device_class"], &message["payload_on"]), (&"problem".into(), &"ON".into()));
    assert_eq!(message["device"]["identifiers"][0], "tidegate_gw1");
    let unique = message["unique_id"].as_str().unwrap().to_owned();
    assert!(unique.starts_with("tidegate_gw1_too-warm_plant_oven_value"), "{unique}");
    let (state, availability) = (&message["state_topic"], &message["availability_topic"]);
    wait_until("the state", PATIENT, || text(address, state) == "OFF" && text(address, availability) == "online");

    stage.say("oven", 80.0, 2);
    wait_until("ON", PATIENT, || text(address, state) == "ON");
    wait_until("its value", PATIENT, || {
        let attributes: Value =
            serde_json::from_str(&text(address, &message["json_attributes_topic"])).unwrap_or_default();
        attributes["value"] == 80.0
            && attributes["limit"] == 75.0
            && attributes["severity"] == "high"
            && attributes["since"].is_string()
    });

    stage.local.kill();
    let forgot = stage.path("local/mosquitto.db");
    let _ = std::fs::remove_file(forgot);
    stage.local.resume();
    wait_until("all of it again", PATIENT, || {
        discovery(address).len() == 1 && text(address, state) == "ON" && text(address, availability) == "online"
    });

    // The source has a connection of its own, and comes back in its own time; until then this broker keeps nothing for it.
    stage.local.wait_subscribed(SOURCE_CLIENT, 2);
    stage.say("oven", 20.0, 3);
    wait_until("OFF", PATIENT, || text(address, state) == "OFF");
    stage.gateway.kill();
    wait_until("the will", PATIENT, || text(address, availability) == "offline");

    // The alarm is not configured any more: it goes, over a restart.
    stage.config.alarms[0] = stage.config.alarms[0].replace("too-warm", "too-hot");
    show_at_home(&stage);
    stage.gateway.start();
    stage.say("oven", 21.0, 4);
    wait_until("the other alarm alone", PATIENT, || {
        let all = discovery(address);
        all.len() == 1 && all[0]["name"] == "too-hot plant/oven/value"
    });
    wait_until("online again", PATIENT, || text(address, availability) == "online");
    stage.gateway.stop();
    wait_until("the farewell", SOON, || text(address, availability) == "offline");
}

#[test]
fn a_program_runs_for_a_raise_and_a_clear_after_they_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let script = format!(
        "read event; echo \\\"$TIDEGATE_EVENT $TIDEGATE_SENSOR $TIDEGATE_VALUE $event\\\" >> {}",
        ran.display()
    );
    let mut stage = Stage::with(|config| {
        config.alarms[0].push_str(&format!("on_event = {{ command = [\"/bin/sh\", \"-c\", \"{script}\"] }}\n"));
    });
    stage.network.down();
    stage.start();
    stage.say("oven", 80.0, 1);
    let lines = || {
        let text = std::fs::read_to_string(&ran).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("the first run", PATIENT, || lines().len() == 1);
    stage.say("oven", 20.0, 2);
    wait_until("the second run", PATIENT, || lines().len() == 2);
    let lines = lines();
    assert!(lines[0].starts_with("tidegate.threshold.exceeded.v1 plant/oven/value 80"), "{lines:?}");
    assert!(lines[1].starts_with("tidegate.threshold.cleared.v1 plant/oven/value 20"), "{lines:?}");
    let event: Value = serde_json::from_str(&lines[0][lines[0].find('{').unwrap()..]).unwrap();
    stage.network.restore();
    wait_until("the same event upstream", PATIENT, || {
        stage.consumer.about("plant/oven/value").first().is_some_and(|first| first.id == event["id"])
    });
}

#[test]
fn a_program_that_fails_is_told_once_and_holds_up_nothing() {
    let mut stage = Stage::with(|config| {
        config.alarms[0].push_str("on_event = { command = [\"/no/such/program\"] }\n");
    });
    stage.start();
    stage.cross(5, 1, 10);
    stage.consumer.wait_for_crossings(50, PATIENT);
    stage.gateway.wait_logged(&["/no/such/program does not exist"]);
    stage.gateway.wait_logged(&["too-warm", "/no/such/program", "cannot be started"]);
    stage.gateway.stop();
    assert_eq!(stage.gateway.log().matches("cannot be started").count(), 1, "once");
}
