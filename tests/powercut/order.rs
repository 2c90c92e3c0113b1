//! The order of system calls: the real binary under strace, and what its trace shows.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use self::check::{Shown, check};
use super::trace::parse;
use crate::support::gateway::{Config, SOURCE_CLIENT, TIDEGATE, crossing_value, reading};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::publisher::Publisher;
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, signal, wait_until};

mod check;

/// The calls that matter here.
const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fsync,\
                     fdatasync,sync_file_range,msync";

/// What strace prints of a call's bytes: more than a commit of these tests has.
const BYTES_SHOWN: &str = "4194304";

/// The gateway under strace; both end with the value.
struct Traced {
    strace: Child,
}

impl Traced {
    fn start(dir: &Path, config: &Config) -> Self {
        let file = dir.join("tidegate.toml");
        std::fs::write(&file, config.text()).unwrap();
        let log = std::fs::File::create(dir.join("strace.log")).unwrap();
        let strace = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-yy",
                "-xx",
                "--seccomp-bpf",
                "-e",
                "signal=none",
                "-e",
                CALLS,
                "-s",
                BYTES_SHOWN,
                "-o",
            ])
            .arg(dir.join("trace"))
            .args([TIDEGATE, "run", "--config"])
            .arg(&file)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let strace =
            strace.unwrap_or_else(|error| panic!("strace: {error}; this test needs it, tests/run installs it"));
        Self { strace }
    }

    /// Fails with what strace and the gateway said when they have ended.
    fn assert_running(&mut self, dir: &Path) {
        if let Some(status) = self.strace.try_wait().unwrap() {
            let said = std::fs::read_to_string(dir.join("strace.log")).unwrap_or_default();
            panic!(
                "strace has ended ({status}); it must be allowed to trace its own child (no ptrace ban by a container's \
                 seccomp profile, kernel.yama.ptrace_scope below 3):\n{said}"
            );
        }
    }

    /// The gateway's process: strace's only child.
    fn gateway(&self) -> Option<u32> {
        let pid = self.strace.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn stop(&mut self) {
        signal(self.gateway().expect("the gateway runs"), "TERM");
        wait_until("strace to end after the gateway", PATIENT, || self.strace.try_wait().unwrap().is_some());
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.strace.try_wait().is_ok_and(|status| status.is_none()) {
            if let Some(gateway) = self.gateway() {
                signal(gateway, "KILL");
            }
            let _ = self.strace.kill();
            let _ = self.strace.wait();
        }
    }
}

/// Messages through a traced gateway, and what the trace shows. `inflight`: how many the local broker sends before it
/// has seen them acknowledged. Without an upstream nothing but the messages makes the store write.
fn run(messages: u64, inflight: u32, has_upstream: bool) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let extra = vec![format!("max_inflight_messages {inflight}")];
    let local = Mosquitto::start(dir.path(), "local", Options { extra, ..Options::persistent() });
    let upstream = Mosquitto::start(dir.path(), "upstream", Options::default());
    let mut config = Config::example(dir.path(), &local.url(), &upstream.url());
    if !has_upstream {
        config.upstream.clear();
    }
    let mut traced = Traced::start(dir.path(), &config);
    let subscribed = holds_within(PATIENT, || {
        traced.assert_running(dir.path());
        local.subscriptions(SOURCE_CLIENT) == 1
    });
    assert!(subscribed, "the traced gateway does not subscribe");
    let mut publisher = Publisher::new(local.address(), "sensors");
    for seq in 1..=messages {
        publisher.publish("sensors/s/temp", reading(crossing_value(seq), seq));
    }
    publisher.flush();
    let broker = format!("127.0.0.1:{}", local.port());
    let mut shown = Shown::default();
    let all = holds_within(SOON, || {
        traced.assert_running(dir.path());
        shown = look(dir.path(), &broker);
        shown.acknowledged as u64 == messages
    });
    assert!(all, "not everything is acknowledged: {shown:?}");
    traced.stop();
    look(dir.path(), &broker)
}

/// What the trace shows so far.
fn look(dir: &Path, broker: &str) -> Shown {
    let text = std::fs::read_to_string(dir.join("trace")).unwrap_or_default();
    // While strace is writing the last line may be half of one.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let calls =
        parse(&text[..whole]).unwrap_or_else(|error| panic!("strace wrote what this test cannot read: {error}"));
    // Event 1 says that the gateway has started.
    check(&calls, broker, 2)
}

#[test]
fn a_message_alone_is_acknowledged_after_the_sync_of_its_own_event() {
    let messages = 50;
    let shown = run(messages, 1, false);
    println!("{shown:?}");
    let count = usize::try_from(messages).unwrap();
    assert_eq!(shown, Shown { published: count, acknowledged: count, syncs: count, faults: Vec::new() });
}

#[test]
fn messages_in_a_burst_are_acknowledged_after_the_syncs_of_their_events() {
    let messages = 2_000;
    let shown = run(messages, 1_000, true);
    println!("{} messages acknowledged after {} syncs", shown.acknowledged, shown.syncs);
    assert!(shown.faults.is_empty(), "{} faults, among them {:?}", shown.faults.len(), &shown.faults[..1]);
    assert_eq!((shown.published as u64, shown.acknowledged as u64), (messages, messages));
    assert!(shown.syncs < shown.acknowledged, "no commit had several messages: this was no burst");
}
