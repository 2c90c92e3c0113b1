//! SIGHUP: a new configuration takes effect without a restart, a wrong one does not.

use crate::stage::Stage;
use crate::support::consumer::{CLEARED, Consumer, EXCEEDED, SOURCE_LOST, SOURCE_RESTORED};
use crate::support::gateway::{high_alarm, upstream};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::{PATIENT, SOON};

#[test]
fn a_new_alarm_takes_effect_and_active_ones_are_neither_lost_nor_repeated() {
    let mut stage = Stage::new();
    stage.start();
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, SOON);

    stage.config.alarms.push(high_alarm("warm", "plant/+/value", 40.0, "low"));
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.say("oven", 81.0, 2);
    stage.say("hall", 50.0, 1);
    stage.say("oven", 20.0, 3);
    stage.say("hall", 20.0, 2);
    stage.consumer.wait_for(CLEARED, 3, PATIENT);

    let story: Vec<_> = stage
        .consumer
        .events()
        .into_iter()
        .filter(|event| event.seq.is_some())
        .map(|event| {
            let alarm = event.data("alarm").as_str().unwrap().to_owned();
            (event.subject, alarm, event.kind == EXCEEDED, event.seq.unwrap())
        })
        .collect();
    let line = |subject: &str, alarm: &str, raised, seq| (subject.to_owned(), alarm.to_owned(), raised, seq);
    let mut expected = vec![
        line("plant/oven/value", "too-warm", true, 1),
        // The new alarm looks at the last value at once and does not wait for the next one.
        line("plant/oven/value", "warm", true, 1),
        line("plant/hall/value", "warm", true, 1),
        line("plant/oven/value", "too-warm", false, 3),
        line("plant/oven/value", "warm", false, 3),
        line("plant/hall/value", "warm", false, 2),
    ];
    // One reading that clears two alarms may say so in either order.
    let mut story = story;
    story.sort();
    expected.sort();
    assert_eq!(story, expected);
    let too_warm = stage.consumer.about("plant/oven/value");
    let too_warm: Vec<_> = too_warm.iter().filter(|event| event.data("alarm") == "too-warm").collect();
    assert_eq!(too_warm[1].json["correlationid"], too_warm[0].json["id"]);
    stage.consumer.assert_lossless();
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line_and_the_old_one_goes_on() {
    let mut stage = Stage::new();
    stage.start();
    let wrong = stage.config.text().replace("high = 75.0", "hihg = 75.0");
    let line = wrong.lines().position(|line| line.starts_with("hihg")).unwrap() + 1;
    stage.gateway.configure_text(&wrong);
    stage.gateway.signal("HUP");
    stage.gateway.wait_logged(&[&format!("tidegate.toml:{line}")]);
    stage.gateway.wait_logged(&["hihg"]);
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);

    // Repaired, it is taken.
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.cross(2, 11, 10);
    stage.consumer.wait_for_crossings(40, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_changed_upstream_is_gone_to() {
    let mut stage = Stage::new();
    stage.start();
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, SOON);

    let other = Mosquitto::start(stage.dir(), "other", Options::persistent());
    let there = Consumer::start(other.address(), "consumer");
    stage.config.upstream = upstream(&other.url());
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.cross(2, 11, 10);
    there.wait_for_crossings(20, PATIENT);
    there.assert_sound();
    stage.consumer.assert_lossless();
    assert_eq!(stage.consumer.crossings(), 20);
}

#[test]
fn a_reload_in_an_outage_loses_nothing() {
    let mut stage = Stage::new();
    stage.start();
    stage.network.down();
    stage.cross(4, 1, 20);
    stage.config.alarms.push(high_alarm("boiling", "plant/+/value", 100.0, "critical"));
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.cross(4, 21, 20);
    stage.network.restore();
    stage.consumer.wait_for_crossings(160, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn an_alarm_that_is_taken_out_says_nothing_more_and_others_go_on() {
    let mut stage = Stage::with(|config| config.alarms.push(high_alarm("warm", "plant/+/value", 40.0, "low")));
    stage.start();
    stage.cross(1, 1, 2);
    stage.consumer.wait_for(CLEARED, 2, SOON);
    stage.config.alarms.truncate(1);
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.cross(1, 3, 2);
    stage.consumer.wait_for(CLEARED, 3, PATIENT);
    let alarms: Vec<_> = stage.consumer.of_kind(CLEARED).iter().map(|event| event.data("alarm").clone()).collect();
    assert_eq!(alarms.iter().filter(|alarm| **alarm == "warm").count(), 1);
    stage.consumer.assert_lossless();
}

#[test]
fn what_needs_a_restart_is_refused_by_name() {
    let mut stage = Stage::new();
    stage.start();
    let other = stage.path("other").display().to_string();
    let gateway = stage.config.gateway.clone();
    for (key, changed) in [
        ("gateway.id", gateway.replace("gw1", "gw2")),
        ("gateway.control_socket", gateway.replace(stage.path("control.sock").to_str().unwrap(), &other)),
    ] {
        stage.config.gateway = changed;
        stage.gateway.configure(&stage.config);
        stage.gateway.reload();
        assert!(stage.gateway.logged(&[key, "needs a restart"]), "{}", stage.gateway.log());
    }
    assert_eq!(stage.status()["gateway"], "gw1");
    assert_eq!(stage.gateway.stop().code(), Some(0));
    assert!(!stage.path("control.sock").exists(), "a gateway that has stopped leaves no socket");
}

#[test]
fn a_source_that_a_reload_repairs_is_told_to_be_back() {
    let mut stage = Stage::new();
    let right = stage.config.clone();
    stage.config.sources[0] = stage.config.sources[0].replace(&stage.local.url(), "mqtt://127.0.0.1:1");
    stage.gateway.configure(&stage.config);
    stage.gateway.start();
    stage.consumer.wait_for(SOURCE_LOST, 1, SOON);
    // Another mistake is no other loss.
    stage.config.sources[0] = stage.config.sources[0].replace("127.0.0.1:1\"", "127.0.0.1:2\"");
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.gateway.wait_logged(&["127.0.0.1:2", "source"]);
    stage.gateway.configure(&right);
    stage.gateway.reload();
    stage.consumer.wait_for(SOURCE_RESTORED, 1, PATIENT);
    let (lost, restored) = (stage.consumer.of_kind(SOURCE_LOST), stage.consumer.of_kind(SOURCE_RESTORED));
    assert_eq!(lost.len(), 1);
    assert_eq!(restored[0].json["correlationid"], lost[0].json["id"]);
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_source_that_is_changed_under_load_neither_loses_nor_repeats() {
    let mut stage = Stage::new();
    stage.start();
    let source = stage.config.sources[0].clone();
    for round in 0..8 {
        stage.cross(4, round * 50 + 1, 50);
        stage.config.sources[0] = source.clone() + &format!("inflight_max = {}\n", 500 + round);
        stage.gateway.configure(&stage.config);
        stage.gateway.reload();
    }
    stage.consumer.wait_for_crossings(1_600, PATIENT);
    stage.consumer.assert_lossless();
    // The start, and each crossing once: what the old connection has taken does not come again over the new one.
    assert_eq!(stage.consumer.arrived(), 1_601, "{}", stage.consumer.summary());
}
