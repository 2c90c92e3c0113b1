//! The gateway watches itself: alarms on its own readings are alarms like others.

use crate::stage::Stage;
use crate::support::consumer::{CLEARED, EXCEEDED};
use crate::support::gateway::{line, said};
use crate::support::{PATIENT, SOON, wait_until};

/// Keys of an alarm on one of the gateway's own readings.
fn alarm(name: &str, quantity: &str, condition: &str) -> String {
    line("name", name) + &format!("sensors = [\"gateway/{quantity}\"]\n{condition}\n")
}

#[test]
fn an_alarm_that_names_the_gateway_turns_its_readings_on() {
    let mut stage = Stage::with(|config| {
        config.gateway += "watch_every = \"1s\"\n";
        config.alarms.push(alarm("disk", "disk_free_percent", "low = 101"));
        config.alarms.push(alarm("cut-off", "upstream_connected", "equals = false"));
    });
    stage.start();
    // The other alarm may be raised, too: the connection need not be there at the first reading.
    let about_disk = || stage.consumer.about("gateway/disk_free_percent");
    wait_until("the alarm about the disk", PATIENT, || !about_disk().is_empty());
    let event = about_disk().remove(0);
    assert_eq!(event.kind, EXCEEDED);
    assert_eq!(event.data("unit"), "%");
    let metrics = said(&stage.ask(&["metrics"]));
    assert!(metrics.contains("tidegate_source_readings_total{source=\"gateway\"}"), "{metrics}");

    stage.network.down();
    wait_until("the alarm about the connection", PATIENT, || said(&stage.ask(&["alarms", "list"])).contains("cut-off"));
    stage.network.restore();
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    assert_eq!(stage.consumer.of_kind(CLEARED)[0].subject, "gateway/upstream_connected");
    assert!(stage.consumer.about("gateway/upstream_connected").len() >= 2);
}

#[test]
fn without_such_an_alarm_the_gateway_reads_nothing_of_itself_unless_told_to() {
    let mut stage = Stage::with(|config| config.gateway += "watch_every = \"1s\"\n");
    stage.start();
    stage.say("oven", 20.0, 1);
    wait_until("the sensor's reading", SOON, || stage.status()["readings"]["evaluated"] == 1);
    assert!(!said(&stage.ask(&["metrics"])).contains("source=\"gateway\""));

    let without = stage.config.clone();
    stage.config.gateway += "watch = true\n";
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    wait_until("its own readings", PATIENT, || stage.status()["readings"]["evaluated"].as_u64() > Some(4));

    stage.gateway.configure(&without);
    stage.gateway.reload();
    assert!(!said(&stage.ask(&["metrics"])).contains("source=\"gateway\""));
    assert!(stage.gateway.stop().success());
}
