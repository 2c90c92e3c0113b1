//! One upstream broker of any make, on its own ports and in its own folder, behind mutual TLS and a password.
//!
//! The configurations here are the tested ones: README shows the same lines.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::owned::{self, Owned};
use crate::support::certs::{Authority, Identity, Validity, client_config};
use crate::support::free_port;
use crate::support::mqtt::{Door, Session};
use crate::support::wait::holds_within;

/// Whom the gateway and the tests' consumer log in as.
pub const ACCOUNT: &str = "gw1";

/// The right password.
pub const PASSWORD: &str = "r1ght-s3cret";

/// Largest packet that a picky mosquitto takes, bytes; a usual event has about 1,000.
const PICKY_BYTES: usize = 3_000;

/// A sensor's device whose events a picky broker does not take: mosquitto by their size, the others by their topic.
pub const UNWANTED: &str = "oven";

/// How long a broker may take to start. RabbitMQ on a small busy machine takes tens of seconds.
const START_MAX: Duration = Duration::from_secs(180);

/// How often a start is tried on other ports when somebody else was quicker.
const START_ATTEMPTS: usize = 3;

/// Whose broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Eclipse mosquitto.
    Mosquitto,
    /// RabbitMQ with its MQTT plugin.
    RabbitMq,
    /// NATS with JetStream.
    Nats,
}

impl Make {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::RabbitMq => "RabbitMQ",
            Self::Nats => "NATS",
        }
    }

    /// Whether it acknowledges only what it still has after a `kill -9`. mosquitto keeps messages in memory and writes
    /// them out now and then.
    pub fn keeps_what_it_acknowledged(self) -> bool {
        self != Self::Mosquitto
    }
}

/// Ports of one broker.
#[derive(Clone, Copy, Debug)]
struct Ports {
    mqtt: u16,
    /// The broker's own protocol, or whatever else it must listen on.
    native: u16,
    /// Further members of a cluster, or a node's registry.
    peer: u16,
}

impl Ports {
    fn free() -> Self {
        Self { mqtt: free_port(), native: free_port(), peer: free_port() }
    }
}

/// A broker; ends with its value.
#[derive(Debug)]
pub struct Broker {
    pub make: Make,
    /// Closes the connection at an event about [`UNWANTED`].
    pub picky: bool,
    dir: PathBuf,
    ports: Ports,
    /// What the client needs.
    pub pki: Pki,
    process: Option<Owned>,
    /// What it depends on: Erlang's name server.
    helper: Option<Owned>,
    /// The other members' cluster ports, when it is one of several.
    pub routes: Vec<u16>,
}

/// Certificates that everybody in a test uses.
#[derive(Clone, Debug)]
pub struct Pki {
    /// PEM of the authority.
    pub ca: PathBuf,
    /// The broker's.
    pub server: Identity,
    /// The gateway's and the consumer's.
    pub client: Identity,
}

impl Pki {
    /// A new authority with a server's and a client's certificate in `dir`.
    pub fn new(dir: &Path) -> Self {
        let authority = Authority::new(dir, "plant");
        let client = authority.issue(ACCOUNT, &[ACCOUNT], Validity::Current);
        Self { ca: authority.cert.clone(), server: authority.server(), client }
    }
}

impl Broker {
    /// Starts one in `dir/name` and waits until it takes clients.
    pub fn start(make: Make, dir: &Path, name: &str, picky: bool) -> Self {
        let mut broker = Self::new(make, dir, name, Pki::new(dir));
        broker.picky = picky;
        for _ in 0..START_ATTEMPTS {
            broker.ports = Ports::free();
            if broker.try_start() {
                return broker;
            }
        }
        panic!("{} does not start:\n{}", make.name(), broker.log());
    }

    /// One that is not started yet.
    pub fn new(make: Make, dir: &Path, name: &str, pki: Pki) -> Self {
        // The way to the folder must be open to whom the broker runs as.
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("open the test's folder");
        let dir = dir.join(name);
        owned::folder(&dir);
        let ports = Ports::free();
        Self { make, picky: false, dir, ports, pki, process: None, helper: None, routes: Vec::new() }
    }

