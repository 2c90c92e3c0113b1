//! One run of a program: the event on its standard input, a bounded time, and no more of our environment than it needs.
//!
//! Owns the process and its group: when the time is over, or we end, all of the group is killed.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::config::model::{Encoding, Hook};
use crate::event::{Event, EventData, wire};

/// Where programs that it starts are looked for when our own environment does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How a run failed: each kind is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failed {
    /// It could not be started.
    Start,
    /// Its time was over.
    Time,
    /// It ended with an error.
    Status,
}

/// Kills a process group unless that is not needed any more.
struct Group(Option<rustix::process::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Runs it to its end.
pub(super) async fn run_program(hook: &Hook, event: &Event, gateway: &str) -> Result<(), (Failed, String)> {
    let Some((program, arguments)) = hook.command.split_first() else { return Ok(()) };
    let input = without_sequence(event, gateway);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .envs(environment(event, gateway))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| (Failed::Start, format!("{program} cannot be started: {error}")))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    let mut group = Group(pid);
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // It need not read.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        }
        child.wait().await
    };
    match tokio::time::timeout(hook.timeout, work).await {
        Err(_) => Err((Failed::Time, format!("{program} took longer than {:?} and was killed", hook.timeout))),
        Ok(Err(error)) => Err((Failed::Status, format!("{program} cannot be waited for: {error}"))),
        Ok(Ok(status)) => {
            // What it left behind on purpose may go on.
            group.0 = None;
            if status.success() { Ok(()) } else { Err((Failed::Status, format!("{program} ended with {status}"))) }
        }
    }
}

/// The event as CloudEvents JSON. Its number is given by the store and not known here.
fn without_sequence(event: &Event, gateway: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(event, gateway, Encoding::Json, false, &mut bytes);
    let Ok(mut json) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) else {
        return bytes;
    };
    json.remove("sequence");
    let mut bytes = serde_json::Value::Object(json).to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn environment(event: &Event, gateway: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("TIDEGATE_GATEWAY", gateway.to_owned()),
        ("TIDEGATE_EVENT", event.data.event_type().to_owned()),
        ("TIDEGATE_ID", event.id.to_string()),
        ("TIDEGATE_SENSOR", event.subject.to_string()),
        ("TIDEGATE_SEVERITY", event.severity.as_str().to_owned()),
    ];
    if let EventData::Alarm(alarm) = &event.data {
        let value = alarm.value.as_ref().and_then(|value| serde_json::to_value(value).ok());
        let value = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        all.push(("TIDEGATE_ALARM", alarm.alarm.to_string()));
        all.push(("TIDEGATE_VALUE", value.unwrap_or_default()));
        all.push(("TIDEGATE_UNIT", alarm.unit.as_deref().unwrap_or_default().to_owned()));
    }
    // What comes from a device could hold anything, but no program takes a NUL in its environment.
    all.retain(|(_, value)| !value.contains('\0'));
    all
}
