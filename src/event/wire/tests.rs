#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::clock::{BootTime, ClockState, WallTime};
use crate::config::model::{EventPart, Severity, Template, TemplatePart};
use crate::event::{AlarmData, AlarmState, Change, ConditionKind, Episode, EventData, GatewayStarted, Limit, Sample};
use crate::reading::{TimeSource, Value};

fn id(tail: u8) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(1_767_225_600_000, &[tail; 10]).into_uuid()
}

fn event() -> Event {
    let at = |ms: i64| WallTime::from_millis(1_767_225_600_000 + ms);
    let sample = |ms, number| Sample { time: at(ms), value: Value::Number(number) };
    Event {
        sequence: 42,
        id: id(1),
        subject: "zigbee/cold-store/temperature".into(),
        time: at(0),
        boot: BootTime(5_000_000_000),
        boot_id: id(9),
        clock: ClockState::Synchronized,
        severity: Severity::Critical,
        correlation: Some(id(1)),
        data: EventData::Alarm(Box::new(AlarmData {
            alarm: "too-warm".into(),
            description: Some("Cold store \"A\"".into()),
            condition: ConditionKind::High,
            change: Change::Raised,
            value: Some(Value::Number(82.0)),
            measured: None,
            unit: Some("°C".into()),
            limit: Limit::Number(8.0),
            deadband: 1.0,
            on_delay_ms: 300_000,
            off_delay_ms: 0,
            before: AlarmState::Pending,
            after: AlarmState::Active,
            episode: Episode { start: at(0), peak: Some(Value::Number(82.0)), duration_ms: 0, count: 3 },
            value_time: Some(at(-5)),
            time_source: TimeSource::Payload,
            context: vec![sample(-2_000, 7.9), sample(-1_000, 8.1)],
            attributes: Some(Arc::new(vec![
                ("seq".into(), 123.into()),
                ("ts".into(), 1_795_219_574_393_487_u64.into()),
                ("note".into(), "a\nb".into()),
            ])),
        })),
    }
}

