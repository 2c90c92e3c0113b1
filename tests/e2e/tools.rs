//! A technician's tools: looking on, trying a sample, recording and replaying readings through other alarms.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::stage::Stage;
use crate::support::gateway::{TIDEGATE, high_alarm, line, said, serial_source, tidegate};
use crate::support::mosquitto::Options;
use crate::support::pty::SerialDevice;
use crate::support::{PATIENT, SOON, wait_until};

/// A command that goes on, and the lines it has printed so far; ends with its value.
struct Following {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Following {
    fn tap(stage: &Stage, arguments: &[&str]) -> Self {
        let mut child = Command::new(TIDEGATE)
            .args(["tap", "--json", "--socket"])
            .arg(stage.path("control.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (into, out) = (Arc::clone(&lines), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                into.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    /// The lines of one kind so far.
    fn of(&self, kind: &str) -> Vec<Value> {
        self.lines.lock().unwrap().iter().filter(|line| line["kind"] == kind).cloned().collect()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command with something on its standard input.
fn with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(TIDEGATE)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_tap_shows_payloads_readings_refusals_and_what_the_alarms_made_of_them() {
    let mut stage = Stage::new();
    stage.start();
    let all = Following::tap(&stage, &["--raw"]);
    let decoded = Following::tap(&stage, &["--source", "plant"]);
    let mut seq = 0;
    wait_until("both to look on", SOON, || {
        seq += 1;
        stage.say("oven", 20.0, seq);
        !all.of("reading").is_empty() && !decoded.of("reading").is_empty()
    });
    let inside = &decoded.of("reading")[0];
    assert_eq!(inside["sensor"], "plant/oven/value");
    assert_eq!((&inside["value"], &inside["unit"]), (&20.0.into(), &"°C".into()));
    assert_eq!(inside["alarms"][0]["because"], "inside");
    stage.say("oven", 80.0, seq + 1);
    let raised = |tap: &Following| tap.of("reading").into_iter().find(|line| line["value"] == 80.0);
    wait_until("the crossing", SOON, || raised(&all).is_some() && raised(&decoded).is_some());
    let alarm = &raised(&all).unwrap()["alarms"][0];
    assert_eq!(
        (&alarm["alarm"], &alarm["acted"], &alarm["because"]),
        (&"too-warm".into(), &"raised".into(), &"active".into())
    );
    stage.say("oven", 74.0, seq + 2);
    wait_until("the deadband", SOON, || {
        let readings = decoded.of("reading");
        readings.last().unwrap()["alarms"][0]["because"] == "deadband"
    });
    stage.publisher.publish("sensors/oven/temp", "{broken");
    stage.publisher.flush();
    wait_until("the refusal", SOON, || decoded.of("refused").first().is_some_and(|line| line["reason"] == "malformed"));
    let hex: String = "{broken".bytes().map(|byte| format!("{byte:02x}")).collect();
    wait_until("its bytes", SOON, || all.of("bytes").last().is_some_and(|line| line["hex"] == hex.as_str()));
    assert_eq!(decoded.of("bytes").len(), 0, "bytes are shown when asked for");

    let unknown = stage.ask(&["tap", "--source", "kettle"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("there are plant"), "{}", said(&unknown));
    assert_eq!(stage.ask(&["tap", "--for", "50ms"]).status.code(), Some(0));
    // Those who look on do not keep a gateway from stopping.
    assert!(stage.gateway.stop().success());
}

#[test]
fn a_serial_port_is_seen_before_it_is_cut_into_lines() {
    let dir = tempfile::tempdir().unwrap();
    let device = SerialDevice::plug_in(&dir.path().join("usb-boiler-if00-port0"));
    let mut stage = Stage::build(dir, Options::persistent(), |config| {
        config.sources.push(serial_source("boiler", device.link()));
        config.alarms.push(high_alarm("boiling", "boiler/#", 75.0, "critical") + "on_delay = \"1h\"\n");
    });
    stage.start();
    wait_until("the port to be opened", SOON, || stage.gateway.has_open(device.name()));
    let tap = Following::tap(&stage, &["--raw", "--source", "boiler"]);
    device.repeat_until("t=80", "the reading", || !tap.of("reading").is_empty());
    let alarm = &tap.of("reading")[0]["alarms"][0];
    assert_eq!((&alarm["because"], &alarm["state"]), (&"on-delay".into(), &"pending".into()));
    assert!(alarm["remaining_ms"].as_u64().unwrap() > 3_000_000, "{alarm}");
    // No end of a line, so no message, and yet it is seen.
    device.send("half");
    wait_until("the bytes", SOON, || {
        tap.of("bytes").iter().any(|line| line["hex"].as_str().unwrap().ends_with("68616c66"))
    });
}

#[test]
fn what_was_recorded_says_what_other_alarms_would_have_done() {
    let mut stage = Stage::new();
    let folder = stage.path("readings");
    stage.config.upstream.push_str(&format!("\n[record]\n{}", line("path", folder.display())));
    stage.gateway.configure(&stage.config);
    stage.start();
    stage.cross(2, 1, 50);
    wait_until("the readings", PATIENT, || stage.status()["readings"]["evaluated"] == 100);
    assert!(stage.gateway.stop().success());
    // What is in memory when it is killed is lost, and no more.
    stage.start();
    stage.cross(1, 51, 10);
    wait_until("more readings", PATIENT, || stage.status()["readings"]["evaluated"] == 10);
    stage.gateway.kill();

    let running = stage.path("gateway/tidegate.toml");
    let new = stage.path("new.toml");
    let changed = stage.config.text().replace("75.0", "100.0");
    std::fs::write(&new, changed + "\n[[alarm]]\n" + &high_alarm("too-hot", "plant/s0/value", 75.0, "high")).unwrap();
    let arguments = ["backtest", "--config", text(&new), "--against", text(&running), "--readings", text(&folder)];
    let output = tidegate(&[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["readings"], &report["sensors"], &report["bad"]["count"]), (&100.into(), &2.into(), &0.into()));
    let alarm = |index: usize| &report["alarms"][index];
    assert_eq!((&alarm(0)["standing"], &alarm(0)["watches"]), (&"changed".into(), &2.into()));
    assert_eq!((&alarm(0)["new"]["raised"], &alarm(0)["running"]["raised"]), (&0.into(), &50.into()));
    assert_eq!((&alarm(1)["standing"], &alarm(1)["new"]["raised"]), (&"added".into(), &25.into()));
    let output = tidegate(&arguments);
    let words = said(&output);
    assert!(words.contains("0 (50)") && words.contains("raised 25 times in all instead of 50"), "{words}");

    let missing = tidegate(&["backtest", "--config", text(&new), "--readings", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    std::fs::write(&new, "[gatway]\n").unwrap();
    assert_eq!(tidegate(&arguments).status.code(), Some(78));
}

#[test]
fn a_backtest_that_could_judge_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("new.toml");
    let pieces = crate::support::gateway::Config::example(dir.path(), "mqtt://127.0.0.1:1", "mqtt://127.0.0.1:2");
    std::fs::write(&config, pieces.text()).unwrap();
    let run = |name: &str, readings: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, readings).unwrap();
        let arguments = ["--config", text(&config), "--against", text(&config), "--readings", text(&file)];
        let output = tidegate(&[&["backtest"], &arguments[..]].concat());
        (output.status.code(), said(&output))
    };
    let (code, words) = run("semi.csv", "time;sensor;value;unit\n2026-01-01T00:00:00Z;plant/oven/value;80,5;C\n");
    assert_eq!(code, Some(1), "{words}");
    assert!(
        words.contains("error: no reading in ") && words.contains("semi.csv; line 1: its columns are separated by `;`")
    );
    assert!(!words.contains("raised"), "{words}");
    for nothing in ["", "time,sensor,value\n", "# nothing\n"] {
        let (code, words) = run("empty.csv", nothing);
        assert!(code == Some(1) && words.contains("no reading in "), "{code:?} {words}");
    }
    let (code, words) = run("other.csv", "2026-01-01T00:00:00Z,elsewhere/a/t,80.5\n");
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("warning: no alarm watches any of these sensors (elsewhere/a/t)"), "{words}");
    let (code, words) = run("good.csv", "2026-01-01T00:00:00Z,plant/oven/value,80.5\n");
    assert!(code == Some(0) && !words.contains("warning"), "{code:?} {words}");
}

#[test]
fn a_sample_is_decoded_and_judged_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tidegate.toml");
    let mut pieces = crate::support::gateway::Config::example(dir.path(), "mqtt://127.0.0.1:1", "mqtt://127.0.0.1:2");
    pieces.sources.push(serial_source("boiler", Path::new("/dev/none")));
    pieces.alarms.push(high_alarm("boiling", "boiler/#", 75.0, "critical") + "on_delay = \"15s\"\n");
    std::fs::write(&config, pieces.text()).unwrap();
    let test = |arguments: &[&str], input: &str| {
        let output = with_input(&[&["test", "--config", text(&config)], arguments].concat(), input.as_bytes());
        (output.status.code(), said(&output))
    };
    let plant = ["--source", "plant", "--topic", "sensors/oven/temp"];
    let (code, words) = test(&plant, "{\"value\": 80}\n");
    assert_eq!(code, Some(0), "{words}");
    assert!(
        words.contains("plant/oven/value = 80 °C") && words.contains("too-warm: RAISED, active, above 75"),
        "{words}"
    );
    let (code, words) = test(&[&plant[..], &["--hex"]].concat(), "7b22 76616c 7565 223a 7b7d 7d");
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("REFUSED plant sensors/oven/temp"), "{words}");
    // A device's words are shown, not obeyed.
    let (_, words) = test(&["--source", "plant", "--topic", "sensors/\u{1b}[2J\u{202e}oven/temp"], "{\"value\": 80}");
    assert!(words.contains(r"/\u{1b}[2J\u{202e}oven/"), "{words}");
    assert!(!words.contains(['\u{1b}', '\u{202e}']), "{words:?}");
    let (code, words) = test(&[&plant[..], &["--hex"]].concat(), "7b \u{1b}[2J");
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains(r"`\x1b` is no hex digit"), "{words}");
    let lines = "{\"value\": 80}\nnonsense\n{\"value\": 20}\n";
    let (code, words) = test(&[&plant[..], &["--lines", "--json"]].concat(), lines);
    let kinds: Vec<Value> = words.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let kinds: Vec<&str> = kinds.iter().map(|line: &Value| line["kind"].as_str().unwrap()).collect();
    assert_eq!((code, kinds), (Some(1), vec!["reading", "refused", "reading"]), "{words}");

    // The delay passes between the lines, by the tool's own clock.
    let (code, words) = test(&["--source", "boiler", "--every", "10s"], "t=80\r\nt=81\r\nt=20");
    assert_eq!(code, Some(0), "{words}");
    for part in ["raised in 15s", "raised in 5s", "boiling: RAISED by time", "boiling: CLEARED, normal"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    for (arguments, part) in [
        (&["--source", "kettle"][..], "there are: plant, boiler"),
        (&["--source", "plant"], "--topic is missing"),
        (&["--source", "plant", "--topic", "attic/temp"], "none of the source's topics"),
        (&["--source", "boiler", "--topic", "x"], "no topics"),
        (&["--source", "boiler", "--hex"], "no hex digit"),
    ] {
        let (code, words) = test(arguments, "t=80\n");
        assert!(code == Some(2) && words.contains(part), "{arguments:?}: {words}");
    }
}

/// Loads what `discover` has printed as the gateway would.
fn assert_loads(dir: &Path, output: &Output) -> String {
    let proposal = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    let file = dir.join("proposal.toml");
    std::fs::write(&file, &proposal).unwrap();
    let check = tidegate(&["check", "--config", text(&file)]);
    assert_eq!(check.status.code(), Some(0), "{}\n{proposal}", said(&check));
    proposal
}

#[test]
fn a_serial_port_is_discovered_and_the_proposal_loads() {
    let dir = tempfile::tempdir().unwrap();
    let device = SerialDevice::plug_in(&dir.path().join("usb-boiler-if00-port0"));
    let mut child = Command::new(TIDEGATE)
        .args(["discover", "--for", "4s", "--port", text(device.link())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut number = 0;
    device.repeat_until("t=20.5 h=48%", "the end of listening", || {
        number += 1;
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    let proposal = assert_loads(dir.path(), &output);
    for part in ["format = \"key-value\"", "unit = \"°C\"", "% of", "understood", "# [[alarm]]"] {
        assert!(proposal.contains(part), "{part}: {proposal}");
    }
    let nothing = tidegate(&["discover", "--for", "200ms", "--port", text(&dir.path().join("none"))]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(said(&nothing).contains("cannot be opened"), "{}", said(&nothing));
    assert_eq!(tidegate(&["discover"]).status.code(), Some(2));
}

#[test]
fn a_broker_is_discovered_and_keeps_nothing_of_it() {
    let mut stage = Stage::new();
    let mut child = Command::new(TIDEGATE)
        .args(["discover", "--for", "4s", "--topic", "sensors/#", "--url", &stage.local.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seq = 0;
    wait_until("the end of listening", SOON, || {
        seq += 1;
        stage.say("oven", 20.0, seq);
        stage.say("kettle", 80.0, seq);
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    let proposal = assert_loads(stage.dir(), &output);
    for part in ["topics = [\"sensors/+/temp\"]", "device = \"{topic[1]}\"", "20 to 80", "ts_field = \"ts\""] {
        assert!(proposal.contains(part), "{part}: {proposal}");
    }
}

#[test]
fn the_ports_of_a_machine_are_listed_also_where_there_are_none() {
    let output = tidegate(&["ports", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(serde_json::from_slice::<Value>(&output.stdout).unwrap().is_array());
    let dir = tempfile::tempdir().unwrap();
    let none = tidegate(&["ports", "--root", text(dir.path())]);
    assert_eq!(none.status.code(), Some(0));
    assert!(said(&none).contains("no serial port is present"), "{}", said(&none));
}
