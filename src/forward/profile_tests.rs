#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::config::model::Severity;
use crate::event::{Event, wire};
use crate::forward::testing;

/// Whether a broker takes a topic, written down anew from its documentation, so that a slip in the rules shows.
fn takes(profile: Profile, topic: &str) -> bool {
    let slashes = topic.split('/').count() - 1;
    let mqtt = !topic.is_empty()
        && !topic.starts_with('$')
        && !topic.chars().any(|c| "+#".contains(c) || c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c));
    mqtt && match profile {
        Profile::Portable => {
            Profile::ALL[1..].iter().all(|other| takes(*other, topic))
                && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/".contains(&b))
        }
        Profile::AwsIotCore => topic.len() <= 256 && slashes <= 7,
        Profile::AzureEventGrid => topic.len() <= 256 && slashes < 15,
        Profile::Nats => topic.len() <= 4096 && !topic.contains(['.', ' ', '*', '>']),
        Profile::RabbitMq => {
            topic.len() <= 255 && topic.replace('/', ".").replace('.', "/") == topic && !topic.contains('*')
        }
        Profile::Mosquitto => topic.len() <= 65_535 && slashes <= 200,
    }
}

fn event(subject: &str) -> Event {
    Event { subject: subject.into(), ..testing::event(1, 10, Severity::High) }
}

fn profiles() -> impl Strategy<Value = Profile> {
    prop::sample::select(Profile::ALL.to_vec())
}

/// Texts in which what brokers stumble over is not rare.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c/_. *>+#$-]{0,40}",
        "\\PC{0,40}",
        "[a-z]{1,12}(/[a-z]{1,12}){0,12}",
        any::<String>(),
        prop::collection::vec("[a-z]{1,3}", 0..300).prop_map(|levels| levels.join("/")),
    ]
}

fn parts() -> impl Strategy<Value = TemplatePart> {
    let event = |part: EventPart| Just(TemplatePart::Event(part));
    prop_oneof![
        names().prop_map(|text| TemplatePart::Text(text.into())),
        Just(TemplatePart::Text("/".into())),
        event(EventPart::Gateway),
        event(EventPart::Severity),
        event(EventPart::Sensor),
        event(EventPart::Sensor),
        event(EventPart::Type),
        event(EventPart::Alarm),
    ]
}

proptest! {
    #[test]
    fn what_leaves_a_profile_is_taken_by_its_broker(
        profile in profiles(),
        template in prop::collection::vec(parts(), 0..8),
        subject in names(),
        gateway in names(),
    ) {
        let mut topic = String::new();
        let rules = profile.topic_rules();
        if wire::topic(&Template(template), &event(&subject), &gateway, &rules, &mut topic).is_ok() {
            prop_assert!(takes(profile, &topic), "{profile:?} does not take {topic:?}");
            prop_assert_eq!(rules.fault(&topic), None);
        }
    }

    #[test]
    fn the_usual_template_has_room_for_any_sensor_of_usual_length(profile in profiles(), subject in "\\PC{1,40}") {
        let mut topic = String::new();
        let made = wire::topic(&usual(), &event(&subject), "gw1", &profile.topic_rules(), &mut topic);
        prop_assert!(made.is_ok(), "{subject:?}: {made:?}");
    }

    #[test]
    fn two_sensors_that_keep_sending_never_share_a_topic_unnoticed(
        profile in profiles(),
        subjects in prop::collection::hash_set("[ab_. *>/]{1,10}(/[ab]){0,9}", 2..12),
    ) {
        let mut namesakes = Namesakes::new(&usual());
        let (mut by_topic, mut noticed) = (HashMap::<String, Vec<Arc<str>>>::new(), Vec::new());
        for _ in 0..2 {
            for subject in &subjects {
                let (mut topic, subject) = (String::new(), Arc::<str>::from(subject.as_str()));
                let rules = profile.topic_rules();
                let changed = wire::topic(&usual(), &event(&subject), "gw1", &rules, &mut topic).unwrap();
                let other = namesakes.meet(&topic, &subject, changed);
                if let Some(other) = other {
                    prop_assert_ne!(&other, &subject);
                    noticed.push(topic.clone());
                }
                let sharing = by_topic.entry(topic).or_default();
                if !sharing.contains(&subject) {
                    sharing.push(subject);
                }
            }
        }
        let mut shared: Vec<_> = by_topic.into_iter().filter(|(_, who)| who.len() > 1).map(|(topic, _)| topic).collect();
        shared.sort();
        noticed.sort();
        prop_assert_eq!(noticed, shared, "each shared topic is told once, and no other");
    }
}