    /// Where MQTT over TLS is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.mqtt))
    }

    /// The port for other members of a cluster.
    pub fn peer_port(&self) -> u16 {
        self.ports.peer
    }

    /// How the tests' consumer comes in.
    pub fn door(&self) -> Door {
        Door {
            address: self.address(),
            account: Some((ACCOUNT.to_owned(), PASSWORD.to_owned())),
            tls: Some(client_config(&self.pki.ca, Some(&self.pki.client))),
        }
    }

    /// Starts it again on the same ports.
    #[track_caller]
    pub fn resume(&mut self) {
        assert!(self.process.is_none(), "still running");
        assert!(self.try_start(), "{} does not start again:\n{}", self.make.name(), self.log());
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// kill -9
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    fn try_start(&mut self) -> bool {
        self.launch();
        let door = self.door();
        let mut ended = false;
        let accepts = holds_within(START_MAX, || {
            ended = self.process.as_mut().is_none_or(Owned::has_ended);
            ended || Session::enter(&door, "probe", true).is_ok()
        });
        if ended || !accepts {
            self.kill();
        }
        accepts && !ended
    }

    /// Starts the process and does not wait for anything.
    pub fn launch(&mut self) {
        let mut command = match self.make {
            Make::Mosquitto => self.mosquitto(),
            Make::RabbitMq => self.rabbitmq(),
            Make::Nats => self.nats(),
        };
        self.process = Some(Owned::start(&mut command, &self.dir, &self.log_file()));
    }

    /// The files it needs, readable by it: authority, certificate, key.
    fn files(&self) -> [String; 3] {
        [&self.pki.ca, &self.pki.server.cert, &self.pki.server.key]
            .map(|file| owned::secret_copy(file, &self.dir).display().to_string())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn mosquitto(&self) -> Command {
        let [ca, cert, key] = self.files();
        let accounts = self.path("accounts");
        owned::write(&accounts, "");
        let made = Command::new("mosquitto_passwd").arg("-b").arg(&accounts).args([ACCOUNT, PASSWORD]).status();
        assert!(made.expect("mosquitto_passwd runs").success());
        // It has replaced the file by one of its own.
        let text = fs::read_to_string(&accounts).expect("read the accounts");
        owned::write(&accounts, &text);
        let dir = self.dir.display();
        let mut text = format!(
            "persistence true\npersistence_location {dir}/\nautosave_interval 10\n\
             max_queued_messages 0\nmax_inflight_messages 1000\n\
             allow_anonymous false\npassword_file {dir}/accounts\n\
             listener {} 127.0.0.1\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n\
             log_type error\nlog_type warning\nlog_type notice\nlog_dest stdout\n",
            self.ports.mqtt
        );
        if self.picky {
            writeln!(text, "max_packet_size {PICKY_BYTES}").expect("writing to a string");
        }
        owned::write(&self.path("mosquitto.conf"), &text);
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.path("mosquitto.conf"));
        command
    }

    fn rabbitmq(&mut self) -> Command {
        let [ca, cert, key] = self.files();
        let mut text = format!(
            "listeners.tcp = none\nmqtt.listeners.tcp = none\nmqtt.listeners.ssl.default = 127.0.0.1:{}\n\
             ssl_options.cacertfile = {ca}\nssl_options.certfile = {cert}\nssl_options.keyfile = {key}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             mqtt.allow_anonymous = false\nmqtt.prefetch = 1000\n\
             default_user = {ACCOUNT}\ndefault_pass = {PASSWORD}\n\
             log.console = true\nlog.file = false\n",
            self.ports.mqtt
        );
        if self.picky {
            // Definitions replace the default user.
            let file = self.path("definitions.json");
            owned::write(&file, &picky_definitions());
            writeln!(text, "load_definitions = {}", file.display()).expect("writing to a string");
        }
        owned::write(&self.path("rabbitmq.conf"), &text);
        owned::write(&self.path("plugins"), "[rabbitmq_mqtt].\n");
        // Its name server, which it would otherwise start itself and leave behind.
        let registry = self.ports.peer.to_string();
        if self.helper.is_none() {
            let mut epmd = Command::new("epmd");
            epmd.args(["-port", &registry, "-address", "127.0.0.1"]);
            self.helper = Some(Owned::start(&mut epmd, &self.dir, &self.dir.with_extension("epmd.log")));
        }
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .env("HOME", &self.dir)
            .env("ERL_EPMD_PORT", registry)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // It then becomes the broker instead of watching over it, and ends in good order at SIGTERM.
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("RABBITMQ_NODENAME", format!("tidegate{}@localhost", self.ports.mqtt))
            .env("RABBITMQ_DIST_PORT", self.ports.native.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.path("data"))
            .env("RABBITMQ_LOG_BASE", self.path("logs"))
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("plugins"))
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", self.path("env.conf"))
            // One scheduler: the machine has others to run.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1");
        command
    }

    fn nats(&self) -> Command {
        let [ca, cert, key] = self.files();
        let dir = self.dir.display();
        let name = self.dir.file_name().expect("a folder has a name").display();
        let denied = if self.picky {
            format!(", permissions: {{ publish: {{ deny: [\"tidegate.gw1.high.plant.{UNWANTED}.>\"] }} }}")
        } else {
            String::new()
        };
        let mut mqtt = format!(
            "  listen: \"127.0.0.1:{}\"\n  max_ack_pending: 1000\n  \
             tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true, timeout: 10 }}\n",
            self.ports.mqtt
        );
        let mut text = format!(
            "server_name: \"{name}\"\nlisten: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{dir}/data\" }}\n\
             authorization {{ users: [ {{ user: \"{ACCOUNT}\", password: \"{PASSWORD}\"{denied} }} ] }}\n",
            self.ports.native
        );
        if !self.routes.is_empty() {
            let routes: Vec<_> = self.routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
            mqtt += "  stream_replicas: 3\n";
            writeln!(
                text,
                "cluster {{ name: \"plant\", listen: \"127.0.0.1:{}\", routes: [ {} ] }}",
                self.ports.peer,
                routes.join(", ")
            )
            .expect("writing to a string");
        }
        write!(text, "mqtt {{\n{mqtt}}}\n").expect("writing to a string");
        owned::write(&self.path("nats.conf"), &text);
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(self.path("nats.conf"));
        command
    }
}

/// The account of RabbitMQ with a topic that it may not write to.
fn picky_definitions() -> String {
    serde_json::json!({
        "users": [{ "name": ACCOUNT, "password": PASSWORD, "tags": [] }],
        "vhosts": [{ "name": "/" }],
        "permissions": [{ "user": ACCOUNT, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" }],
        "topic_permissions": [{
            "user": ACCOUNT, "vhost": "/", "exchange": "amq.topic", "write": format!("^(?!.*{UNWANTED})"), "read": ".*",
        }],
    })
    .to_string()
}
