#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use proptest::prelude::*;
use rumqttc::v5::mqttbytes::v5 as packets5;

use super::*;

const MAX: usize = 16 * 1024;

fn one(bytes: &[u8], protocol: Protocol) -> Result<Option<Incoming>, Malformed> {
    take(&mut BytesMut::from(bytes), protocol, MAX)
}

fn message<'a>(topic: &'a str, payload: &'a [u8], properties: &'a [u8]) -> Message<'a> {
    Message { topic, payload, retain: false, packet_id: 7, properties }
}

#[test]
fn rumqttc_reads_what_is_published_in_both_versions() {
    let mut properties = Vec::new();
    put_content_type(&mut properties, "application/cloudevents+json");
    put_is_text(&mut properties);
    put_expiry(&mut properties, 3_600);
    put_user_property(&mut properties, "site", "x");
    for bytes in [0, 100, 127, 128, 20_000, 3_000_000] {
        let payload = vec![b'x'; bytes];
        let mut out = BytesMut::new();
        publish(&mut out, Protocol::V311, message("a/b", &payload, &properties), None);
        let rumqttc::Packet::Publish(read) = rumqttc::Packet::read(&mut out, usize::MAX).unwrap() else { panic!() };
        assert_eq!((read.topic.as_str(), read.pkid, &read.payload[..], out.len()), ("a/b", 7, &payload[..], 0));

        let alias = Alias { number: 3, known: true };
        publish(&mut out, Protocol::V5, message("a/b", &payload, &properties), Some(alias));
        let packets5::Packet::Publish(read) = packets5::Packet::read(&mut out, None).unwrap() else { panic!() };
        assert_eq!((&read.topic[..], read.pkid, &read.payload[..], out.len()), (&b""[..], 7, &payload[..], 0));
        let read = read.properties.unwrap();
        assert_eq!(read.topic_alias, Some(3));
        assert_eq!(read.message_expiry_interval, Some(3_600));
        assert_eq!(read.payload_format_indicator, Some(1));
        assert_eq!(read.content_type.as_deref(), Some("application/cloudevents+json"));
        assert_eq!(read.user_properties, [("site".to_owned(), "x".to_owned())]);
    }
}

#[test]
fn the_size_announced_is_never_below_the_size_sent() {
    for bytes in [0, 200, 70_000] {
        let payload = vec![b'x'; bytes];
        let properties = vec![0; 300];
        let mut out = BytesMut::new();
        let alias = Alias { number: 1, known: false };
        publish(&mut out, Protocol::V5, message("topic", &payload, &properties), Some(alias));
        assert!(out.len() <= PUBLISH_HEAD_BYTES_MAX + 5 + bytes + 300);
    }
}

#[test]
fn a_welcome_of_rumqttcs_is_understood() {
    let properties = packets5::ConnAckProperties {
        session_expiry_interval: Some(0),
        receive_max: Some(20),
        max_qos: Some(1),
        retain_available: Some(0),
        max_packet_size: Some(4_000),
        assigned_client_identifier: Some("x".to_owned()),
        topic_alias_max: Some(10),
        reason_string: Some("be\nwelcome".to_owned()),
        user_properties: vec![("a".to_owned(), "b".to_owned())],
        wildcard_subscription_available: Some(1),
        subscription_identifiers_available: Some(1),
        shared_subscription_available: Some(1),
        server_keep_alive: Some(5),
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    let connack = packets5::ConnAck {
        session_present: false,
        code: packets5::ConnectReturnCode::Success,
        properties: Some(properties),
    };
    let mut bytes = BytesMut::new();
    packets5::Packet::ConnAck(connack).write(&mut bytes, None).unwrap();
    let Some(Incoming::Welcome(welcome)) = one(&bytes, Protocol::V5).unwrap() else { panic!() };
    let expected = Welcome {
        reason: 0,
        text: Some("be welcome".to_owned()),
        server: None,
        receive_maximum: Some(20),
        packet_bytes_max: Some(4_000),
        topic_alias_maximum: 10,
        keep_alive: Some(5),
        maximum_qos: Some(1),
        retains: false,
    };
    assert_eq!(welcome, expected);
}

#[test]
fn acknowledgements_are_read_in_every_form_they_have() {
    let puback = |packet_id, reason, text: Option<&str>| {
        Some(Incoming::Puback(Puback { packet_id, reason, text: text.map(str::to_owned) }))
    };
    assert_eq!(one(&[0x40, 2, 1, 2], Protocol::V311).unwrap(), puback(258, 0, None));
    assert_eq!(one(&[0x40, 2, 1, 2], Protocol::V5).unwrap(), puback(258, 0, None));
    assert_eq!(one(&[0x40, 3, 0, 9, 0x10], Protocol::V5).unwrap(), puback(9, 0x10, None));
    let long = [0x40, 9, 0, 9, 0x97, 5, 31, 0, 2, b'n', b'o'];
    assert_eq!(one(&long, Protocol::V5).unwrap(), puback(9, 0x97, Some("no")));
    // A code that no list has is the caller's to judge.
    assert_eq!(one(&[0x40, 3, 0, 9, 0xfe], Protocol::V5).unwrap(), puback(9, 0xfe, None));
}

#[test]
fn a_goodbye_may_say_why_and_an_old_broker_refuses_in_its_own_form() {
    let goodbye = |reason| Some(Incoming::Goodbye { reason, text: None, server: None });
    assert_eq!(one(&[0xe0, 0], Protocol::V5).unwrap(), goodbye(0));
    assert_eq!(one(&[0xe0, 1, 0x8b], Protocol::V5).unwrap(), goodbye(0x8b));
    let moved = [0xe0, 7, 0x9d, 5, 28, 0, 2, b'x', b'y'];
    let named = Incoming::Goodbye { reason: 0x9d, text: None, server: Some("xy".to_owned()) };
    assert_eq!(one(&moved, Protocol::V5).unwrap(), Some(named));
    let Some(Incoming::Welcome(welcome)) = one(&[0x20, 2, 0, 1], Protocol::V5).unwrap() else { panic!() };
    assert_eq!((welcome.reason, welcome.retains), (1, true));
}

#[test]
fn a_packet_in_pieces_waits_and_a_large_one_is_refused() {
    for cut in 0..4 {
        assert_eq!(one(&[0x40, 2, 1, 2][..cut], Protocol::V5).unwrap(), None);
    }
    for bytes in [
        &[0x40, 0xff, 0xff, 0xff, 0xff][..],
        &[0x40, 0xff, 0xff, 0x7f],
        &[0x40, 1, 0],
        &[0x20, 1, 0],
        &[0x40, 5, 0, 1, 0, 9, 31],
        &[0x40, 6, 0, 1, 0, 2, 99, 0],
        &[0xe0, 3, 0x80, 0x80, 0x80],
    ] {
        assert!(one(bytes, Protocol::V5).is_err(), "{bytes:x?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for protocol in [Protocol::V311, Protocol::V5] {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut buffer, protocol, MAX) {}
        }
    }

    #[test]
    fn arbitrary_properties_never_panic(kind in prop::sample::select(vec![0x20_u8, 0x40, 0xe0]), bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut packet = vec![kind, u8::try_from(bytes.len() + 4).unwrap(), 0, 1, 0, u8::try_from(bytes.len()).unwrap()];
        packet.extend(bytes);
        let _ = one(&packet, Protocol::V5);
    }
}