fn usual() -> Template {
    testing::upstream("localhost", 1883, None).topic
}

fn topic_of(profile: Profile, subject: &str) -> (String, bool) {
    let mut topic = String::new();
    let changed = wire::topic(&usual(), &event(subject), "gw1", &profile.topic_rules(), &mut topic).unwrap();
    (topic, changed)
}

#[test]
fn a_profile_that_takes_more_changes_less() {
    let (sensor, prefix) = ("zigbee/Kühl raum 1.2/t*", "tidegate/gw1/high/");
    for (profile, expected) in [
        (Profile::Portable, "zigbee/K_hl_raum_1_2/t_"),
        (Profile::Nats, "zigbee/Kühl_raum_1_2/t_"),
        (Profile::RabbitMq, "zigbee/Kühl raum 1_2/t_"),
        (Profile::AwsIotCore, sensor),
        (Profile::AzureEventGrid, sensor),
        (Profile::Mosquitto, sensor),
    ] {
        assert_eq!(topic_of(profile, sensor), (format!("{prefix}{expected}"), expected != sensor), "{profile:?}");
    }
    let deep = "a/b/c/d/e/f/g";
    assert_eq!(topic_of(Profile::AwsIotCore, deep), (format!("{prefix}a/b/c/d/e_f_g"), true));
    assert_eq!(topic_of(Profile::AzureEventGrid, deep), (format!("{prefix}{deep}"), false));
}

#[test]
fn what_is_portable_is_within_every_limit() {
    let portable = Profile::Portable;
    let own = portable.topic_rules();
    for other in &Profile::ALL[1..] {
        let rules = other.topic_rules();
        assert!(own.slashes_max <= rules.slashes_max && own.bytes_max <= rules.bytes_max, "{other:?}");
        assert!(portable.payload_bytes_max() <= other.payload_bytes_max(), "{other:?}");
        let all: String = (' '..='\u{ff}').filter(|&character| (own.allows)(character)).collect();
        assert_eq!((all.len(), rules.forbidden(&all)), (64, None), "{other:?}");
    }
}

#[test]
fn aws_is_offered_its_protocol_on_the_port_of_https_only() {
    let certificate = crate::config::model::Credentials { cert_file: Some("/c".into()), ..Default::default() };
    let at = |profile, port, credentials: &crate::config::model::Credentials| {
        Upstream { profile, ..testing::upstream("broker", port, Some(credentials.clone())) }.alpn()
    };
    assert_eq!(at(Profile::AwsIotCore, 443, &certificate), ["x-amzn-mqtt-ca"]);
    assert_eq!(at(Profile::AwsIotCore, 443, &Default::default()), ["mqtt"]);
    assert!(at(Profile::AwsIotCore, 8883, &certificate).is_empty());
    assert!(at(Profile::Portable, 443, &certificate).is_empty());
}

#[test]
fn sensors_are_not_compared_where_the_template_does_not_tell_them_apart() {
    let mut namesakes = Namesakes::new(&Template(vec![TemplatePart::Event(EventPart::Gateway)]));
    assert_eq!(namesakes.meet("g_w", &"a".into(), true), None);
    assert_eq!(namesakes.meet("g_w", &"b".into(), true), None);
}

#[test]
fn what_is_remembered_of_changed_topics_is_bounded() {
    let mut namesakes = Namesakes::new(&usual());
    for number in 0..NAMESAKES_MAX * 2 {
        assert_eq!(namesakes.meet(&format!("t{number}"), &format!("s{number}").into(), true), None);
    }
    assert_eq!(namesakes.changed.len(), NAMESAKES_MAX);
    assert_eq!(namesakes.meet("t0", &"other".into(), true), Some("s0".into()));
    assert_eq!(namesakes.meet("t0", &"other".into(), true), None, "told once");
}
