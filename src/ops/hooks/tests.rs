//! Programs of alarms: run after the store, in time, bounded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use super::*;
use crate::event::samples;

fn raised() -> Event {
    let load = samples::Load { sensors: 1, rate: 10, between: 2, nanos: true, slow: false, level: false };
    let is_alarm = |event: &Event| matches!(&event.data, EventData::Alarm(alarm) if alarm.change == Change::Raised);
    samples::load(load, 40).into_iter().find(is_alarm).unwrap()
}

fn hook(event: &Event, command: &[&str], timeout: Duration) -> Hook {
    let EventData::Alarm(alarm) = &event.data else { panic!("{event:?}") };
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Hook { alarm: Arc::clone(&alarm.alarm), command, timeout, on: vec![HookOn::Exceeded] }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_program_gets_the_event_and_nothing_else_of_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let (input, environment) = (dir.path().join("input"), dir.path().join("environment"));
    let script = format!("cat > {}; env > {}", input.display(), environment.display());
    let event = raised();
    let hook = hook(&event, &["/bin/sh", "-c", &script], Duration::from_secs(20));
    runtime().block_on(run_program(&hook, &event, "gw")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(input).unwrap()).unwrap();
    assert_eq!((json["id"].as_str().unwrap(), json.get("sequence")), (&*event.id.to_string(), None));
    let environment = std::fs::read_to_string(environment).unwrap();
    for line in environment.lines() {
        let name = line.split('=').next().unwrap();
        // The shell's own.
        let is_known = name.starts_with("TIDEGATE_") || ["PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(&name);
        assert!(is_known, "{line}");
    }
    assert!(environment.contains(&format!("TIDEGATE_SENSOR={}\n", event.subject)), "{environment}");
    assert!(environment.contains("TIDEGATE_GATEWAY=gw\n") && environment.contains("TIDEGATE_ALARM="), "{environment}");
}

#[test]
fn one_that_takes_too_long_is_killed_with_all_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
    let event = raised();
    let hook = hook(&event, &["/bin/sh", "-c", &script], Duration::from_secs(1));
    let (failed, text) = runtime().block_on(run_program(&hook, &event, "gw")).unwrap_err();
    assert!(failed == Failed::Time && text.contains("1s"), "{text}");
    let pid = std::fs::read_to_string(pid).unwrap();
    let status = format!("/proc/{}/stat", pid.trim());
    // Gone, or dead and not yet waited for by whoever took it over.
    let ended = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !ended() {
        assert!(std::time::Instant::now() < deadline, "what the program started still runs");
        std::thread::yield_now();
    }
}

#[test]
fn one_that_does_not_read_fails_or_is_not_there_is_told_apart() {
    let event = raised();
    let run = |command: &[&str]| {
        let hook = hook(&event, command, Duration::from_secs(20));
        runtime().block_on(run_program(&hook, &event, "gw")).map_err(|(failed, _)| failed)
    };
    assert_eq!(run(&["/bin/true"]), Ok(()));
    assert_eq!(run(&["/bin/false"]), Err(Failed::Status));
    assert_eq!(run(&["/no/such/program"]), Err(Failed::Start));
}

#[test]
fn nothing_runs_before_its_event_is_stored_and_what_finds_no_room_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let event = raised();
    let script = format!("echo x >> {}", ran.display());
    let hooks: Arc<[Hook]> = Arc::from([hook(&event, &["/bin/sh", "-c", &script], Duration::from_secs(20))]);
    let (_hooks, hooks) = watch::channel(hooks);
    let counters = Arc::new(Counters::default());
    let (mut tap, runner) = channel(hooks, Arc::from("gw"), Arc::clone(&counters));
    runtime().block_on(async {
        let ack = tap.note(&[event.clone(), event.clone()]).unwrap();
        let never = tap.note(std::slice::from_ref(&event)).unwrap();
        let full = std::iter::repeat_with(|| tap.note(std::slice::from_ref(&event))).position(|ack| ack.is_none());
        assert_eq!(full, Some(COMMITS_WAITING_MAX - 2));
        assert_eq!(counters.hooks_dropped.get(), 1);
        drop(never);
        ack.release();
        drop(tap);
        runner.run().await;
    });
    assert_eq!(std::fs::read_to_string(&ran).unwrap().lines().count(), 2, "only what was stored");
    assert_eq!((counters.hooks_run.get(), counters.hooks_failed.get()), (2, 0));
}

#[test]
fn a_change_that_is_not_asked_for_runs_nothing() {
    let event = raised();
    let EventData::Alarm(alarm) = &event.data else { panic!("{event:?}") };
    let wanted = hook(&event, &["/bin/true"], Duration::from_secs(1));
    assert!(is_wanted(&wanted, alarm));
    assert!(!is_wanted(&Hook { on: vec![HookOn::Cleared, HookOn::Repeated], ..wanted.clone() }, alarm));
    assert!(!is_wanted(&Hook { alarm: Arc::from("other"), ..wanted }, alarm));
}
