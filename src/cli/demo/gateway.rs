//! The gateway under show: our own executable as a child process, with a configuration written for it.
//!
//! Owns the demo's directory and the child; both are gone when the demo ends, however it ends (the directory stays with
//! `--keep`).

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Lines of the gateway's log that are shown when something went wrong.
const LOG_LINES_SHOWN: usize = 15;

/// Where the demo's files are.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub path: PathBuf,
    keep: bool,
}

impl Place {
    /// Makes a directory that only we can read.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn make(keep: bool) -> Result<Self, String> {
        let name = format!("tidegate-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is in the system's directory for temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// What the configuration is about.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The demo's directory.
    pub place: &'a Path,
    /// The local broker's port.
    pub local_port: u16,
    /// The TLS front's port.
    pub upstream_port: u16,
    /// Who signed its certificate.
    pub ca_file: &'a Path,
    /// The serial device.
    pub serial: &'a Path,
}

/// The configuration file's text.
pub fn configuration(settings: &Settings<'_>) -> String {
    // The escapes of a JSON text are those of a TOML text.
    let quoted = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
    let mut text = String::from(
        "# Written by `tidegate demo`. Everything in it can be used in a configuration of your own.\n\n\
         [gateway]\n\
         id = \"demo\"\n\n\
         [http]\n\
         # The page's usual port may be that of a gateway at work on this machine.\n\
         enabled = false\n",
    );
    let _ = write!(
        text,
        r#"
[[source]]
name = "plant"
type = "mqtt"
url = "mqtt://127.0.0.1:{local_port}"
topics = ["plant/+"]

[source.decode]
format = "json"
device = "{{topic[1]}}"
fields = {{ temperature = "°C" }}
ts_field = "ts"
ts_unit = "ms"
carry = ["seq"]

[[source]]
name = "boiler"
type = "serial"
port = {serial}
baud = 9600
framing = {{ by = "line", first_line = "keep" }}

[source.decode]
format = "key-value"
fields = {{ pressure = "bar" }}
carry = ["seq"]

[[alarm]]
name = "too-hot"
description = "A press above what its oil can stand"
sensors = ["plant/+/temperature"]
high = 75.0
deadband = 2.0
severity = "high"

[[alarm]]
name = "over-pressure"
description = "The boiler above its working pressure"
sensors = ["boiler/pressure"]
high = 6.0
deadband = 0.5
severity = "critical"

[store]
path = {store}
max_bytes = "64MiB"

[upstream]
url = "mqtts://127.0.0.1:{upstream_port}"
ca_file = {ca}
# A real gateway is more patient; this one has half a minute.
backoff_min = "100ms"
backoff_max = "500ms"
"#,
        local_port = settings.local_port,
        upstream_port = settings.upstream_port,
        serial = quoted(settings.serial),
        store = quoted(&settings.place.join("store")),
        ca = quoted(settings.ca_file),
    );
    text
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
}

impl Gateway {
    /// Starts `tidegate run` with its output going to the end of `log`.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn start(configuration: &Path, log: &Path) -> Result<Self, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("our own program is not to be found: {error}"))?;
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let log_failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let (out, err): (File, File) = (open().map_err(log_failed)?, open().map_err(log_failed)?);
        let child = Command::new(&program)
            .arg("run")
            .arg("--config")
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Were the demo itself a service, the child would speak for it.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", program.display()))?;
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// kill -9: no chance to write anything down.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn kill(mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| format!("kill -9: {error}"))
    }

    /// Asks it to stop and waits for it, at most `patience`.
    ///
    /// # Errors
    ///
    /// In words, when it does not stop or not well.
    pub async fn stop(mut self, patience: Duration) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("the gateway has no process id")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("the gateway cannot be asked to stop: {error}"))?;
        let wait = async {
            loop {
                if let Some(status) = self.ended() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the gateway ended with {status}")),
            Err(_) => Err(format!("the gateway did not stop within {patience:?}")),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Nothing to do about a child that cannot be killed; one that has ended is none.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is in the gateway's log: lines, warnings, errors.
pub fn log_summary(log: &Path) -> (usize, usize, usize) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let with = |level: &str| text.lines().filter(|line| line.contains(level)).count();
    (text.lines().count(), with("WARN"), with("ERROR"))
}

/// The end of the gateway's log.
pub fn log_end(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_the_gateway_takes() {
        let place = Place::make(false).unwrap_or_else(|error| panic!("{error}"));
        let ca_file = place.path.join("ca.pem");
        super::super::broker::certificates(&ca_file).unwrap_or_else(|error| panic!("{error}"));
        let text = configuration(&Settings {
            place: &place.path,
            local_port: 1883,
            upstream_port: 8883,
            ca_file: &ca_file,
            serial: Path::new("/dev/pts/0"),
        });
        let file = place.path.join("tidegate.toml");
        std::fs::write(&file, &text).unwrap_or_else(|error| panic!("{error}"));
        let loaded = crate::config::load(&file, &|_| None).unwrap_or_else(|report| panic!("{}", report.render(false)));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
        let files = crate::config::files::check(&loaded);
        assert!(files.is_empty(), "{}", files.render(false));
        assert_eq!((loaded.config.sources.len(), loaded.config.alarms.len()), (2, 2));
        let path = place.path.clone();
        drop(place);
        assert!(!path.exists());
    }
}
