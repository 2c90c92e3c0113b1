//! `tidegate reload`: who asks is told what came of it.

use std::process::Output;

use serde_json::Value;

use crate::stage::Stage;
use crate::support::consumer::EXCEEDED;
use crate::support::gateway::{SOURCE_CLIENT, TIDEGATE, high_alarm, line, said, tidegate};
use crate::support::{PATIENT, SOON, wait_until};

/// `tidegate reload --json`, with the exit code.
#[track_caller]
fn reload(stage: &Stage) -> (Option<i32>, Value) {
    let output = stage.ask(&["reload", "--json"]);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (output.status.code(), json)
}

/// With the gateway's own configuration file, as the unit does it.
fn reload_by_file(stage: &Stage, more: &[&str]) -> Output {
    let config = stage.path("gateway/tidegate.toml");
    tidegate(&[&["reload", "--config", config.to_str().unwrap()], more].concat())
}

#[test]
fn a_changed_threshold_is_told_and_acts() {
    let mut stage = Stage::new();
    stage.start();
    stage.config.alarms[0] = stage.config.alarms[0].replace("high = 75.0", "high = 40.0");
    stage.config.alarms.push(high_alarm("boiling", "plant/+/value", 100.0, "critical"));
    stage.gateway.configure(&stage.config);
    let output = stage.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("reloaded: 1 source, 2 alarms (1 added, 1 changed)"), "{}", said(&output));
    stage.say("oven", 50.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    assert_eq!(stage.consumer.of_kind(EXCEEDED)[0].data("alarm"), "too-warm");

    // Nothing has changed since, and that is an answer, too.
    let (code, json) = reload(&stage);
    assert_eq!((code, &json["outcome"]), (Some(0), &"reloaded".into()), "{json}");
    assert_eq!(json["changes"]["alarms"], serde_json::json!({ "total": 2, "added": 0, "changed": 0, "removed": 0 }));
    assert_eq!((&json["changes"]["sections"], &json["errors"]), (&serde_json::json!([]), &0.into()), "{json}");
    stage.consumer.assert_lossless();
}

