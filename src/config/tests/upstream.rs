//! Which brokers, of what kind, and what does not fit them.

use std::time::Duration;

use super::*;
use crate::config::model::{Compression, Upstream};
use crate::forward::profile::Profile;

/// A configuration with these keys and nothing else in `[upstream]`.
fn only(keys: &str) -> String {
    format!("[gateway]\nid = \"g\"\n[upstream]\n{keys}\n")
}

fn read(keys: &str) -> Upstream {
    good(&only(keys)).config.upstream.unwrap()
}

#[track_caller]
fn refused(keys: &str, words: &[&str]) {
    let errors = errors(&only(keys));
    assert_eq!(errors.len(), 1, "{keys}: {errors:?}");
    for word in words {
        assert!(errors[0].1.contains(word), "`{word}` is not in\n{}", errors[0].1);
    }
}

#[track_caller]
fn warned(keys: &str, words: &[&str]) {
    let warnings: Vec<_> = warnings(&only(keys)).into_iter().filter(|(_, text)| !text.contains("no [[")).collect();
    assert_eq!(warnings.len(), 1, "{keys}: {warnings:?}");
    for word in words {
        assert!(warnings[0].1.contains(word), "`{word}` is not in\n{}", warnings[0].1);
    }
}

#[test]
fn several_brokers_are_read_in_order() {
    let upstream = read("urls = [\"mqtts://a\", \"mqtts://b:1\", \"mqtts://c\"]\nprobe_every = \"1m\"");
    let hosts: Vec<&str> = upstream.urls.iter().map(|url| &*url.host).collect();
    assert_eq!((hosts, &*upstream.url.host), (vec!["a", "b", "c"], "a"));
    assert_eq!((upstream.probe_every, upstream.return_after), (Duration::from_secs(60), Duration::from_secs(60)));
    let single = read("url = \"mqtts://a\"");
    assert_eq!((single.urls, single.probe_every), (vec![single.url], Duration::from_secs(180)));
}

#[test]
fn a_list_of_brokers_that_cannot_be_is_refused() {
    refused("", &["[upstream] needs `url`"]);
    refused("url = \"mqtts://a\"\nurls = [\"mqtts://b\"]", &["`url` and `urls`", "remove one of them"]);
    refused("urls = []", &["`urls` is empty", "1 to 8"]);
    refused("urls = [\"mqtts://a\", \"http://b\"]", &["cannot read", "mqtts://"]);
    refused("urls = [\"mqtts://a\", \"mqtts://a:8883\"]", &["the same broker twice"]);
    refused("urls = [\"mqtts://a\", \"mqtt://127.0.0.1\"]", &["in one list", "the same credentials"]);
    refused("urls = [\"mqtt://127.0.0.1\", \"mqtt://10.0.0.1\"]", &["without encryption", "mqtts://10.0.0.1"]);
    let nine: Vec<String> = (0..9).map(|n| format!("\"mqtts://h{n}\"")).collect();
    refused(&format!("urls = [{}]", nine.join(",")), &["9 entries", "at most 8"]);
    refused("urls = [\"mqtts://a\"]\nprobe_every = \"10ms\"", &["probe_every"]);
    refused("urls = [\"mqtt://127.0.0.1\"]\nca_file = \"/c\"", &["`ca_file` has no effect", "`urls`"]);
}

#[test]
fn the_profile_bounds_topic_payload_and_keep_alive() {
    let profile = |name: &str, rest: &str| format!("url = \"mqtts://h\"\nprofile = \"{name}\"\n{rest}");
    assert_eq!(read("url = \"mqtts://h\"").profile, Profile::Portable);
    for one in Profile::ALL {
        assert_eq!(read(&profile(one.as_str(), "")).profile, one);
    }
    refused(&profile("aws", ""), &["`profile` cannot be \"aws\"", "\"aws-iot-core\""]);
    refused(
        &profile("portable", "topic = \"v1.0/{sensor}\""),
        &["'.' in a topic", "\"mosquitto\"", "\"aws-iot-core\""],
    );
    refused(&profile("rabbitmq", "topic = \"v1.0/{sensor}\""), &["another topic", "\"mosquitto\""]);
    refused(&profile("nats", "topic = \"a b/{sensor}\""), &["' ' in a topic"]);
    read(&profile("mosquitto", "topic = \"v1.0 b/{sensor}\""));
    let nine = "topic = \"1/2/3/4/5/6/7/8/9/{sensor}\"";
    refused(&profile("aws-iot-core", nine), &["9 slashes", "at most 7", "aws-iot-core"]);
    read(&profile("azure-event-grid", nine));
    let long = format!("topic = \"{}/{{sensor}}\"", "x".repeat(260));
    refused(&profile("rabbitmq", &long), &["261 bytes", "at most 255"]);
    read(&profile("mosquitto", &long));
    warned(&profile("aws-iot-core", "topic = \"1/2/3/4/5/6/{sensor}\""), &["no room", "{sensor}", "at most 7"]);
    refused(&profile("aws-iot-core", "payload_bytes_max = \"256KiB\""), &["more than the broker takes", "128 KiB"]);
    refused(&profile("portable", "payload_bytes_max = \"129KiB\""), &["128 KiB", "name it by `profile`"]);
    assert_eq!(read(&profile("mosquitto", "payload_bytes_max = \"1MiB\"")).payload_bytes_max, 1 << 20);
    refused(&profile("aws-iot-core", "keep_alive = \"10s\""), &["`keep_alive`", "30 s to 1200 s"]);
    refused(&profile("azure-event-grid", "keep_alive = \"20m\""), &["1 s to 1160 s"]);
}

