//! A real broker, somebody who listens to it, and a gate in front of it that can be shut.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{PATIENCE, Pki};

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// mosquitto with a TLS listener for the gateway and a plain one for the test.
pub struct Mosquitto {
    pub tls_port: u16,
    pub plain_port: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Mosquitto {
    /// Starts it with `<certificate>.pem` and `.key`; `extra` goes to the TLS listener.
    pub fn start(pki: &Pki, certificate: &str, extra: &str) -> Self {
        let mut broker =
            Self { tls_port: free_port(), plain_port: free_port(), config: pki.file("mosquitto.conf"), child: None };
        broker.configure(pki, certificate, extra);
        broker.launch();
        broker
    }

    /// Writes the configuration; it counts from the next launch on.
    pub fn configure(&self, pki: &Pki, certificate: &str, extra: &str) {
        let dir = pki.dir().display();
        let text = format!(
            "per_listener_settings true\n\
             user root\n\
             max_inflight_messages 0\n\
             max_queued_messages 0\n\
             log_type error\n\
             log_type notice\n\
             log_dest stderr\n\
             listener {} 127.0.0.1\n\
             allow_anonymous true\n\
             listener {} 127.0.0.1\n\
             cafile {dir}/ca.pem\n\
             certfile {dir}/{certificate}.pem\n\
             keyfile {dir}/{certificate}.key\n\
             {extra}\n",
            self.plain_port, self.tls_port
        );
        std::fs::write(&self.config, text).unwrap();
    }

    /// Starts the process and waits until it says that it runs: by then it listens.
    pub fn launch(&mut self) {
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        self.child = Some(child);
        let (says, said) = mpsc::channel();
        // Reads on to the end, so that the broker never waits for somebody who reads.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = says.send(line);
            }
        });
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.ends_with(" running")) {
            match said.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("mosquitto does not run ({error}): {}", lines.join("\n")),
            }
        }
    }

    /// Ends it without giving it time for anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A subscriber that writes down what comes. QoS 0: what the broker has forwarded is in our socket, even if it dies.
pub struct Collector {
    messages: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
    subscribed: watch::Receiver<u32>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    pub async fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("collector", "127.0.0.1", port);
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        let (client, mut link) = AsyncClient::new(options, 4);
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (subscribed, receiver) = watch::channel(0);
        let log = Arc::clone(&messages);
        let task = tokio::spawn(async move {
            loop {
                match link.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        client.try_subscribe("tidegate/#", QoS::AtMostOnce).unwrap();
                    }
                    Ok(Event::Incoming(Incoming::SubAck(_))) => subscribed.send_modify(|count| *count += 1),
                    Ok(Event::Incoming(Incoming::Publish(publish))) => {
                        let payload = serde_json::from_slice(&publish.payload).unwrap();
                        log.lock().unwrap().push((publish.topic, payload));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        let collector = Self { messages, subscribed: receiver, task };
        collector.subscribed_times(1).await;
        collector
    }

    /// Waits until it has (re)subscribed so many times.
    pub async fn subscribed_times(&self, times: u32) {
        let mut subscribed = self.subscribed.clone();
        tokio::time::timeout(PATIENCE, subscribed.wait_for(|count| *count >= times)).await.unwrap().unwrap();
    }

    /// Events only, as (sequence, id).
    pub fn events(&self) -> Vec<(u64, String)> {
        let messages = self.messages.lock().unwrap();
        let events = messages.iter().filter(|(topic, _)| !topic.ends_with("/status"));
        events.map(|(_, event)| (super::sequence_of(event), event["id"].as_str().unwrap().to_owned())).collect()
    }

    pub fn count(&self) -> usize {
        self.events().len()
    }

    /// Status messages only.
    pub fn status(&self) -> Vec<serde_json::Value> {
        let messages = self.messages.lock().unwrap();
        messages.iter().filter(|(topic, _)| topic.ends_with("/status")).map(|(_, status)| status.clone()).collect()
    }
}

/// A relay in front of a broker: shut, it cuts all connections and takes no new ones.
pub struct Gate {
    pub port: u16,
    open: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, receiver) = watch::channel(true);
        let task = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut open = receiver.clone();
                if !*open.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { port, open, task }
    }

    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}
