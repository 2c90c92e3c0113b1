//! `tidegate discover`: listens for a while and proposes a configuration.
//!
//! Owns its arguments and the listening, at a serial port or a broker; what is made of it is [`crate::discover`]. Writes
//! to no device, and leaves nothing behind at a broker.

mod port;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions, Packet, QoS, StateError, TlsConfiguration, Transport};
use tokio::time::{Instant, timeout_at};

use crate::cli::client;
use crate::clock::SystemClock;
use crate::config;
use crate::config::model::{Credentials, SourceKind, Upstream};
use crate::config::pattern;
use crate::discover::{Heard, Place, propose, quoted};
use crate::error::Failure;
use crate::forward::explain::{self, Phase};
use crate::forward::tls::{self, expiry::Certificates};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate discover --port /dev/serial/by-id/usb-FTDI_FT232R_A5-if00-port0
  tidegate discover --url mqtt://127.0.0.1 --topic 'zigbee2mqtt/#' --for 5m > proposal.toml
  tidegate discover --source boiler --config ./tidegate.toml

The proposal is a beginning: it says how often each thing was seen, units are guessed from names, alarms are comments.
Look through it, put it into conf.d and run `tidegate check`. A serial port is listened to at common baud rates, 8N1 and
7E1, until what comes is text in lines; nothing is sent to the device, and the gateway must not hold the port meanwhile.
With --source, the port, or the broker and its login, are those of the configuration.

Exit codes: 0 something is proposed, 1 nothing could be understood, 2 usage, 78 the configuration is wrong.";

/// Messages looked at; the ring of what a busy broker says in a minute.
const MESSAGES_MAX: usize = 20_000;

/// Bytes kept of all messages together.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Largest message taken, bytes; a picture is no reading.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Largest MQTT packet taken, bytes: a picture on another topic must not end the listening.
const PACKET_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shortest and longest time that is advised to one who has not heard enough.
const LONGER_MIN: Duration = Duration::from_secs(5 * 60);
const LONGER_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// Bytes without a whole line from which on more of them would not help; lines of devices are shorter.
const TEXT_BYTES_MIN: usize = 512;

/// The arguments.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("where").required(true)))]
pub struct Arguments {
    /// A source of the configuration: its port, or its broker and login
    #[arg(long, group = "where", value_name = "NAME")]
    source: Option<String>,
    /// A serial port
    #[arg(long, group = "where", value_name = "PATH")]
    port: Option<PathBuf>,
    /// A broker: mqtt://host[:port] or mqtts://host[:port]
    #[arg(long, group = "where", value_name = "URL")]
    url: Option<String>,
    /// Topics to listen to, at a broker; several times for more
    #[arg(long, value_name = "FILTER", default_value = "#")]
    topic: Vec<String>,
    /// How long to listen
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Configuration file that has the source
    #[arg(long, short, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// For scripts: the proposal and how much was heard
    #[arg(long)]
    json: bool,
}

