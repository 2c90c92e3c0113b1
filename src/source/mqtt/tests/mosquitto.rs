//! Against a real mosquitto.

use std::process::{Child, Command, Stdio};

use rumqttc::{AsyncClient, Event, MqttOptions};
use tokio::net::TcpStream;

use super::*;

/// A real broker on a free port, with its state in a directory of its own.
struct Mosquitto {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Mosquitto {
    async fn start(extra: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().display();
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\npersistence true\n\
             persistence_location {state}/\nlog_dest none\n{extra}\n"
        );
        std::fs::write(directory.path().join("mosquitto.conf"), text).unwrap();
        let broker = Self { process: Self::launch(&directory), directory, port };
        broker.ready().await;
        broker
    }

    fn launch(directory: &tempfile::TempDir) -> Child {
        let file = directory.path().join("mosquitto.conf");
        let program =
            if std::path::Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let mut command = Command::new(program);
        command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("these tests need mosquitto (package `mosquitto`)")
    }

    async fn ready(&self) {
        in_time("mosquitto", async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Stops it the orderly way, so that it saves its state.
    fn stop(&mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.process = Self::launch(&self.directory);
        self.ready().await;
    }

    /// Publishes with QoS 1 and waits until the broker has taken it all.
    async fn publish(&self, messages: &[(&str, String)]) {
        let mut options = MqttOptions::new("publisher", "127.0.0.1", self.port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut link) = AsyncClient::new(options, messages.len() + 1);
        for (topic, payload) in messages {
            client.try_publish(*topic, QoS::AtLeastOnce, false, payload.as_str()).unwrap();
        }
        let mut left = messages.len();
        in_time("the publisher", async {
            while left > 0 {
                if let Event::Incoming(Packet::PubAck(_)) = link.poll().await.unwrap() {
                    left -= 1;
                }
            }
        })
        .await;
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<(&'static str, String)> {
    range.map(|number| ("plant/a/t", number.to_string())).collect()
}

async fn connected(rig: &Rig) {
    in_time("the connection", async {
        while rig.counts().up.get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Takes readings until all of these values were seen, and returns their acknowledgements.
async fn take(rig: &mut Rig, range: std::ops::Range<u32>) -> Vec<Ack> {
    let mut acks = Vec::new();
    let mut missing: Vec<u32> = range.collect();
    while !missing.is_empty() {
        let (value, ack) = rig.reading().await;
        let before = missing.len();
        missing.retain(|number| f64::from(*number) != value);
        assert_eq!(missing.len() + 1, before, "{value} came unexpected or twice");
        acks.push(ack.expect("QoS 1 has an acknowledgement"));
    }
    acks
}

#[tokio::test]
async fn what_was_not_released_when_the_source_died_comes_again_and_what_was_does_not() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    broker.publish(&numbers(0..5)).await;
    let acks = take(&mut rig, 0..5).await;
    rig.task.abort();
    let _ = rig.task.await;
    acks.into_iter().for_each(Ack::release);

    let mut rig = Rig::start(source(broker.port));
    let acks = take(&mut rig, 0..5).await;
    rig.trigger.stop();
    acks.into_iter().for_each(Ack::release);
    in_time("the task's end", rig.task).await.unwrap();

    let mut rig = Rig::start(source(broker.port));
    broker.publish(&numbers(100..101)).await;
    assert_eq!(rig.reading().await.0, 100.0);
    rig.stop().await;
}

#[tokio::test]
async fn wildcards_and_shared_subscriptions_are_served() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    let messages =
        ["plant/a/t", "plant/b/t", "plant/b/h", "hall/x/y", "other/c/t"].map(|topic| (topic, "7".to_owned()));
    broker.publish(&messages).await;
    let mut sensors = Vec::new();
    for _ in 0..3 {
        let FromSource::Readings { readings, ack, .. } = rig.next().await else { panic!("expected readings") };
        ack.unwrap().release();
        sensors.push(readings[0].sensor.to_string());
    }
    sensors.sort();
    assert_eq!(sensors, ["local/a/t/t", "local/b/t/t", "local/x/y/t"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_broker_that_restarts_is_lost_and_restored_once_and_sends_again() {
    let mut broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    broker.publish(&numbers(0..3)).await;
    let old = take(&mut rig, 0..3).await;
    broker.stop();
    let reason = rig.lost().await;
    assert!(reason.contains("closed the connection"), "{reason}");
    broker.start_again().await;
    old.into_iter().for_each(Ack::release);
    // The broker sends again before it answers the subscription.
    let (mut again, mut restored) = (Vec::new(), 0);
    while again.len() < 3 || restored == 0 {
        match rig.next().await {
            FromSource::Readings { readings, ack, .. } => {
                again.push(readings[0].value.as_f64().unwrap());
                ack.unwrap().release();
            }
            FromSource::Restored { .. } => restored += 1,
            FromSource::Lost { reason, .. } => panic!("{reason}"),
        }
    }
    assert_eq!((again, restored), (vec![0.0, 1.0, 2.0], 1));
    broker.publish(&numbers(3..4)).await;
    take(&mut rig, 3..4).await.into_iter().for_each(Ack::release);
    rig.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_once_and_stalls_nothing() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    broker.publish(&[("plant/a/t", "9".repeat(300_000)), ("plant/a/t", "1".to_owned())]).await;
    let (value, ack) = rig.reading().await;
    assert_eq!(value, 1.0);
    ack.unwrap().release();
    assert_eq!(rig.counts().rejects(), [(Reject::TooLong, 1)].into());
    rig.stop().await;
    // It was acknowledged: the broker does not send it again.
    let mut rig = Rig::start(source(broker.port));
    broker.publish(&numbers(2..3)).await;
    assert_eq!(rig.reading().await.0, 2.0);
    assert!(rig.counts().rejects().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn thousands_of_messages_from_a_broker_without_a_window_come_in_order() {
    let broker = Mosquitto::start("max_inflight_messages 0\nmax_queued_messages 0").await;
    let mut rig = Rig::with_room(MqttSource { inflight_max: 64, ..source(broker.port) }, 16);
    connected(&rig).await;
    let (sent, taken) = tokio::join!(
        async {
            for batch in 0..20 {
                broker.publish(&numbers(batch * 100..(batch + 1) * 100)).await;
            }
        },
        async {
            let mut values = Vec::new();
            while values.len() < 2_000 {
                let (value, ack) = rig.reading().await;
                ack.unwrap().release();
                values.push(value as u32);
            }
            values
        }
    );
    let () = sent;
    assert_eq!(taken, (0..2_000).collect::<Vec<_>>());
    rig.stop().await;
}

/// A Sparkplug payload of one double by its alias, and by its name in a birth.
fn sparkplug(name: &str, seq: u8, value: f64) -> Vec<u8> {
    let mut metric = Vec::new();
    if !name.is_empty() {
        metric.extend([0x0a, name.len() as u8]);
        metric.extend(name.as_bytes());
    }
    metric.extend([0x10, 1, 0x20, 10, 0x69]);
    metric.extend(value.to_le_bytes());
    [&[0x08, 1, 0x12, metric.len() as u8][..], &metric, &[0x18, seq]].concat()
}

#[tokio::test]
async fn a_sparkplug_node_whose_birth_is_missing_is_asked_for_it_once_and_read_after_it() {
    let broker = Mosquitto::start("").await;
    let config = MqttSource { topics: vec!["spBv1.0/#".to_owned()], ..source(broker.port) };
    let decode = Decode { format: Format::SparkplugB, device: Template::default(), ..number() };
    let mut rig = Rig::decoding(config, decode, 100);
    connected(&rig).await;
    // The node: it obeys what it is asked.
    let (client, mut link) = AsyncClient::new(MqttOptions::new("node", "127.0.0.1", broker.port), 10);
    client.try_subscribe("spBv1.0/plant/NCMD/mixer", QoS::AtMostOnce).unwrap();
    let publish = |kind: &str, payload: Vec<u8>| {
        client.try_publish(format!("spBv1.0/plant/{kind}/mixer"), QoS::AtMostOnce, false, payload).unwrap();
    };
    let mut asked = 0;
    in_time("the reading by alias", async {
        loop {
            tokio::select! {
                event = link.poll() => match event.unwrap() {
                    Event::Incoming(Packet::SubAck(_)) => {
                        publish("NDATA", sparkplug("", 8, 1.0));
                        publish("NDATA", sparkplug("", 9, 2.0));
                    }
                    Event::Incoming(Packet::Publish(command)) => {
                        asked += 1;
                        assert!(!command.retain);
                        let wanted = crate::decode::rebirth_request("plant/mixer", crate::clock::WallTime(0)).unwrap();
                        // All but the time.
                        assert_eq!((command.topic, &command.payload[7..]), (wanted.0, &wanted.1[2..]));
                        publish("NBIRTH", sparkplug("Level", 0, 3.0));
                        publish("NDATA", sparkplug("", 1, 4.0));
                    }
                    _ => {}
                },
                next = rig.from.recv() => match next.unwrap() {
                    FromSource::Readings { readings, .. } => {
                        assert_eq!(readings[0].sensor.to_string(), "local/plant/mixer/Level");
                        if readings[0].value.as_f64() == Some(4.0) {
                            break;
                        }
                    }
                    other => panic!("expected readings, found {other:?}"),
                },
            }
        }
    })
    .await;
    assert_eq!((asked, rig.counts().rebirths.get()), (1, 1));
    assert_eq!(rig.counts().rejects(), [(Reject::MissingField, 2)].into());
    rig.stop().await;
}

#[tokio::test]
async fn a_probe_tells_what_it_found_and_does_not_disturb_a_running_source() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    let found = probe(&source(broker.port)).await.unwrap();
    assert!(found.contains("login accepted"), "{found}");
    broker.publish(&numbers(0..1)).await;
    assert_eq!(rig.reading().await.0, 0.0);
    assert_eq!(rig.counts().disconnects.get(), 0);
    rig.stop().await;
}

#[tokio::test]
async fn tls_and_a_password_are_read_from_files_at_each_connection() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(file("server.pem"), identity.cert.pem()).unwrap();
    std::fs::write(file("server.key"), identity.signing_key.serialize_pem()).unwrap();
    // The gateway's CA file is not there yet.
    let extra = format!("certfile {0}/server.pem\nkeyfile {0}/server.key", files.path().display());
    let broker = Mosquitto::start(&extra).await;
    let mut config = source(broker.port);
    config.url.tls = true;
    config.credentials.ca_file = Some(file("ca.pem"));
    config.credentials.username = Some("gateway".to_owned());
    config.credentials.password_file = Some(file("password"));
    std::fs::write(file("password"), "secret\n").unwrap();
    std::fs::set_permissions(file("password"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut publisher = config.clone();
    let mut rig = Rig::start(config);
    let reason = rig.lost().await;
    assert!(reason.contains("ca.pem"), "{reason}");
    std::fs::write(file("ca.pem"), identity.cert.pem()).unwrap();
    rig.restored().await;
    // A source's own way to connect serves the publisher too.
    publisher.client_id = "publisher".to_owned();
    let mut stream = connect::connect(&publisher, &crate::clock::SystemClock::new())
        .await
        .unwrap_or_else(|why| panic!("{}", why.text))
        .stream;
    let mut message = rumqttc::Publish::new("plant/a/t", QoS::AtLeastOnce, "6");
    message.pkid = 1;
    let mut outgoing = Outgoing::default();
    outgoing.packet(&Packet::Publish(message)).unwrap();
    while !outgoing.is_empty() {
        outgoing.write(&mut stream).await.unwrap();
    }
    let (value, ack) = rig.reading().await;
    ack.unwrap().release();
    assert_eq!(value, 6.0);
    rig.stop().await;
}
