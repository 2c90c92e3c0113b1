//! The harness itself: that its broker, network, device and counting can be trusted, without any gateway.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::support::certs::{Authority, Validity, client_config};
use crate::support::consumer::Consumer;
use crate::support::gateway::has_open;
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::mqtt::{Packet, Session, publish_frame};
use crate::support::notify::NotifySocket;
use crate::support::proxy::Proxy;
use crate::support::pty::SerialDevice;
use crate::support::publisher::Publisher;
use crate::support::wait::holds_within;
use crate::support::{SOON, wait_until};

/// A whole event, as any gateway would send it.
fn event(sequence: u64, seq: u64) -> String {
    let (kind, change, before, after) = match seq % 2 {
        1 => ("threshold.exceeded.v1", "raised", "normal", "active"),
        _ => ("threshold.cleared.v1", "cleared", "active", "normal"),
    };
    let time = "2026-01-02T03:04:05Z";
    let id = uuid::Uuid::now_v7();
    serde_json::json!({
        "specversion": "1.0", "id": id, "source": "/tidegate/gw1", "type": format!("tidegate.{kind}"), "time": time,
        "subject": "plant/a/value", "partitionkey": "plant/a/value", "datacontenttype": "application/json",
        "dataschema": format!("urn:tidegate:schema:{kind}"), "sequence": format!("{sequence:020}"),
        "correlationid": id, "severity": "high", "clock": "synchronized", "backlog": false,
        "data": {
            "alarm": "a", "condition": "high", "change": change, "limit": 75.0, "deadband": 2.0, "on_delay_ms": 0,
            "off_delay_ms": 0, "state": { "before": before, "after": after },
            "episode": { "start": time, "duration_ms": 0, "count": 1 }, "attributes": { "seq": seq },
        },
    })
    .to_string()
}

#[test]
fn the_consumer_counts_what_the_publisher_published_over_a_broker_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path(), "broker", Options::persistent());
    let consumer = Consumer::start(broker.address(), "consumer");
    let lean = Consumer::start_lean(broker.address(), "lean");
    let mut publisher = Publisher::new(broker.address(), "publisher");
    for n in 1..=500 {
        publisher.publish("tidegate/gw1/high/plant/a/value", event(n, n));
        if n == 250 {
            broker.restart();
        }
    }
    publisher.flush();
    assert_eq!(publisher.acknowledged(), 500);
    consumer.wait_for_crossings(500, SOON);
    consumer.assert_lossless();
    assert_eq!(consumer.alarm_events(), 500);
    assert_eq!(consumer.highest_sequence(), 500);
    lean.wait_for_crossings(500, SOON);
    lean.assert_accounted();
    assert_eq!((lean.highest_sequence(), lean.absent(), lean.unannounced()), (500, 0, 0));
}

#[test]
fn the_broker_keeps_messages_for_a_consumer_that_is_away_while_it_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path(), "broker", Options::persistent());
    let mut session = Session::connect(broker.address(), "sleeper", false).unwrap();
    session.subscribe("a/+").unwrap();
    wait_until("the subscription", SOON, || matches!(session.poll().unwrap(), Some(Packet::SubAck(_))));
    assert_eq!(broker.subscriptions("sleeper"), 1);
    drop(session);
    let mut publisher = Publisher::new(broker.address(), "publisher");
    for n in 0..100 {
        publisher.publish("a/b", n.to_string());
    }
    publisher.flush();
    broker.restart();
    let mut session = Session::connect(broker.address(), "sleeper", false).unwrap();
    assert!(session.session_present);
    let mut got = Vec::new();
    wait_until("the kept messages", SOON, || {
        if let Some(Packet::Publish { payload, .. }) = session.poll().unwrap() {
            got.push(String::from_utf8(payload).unwrap());
        }
        got.len() == 100
    });
    assert_eq!(got, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_broker_killed_without_persistence_has_forgotten_its_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path(), "broker", Options::default());
    Session::connect(broker.address(), "sleeper", false).unwrap().subscribe("a").unwrap();
    wait_until("the subscription", SOON, || broker.subscriptions("sleeper") == 1);
    broker.kill();
    broker.resume();
    assert!(!Session::connect(broker.address(), "sleeper", false).unwrap().session_present);
}

#[test]
fn a_wrong_password_is_refused_by_the_broker_and_the_right_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = vec![("gw1".to_owned(), "right".to_owned())];
    let broker = Mosquitto::start(dir.path(), "broker", Options { accounts, ..Options::default() });
    let enter = |password: &str| Session::connect_as(broker.front(), "x", true, Some(("gw1", password)));
    assert!(enter("right").is_ok());
    assert!(enter("wrong").unwrap_err().to_string().contains("code: 5"));
    assert!(Session::connect(broker.front(), "x", true).is_ok());
}