/// What is listened to.
enum Target {
    Port { name: String, path: PathBuf, baud: Option<u32> },
    Broker { name: String, keys: String, upstream: Box<Upstream> },
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// Nothing can be listened to, nothing was heard, or nothing of it was understood.
    pub fn execute(self) -> Result<(), Failure> {
        for topic in &self.topic {
            pattern::check_filter(topic).map_err(|(_, why)| {
                Failure::Usage(format!("error: --topic {}: this is no MQTT filter: {why}", quoted(topic)))
            })?;
        }
        let target = self.target()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("error: the runtime cannot start: {error}")))?;
        let (place, heard, bytes) = match target {
            Target::Port { name, path, baud } => {
                say(&format!("listening to {} for up to {}", path.display(), explain::human(self.time)));
                let found = runtime.block_on(port::listen(&path, baud, self.time))?;
                let bytes = found.bytes();
                (found.place(name, &path), port::lines(&bytes), bytes.len())
            }
            Target::Broker { name, keys, upstream } => {
                let place = explain::place(&upstream);
                say(&format!("listening to {} at {place} for {}", self.topic.join(", "), explain::human(self.time)));
                let heard = runtime.block_on(listen_broker(&upstream, &self.topic, self.time))?;
                (Place { name, keys, is_port: false }, heard, 0)
            }
        };
        runtime.shutdown_background();
        if heard.is_empty() {
            return Err(Failure::Failed(nothing(bytes, self.time)));
        }
        let (text, sources) = propose(&place, &heard);
        let head = format!(
            "# Proposed by `tidegate discover` from {} messages in {}. Look through it before use.\n\n",
            heard.len(),
            explain::human(self.time)
        );
        match self.json {
            true => {
                let found = serde_json::json!({ "messages": heard.len(), "sources": sources, "toml": text });
                let found = client::to_json(&found)?;
                client::print(|out| writeln!(out, "{found}"))?;
            }
            false => client::print(|out| out.write_all((head + &text).as_bytes()))?,
        }
        match sources {
            0 => Err(Failure::Failed("error: nothing of what was heard was understood, see above".to_owned())),
            _ => Ok(()),
        }
    }

    fn target(&self) -> Result<Target, Failure> {
        if let Some(path) = &self.port {
            return Ok(Target::Port { name: "serial".to_owned(), path: path.clone(), baud: None });
        }
        if let Some(url) = &self.url {
            let keys = format!("type = \"mqtt\"\nurl = {}\n", quoted(url));
            let upstream = Box::new(broker(url, &Credentials::default())?);
            return Ok(Target::Broker { name: "local".to_owned(), keys, upstream });
        }
        let wanted = self.source.as_deref().unwrap_or_default();
        let loaded = config::load(&self.config, &|name| std::env::var(name).ok())
            .map_err(|report| Failure::Configuration(report.to_string()))?;
        let source = loaded.config.sources.iter().find(|source| *source.name == *wanted);
        let name = wanted.to_owned();
        match source.map(|source| &source.kind) {
            Some(SourceKind::Serial(serial)) => {
                Ok(Target::Port { name, path: serial.port.clone(), baud: Some(serial.baud) })
            }
            Some(SourceKind::Mqtt(mqtt)) => {
                let host = &mqtt.url.host;
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let url = format!("mqtt{}://{host}:{}", if mqtt.url.tls { "s" } else { "" }, mqtt.url.port);
                let keys = format!("type = \"mqtt\"\nurl = {}\n{}", quoted(&url), login(&mqtt.credentials));
                Ok(Target::Broker { name, keys, upstream: Box::new(broker(&url, &mqtt.credentials)?) })
            }
            Some(SourceKind::Modbus(_)) => {
                let text = format!("error: `{wanted}` is a Modbus source: its units say nothing unless asked");
                Err(Failure::Usage(text))
            }
            None => {
                let names: Vec<&str> = loaded.config.sources.iter().map(|source| &*source.name).collect();
                let there = names.join(", ");
                Err(Failure::Usage(format!("error: there is no source `{wanted}`\n  = help: there are: {there}")))
            }
        }
    }
}

/// Why there is nothing to propose from, after so many bytes of a port and so long a time.
fn nothing(bytes: usize, time: Duration) -> String {
    let longer = explain::human((time * 10).clamp(LONGER_MIN, LONGER_MAX));
    match bytes {
        0 => format!(
            "error: nothing was heard\n  = help: listen longer (--for {longer}); does the device send by itself?"
        ),
        1..TEXT_BYTES_MIN => {
            format!("error: only {bytes} bytes were heard, too little to judge; listen longer: --for {longer}")
        }
        _ => format!(
            "error: {bytes} bytes of text were heard and no whole line among them\n  = help: listen longer (--for \
             {longer}); if its messages have no ends of lines, its source needs another `framing`; `tidegate tap --raw` \
             shows the bytes"
        ),
    }
}

