//! Whatever devices and strangers send: the gateway stays up, and good readings before and after are handled.

use crate::stage::Stage;
use crate::support::consumer::EXCEEDED;
use crate::support::gateway::{high_alarm, serial_source};
use crate::support::pty::SerialDevice;
use crate::support::{PATIENT, SOON, wait_until};

/// Below the default limit of 256 KiB, so it reaches the decoder.
const NESTING: usize = 200_000;

/// Above the default limit of 256 KiB.
const OVERSIZED_BYTES: usize = 300_000;

fn bad_payloads() -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = [
        "",
        " ",
        "\0",
        "null",
        "true",
        "[]",
        "{}",
        "{",
        "80",
        "\"80\"",
        "[80, 90]",
        r#"{"value""#,
        r#"{"value":}"#,
        r#"{"value":null}"#,
        r#"{"value":NaN}"#,
        r#"{"value":Infinity}"#,
        r#"{"value":-inf}"#,
        r#"{"value":1e999}"#,
        r#"{"value":"NaN"}"#,
        r#"{"value":"inf"}"#,
        r#"{"value":"hot"}"#,
        r#"{"value":[80]}"#,
        r#"{"value":{"value":80}}"#,
        r#"{"Value":80}"#,
        r#"{"value":80"#,
        r#"{"value":80}}"#,
        r#"{"value":"\ud800"}"#,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    payloads.push(b"\xff\xfe\xfd".to_vec());
    payloads.push(b"{\"value\":80,\"x\":\"\xc3\x28\"}".to_vec());
    payloads.push(vec![b'['; NESTING]);
    payloads.push([br#"{"value":"#.to_vec(), vec![b'['; NESTING]].concat());
    payloads.push("{\"a\":".repeat(NESTING / 5).into_bytes());
    payloads.push(format!(r#"{{"value":{}}}"#, "9".repeat(NESTING)).into_bytes());
    payloads.push(vec![b'x'; OVERSIZED_BYTES]);
    payloads.push([br#"{"value":80,"pad":""#.to_vec(), vec![b'x'; OVERSIZED_BYTES], b"\"}".to_vec()].concat());
    payloads
}

#[test]
fn bad_messages_raise_nothing_and_hold_nothing_up() {
    let mut stage = Stage::new();
    stage.start();
    let payloads = bad_payloads();
    for (n, payload) in payloads.iter().enumerate() {
        let seq = n as u64 + 1;
        stage.publisher.publish("sensors/bad/temp", payload);
        stage.cross(1, seq, 1);
    }
    stage.consumer.wait_for_crossings(payloads.len() as u64, PATIENT);
    assert_eq!(stage.consumer.about("plant/bad/value").len(), 0);
    stage.consumer.assert_lossless();
    assert!(stage.gateway.is_running());
}

#[test]
fn bad_names_raise_nothing_invalid_and_hold_nothing_up() {
    let mut stage = Stage::new();
    stage.start();
    let long = "x".repeat(5000);
    let names = ["", " ", "ä", "$x", "\u{1f321}", "\"", "\\", "a b", "{topic}", &long];
    for (n, name) in names.iter().enumerate() {
        let seq = n as u64 + 1;
        stage.publisher.publish(&format!("sensors/{name}/temp"), r#"{"value":80}"#);
        stage.cross(1, seq, 1);
    }
    // Topics that nobody asked for.
    stage.publisher.publish("sensors/a/b/temp", r#"{"value":80}"#);
    stage.publisher.publish("elsewhere", r#"{"value":80}"#);
    stage.cross(1, names.len() as u64 + 1, 1);
    stage.consumer.wait_for_crossings(names.len() as u64 + 1, PATIENT);
    // Some of these names may be sensors; what came of them must be sound, and its topics portable.
    stage.consumer.assert_lossless();
    for event in stage.consumer.events() {
        let portable = |c: char| c.is_ascii_alphanumeric() || "_/-".contains(c);
        assert!(event.topic.chars().all(portable) && event.topic.len() <= 256, "topic {:?}", event.topic);
    }
    assert!(stage.gateway.is_running());
}

#[test]
fn a_retained_message_without_a_time_raises_nothing() {
    let mut stage = Stage::new();
    stage.publisher.retain("sensors/old/temp", br#"{"value":99.0,"seq":1}"#);
    stage.start();
    stage.say("marker", 99.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, SOON);
    assert_eq!(stage.consumer.about("plant/old/value").len(), 0);
}

#[test]
fn a_babbling_serial_device_is_survived() {
    let mut device = None;
    let mut stage = Stage::with(|config| {
        let path = std::path::Path::new(config.store.split('"').nth(1).unwrap()).with_file_name("usb-0001");
        config.sources.push(serial_source("boiler", &path));
        config.alarms.push(high_alarm("boiling", "boiler/#", 75.0, "critical"));
        device = Some(SerialDevice::plug_in(&path));
    });
    let device = device.unwrap();
    stage.start();
    wait_until("the port to be opened", SOON, || stage.gateway.has_open(device.name()));
    let raised = |count: u64| {
        let consumer = &stage.consumer;
        move || consumer.about("boiler/t").len() as u64 >= count
    };
    device.repeat_until("t=80.5", "the first alarm", raised(1));
    // An endless line, several times longer than any that is taken.
    let chunk = [b'z'; 4096];
    for _ in 0..256 {
        device.send(chunk);
    }
    device.send("\r\n");
    device.repeat_until("t=20", "the first return", raised(2));
    // Noise as from a wrong baud rate, then lines with nothing usable in them.
    let mut rng = fastrand::Rng::with_seed(3);
    let noise: Vec<u8> = (0..64 * 1024).map(|_| rng.u8(0x80..)).collect();
    device.send(noise);
    for line in ["", "=", "t", "t=", "t=nan", "t=inf", "t=1e999", "t=\u{fffd}", "====", "t=8O.5", "\0\0\0"] {
        device.send(format!("\r\n{line}\r\n"));
    }
    device.repeat_until("t=81", "the second alarm", raised(3));
    let values: Vec<_> = stage.consumer.about("boiler/t").iter().map(|event| event.data("value").clone()).collect();
    assert_eq!(values, [80.5, 20.0, 81.0]);
    stage.consumer.assert_lossless();
    assert!(stage.gateway.is_running());
}

#[test]
fn a_device_that_makes_up_names_is_bounded_and_told() {
    let mut stage = Stage::with(|config| {
        config.sources[0] = config.sources[0].replace("fields = { value = \"°C\" }, ", "");
    });
    stage.start();
    stage.say("known", 20.0, 1);
    let names: Vec<String> = (0..1_000).map(|n| format!("\"n{n}\":1")).collect();
    let payload = format!("{{{}}}", names.join(","));
    // The gateway keeps 20,000 sensors.
    for device in 0..21 {
        stage.publisher.publish(&format!("sensors/d{device}/temp"), payload.clone());
    }
    stage.publisher.flush();
    stage.gateway.wait_logged(&["refused", "as many as can be kept", "plant/d"]);
    assert!(stage.status()["sources"]["plant"]["rejects"]["too-many-sensors"].as_u64() > Some(0));
    // Those that are known go on.
    stage.say("known", 80.0, 2);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    let lines = stage.gateway.log().lines().filter(|line| line.contains("as many as can be kept")).count();
    assert_eq!(lines, 1, "told once, not for each");
}
