//! A real mosquitto on its own ports and directory.
//!
//! Every broker has a plain door on loopback, through which the test's publishers and consumers come and go without a
//! password. With TLS it has a second, the front door, which is the one the gateway is sent to.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::certs::Identity;
use super::wait::{PATIENT, SOON, holds_within, wait_until};
use super::{free_port, signal};

/// How often a first start is tried on other ports when somebody else was quicker.
const START_ATTEMPTS: usize = 5;

/// What a broker is like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The front door's certificate and key; without it the plain door is the front door.
    pub tls: Option<Identity>,
    /// PEM of the CA whose client certificates the front door asks for.
    pub client_ca: Option<PathBuf>,
    /// Accounts, name and password. A client that gives none is let in all the same, as are the tests' own.
    pub accounts: Vec<(String, String)>,
    /// Keep sessions and messages over a restart.
    pub persistence: bool,
    /// Further lines of mosquitto.conf.
    pub extra: Vec<String>,
}

impl Options {
    /// Sessions and messages survive a restart.
    pub fn persistent() -> Self {
        Self { persistence: true, ..Self::default() }
    }

    /// A front door with TLS.
    pub fn tls(identity: &Identity) -> Self {
        Self { tls: Some(identity.clone()), persistence: true, ..Self::default() }
    }
}

/// A broker; ends with its value.
#[derive(Debug)]
pub struct Mosquitto {
    /// May be changed while the broker is down; read at the next start.
    pub options: Options,
    dir: PathBuf,
    plain_port: u16,
    tls_port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker that keeps its files in `dir/name`.
    pub fn start(dir: &Path, name: &str, options: Options) -> Self {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).expect("make the broker's directory");
        let mut broker = Self { options, dir, plain_port: 0, tls_port: 0, child: None };
        for _ in 0..START_ATTEMPTS {
            broker.plain_port = free_port();
            broker.tls_port = free_port();
            if broker.try_start() {
                return broker;
            }
        }
        panic!("mosquitto does not start:\n{}", broker.log());
    }

    /// Where the gateway is sent to.
    pub fn port(&self) -> u16 {
        if self.options.tls.is_some() { self.tls_port } else { self.plain_port }
    }

    /// Where publishers, consumers and proxies of the tests come in.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.plain_port))
    }

    /// The front door as an address, for a proxy before it.
    pub fn front(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// `mqtt://` or `mqtts://` of the front door.
    pub fn url(&self) -> String {
        if self.options.tls.is_some() {
            format!("mqtts://localhost:{}", self.tls_port)
        } else {
            format!("mqtt://127.0.0.1:{}", self.plain_port)
        }
    }

    /// Ends it in good order, so that it saves what it keeps.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), "TERM");
            wait_until("mosquitto to end", SOON, || child.try_wait().expect("wait for mosquitto").is_some());
        }
    }

    /// Ends it at once; what it had in memory is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill mosquitto");
            child.wait().expect("wait for mosquitto");
        }
    }

    /// Starts it again on the same ports with the options as they are now.
    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "still running");
        wait_until("mosquitto to start again on its ports", SOON, || self.try_start());
    }

    /// Stop and start.
    pub fn restart(&mut self) {
        self.stop();
        self.resume();
    }

    /// Everything it has logged, over all starts.
    pub fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// How often a client has subscribed to something.
    pub fn subscriptions(&self, client_id: &str) -> usize {
        // mosquitto writes "<time>: <client> <qos> <filter>".
        let entry = format!(": {client_id} 1 ");
        self.log().lines().filter(|line| line.contains(&entry)).count()
    }

    /// Waits until a client has subscribed `times` times in all. Messages published before its first subscription
    /// reach nobody.
    pub fn wait_subscribed(&self, client_id: &str, times: usize) {
        wait_until(&format!("{client_id} to subscribe at the broker"), PATIENT, || {
            self.subscriptions(client_id) >= times
        });
    }

    fn try_start(&mut self) -> bool {
        let config = self.dir.join("mosquitto.conf");
        fs::write(&config, self.config()).expect("write mosquitto.conf");
        let mut child = Command::new(mosquitto_program())
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto starts; tests/run installs it");
        let mut ended = false;
        let accepts = holds_within(SOON, || {
            ended = child.try_wait().expect("wait for mosquitto").is_some();
            ended || [self.address(), self.front()].iter().all(|door| TcpStream::connect(door).is_ok())
        });
        if ended || !accepts {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        self.child = Some(child);
        true
    }

    fn config(&self) -> String {
        let dir = self.dir.display();
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("writing to a string");
        // Started by root it would become another user, who cannot read the test's directory.
        line(format_args!("user {}", user_name()));
        line(format_args!("log_dest file {dir}/log"));
        for kind in ["error", "warning", "notice", "information", "subscribe"] {
            line(format_args!("log_type {kind}"));
        }
        line(format_args!("allow_anonymous true"));
        line(format_args!("set_tcp_nodelay true"));
        // As many as it takes: what a queue drops is not the gateway's loss.
        line(format_args!("max_queued_messages 0"));
        line(format_args!("max_inflight_messages 1000"));
        if self.options.persistence {
            line(format_args!("persistence true"));
            line(format_args!("persistence_location {dir}/"));
        }
        if !self.options.accounts.is_empty() {
            line(format_args!("password_file {}", self.write_accounts().display()));
        }
        for extra in &self.options.extra {
            line(format_args!("{extra}"));
        }
        line(format_args!("listener {} 127.0.0.1", self.plain_port));
        if let Some(identity) = &self.options.tls {
            line(format_args!("listener {} 127.0.0.1", self.tls_port));
            line(format_args!("certfile {}", identity.cert.display()));
            line(format_args!("keyfile {}", identity.key.display()));
            if let Some(ca) = &self.options.client_ca {
                line(format_args!("cafile {}", ca.display()));
                line(format_args!("require_certificate true"));
            }
        }
        text
    }

    fn write_accounts(&self) -> PathBuf {
        let file = self.dir.join("accounts");
        fs::write(&file, "").expect("make the password file");
        for (name, password) in &self.options.accounts {
            let status = Command::new("mosquitto_passwd").arg("-b").arg(&file).args([name, password]).status();
            assert!(status.expect("mosquitto_passwd runs").success());
        }
        file
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Debian puts it where only root's PATH looks.
fn mosquitto_program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

fn user_name() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(output.stdout).expect("a user's name is text").trim().to_owned()
}