fn json(event: &Event) -> String {
    let mut out = b"what was there before".to_vec();
    encode(event, "boiler-room-7", Encoding::Json, false, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_json_text_is_as_documented() {
    let expected = concat!(
        r#"{"specversion":"1.0","id":"019b76da-a800-7101-8101-010101010101","source":"/tidegate/boiler-room-7","#,
        r#""type":"tidegate.threshold.exceeded.v1","subject":"zigbee/cold-store/temperature","#,
        r#""time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","#,
        r#""dataschema":"urn:tidegate:schema:threshold.exceeded.v1","sequence":"00000000000000000042","#,
        r#""partitionkey":"zigbee/cold-store/temperature","correlationid":"019b76da-a800-7101-8101-010101010101","#,
        r#""severity":"critical","clock":"synchronized","backlog":false,"#,
        r#""data":{"alarm":"too-warm","description":"Cold store \"A\"","condition":"high","change":"raised","#,
        r#""value":82.0,"unit":"°C","limit":8.0,"deadband":1.0,"on_delay_ms":300000,"off_delay_ms":0,"#,
        r#""state":{"before":"pending","after":"active"},"#,
        r#""episode":{"start":"2026-01-01T00:00:00Z","peak":82.0,"duration_ms":0,"count":3},"#,
        r#""reading":{"time":"2025-12-31T23:59:59.995Z","time_source":"payload"},"#,
        r#""context":[{"time":"2025-12-31T23:59:58Z","value":7.9},{"time":"2025-12-31T23:59:59Z","value":8.1}],"#,
        r#""attributes":{"seq":123,"ts":1795219574393487,"note":"a\nb"}}}"#,
    );
    assert_eq!(json(&event()), expected);
}

#[test]
fn carried_fields_keep_their_order_and_no_other_field_has_their_usual_names() {
    let text = json(&event());
    assert_eq!(text.matches(r#""seq":"#).count(), 1);
    assert_eq!(text.matches(r#""ts":"#).count(), 1);
    assert!(text.contains(r#""attributes":{"seq":123,"ts":1795219574393487,"#));
}

#[test]
fn the_cbor_form_holds_the_same_names_and_values() {
    let mut out = Vec::new();
    encode(&event(), "boiler-room-7", Encoding::Cbor, true, &mut out);
    let value: ciborium::Value = ciborium::from_reader(&out[..]).unwrap();
    let entry = |name: &str| {
        let found = value.as_map().unwrap().iter().find(|(key, _)| key.as_text() == Some(name));
        found.unwrap_or_else(|| panic!("no {name}")).1.clone()
    };
    assert_eq!(entry("id").as_text(), Some("019b76da-a800-7101-8101-010101010101"));
    assert_eq!(entry("sequence").as_text(), Some("00000000000000000042"));
    assert_eq!(entry("datacontenttype").as_text(), Some("application/cbor"));
    assert_eq!(entry("backlog").as_bool(), Some(true));
    assert!(out.len() < json(&event()).len() * 9 / 10);
}

#[test]
fn a_replayed_event_says_so_and_is_otherwise_the_same() {
    let mut out = Vec::new();
    encode_replayed(&event(), "boiler-room-7", Encoding::Json, &mut out);
    let expected = json(&event()).replace(r#""backlog":false,"#, r#""backlog":true,"replayed":true,"#);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(!json(&event()).contains("replayed"), "what is not replayed does not speak of it");
}

fn expand(parts: &[TemplatePart], event: &Event) -> Result<String, TopicError> {
    let mut out = "what was there before".to_owned();
    topic(&Template(parts.to_vec()), event, "boiler room.7", &TopicRules::PORTABLE, &mut out).map(|_| out)
}

fn default_template() -> Vec<TemplatePart> {
    vec![
        TemplatePart::Text("tidegate/".into()),
        TemplatePart::Event(EventPart::Gateway),
        TemplatePart::Text("/".into()),
        TemplatePart::Event(EventPart::Severity),
        TemplatePart::Text("/".into()),
        TemplatePart::Event(EventPart::Sensor),
    ]
}

#[test]
fn a_topic_has_portable_characters_and_the_sensor_keeps_its_levels() {
    let mut event = event();
    assert_eq!(
        expand(&default_template(), &event).unwrap(),
        "tidegate/boiler_room_7/critical/zigbee/cold-store/temperature"
    );
    event.subject = "zigbee/kühl raum+#/t".into();
    assert_eq!(expand(&default_template(), &event).unwrap(), "tidegate/boiler_room_7/critical/zigbee/k_hl_raum__/t");
    let by_type =
        [TemplatePart::Event(EventPart::Type), TemplatePart::Text("/".into()), TemplatePart::Event(EventPart::Alarm)];
    assert_eq!(expand(&by_type, &event).unwrap(), "tidegate-threshold-exceeded-v1/too-warm");
    event.data = EventData::GatewayStarted(GatewayStarted {
        version: "0.1.0".into(),
        previous_stop: "first".into(),
        waiting: 0,
    });
    assert_eq!(expand(&by_type, &event).unwrap(), "tidegate-gateway-started-v1/gateway");
}

#[test]
fn levels_that_no_broker_takes_become_part_of_the_last_one() {
    let mut event = event();
    event.subject = "a/b/c/d/e/f/g".into();
    let topic = expand(&default_template(), &event).unwrap();
    assert_eq!(topic, "tidegate/boiler_room_7/critical/a/b/c/d/e_f_g");
    assert_eq!(topic.matches('/').count(), TopicRules::PORTABLE.slashes_max);
}

#[test]
fn a_topic_that_no_broker_takes_is_an_error() {
    let text = |text: &str| vec![TemplatePart::Text(text.into())];
    let mut event = event();
    assert_eq!(expand(&text("1/2/3/4/5/6/7/8/9"), &event), Err(TopicError::TooManyLevels { slashes: 8, max: 7 }));
    assert_eq!(expand(&text("a/#"), &event), Err(TopicError::Forbidden('#')));
    assert_eq!(expand(&[], &event), Err(TopicError::Empty));
    let max = TopicRules::PORTABLE.bytes_max;
    event.subject = "x".repeat(max).into();
    assert_eq!(expand(&default_template(), &event), Err(TopicError::TooLong { bytes: 32 + max, max }));
}