/// Connects to a TLS door as a client that trusts `ca`, for the host `localhost`, with rustls as the gateway has it.
fn tls_handshake(port: u16, ca: &Path, client: Option<&crate::support::certs::Identity>) -> Result<(), String> {
    let config = client_config(ca, client);
    let mut tls = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut tcp = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    // An MQTT CONNECT; a CONNACK proves that the broker has accepted us, in TLS 1.3 also our certificate.
    std::io::Write::write_all(&mut stream, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x")
        .map_err(|e| e.to_string())?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(|e| e.to_string())?;
    if answer == [0x20, 2, 0, 0] { Ok(()) } else { Err(format!("{answer:?}")) }
}

#[test]
fn certificates_are_good_or_bad_as_their_names_say() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let other = Authority::new(dir.path(), "other");
    let mut broker = Mosquitto::start(dir.path(), "broker", Options::tls(&ca.server()));
    assert_eq!(broker.url(), format!("mqtts://localhost:{}", broker.port()));
    assert_eq!(tls_handshake(broker.port(), &ca.cert, None), Ok(()));
    assert!(tls_handshake(broker.port(), &other.cert, None).unwrap_err().contains("UnknownIssuer"));
    for (identity, fault) in [
        (ca.issue("expired", &["localhost"], Validity::Expired), "expired"),
        (ca.issue("future", &["localhost"], Validity::NotYet), "not valid yet"),
        (ca.issue("elsewhere", &["broker.example"], Validity::Current), "not valid for name"),
    ] {
        broker.options.tls = Some(identity);
        broker.restart();
        let error = tls_handshake(broker.port(), &ca.cert, None).unwrap_err();
        assert!(error.contains(fault), "{error} should say {fault}");
    }
    broker.options.tls = Some(ca.server());
    broker.options.client_ca = Some(ca.cert.clone());
    broker.restart();
    let client = ca.issue("client", &["gw1"], Validity::Current);
    assert_eq!(tls_handshake(broker.port(), &ca.cert, Some(&client)), Ok(()));
    assert!(tls_handshake(broker.port(), &ca.cert, None).is_err());
}

#[test]
fn the_network_can_be_cut_stalled_taken_down_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path(), "broker", Options::default());
    let network = Proxy::start(broker.front());
    let near = ([127, 0, 0, 1], network.port()).into();
    let publish = publish_frame("a", b"b", Some(1), false);
    let acknowledged = |session: &mut Session| {
        session.send(&publish).unwrap();
        holds_within(SOON, || matches!(session.poll(), Ok(Some(Packet::PubAck(1)))))
    };

    let mut session = Session::connect(near, "x", true).unwrap();
    assert!(acknowledged(&mut session));
    assert_eq!(network.accepted(), 1);
    assert!(network.passed_bytes() > 0);

    network.stall();
    session.send(&publish).unwrap();
    // Nothing comes, however often it is asked for; what was sent arrives once the network is back.
    assert!((0..10).all(|_| session.poll().unwrap().is_none()));
    network.restore();
    assert!(holds_within(SOON, || matches!(session.poll(), Ok(Some(Packet::PubAck(1))))));

    network.cut();
    wait_until("the cut to be felt", SOON, || session.poll().is_err());
    let mut session = Session::connect(near, "x", true).unwrap();
    assert!(acknowledged(&mut session));

    network.down();
    wait_until("the loss to be felt", SOON, || session.poll().is_err());
    let refused = Session::connect(near, "x", true).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    network.restore();
    let other = Mosquitto::start(dir.path(), "other", Options::default());
    network.retarget(other.front());
    assert!(acknowledged(&mut Session::connect(near, "y", true).unwrap()));
    assert!(other.log().contains("as y"));
}

#[test]
fn a_simulated_serial_device_says_hangs_up_and_comes_back_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut device = SerialDevice::plug_in(&dir.path().join("usb-0001"));
    let first = device.name().to_owned();
    assert_eq!(fs::read_link(device.link()).unwrap(), first);
    let mut port = fs::File::open(device.link()).unwrap();
    assert!(has_open(std::process::id(), &first));
    device.send("t=1\r\n");
    let mut bytes = [0; 5];
    port.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"t=1\r\n");
    device.unplug();
    assert!(!device.link().exists());
    // A hang-up is the end of the file or an error; never more bytes.
    assert!(!matches!(port.read(&mut bytes), Ok(1..)));
    device.replug();
    assert_ne!(device.name(), first);
    let mut port = fs::File::open(device.link()).unwrap();
    device.send("t=2\r\n");
    port.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"t=2\r\n");
    device.repeat_until("t=3", "the third line", || {
        port.read_exact(&mut bytes).unwrap();
        &bytes == b"t=3\r\n"
    });
}

#[test]
fn the_notify_socket_keeps_what_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let notify = NotifySocket::bind(&dir.path().join("notify"));
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    socket.send_to(b"READY=1\nSTATUS=all well\n", notify.path()).unwrap();
    socket.send_to(b"WATCHDOG=1", notify.path()).unwrap();
    wait_until("three assignments", SOON, || notify.notices().len() == 3);
    assert_eq!(notify.count("READY=1"), 1);
    assert_eq!(notify.count("STATUS="), 1);
    let notices = notify.notices();
    assert_eq!((notices[0].datagram, notices[1].datagram, notices[2].datagram), (0, 0, 1));
}