#[test]
fn a_wrong_configuration_is_refused_with_file_line_and_key_and_the_old_one_goes_on() {
    let mut stage = Stage::new();
    stage.start();
    let wrong = stage.config.text().replace("high = 75.0", "hihg = 75.0");
    let line = wrong.lines().position(|line| line.starts_with("hihg")).unwrap() + 1;
    stage.gateway.configure_text(&wrong);
    let output = stage.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains(&format!("tidegate.toml:{line}")) && text.contains("hihg"), "{text}");
    assert!(text.contains("the old configuration stays in force"), "{text}");
    stage.gateway.wait_logged(&["hihg"]);

    let (code, json) = reload(&stage);
    assert_eq!((code, &json["outcome"]), (Some(78), &"refused".into()), "{json}");
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(json["errors"], problems.len());
    let about = problems.iter().find(|problem| problem["line"] == line).unwrap_or_else(|| panic!("{json}"));
    assert!(about["file"].as_str().unwrap().ends_with("tidegate.toml"), "{json}");
    assert!(about["message"].as_str().unwrap().contains("hihg"), "{json}");
    assert_eq!(about["label"], "did you mean `high`?", "{json}");
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn what_needs_a_restart_is_said_key_by_key_and_nothing_of_it_is_taken() {
    let mut stage = Stage::new();
    stage.start();
    let old = line("path", stage.path("store").display());
    stage.config.store = stage.config.store.replace(&old, &line("path", stage.path("elsewhere").display()));
    stage.config.gateway = stage.config.gateway.replace("gw1", "gw2");
    stage.config.alarms.push(high_alarm("boiling", "plant/+/value", 100.0, "critical"));
    stage.gateway.configure(&stage.config);
    let output = stage.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for words in ["`store.path`", "`gateway.id`", "needs a restart", "systemctl restart tidegate"] {
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
    let (code, json) = reload(&stage);
    assert_eq!((code, &json["outcome"]), (Some(1), &"restart-needed".into()), "{json}");
    let keys: Vec<&Value> = json["keys"].as_array().unwrap().iter().map(|key| &key["key"]).collect();
    assert_eq!(keys, ["gateway.id", "store.path"]);
    assert_eq!(json["keys"][0]["from"], "gw1");
    assert_eq!(stage.status()["gateway"], "gw1");
    assert!(!stage.path("elsewhere").exists());
    // The alarm of the same file is not in force either.
    stage.say("oven", 120.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    stage.cross(1, 1, 2);
    stage.consumer.wait_for_crossings(3, PATIENT);
    assert!(stage.consumer.events().iter().all(|event| event.data("alarm") != "boiling"));
}

#[test]
fn all_who_ask_at_once_are_answered() {
    let mut stage = Stage::new();
    stage.start();
    let socket = stage.path("control.sock");
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let mut command = std::process::Command::new(TIDEGATE);
            command.args(["reload", "--json", "--socket"]).arg(&socket).stdout(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    stage.gateway.signal("HUP");
    for one in asking {
        let output = one.wait_with_output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &json["outcome"]), (Some(0), &"reloaded".into()));
    }
    stage.cross(1, 1, 4);
    stage.consumer.wait_for_crossings(4, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn an_idle_gateway_takes_its_first_source_and_says_what_is_missing_before() {
    let mut stage = Stage::new();
    let (sources, alarms) = (std::mem::take(&mut stage.config.sources), std::mem::take(&mut stage.config.alarms));
    stage.gateway.configure(&stage.config);
    stage.gateway.start();
    stage.gateway.wait_logged(&["idle", "tidegate reload"]);
    let (code, json) = reload(&stage);
    assert_eq!(code, Some(0));
    assert!(json["note"].as_str().unwrap().contains("[[source]]"), "{json}");

    (stage.config.sources, stage.config.alarms) = (sources, alarms);
    stage.gateway.configure(&stage.config);
    let (code, json) = reload(&stage);
    assert_eq!(
        (code, &json["changes"]["sources"]["added"], &json["note"]),
        (Some(0), &1.into(), &Value::Null),
        "{json}"
    );
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(2, 1, 5);
    stage.consumer.wait_for_crossings(10, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_gateway_that_waits_for_its_store_answers_and_takes_another() {
    let mut stage = Stage::new();
    std::fs::write(stage.path("store"), "").unwrap();
    stage.gateway.start();
    stage.gateway.configure_text("[gateway\n");
    let (code, json) = reload(&stage);
    assert_eq!((code, &json["outcome"]), (Some(78), &"refused".into()), "{json}");
    let old = line("path", stage.path("store").display());
    stage.config.store = stage.config.store.replace(&old, &line("path", stage.path("elsewhere").display()));
    stage.gateway.configure(&stage.config);
    let (code, json) = reload(&stage);
    assert_eq!((code, &json["changes"]["sections"]), (Some(0), &serde_json::json!(["store"])), "{json}");
    assert!(json["note"].as_str().unwrap().contains("store"), "{json}");
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(1, 1, 4);
    stage.consumer.wait_for_crossings(4, PATIENT);
}

#[test]
fn an_engine_that_waits_for_the_store_does_not_keep_who_asks_waiting() {
    let mut stage = Stage::new();
    let obstacle = crate::stuck::start_stuck(&mut stage);
    let sent = crate::stuck::fill(&mut stage);
    let (code, json) = reload(&stage);
    assert_eq!((code, &json["outcome"]), (Some(0), &"reloaded".into()), "{json}");
    std::fs::remove_file(obstacle).unwrap();
    stage.consumer.wait_for_crossings(sent, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn the_socket_is_found_by_the_file_and_where_there_is_none_the_process_is_signalled() {
    let mut stage = Stage::new();
    stage.start();
    let output = reload_by_file(&stage, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("reloaded: 1 source, 1 alarm"), "{}", said(&output));
    assert_eq!(stage.gateway.stop().code(), Some(0));
    assert_eq!(reload_by_file(&stage, &[]).status.code(), Some(1), "nobody answers");

    let socket = line("control_socket", stage.path("control.sock").display());
    assert!(stage.config.gateway.contains(&socket));
    stage.config.gateway = stage.config.gateway.replace(&socket, "control_socket = \"off\"\n");
    stage.gateway.configure(&stage.config);
    stage.gateway.start();
    let output = reload_by_file(&stage, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("\"off\""), "{}", said(&output));
    let process = stage.gateway.pid().to_string();
    let ready = stage.gateway.notify.count("READY=1");
    let output = reload_by_file(&stage, &["--or-signal", &process, "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json["outcome"]), (Some(0), &"signalled".into()), "{}", said(&output));
    wait_until("the reload", SOON, || stage.gateway.notify.count("READY=1") > ready);

    let wrong = stage.config.text().replace("high = 75.0", "hihg = 75.0");
    stage.gateway.configure_text(&wrong);
    let output = reload_by_file(&stage, &["--or-signal", &process]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("hihg"), "{}", said(&output));
}

#[test]
fn it_is_completed_and_a_socket_that_is_not_there_is_named() {
    // Longer than a pipe holds: read while it runs.
    let output = std::process::Command::new(TIDEGATE).args(["completions", "bash"]).output().unwrap();
    assert!(said(&output).contains("tidegate,reload)"));
    let output = tidegate(&["reload", "--socket", "/nonexistent/control.sock"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("/nonexistent/control.sock"), "{}", said(&output));
    let output = tidegate(&["reload", "--or-signal", "1", "--config", "x.toml"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
