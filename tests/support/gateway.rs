//! The gateway under test: its configuration, its process, what it logs and what it tells systemd.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::notify::NotifySocket;
use super::signal;
use super::wait::{PATIENT, SOON, holds_within};

/// The binary that cargo has built for this test run.
pub const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// Client id under which the source of [`Config::example`] subscribes.
pub const SOURCE_CLIENT: &str = "tidegate-gw1-plant";

/// Lines of the log that a failing test shows.
const LOG_TAIL_LINES: usize = 60;

/// A configuration in pieces, so that a test changes only what it is about.
#[derive(Clone, Debug)]
pub struct Config {
    /// Keys of `[gateway]`.
    pub gateway: String,
    /// One `[[source]]` each, without the heading.
    pub sources: Vec<String>,
    /// One `[[alarm]]` each, without the heading.
    pub alarms: Vec<String>,
    /// Keys of `[store]`.
    pub store: String,
    /// Keys of `[upstream]`; empty for none.
    pub upstream: String,
    /// Keys of `[http]`. Off unless a test is about it: the tests share this machine's ports.
    pub http: String,
}

impl Config {
    /// Gateway `gw1`: source `plant` with sensors `plant/<device>/value` from topics `sensors/<device>/temp`, alarm
    /// `too-warm` above 75 with a deadband of 2, store in `dir/store`, short back-off.
    pub fn example(dir: &Path, source_url: &str, upstream_url: &str) -> Self {
        Self {
            gateway: line("id", "gw1") + &line("control_socket", dir.join("control.sock").display()),
            sources: vec![mqtt_source("plant", source_url)],
            alarms: vec![high_alarm("too-warm", "plant/+/value", 75.0, "high")],
            store: line("path", dir.join("store").display()) + "max_bytes = \"64MiB\"\n",
            upstream: upstream(upstream_url),
            http: "enabled = false\n".to_owned(),
        }
    }

    /// The file's content.
    pub fn text(&self) -> String {
        let mut text = format!("[gateway]\n{}", self.gateway);
        for source in &self.sources {
            write!(text, "\n[[source]]\n{source}").expect("writing to a string");
        }
        for alarm in &self.alarms {
            write!(text, "\n[[alarm]]\n{alarm}").expect("writing to a string");
        }
        write!(text, "\n[store]\n{}", self.store).expect("writing to a string");
        if !self.upstream.is_empty() {
            write!(text, "\n[upstream]\n{}", self.upstream).expect("writing to a string");
        }
        write!(text, "\n[http]\n{}", self.http).expect("writing to a string");
        text
    }
}

/// `key = "value"` as TOML.
pub fn line(key: &str, value: impl std::fmt::Display) -> String {
    let quoted = value.to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("{key} = \"{quoted}\"\n")
}

/// Keys of an MQTT source that takes JSON with `value` and carries `seq` and `ts`.
pub fn mqtt_source(name: &str, url: &str) -> String {
    line("name", name)
        + &line("type", "mqtt")
        + &line("url", url)
        + "topics = [\"sensors/+/temp\"]\n\
           decode = { format = \"json\", device = \"{topic[1]}\", fields = { value = \"°C\" }, carry = [\"seq\", \"ts\"] }\n"
}

/// Keys of a serial source of `key-value` lines.
pub fn serial_source(name: &str, port: &Path) -> String {
    line("name", name)
        + &line("type", "serial")
        + &line("port", port.display())
        + "baud = 115200\nframing = { by = \"line\" }\ndecode = { format = \"key-value\" }\n"
}

/// Keys of an alarm with a deadband of 2.
pub fn high_alarm(name: &str, sensors: &str, limit: f64, severity: &str) -> String {
    line("name", name)
        + &format!("sensors = [\"{sensors}\"]\nhigh = {limit:?}\ndeadband = 2.0\n")
        + &line("severity", severity)
}

/// Keys of an upstream that is tried again soon.
pub fn upstream(url: &str) -> String {
    line("url", url)
        + &line("topic", "tidegate/{gateway}/{severity}/{sensor}")
        + "backoff_min = \"100ms\"\nbackoff_max = \"1s\"\n"
}

