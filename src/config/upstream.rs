//! Of `[upstream]`: which brokers, of what kind, and whether everything else fits that kind.
//!
//! Owns `url`, `urls`, `profile`, `status_topic` and the checks against a profile that need no event.

use std::sync::Arc;

use super::general::template_of;
use super::model::{BrokerUrl, EventPart, Template, TemplatePart};
use super::section::Section;
use super::template::{self, Place};
use super::text::{Text, unreadable};
use super::tree::{Context, Spot};
use super::{broker, url};
use crate::event::wire::TopicError;
use crate::forward::profile::{PORT_HTTPS, Profile};

/// Most brokers in `urls`: each one more makes a round through them longer, and more than a handful is a mistake.
const URLS_MAX: usize = 8;

const DEFAULT_TOPIC: &str = "tidegate/{gateway}/{severity}/{sensor}";
const STATUS_TOPIC: &str = "status_topic";
const DEFAULT_STATUS_TOPIC: &str = "tidegate/{gateway}/status";

/// Slashes of a sensor's name: source/device/quantity.
const SENSOR_SLASHES: usize = 2;

/// The key that holds the address.
pub fn url_key(section: &Section<'_>) -> &'static str {
    if section.declares("urls") && section.has("urls") { "urls" } else { "url" }
}

/// `url` or `urls`: never empty, all with TLS or all without.
pub fn urls(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Vec<BrokerUrl>> {
    if !section.has("urls") {
        if section.lacks(ctx, "urls") {
            section.require(ctx, "url");
        }
        return broker::url(ctx, section).map(|url| vec![url]);
    }
    if let Some(entry) = section.entry("url") {
        let place = ctx.place(section.spot("urls"));
        ctx.error(entry.key, "`url` and `urls`").note(place, "the brokers are listed here").label("remove one of them");
    }
    let texts = section.texts(ctx, "urls", URLS_MAX)?;
    if texts.is_empty() && section.list(ctx, "urls", URLS_MAX).is_some_and(<[_]>::is_empty) {
        ctx.error(section.spot("urls"), "`urls` is empty").label(section.expected("urls"));
        return None;
    }
    let mut urls: Vec<BrokerUrl> = Vec::new();
    let mut good = true;
    for text in &texts {
        match url::parse(&text.value) {
            Err(why) => {
                unreadable(ctx, text, "urls").label(why);
                good = false;
            }
            Ok(url) if urls.contains(&url) => {
                ctx.error(text.spot, "the same broker twice in `urls`");
                good = false;
            }
            Ok(url) => {
                if urls.first().is_some_and(|first| first.tls != url.tls) {
                    ctx.error(text.spot, "`mqtt://` and `mqtts://` in one list of `urls`")
                        .label("all brokers get the same credentials, so all are reached in the same way");
                    good = false;
                }
                urls.push(url);
            }
        }
    }
    (good && !urls.is_empty()).then_some(urls)
}

/// `profile`
pub fn profile(ctx: &mut Context<'_>, section: &Section<'_>) -> Profile {
    let choices = Profile::ALL.map(|profile| (profile.as_str(), profile));
    section.choice(ctx, "profile", &choices).unwrap_or_default()
}

/// `topic`
pub fn topic(ctx: &mut Context<'_>, section: &Section<'_>, profile: Profile) -> Option<Template> {
    let Some(text) = section.filled_text(ctx, "topic", template::TEMPLATE_BYTES_MAX) else {
        return template::parse(DEFAULT_TOPIC, Place::Upstream).ok();
    };
    let template = template_of(ctx, &text, Place::Upstream)?;
    let rules = profile.topic_rules();
    let written = text.value.matches('/').count();
    if written > rules.slashes_max {
        ctx.error(text.spot, format!("{written} slashes in a topic"))
            .label(format!("at most {}, those of the sensor's name included", rules.slashes_max))
            .help(profile_help(profile));
        return None;
    }
    let own: usize =
        template.0.iter().map(|part| if let TemplatePart::Text(text) = part { text.len() } else { 0 }).sum();
    if own > rules.bytes_max {
        ctx.error(text.spot, format!("{own} bytes in a topic besides what is filled in"))
            .label(format!("at most {}, what is filled in included", rules.bytes_max))
            .help(profile_help(profile));
        return None;
    }
    if !own_text_fits(ctx, &text, &template, profile) {
        return None;
    }
    if template.0.contains(&TemplatePart::Event(EventPart::Sensor)) && written + SENSOR_SLASHES > rules.slashes_max {
        ctx.warning(
            text.spot,
            format!("no room for the levels of {{sensor}}: a topic has at most {} slashes", rules.slashes_max),
        )
        .help("what is too much becomes `_`, so that different sensors may get the same topic; shorten the rest");
    }
    if text.value.starts_with('/') {
        ctx.warning(text.at(0, 1), "the topic starts with a slash: its first level is empty");
    }
    let tells = |part: &TemplatePart| {
        matches!(part, TemplatePart::Event(EventPart::Sensor | EventPart::Alarm | EventPart::Gateway))
    };
    if !template.0.iter().any(tells) {
        ctx.warning(text.spot, "every event of every gateway gets the same topic")
            .help("put {gateway}, {sensor} or {alarm} into it to tell them apart");
    }
    Some(template)
}

/// Reports what the author wrote into a template and the broker does not take; what is filled in is changed instead.
fn own_text_fits(ctx: &mut Context<'_>, text: &Text, template: &Template, profile: Profile) -> bool {
    let rules = profile.topic_rules();
    let own = template.0.iter().filter_map(|part| if let TemplatePart::Text(text) = part { Some(text) } else { None });
    let Some(character) = own.into_iter().find_map(|own| rules.forbidden(own)) else { return true };
    let spot = match text.value.find(character) {
        Some(at) => text.at(at, at + character.len_utf8()),
        None => text.spot,
    };
    let problem = ctx.error(spot, format!("{character:?} in a topic of the profile \"{}\"", profile.as_str()));
    let others: Vec<String> = Profile::ALL
        .iter()
        .filter(|other| other.topic_rules().forbidden(&character.to_string()).is_none())
        .map(|other| format!("\"{}\"", other.as_str()))
        .collect();
    match profile {
        Profile::Portable => problem.label("expected letters, digits, `_`, `-` and `/`"),
        _ => problem.label("this broker would end the connection over it, or deliver it as another topic"),
    };
    if !others.is_empty() {
        problem.help(format!("if your broker is one of these, name it: profile = {}", others.join(" or ")));
    }
    false
}

/// `status_topic`, filled in.
pub fn status_topic(ctx: &mut Context<'_>, section: &Section<'_>, profile: Profile, gateway: &str) -> Option<Arc<str>> {
    gateway_topic(ctx, section, (STATUS_TOPIC, DEFAULT_STATUS_TOPIC), profile, gateway)
}

/// A topic of the gateway as a whole, filled in: a key and its default.
pub fn gateway_topic(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    (key, default): (&'static str, &str),
    profile: Profile,
    gateway: &str,
) -> Option<Arc<str>> {
    let filled = |template: &Template| -> String {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.to_string(),
            _ => gateway.to_owned(),
        };
        template.0.iter().map(part).collect()
    };
    let Some(text) = section.filled_text(ctx, key, template::TEMPLATE_BYTES_MAX) else {
        return template::parse(default, Place::Upstream).ok().map(|template| filled(&template).into());
    };
    if key == STATUS_TOPIC && text.value == "off" {
        return None;
    }
    let template = template_of(ctx, &text, Place::Upstream)?;
    let is_event = |part: &TemplatePart| matches!(part, TemplatePart::Event(part) if *part != EventPart::Gateway);
    if template.0.iter().any(is_event) {
        ctx.error(text.spot, format!("`{key}` belongs to the gateway, not to one event"))
            .label("only {gateway} is filled in here");
        return None;
    }
    if !own_text_fits(ctx, &text, &template, profile) {
        return None;
    }
    let topic = filled(&template);
    if let Some(fault) = profile.topic_rules().fault(&topic) {
        let why = match fault {
            TopicError::TooManyLevels { slashes, max } => format!("{slashes} slashes in a topic; at most {max}"),
            TopicError::TooLong { bytes, max } => format!("{bytes} bytes in a topic; at most {max}"),
            other => other.to_string(),
        };
        ctx.error(text.spot, why).help(profile_help(profile));
        return None;
    }
    Some(topic.into())
}

/// Reports addresses that the kind of broker does not have.
pub fn ports(ctx: &mut Context<'_>, section: &Section<'_>, profile: Profile, urls: &[BrokerUrl]) {
    let spot = section.spot(url_key(section));
    let name = profile.as_str();
    if profile.demands_tls() && urls.iter().any(|url| !url.tls) {
        ctx.error(spot, format!("`mqtt://` to a broker of the profile \"{name}\""))
            .label("it takes connections with TLS only: write `mqtts://`");
    }
    let login = section.has("cert_file") || section.has("username");
    for url in urls.iter().filter(|url| url.tls) {
        port(ctx, spot, profile, url.port, login);
    }
}

fn port(ctx: &mut Context<'_>, spot: Spot, profile: Profile, port: u16, login: bool) {
    match (profile, port) {
        (Profile::AwsIotCore, PORT_HTTPS) if !login => {
            ctx.error(spot, "port 443 of AWS IoT Core without a client certificate")
                .label("set `cert_file` and `key_file` (or `username` for a custom authorizer)");
        }
        (Profile::AwsIotCore, PORT_HTTPS | 8883) | (Profile::AzureEventGrid, 8883) => {}
        (Profile::AzureEventGrid, PORT_HTTPS) => {
            ctx.error(spot, "port 443 of Azure Event Grid").label("it speaks MQTT over WebSocket there; use port 8883");
        }
        (Profile::AwsIotCore | Profile::AzureEventGrid, port) => {
            ctx.warning(spot, format!("port {port} with the profile \"{}\"", profile.as_str()))
                .label("this service has port 8883 (AWS IoT Core also 443); is there something in between?");
        }
        (_, PORT_HTTPS) => {
            ctx.warning(spot, "port 443, which usually belongs to HTTPS")
                .label("on AWS IoT Core it takes MQTT only with profile = \"aws-iot-core\"")
                .help("if this is a broker of your own that listens there, all is well");
        }
        _ => {}
    }
}

/// The default of `payload_bytes_max`, or what is configured if the broker takes it.
pub fn payload_bytes_max(ctx: &mut Context<'_>, section: &Section<'_>, profile: Profile, default: usize) -> usize {
    let most = profile.payload_bytes_max();
    let Some(bytes) = section.size(ctx, "payload_bytes_max", 4 << 10..=16 << 20) else { return default.min(most) };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > most {
        ctx.error(section.spot("payload_bytes_max"), "`payload_bytes_max` is more than the broker takes")
            .label(format!("the profile \"{}\" takes at most {} KiB", profile.as_str(), most >> 10))
            .help(profile_help(profile));
    }
    bytes
}

/// Reports a keep-alive that the broker does not keep to.
pub fn keep_alive(ctx: &mut Context<'_>, section: &Section<'_>, profile: Profile, keep_alive: std::time::Duration) {
    let bounds = profile.keep_alive();
    if !bounds.contains(&keep_alive) {
        let name = profile.as_str();
        ctx.error(section.spot("keep_alive"), format!("`keep_alive` is not one that \"{name}\" keeps to"))
            .label(format!("expected {} s to {} s", bounds.start().as_secs(), bounds.end().as_secs()));
    }
}

fn profile_help(profile: Profile) -> String {
    match profile {
        Profile::Portable => "every broker takes this; if yours takes more, name it by `profile`".to_owned(),
        _ => format!("a limit of profile = \"{}\"", profile.as_str()),
    }
}
