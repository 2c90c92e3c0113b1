//! On whose terms events leave: what the profile of a broker changes, and what a broker says in its CONNACK and in its
//! PUBACKs.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustls::server::Acceptor;
use serde_json::Value;

use crate::metrics::scrape;
use crate::stage::Stage;
use crate::support::certs::{Authority, Validity};
use crate::support::consumer::STARTED;
use crate::support::gateway::{Config, line, said};
use crate::support::mosquitto::Options;
use crate::support::mqtt::{Packet, Session};
use crate::support::proxy::Fault;
use crate::support::{PATIENT, SOON, free_port, wait_until};

/// Upstream by TLS, which some profiles demand.
fn stage(change: impl FnOnce(&mut Config)) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let trusted = line("ca_file", ca.cert.display());
    Stage::build(dir, Options::tls(&ca.server()), |config| {
        config.upstream += &trusted;
        change(config);
    })
}

fn letters(stage: &Stage) -> Vec<Value> {
    let output = stage.ask(&["dead", "list", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

/// Waits for the acknowledgement of all that was sent: the consumer may have an event before it.
fn acknowledged(stage: &Stage) {
    wait_until("all acknowledged", PATIENT, || stage.status()["store"]["waiting"] == 0);
}

#[test]
fn at_aws_a_backlog_leaves_at_a_hundred_a_second_and_what_is_too_deep_in_a_topic_is_folded() {
    let mut stage = stage(|config| {
        config.upstream += &line("profile", "aws-iot-core");
        let deep = config.sources[0].replace("\"plant\"", "\"deep\"").replace("sensors/+", "deep/+");
        config.sources.push(deep.replace("{topic[1]}", "{topic[1]}/a/b/c"));
        config.alarms[0] = config.alarms[0].replace("\"plant/+/value\"", "\"plant/+/value\", \"deep/#\"");
    });
    stage.start();
    stage.local.wait_subscribed("tidegate-gw1-deep", 1);
    stage.consumer.wait_for(STARTED, 1, SOON);
    acknowledged(&stage);
    stage.network.down();
    stage.cross(5, 1, 50);
    stage.publisher.publish("deep/d1/temp", r#"{"value":80.0,"seq":1}"#);
    stage.publisher.flush();
    wait_until("all stored", PATIENT, || stage.status()["store"]["waiting"] == 251);
    let restored = Instant::now();
    stage.network.restore();
    let deep = "deep/d1/a/b/c/value";
    assert!(stage.consumer.arrives(PATIENT, || stage.consumer.about(deep).len() == 1));
    // 250 of sensors at the usual depth; which of the two sources was quicker is open.
    stage.consumer.wait_for_crossings(251, PATIENT);
    let took = restored.elapsed();
    // A second's worth leaves at once.
    assert!(took >= Duration::from_millis(1_450), "251 events took {took:?}");
    assert_eq!(stage.consumer.about(deep)[0].topic, "tidegate/gw1/high/deep/d1/a/b/c_value", "7 slashes");
    stage.consumer.assert_lossless();
    assert_eq!(scrape(&stage).get("tidegate_upstream_connections_total", &[]), 2.0, "neither ended the connection");
}

#[test]
fn what_no_event_can_change_is_refused_by_the_check_for_the_profile() {
    let stage = Stage::new();
    for (profile, keys, words) in [
        ("aws-iot-core", "", "TLS"),
        ("aws-iot-core", "keep_alive = \"5s\"\n", "keep_alive"),
        ("aws-iot-core", "payload_bytes_max = \"200KiB\"\n", "128 KiB"),
        ("azure-event-grid", "keep_alive = \"1h\"\n", "keep_alive"),
        ("portable", "status_topic = \"v1.0/status\"\n", "'.'"),
        ("nats", "status_topic = \"v1.0/status\"\n", "'.'"),
        ("rabbitmq", "status_topic = \"a*b/status\"\n", "'*'"),
    ] {
        let mut config = stage.config.clone();
        config.upstream += &(line("profile", profile) + keys);
        let file = stage.path("checked.toml");
        std::fs::write(&file, config.text()).unwrap();
        let checked = crate::support::gateway::tidegate(&["check", "--config", file.to_str().unwrap()]);
        let told = said(&checked);
        assert_eq!(checked.status.code(), Some(78), "{profile}, {keys}: {told}");
        assert!(told.contains(words) && told.contains(profile), "{profile}, {keys}: {told}");
    }
    let mut config = stage.config.clone();
    config.upstream += &(line("profile", "mosquitto") + &line("status_topic", "v1.0/a*b/status"));
    let file = stage.path("checked.toml");
    std::fs::write(&file, config.text()).unwrap();
    let checked = crate::support::gateway::tidegate(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}

/// Whether the broker keeps a status of the gateway for those who come later.
fn keeps_status(stage: &Stage) -> bool {
    let mut session = Session::connect(stage.upstream.address(), "late", true).unwrap();
    session.subscribe("tidegate/gw1/status").unwrap();
    session.subscribe("mark").unwrap();
    session.send(&crate::support::mqtt::publish_frame("mark", b"", None, false)).unwrap();
    let until = Instant::now() + PATIENT;
    while Instant::now() < until {
        if let Some(Packet::Publish { topic, .. }) = session.poll().unwrap() {
            // What is kept comes before what is published later.
            return topic != "mark";
        }
    }
    panic!("the broker does not answer")
}

#[test]
fn the_status_is_retained_except_where_that_ends_connections() {
    for (profile, retained) in [("portable", true), ("azure-event-grid", false)] {
        let mut stage = stage(|config| config.upstream += &line("profile", profile));
        stage.start();
        stage.consumer.wait_for(STARTED, 1, SOON);
        wait_until("the birth", SOON, || stage.consumer.status("tidegate/gw1/status").is_some());
        assert_eq!(keeps_status(&stage), retained, "{profile}");
    }
}

/// Names that the next client offers by ALPN.
fn offered(listener: &TcpListener) -> Vec<String> {
    loop {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(PATIENT)).unwrap();
        let mut acceptor = Acceptor::default();
        loop {
            match acceptor.read_tls(&mut tcp) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            if let Some(accepted) = acceptor.accept().unwrap() {
                let hello = accepted.client_hello();
                let names = hello.alpn().into_iter().flatten();
                return names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
            }
        }
    }
}

#[test]
fn at_aws_the_port_of_https_is_entered_with_the_name_of_the_protocol() {
    // Another of loopback's addresses, since somebody may serve pages here.
    let listener = match TcpListener::bind(("127.0.0.44", 443)) {
        Ok(listener) => listener,
        Err(error) => return println!("not run: the port of HTTPS cannot be had here ({error})"),
    };
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let client = ca.issue("client", &["gw1"], Validity::Current);
    let password = dir.path().join("password");
    crate::support::certs::write_secret(&password, "secret");
    let mut stage = Stage::new();
    let login = line("username", "gw1") + &line("password_file", password.display());
    let certificate = line("cert_file", client.cert.display()) + &line("key_file", client.key.display());
    for (keys, expected) in [
        (line("profile", "aws-iot-core") + &certificate, vec!["x-amzn-mqtt-ca"]),
        (line("profile", "aws-iot-core") + &login, vec!["mqtt"]),
        (certificate.clone(), vec![]),
        (certificate.clone() + "alpn = [\"own\"]\n", vec!["own"]),
    ] {
        stage.config.upstream =
            crate::support::gateway::upstream("mqtts://127.0.0.44:443") + &line("ca_file", ca.cert.display()) + &keys;
        stage.gateway.configure(&stage.config);
        stage.gateway.start();
        assert_eq!(offered(&listener), expected, "{keys}");
        stage.gateway.kill();
    }
}

/// MQTT 5 without TLS, so that the network can change what the broker says.
fn plain() -> Stage {
    let mut stage = Stage::with(|config| config.upstream += &line("protocol", "5"));
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage
}

/// From the next connection on the broker takes so many events in each, and says this of so many that follow.
fn answers(stage: &Stage, taken: u32, reason: u8, times: u32) {
    stage.network.inject(Fault::Answers { after: 1 + taken, reason, times });
    stage.network.cut();
}

#[test]
fn a_quota_that_is_used_up_is_waited_out_and_nothing_is_lost() {
    let mut stage = plain();
    answers(&stage, 0, 0x97, 3);
    stage.cross(4, 1, 25);
    stage.consumer.wait_for_crossings(100, PATIENT);
    stage.gateway.wait_logged(&["WARN", "the broker wants a pause", "quota"]);
    acknowledged(&stage);
    stage.consumer.assert_lossless();
    assert!(letters(&stage).is_empty());
    assert_eq!(scrape(&stage).get("tidegate_upstream_refused_events_total", &[]), 3.0);
    assert_eq!(stage.consumer.repeats(), 3, "what is refused is sent again");
}

#[test]
fn what_is_refused_for_good_is_set_aside_at_once_and_without_a_reason_after_three_times() {
    for (reason, times, attempts, words) in
        [(0x90, 1, 1, "topic"), (0x87, 1, 1, "access rules"), (0x99, 1, 1, ""), (0x83, 3, 3, "")]
    {
        let mut stage = plain();
        answers(&stage, 1, reason, times);
        // It takes others: the refusal is about the event.
        stage.say("other", 80.0, 1);
        wait_until("the other", PATIENT, || stage.consumer.last_seq("plant/other/value") == Some(1));
        stage.say("s0", 80.0, 1);
        wait_until("it to be set aside", PATIENT, || letters(&stage).len() == 1);
        let letter = letters(&stage).remove(0);
        assert_eq!(letter["attempts"], attempts, "{reason:#x}: {letter}");
        assert!(letter["reason"].as_str().unwrap().contains(words), "{reason:#x}: {letter}");
        // The broker is none the worse for it.
        stage.cross(3, 2, 4);
        wait_until("the rest", PATIENT, || {
            (0..3).all(|n| stage.consumer.last_seq(&format!("plant/s{n}/value")) == Some(5))
        });
        stage.consumer.assert_sound();
    }
}

#[test]
fn a_broker_that_takes_few_at_a_time_gets_no_more_and_topics_become_numbers() {
    let (sensors, each) = (4, 100);
    let mut bytes = Vec::new();
    for aliases in [10, 0] {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        // This mosquitto ends a connection that has more in flight. Aliases are a matter of each of its doors.
        let extra = vec![
            "max_inflight_messages 3".to_owned(),
            format!("listener {port} 127.0.0.1"),
            format!("max_topic_alias {aliases}"),
        ];
        let mut stage = Stage::build(dir, Options { extra, ..Options::persistent() }, |config| {
            config.upstream += &line("protocol", "5");
        });
        stage.network.retarget(([127, 0, 0, 1], port).into());
        stage.start();
        stage.consumer.wait_for(STARTED, 1, SOON);
        acknowledged(&stage);
        stage.network.down();
        stage.cross(sensors, 1, each);
        wait_until("all stored", PATIENT, || stage.status()["store"]["waiting"] == sensors * each);
        let (before, connections) = (stage.network.passed_bytes(), stage.network.accepted());
        stage.network.restore();
        stage.consumer.wait_for_crossings(sensors * each, PATIENT);
        acknowledged(&stage);
        stage.consumer.assert_lossless();
        assert!(stage.network.accepted() <= connections + 1, "the connection holds");
        bytes.push(stage.network.passed_bytes() - before);
    }
    println!("{bytes:?} bytes with topic aliases and without");
    // A topic has 33 bytes, a number two and its property one more.
    assert!(bytes[0] + sensors * each * 25 < bytes[1], "{bytes:?}");
}