fn say(text: &str) {
    // Beside the proposal, which goes into a file.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The keys of a login, as they were.
fn login(credentials: &Credentials) -> String {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let keys = [
        ("ca_file", path(&credentials.ca_file)),
        ("cert_file", path(&credentials.cert_file)),
        ("key_file", path(&credentials.key_file)),
        ("username", credentials.username.clone()),
        ("password_file", path(&credentials.password_file)),
    ];
    keys.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", quoted(&value?)))).collect()
}

/// A broker as the forwarder's words and options want it, by the loader's own rules for addresses.
fn broker(url: &str, credentials: &Credentials) -> Result<Upstream, Failure> {
    let text = format!("[gateway]\nid = \"discover\"\n[upstream]\nurl = {}\nallow_plaintext = true\n", quoted(url));
    let loaded =
        config::load_text(Path::new("--url"), &text, &|_| None).map_err(|report| Failure::Usage(report.to_string()))?;
    let upstream = loaded.config.upstream.ok_or_else(|| Failure::Usage(format!("error: `{url}` is no broker")))?;
    Ok(Upstream { credentials: credentials.clone(), ..upstream })
}

async fn listen_broker(upstream: &Upstream, topics: &[String], time: Duration) -> Result<Vec<Heard>, Failure> {
    let failed = |what: String| Failure::Failed(format!("error: {what}"));
    let client_id = format!("tidegate-discover-{:08x}", fastrand::u32(..));
    let options = options(upstream, client_id).map_err(|error| failed(format!("credentials: {error}")))?;
    let (client, mut link) = AsyncClient::new(options, topics.len() + 1);
    let until = Instant::now() + time;
    let (mut heard, mut bytes) = (Vec::new(), 0);
    let mut subscribed = false;
    while let Ok(event) = timeout_at(until, link.poll()).await {
        let event = event.map_err(|error| failed(words(&error, upstream)))?;
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                for topic in topics {
                    client.try_subscribe(topic, QoS::AtMostOnce).map_err(|error| {
                        Failure::Usage(format!("error: `{topic}` cannot be subscribed to: {error}"))
                    })?;
                }
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let refused = |code: &rumqttc::SubscribeReasonCode| *code == rumqttc::SubscribeReasonCode::Failure;
                if answer.return_codes.iter().all(refused) {
                    return Err(failed("the broker refuses the topics; ask for fewer with --topic".to_owned()));
                }
                if !std::mem::replace(&mut subscribed, true) {
                    say("subscribed");
                }
            }
            Event::Incoming(Packet::Publish(publish)) => {
                let length = publish.payload.len();
                let room = heard.len() < MESSAGES_MAX && bytes + length <= BYTES_MAX;
                if room && length <= PAYLOAD_BYTES_MAX && !publish.topic.starts_with('$') {
                    bytes += length;
                    heard.push(Heard { topic: Some(publish.topic.clone()), payload: publish.payload.to_vec() });
                }
            }
            _ => {}
        }
    }
    let _ = client.try_disconnect();
    let _ = tokio::time::timeout(Duration::from_secs(1), async { while link.poll().await.is_ok() {} }).await;
    if !subscribed {
        return Err(failed(format!("{} did not answer in time", explain::place(upstream))));
    }
    Ok(heard)
}

/// A session of our own that the broker forgets; a wrong file is told as the gateway would.
fn options(upstream: &Upstream, client_id: String) -> Result<MqttOptions, tls::TlsError> {
    let mut options = MqttOptions::new(client_id, &upstream.url.host, upstream.url.port);
    options.set_clean_session(true);
    options.set_max_packet_size(PACKET_BYTES_MAX, PAYLOAD_BYTES_MAX);
    let credentials = &upstream.credentials;
    if let Some(username) = &credentials.username {
        options.set_credentials(username, tls::password(credentials)?.unwrap_or_default());
    }
    if upstream.url.tls {
        let config = tls::client_config(credentials, SystemClock::new().earliest(), &Certificates::default())?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config.into())));
    }
    Ok(options)
}

/// Why the broker could not be listened to.
fn words(error: &ConnectionError, upstream: &Upstream) -> String {
    match error {
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            explain::io(error, upstream, Phase::Connecting).text
        }
        error => format!("{}: {error}", explain::place(upstream)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn too_little_is_not_called_nothing() {
        let half_a_minute = Duration::from_secs(30);
        assert!(nothing(0, half_a_minute).contains("nothing was heard"));
        let little = "error: only 14 bytes were heard, too little to judge; listen longer: --for 5m";
        assert_eq!(nothing(14, half_a_minute), little);
        assert!(nothing(14, Duration::from_secs(300)).ends_with("--for 50m"));
        assert!(nothing(9_000, half_a_minute).contains("another `framing`"));
    }

    #[test]
    fn a_topic_is_checked_as_in_the_configuration() {
        let wanted = Arguments {
            source: None,
            port: None,
            url: Some("mqtt://127.0.0.1:1".to_owned()),
            topic: vec!["a/+".to_owned(), "a#".to_owned()],
            time: Duration::ZERO,
            config: PathBuf::new(),
            json: false,
        };
        let Failure::Usage(text) = wanted.execute().unwrap_err() else { panic!("no error of usage") };
        assert!(text.contains("--topic \"a#\": this is no MQTT filter: `#` stands only"), "{text}");
    }
}
