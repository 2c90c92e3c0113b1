//! `tidegate top` in a real terminal: what it shows, and that the terminal is given back on every way out.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};
use serde_json::Value;

use crate::stage::Stage;
use crate::support::gateway::{TIDEGATE, said, tidegate};
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, wait_until};

/// A terminal, and the program in it; ends with its value.
struct Terminal {
    child: Child,
    ours: File,
    theirs: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs a program in a terminal of the usual size.
    fn run(command: &mut Command) -> Self {
        let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&ours).unwrap();
        rustix::pty::unlockpt(&ours).unwrap();
        let name = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&theirs, size).unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        let child = command.spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (into, mut from) = (Arc::clone(&shown), File::from(ours.try_clone().unwrap()));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { child, ours: File::from(ours), theirs, shown }
    }

    fn top(socket: &Path) -> Self {
        Self::run(Command::new(TIDEGATE).args(["top", "--socket"]).arg(socket))
    }

    fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    /// What has been written since it was last forgotten. Words stand in one piece, the blanks between them may not.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn forget(&self) {
        self.shown.lock().unwrap().clear();
    }

    #[track_caller]
    fn wait_for(&self, words: &str) {
        let is_shown = holds_within(PATIENT, || self.text().contains(words));
        assert!(is_shown, "{words} is not shown: {:?}", self.text());
    }

    fn is_raw(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.theirs).unwrap().local_modes;
        !modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for its end, and asserts that the terminal is as it was.
    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the program to end", PATIENT, || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        self.wait_for("\u{1b}[?1049l");
        self.wait_for("\u{1b}[?25h");
        assert!(!self.is_raw(), "the terminal is given back");
        ended.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway with two sensors, one of them too warm.
fn plant() -> Stage {
    let mut stage = Stage::new();
    stage.start();
    stage.say("oven1", 80.5, 1);
    stage.say("attic", 20.25, 2);
    wait_until("the readings", SOON, || stage.status()["readings"]["evaluated"] == 2);
    stage
}

#[test]
fn the_terminal_shows_the_plant_follows_keys_and_is_given_back() {
    let mut stage = plant();
    let mut terminal = Terminal::top(&stage.path("control.sock"));
    for words in ["\u{1b}[?1049h", "plant/oven1/value", "plant/attic/value", "upstream", "1 alarm is active", "20.25"] {
        terminal.wait_for(words.split(' ').next_back().unwrap());
    }
    assert!(terminal.is_raw());
    // A new value comes by itself.
    stage.say("attic", 33.75, 3);
    terminal.wait_for("33.75");
    // To the left of the sensors are the alarms.
    terminal.forget();
    terminal.press("\u{1b}[D");
    terminal.wait_for("too-warm");
    terminal.press("/att\r");
    terminal.forget();
    terminal.press("\u{c}");
    terminal.wait_for("plant/attic/value");
    assert!(!terminal.text().contains("plant/oven1/value"), "{:?}", terminal.text());
    terminal.press("q");
    assert!(terminal.end().success());
}

#[test]
fn a_gateway_that_goes_is_told_and_one_that_comes_back_is_shown() {
    let mut stage = plant();
    let mut terminal = Terminal::top(&stage.path("control.sock"));
    terminal.wait_for("plant/oven1/value");
    terminal.forget();
    stage.gateway.kill();
    terminal.wait_for("reachable,");
    assert!(terminal.child.try_wait().unwrap().is_none(), "it goes on");
    stage.gateway.start();
    stage.say("cellar", 55.5, 4);
    terminal.wait_for("plant/cellar/value");
    // A signal, as from a session that ends.
    kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
    assert!(terminal.end().success());
}

#[test]
fn without_a_gateway_it_waits_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::top(&dir.path().join("none.sock"));
    terminal.wait_for("reachable,");
    terminal.press("\u{3}");
    assert!(terminal.end().success());
    for flag in ["--once", "--json"] {
        let output = tidegate(&["top", flag, "--socket", "/nonexistent/control.sock"]);
        assert_eq!(output.status.code(), Some(1), "{flag}");
        assert!(said(&output).contains("is the gateway running?"), "{}", said(&output));
    }
}

#[test]
#[ignore = "run in a terminal by the next test"]
fn panics_while_the_terminal_is_taken() {
    let _screen = tidegate::cli::top::screen::Screen::take().unwrap();
    panic!("something went wrong on purpose");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "top::panics_while_the_terminal_is_taken",
        "--ignored",
        "--nocapture",
        "--test-threads",
        "1",
    ]);
    let mut terminal = Terminal::run(&mut command);
    assert!(!terminal.end().success());
    terminal.wait_for("something went wrong on purpose");
    let text = terminal.text();
    assert!(text.find("\u{1b}[?1049l") < text.find("something went wrong"), "{text:?}");
}

#[test]
fn one_look_is_plain_text_or_json_also_where_the_page_is_off() {
    let stage = plant();
    let socket = stage.path("control.sock");
    let ask = |flags: &[&str]| {
        let output = Command::new(TIDEGATE).arg("top").args(flags).arg("--socket").arg(&socket).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    // Neither is a terminal here.
    for text in [ask(&["--once"]), ask(&[])] {
        assert!(!text.contains('\u{1b}'), "{text:?}");
        for words in
            ["gw1 1 alarm is active", "upstream connected", "plant/oven1/value", "80.5", "too-warm", "Sources 1"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    let state: Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    assert_eq!((&state["kind"], &state["alarms"][0]["alarm"]), (&"full".into(), &"too-warm".into()));
    assert_eq!(state["sensors"].as_array().unwrap().len(), 2);
}

#[test]
fn however_much_is_said_the_gateway_looks_once_a_second() {
    let mut stage = plant();
    let mut stream = UnixStream::connect(stage.path("control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENT)).unwrap();
    stream.write_all(b"GET /v1/state/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap).filter(|line| line.contains("data: "));
    let first = lines.next().unwrap();
    assert!(first.contains("\"kind\":\"full\""), "{first}");
    lines.next().unwrap();
    let start = Instant::now();
    for seq in 0..200 {
        stage.say("oven1", 20.0 + f64::from(seq), 10 + u64::from(seq as u32));
    }
    for _ in 0..3 {
        assert!(lines.next().unwrap().contains("\"kind\":\"delta\""));
    }
    assert!(start.elapsed() >= Duration::from_millis(1_900), "three updates in {:?}", start.elapsed());
}
