//! What the running gateway logs, and how that is changed from outside.

use crate::stage::Stage;
use crate::support::consumer::EXCEEDED;
use crate::support::gateway::said;
use crate::support::{PATIENT, SOON, wait_until};

fn levels(stage: &Stage) -> String {
    said(&stage.ask(&["log-level"]))
}

#[test]
fn the_log_level_is_changed_for_a_while_and_falls_back() {
    let mut stage = Stage::new();
    stage.start();
    assert_eq!(levels(&stage), "info\n");
    let output = stage.ask(&["log-level", "app=debug"]);
    assert_eq!(said(&output), "info\ntidegate::app=debug\n");
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    let event = stage.consumer.of_kind(EXCEEDED).remove(0);
    // One event can be followed by its id, its sensor and its episode.
    let id = event.json["id"].as_str().unwrap().to_owned();
    stage.gateway.wait_logged(&["DEBUG", &format!("event_id={id}"), "plant/oven/value", "correlation_id="]);

    let output = stage.ask(&["log-level", "debug", "--for", "1s"]);
    assert_eq!(said(&output), "debug (configured: info)\ntidegate::app=debug\n");
    stage.gateway.wait_logged(&["the log level is as configured again"]);
    assert_eq!(levels(&stage), "info\n");
    stage.say("oven", 20.0, 2);
    stage.consumer.wait_for_crossings(2, PATIENT);
    assert!(!stage.gateway.logged(&["DEBUG", "threshold.cleared"]));
}

#[test]
fn a_change_without_end_lasts_until_it_is_taken_back_and_a_reload_sets_what_is_configured() {
    let mut stage = Stage::new();
    stage.start();
    stage.ask(&["log-level", "trace"]);
    stage.config.gateway += "log_level = \"warn\"\n";
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    assert_eq!(levels(&stage), "trace (configured: warn)\n");
    assert_eq!(said(&stage.ask(&["log-level", "default"])), "warn\n");
}

#[test]
fn what_is_no_level_is_refused_before_the_gateway_is_asked() {
    let stage = Stage::new();
    for wrong in [&["log-level", "loud"][..], &["log-level", "a b=debug"], &["log-level", "--for", "1s"]] {
        let output = stage.ask(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", said(&output));
    }
    assert!(said(&stage.ask(&["log-level", "loud"])).contains("expected error, warn, info, debug or trace"));
}

#[test]
fn json_lines_are_objects_with_the_fields_of_the_line() {
    let mut stage = Stage::with(|config| config.gateway += "log_format = \"json\"\n");
    stage.start();
    wait_until("the connection", SOON, || stage.gateway.logged(&["connected upstream"]));
    let log = stage.gateway.log();
    // The last line may not be whole yet.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let lines: Vec<serde_json::Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let started = lines.iter().find(|line| line["message"] == "started").unwrap();
    assert_eq!((&started["level"], &started["gateway"]), (&"INFO".into(), &"gw1".into()));
    // That cannot be changed while it runs.
    stage.config.gateway = stage.config.gateway.replace("\"json\"", "\"text\"");
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.gateway.wait_logged(&["log_format", "needs a restart"]);
}