/// A reading as the sensors of [`mqtt_source`] send it.
pub fn reading(value: f64, seq: u64) -> String {
    let ts = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_millis();
    format!(r#"{{"value":{value:?},"seq":{seq},"ts":{ts}}}"#)
}

/// The value of a sensor's message number `seq`, from 1, so that every message crosses the limit of
/// [`Config::example`]: up, down, up, down.
pub fn crossing_value(seq: u64) -> f64 {
    if seq % 2 == 1 { 80.0 } else { 20.0 }
}

/// A gateway; its process ends with its value.
#[derive(Debug)]
pub struct Gateway {
    dir: PathBuf,
    config: PathBuf,
    log: PathBuf,
    environment: Vec<(OsString, OsString)>,
    /// A program and its arguments that becomes the gateway (`prlimit`).
    wrapper: Vec<OsString>,
    child: Option<Child>,
    /// What it tells systemd, over all starts.
    pub notify: NotifySocket,
    /// How often it was started.
    starts: usize,
    /// The user and group it runs as, where not the test's own.
    user: Option<u32>,
}

impl Gateway {
    /// A gateway that is not started yet; its files are in `dir`.
    pub fn new(dir: &Path, config: &Config) -> Self {
        fs::create_dir_all(dir).expect("make the gateway's directory");
        let gateway = Self {
            dir: dir.to_owned(),
            config: dir.join("tidegate.toml"),
            log: dir.join("gateway.log"),
            environment: Vec::new(),
            wrapper: Vec::new(),
            child: None,
            notify: NotifySocket::bind(&dir.join("notify")),
            starts: 0,
            user: None,
        };
        gateway.configure(config);
        gateway
    }

    /// Sets a variable of its environment, from the next start on.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    /// Starts it by way of another program from now on; that must become the gateway, not call it.
    pub fn wrap(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(OsString::from).collect();
    }

    /// Lets it run as another user and group from the next start on; only root may. What it is to reach must be open
    /// to that user.
    pub fn run_as(&mut self, id: u32) {
        let open = |path: &Path, mode: u32| {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("open it to another user");
        };
        open(&self.dir, 0o755);
        open(self.notify.path(), 0o666);
        self.user = Some(id);
    }

    /// Replaces the configuration file.
    pub fn configure(&self, config: &Config) {
        self.configure_text(&config.text());
    }

    /// Replaces the configuration file by any text.
    pub fn configure_text(&self, text: &str) {
        let new = self.dir.join("tidegate.toml.new");
        fs::write(&new, text).expect("write the configuration");
        fs::rename(&new, &self.config).expect("put the configuration in place");
    }

    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        let before = self.notify.count("READY=1");
        self.spawn();
        let mut ended = None;
        let ready = holds_within(PATIENT, || {
            ended = self.try_wait();
            ended.is_some() || self.notify.count("READY=1") > before
        });
        assert!(ready && ended.is_none(), "the gateway is not ready (ended: {ended:?})");
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "already running");
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("open the gateway's log");
        let errors = File::try_clone(&log).expect("share the log");
        let mut words = self.wrapper.iter().map(OsString::as_os_str).chain([TIDEGATE.as_ref()]);
        let mut command = Command::new(words.next().expect("at least the gateway's own name"));
        command.args(words).arg("run").arg("--config").arg(&self.config);
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command.env("NOTIFY_SOCKET", self.notify.path()).env("RUST_BACKTRACE", "1");
        command.envs(unit_environment());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        self.child = Some(command.spawn().expect("start the gateway"));
        self.starts += 1;
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none() && self.child.is_some()
    }

    /// `kill -9`, if it has not ended by itself; the status tells.
    pub fn kill(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        child.kill().expect("kill the gateway");
        child.wait().expect("wait for the gateway")
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// SIGTERM; waits until it has ended.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_exit(SOON)
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        let mut status = None;
        holds_within(timeout, || {
            status = self.try_wait();
            status.is_some()
        });
        let Some(status) = status else { panic!("the gateway has not ended within {timeout:?}") };
        self.child = None;
        status
    }

    /// SIGHUP; waits until it says that it has read its configuration and is ready again.
    #[track_caller]
    pub fn reload(&self) {
        let (reloading, ready) = (self.notify.count("RELOADING=1"), self.notify.count("READY=1"));
        self.signal("HUP");
        let done =
            holds_within(SOON, || self.notify.count("RELOADING=1") > reloading && self.notify.count("READY=1") > ready);
        assert!(done, "the reload was not announced: {:?}", self.notify.notices());
    }

    /// Everything logged so far, over all starts.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Whether one line of the log has all the words.
    pub fn logged(&self, words: &[&str]) -> bool {
        self.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Waits until one line of the log has all the words.
    #[track_caller]
    pub fn wait_logged(&self, words: &[&str]) {
        assert!(holds_within(SOON, || self.logged(words)), "no line of the log has {words:?}");
    }

    /// Whether it has a file open, by the name the system knows it by (a link's target).
    pub fn has_open(&self, path: &Path) -> bool {
        has_open(self.pid(), path)
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("wait for the gateway"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = self.log();
        if std::thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            println!("--- end of the gateway's log (started {} times)\n{}\n---", self.starts, tail.join("\n"));
            return;
        }
        if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
            panic!("the gateway panicked: {line}\n{log}");
        }
    }
}

/// What the unit sets for the gateway.
fn unit_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    let unit = include_str!("../../systemd/tidegate.service");
    unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

/// Whether a process has a file open, by the name the system knows it by (a link's target).
pub fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

/// Runs a command of the binary to its end, without input; kills it after a while.
pub fn tidegate(arguments: &[&str]) -> Output {
    let mut child = Command::new(TIDEGATE)
        .args(arguments)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the binary");
    // What these commands print fits into a pipe's buffer, so nobody has to read while they run.
    if !holds_within(SOON, || child.try_wait().expect("wait for the binary").is_some()) {
        let _ = child.kill();
        panic!("tidegate {arguments:?} does not end: {:?}", child.wait_with_output());
    }
    child.wait_with_output().expect("collect the output")
}

/// Both outputs of a command as one text.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