#[test]
fn the_rate_limit_is_that_of_the_profile_unless_another_is_set() {
    let limit = |name: &str, rest: &str| {
        let limit = read(&format!("url = \"mqtts://h\"\nprofile = \"{name}\"\n{rest}")).rate_limit;
        (limit.events_per_second, limit.bytes_per_second)
    };
    assert_eq!(limit("portable", ""), (None, None));
    assert_eq!(limit("aws-iot-core", ""), (Some(100), None));
    assert_eq!(limit("azure-event-grid", ""), (Some(1000), None));
    assert_eq!(limit("aws-iot-core", "rate_limit = { bytes_per_second = \"8KiB\" }"), (Some(100), Some(8192)));
    assert_eq!(limit("aws-iot-core", "rate_limit = { events_per_second = 500 }"), (Some(500), None));
}

#[test]
fn a_port_that_the_profile_does_not_have_is_told() {
    let at = |url: &str, profile: &str, rest: &str| format!("url = \"{url}\"\nprofile = \"{profile}\"\n{rest}");
    let login = "cert_file = \"/c\"\nkey_file = \"/k\"";
    warned(&at("mqtts://h:443", "portable", ""), &["port 443", "aws-iot-core"]);
    refused(&at("mqtts://h:443", "aws-iot-core", ""), &["client certificate", "`cert_file`"]);
    read(&at("mqtts://h:443", "aws-iot-core", login));
    refused(&at("mqtts://h:443", "azure-event-grid", ""), &["WebSocket", "8883"]);
    warned(&at("mqtts://h:1234", "azure-event-grid", ""), &["port 1234"]);
    refused(&at("mqtt://127.0.0.1", "aws-iot-core", ""), &["TLS only", "mqtts://"]);
}

#[test]
fn the_status_topic_can_be_set_and_turned_off() {
    let status = |keys: &str| read(&format!("url = \"mqtts://h\"\n{keys}")).status_topic;
    assert_eq!(status("").as_deref(), Some("tidegate/g/status"));
    assert_eq!(status("status_topic = \"plant/7/{gateway}\"").as_deref(), Some("plant/7/g"));
    assert_eq!(status("status_topic = \"off\""), None);
    let bad = |topic: &str, words: &[&str]| refused(&format!("url = \"mqtts://h\"\nstatus_topic = \"{topic}\""), words);
    bad("a/{sensor}", &["only {gateway}"]);
    bad("a.b", &["'.' in a topic"]);
    bad("1/2/3/4/5/6/7/8/9", &["8 slashes", "at most 7"]);
    bad("", &["`status_topic` is empty"]);
}

#[test]
fn batches_have_defaults_and_stay_within_one_message() {
    let batch = |keys: &str| read(&format!("url = \"mqtts://h\"\n{keys}")).batch;
    assert_eq!(batch(""), None);
    let plan = batch("batch = {}").unwrap();
    assert_eq!((plan.events_max, plan.bytes_max, plan.wait), (50, 32 << 10, Duration::from_secs(5)));
    assert_eq!(&*plan.topic, "tidegate/g/batch");
    let plan =
        batch("batch = { events_max = 2, bytes_max = \"1KiB\", wait = \"0s\", topic = \"b/{gateway}\" }").unwrap();
    assert_eq!((plan.events_max, plan.bytes_max, plan.wait, &*plan.topic), (2, 1024, Duration::ZERO, "b/g"));
    let small = batch("payload_bytes_max = \"4KiB\"\nbatch = {}").unwrap();
    assert_eq!(small.bytes_max, 4096, "the default gives way");
    let bad = |keys: &str, words: &[&str]| refused(&format!("url = \"mqtts://h\"\n{keys}"), words);
    bad("batch = 50", &["`batch`", "a table such as"]);
    bad("batch = { events_max = 1 }", &["events_max", "2 to 1000"]);
    bad("batch = { max_events = 9 }", &["max_events", "events_max"]);
    bad("batch = { topic = \"a/{sensor}\" }", &["only {gateway}"]);
    bad("payload_bytes_max = \"4KiB\"\nbatch = { bytes_max = \"8KiB\" }", &["`bytes_max`", "4096"]);
    bad("protocol = \"5\"\nmode = \"binary\"\nbatch = {}", &["`batch` with mode = \"binary\"", "structured"]);
    bad("compress = \"gzip\"", &["compress", "zstd"]);
    assert_eq!(read("url = \"mqtts://h\"\ncompress = \"zstd\"").compression, Compression::Zstd);
}
