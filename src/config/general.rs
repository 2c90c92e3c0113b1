//! `[gateway]`, `[store]` and `[upstream]`: the tables of which there is one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::model::{
    BrokerUrl, CONTROL_SOCKET, Encoding, Gateway, LogFormat, LogLevel, Record, Store, Template, Upstream, WhenFull,
};
use super::section::Section;
use super::suggest::nearest;
use super::template::{self, Place};
use super::text::Text;
use super::tree::{Context, Spot};
use super::{broker, bulk, mqtt, pacing, units, upstream, url};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// MQTT writes the keep-alive as 16 bits of seconds.
pub const KEEP_ALIVE_MAX: Duration = Duration::from_secs(18 * 3600);

/// Longest path, bytes.
const PATH_BYTES_MAX: usize = 4095;

/// Longest path of a unix socket, bytes: `sun_path` has 108, and a zero ends it (unix(7)).
const SOCKET_BYTES_MAX: usize = 107;

/// Host names of systems nobody has named yet; the last is what no name at all becomes.
const DELIVERED_NAMES: [&str; 6] = ["raspberrypi", "debian", "ubuntu", "armbian", "localhost", "gateway"];

/// `[gateway]`
pub fn gateway(ctx: &mut Context<'_>, section: &Section<'_>) -> Gateway {
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    Gateway {
        id: section.name(ctx, "id").map_or_else(host_name, |text| text.value).into(),
        time_zone: time_zone(ctx, section),
        shutdown_grace: section.duration(ctx, "shutdown_grace", Duration::ZERO..=10 * MINUTE).unwrap_or(10 * SECOND),
        log_level: section.choice(ctx, "log_level", &LogLevel::NAMED).unwrap_or(LogLevel::Info),
        log_format: section.choice(ctx, "log_format", &formats).unwrap_or(LogFormat::Auto),
        watch: section.boolean(ctx, "watch"),
        watch_every: section.duration(ctx, "watch_every", SECOND..=HOUR).unwrap_or(30 * SECOND),
        control_socket: control_socket(ctx, section),
    }
}

fn control_socket(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<PathBuf> {
    let Some(text) = section.filled_text(ctx, "control_socket", PATH_BYTES_MAX) else {
        return Some(PathBuf::from(CONTROL_SOCKET));
    };
    if text.value == "off" {
        return None;
    }
    let path = PathBuf::from(&text.value);
    if path.is_relative() {
        ctx.error(text.spot, "a relative path: it depends on where the program is started")
            .label(format!("write it from the root, as in \"{CONTROL_SOCKET}\", or \"off\""));
    } else if text.value.len() > SOCKET_BYTES_MAX {
        ctx.error(text.spot, format!("`control_socket` is {} bytes long", text.value.len()))
            .label(format!("a unix socket's path is at most {SOCKET_BYTES_MAX} bytes"));
    }
    Some(path)
}

/// The first part of the host name, in the characters of an id.
pub fn host_name() -> String {
    let uname = rustix::system::uname();
    id_from_host(&uname.nodename().to_string_lossy())
}

fn id_from_host(host: &str) -> String {
    let first = host.split('.').next().unwrap_or("");
    let id: String =
        first.chars().take(super::NAME_BYTES_MAX).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    match id.trim_matches('-') {
        "" => "gateway".to_owned(),
        _ => id,
    }
}

/// Why an id that is only the machine's name does not name one gateway for good; `None` where it does.
pub fn doubt_of_id(id: &str) -> Option<&'static str> {
    if id == host_name() { doubt_of_host(id) } else { None }
}

fn doubt_of_host(host: &str) -> Option<&'static str> {
    if host.len() == 12 && host.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        Some("a container's, another one after each upgrade")
    } else if DELIVERED_NAMES.contains(&host) {
        Some("that of every machine of its kind as it was delivered")
    } else {
        None
    }
}

/// `time_zone`: one that this system knows. Default "UTC".
pub fn time_zone(ctx: &mut Context<'_>, section: &Section<'_>) -> String {
    let Some(text) = section.filled_text(ctx, "time_zone", 128) else {
        return "UTC".to_owned();
    };
    if jiff::tz::TimeZone::get(&text.value).is_err() {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = nearest(&text.value, known.iter().map(String::as_str)).map(str::to_owned);
        let shown = text.shown().map_or_else(|| "this".to_owned(), |shown| format!("\"{shown}\""));
        let problem = ctx.error(text.spot, format!("{shown} is no time zone that this system knows"));
        match near {
            Some(near) => problem.label(format!("did you mean \"{near}\"?")),
            None => problem.label("expected a name such as \"Europe/Berlin\" or \"UTC\""),
        };
        if known.len() < 2 {
            problem.help("this system has no time zone database; install the package tzdata");
        }
    }
    text.value
}

/// `[store]`
pub fn store(ctx: &mut Context<'_>, section: &Section<'_>) -> Store {
    let policies = [
        ("drop-oldest", WhenFull::DropOldest),
        ("drop-least-severe", WhenFull::DropLeastSevere),
        ("reject", WhenFull::Reject),
    ];
    let path = section.filled_text(ctx, "path", PATH_BYTES_MAX).map(|text| {
        let path = PathBuf::from(&text.value);
        if path.is_relative() {
            ctx.warning(text.spot, "a relative path: it depends on where the program is started")
                .label("write it from the root, as in \"/var/lib/tidegate\"");
        }
        path
    });
    let max_bytes = section.size(ctx, "max_bytes", 32 << 20..=1 << 40).unwrap_or(256 << 20);
    Store {
        path: path.unwrap_or_else(|| PathBuf::from("/var/lib/tidegate")),
        max_bytes,
        retain_delivered: retain_delivered(ctx, section, max_bytes),
        when_full: section.choice(ctx, "when_full", &policies).unwrap_or(WhenFull::DropOldest),
        commit_interval: section.duration(ctx, "commit_interval", Duration::ZERO..=MINUTE).unwrap_or(Duration::ZERO),
    }
}

/// `[record]`; `store` is where events are.
pub fn record(ctx: &mut Context<'_>, section: &Section<'_>, store: &Store) -> Option<Record> {
    section.check_variant(ctx, "");
    let max_bytes = section.size(ctx, "max_bytes", 1 << 20..=1 << 40).unwrap_or(64 << 20);
    let text = section.filled_text(ctx, "path", PATH_BYTES_MAX)?;
    let path = PathBuf::from(&text.value);
    if path.is_relative() {
        ctx.error(text.spot, "a relative path: it depends on where the program is started")
            .label("write it from the root, as in \"/var/lib/tidegate-readings\"");
        return None;
    }
    if path.starts_with(&store.path) || store.path.starts_with(&path) {
        ctx.error(text.spot, "readings and events in one folder").label("expected a folder of its own").help(format!(
            "the store is in {}; what is not its own there counts against its limit",
            store.path.display()
        ));
        return None;
    }
    Some(Record { path, max_bytes })
}

/// `retain_delivered`: what is delivered leaves in whole generations, so that less than a few of them would keep
/// nothing; and the events that wait need the rest of the store.
fn retain_delivered(ctx: &mut Context<'_>, section: &Section<'_>, max_bytes: u64) -> u64 {
    let retained = section.size(ctx, "retain_delivered", 0..=1 << 39).unwrap_or(0);
    let (least, most) = (if max_bytes > 4 << 30 { 32 << 20 } else { 8 << 20 }, max_bytes / 2);
    if retained > 0 && !(least..=most).contains(&retained) {
        let sizes = [least, most, max_bytes].map(units::show_size);
        ctx.error(section.spot("retain_delivered"), "`retain_delivered` is out of bounds")
            .label(format!("expected \"0B\" for off, or {} to {}", sizes[0], sizes[1]))
            .help(format!(
                "it counts within `max_bytes` ({}) and may take at most half of it: the rest is for events that wait",
                sizes[2]
            ));
    }
    retained
}

/// `[upstream]`
pub fn upstream(ctx: &mut Context<'_>, section: &Section<'_>, gateway: &str, time_zone: &str) -> Option<Upstream> {
    section.check_variant(ctx, "");
    let profile = upstream::profile(ctx, section);
    let urls = upstream::urls(ctx, section);
    let allow_plaintext = section.boolean(ctx, "allow_plaintext").unwrap_or(false);
    let plain = |url: &&BrokerUrl| !url.tls && !url::is_loopback(url);
    if let Some(url) = urls.iter().flatten().find(plain)
        && !allow_plaintext
    {
        ctx.error(section.spot(upstream::url_key(section)), "events would cross the network without encryption")
            .label("`mqtt://` goes in the clear")
            .help(format!("write \"mqtts://{}\" (and `ca_file` if the broker's certificate is your own)", url.host))
            .help("if the network itself is trusted (a VPN, say), set allow_plaintext = true");
    }
    upstream::ports(ctx, section, profile, urls.as_deref().unwrap_or_default());
    let credentials = broker::credentials(ctx, section, urls.as_ref().and_then(|urls| urls.first()));
    let client_id = broker::client_id(ctx, section, format!("tidegate-{gateway}"));
    let topic = upstream::topic(ctx, section, profile);
    let status_topic = upstream::status_topic(ctx, section, profile, gateway);
    let encodings = [("json", Encoding::Json), ("cbor", Encoding::Cbor)];
    let encoding = section.choice(ctx, "encoding", &encodings).unwrap_or(Encoding::Json);
    let form = mqtt::form(ctx, section);
    let alpn = mqtt::alpn(ctx, section, urls.as_deref().unwrap_or_default());
    let window = section.integer(ctx, "window", 1..=1000).unwrap_or(256);
    let payload_bytes_max = upstream::payload_bytes_max(ctx, section, profile, 128 << 10);
    let keep_alive = section.duration(ctx, "keep_alive", SECOND..=KEEP_ALIVE_MAX).unwrap_or(30 * SECOND);
    upstream::keep_alive(ctx, section, profile, keep_alive);
    let probe_every = section.duration(ctx, "probe_every", SECOND..=DAY).unwrap_or(3 * MINUTE);
    let return_after = section.duration(ctx, "return_after", SECOND..=DAY).unwrap_or(MINUTE);
    let connect_timeout = section.duration(ctx, "connect_timeout", SECOND..=10 * MINUTE).unwrap_or(20 * SECOND);
    let ack_timeout = section.duration(ctx, "ack_timeout", SECOND..=HOUR).unwrap_or(60 * SECOND);
    let backoff_min = section.duration(ctx, "backoff_min", Duration::from_millis(100)..=HOUR).unwrap_or(SECOND);
    let backoff_max = section.duration(ctx, "backoff_max", Duration::from_millis(100)..=DAY).unwrap_or(5 * MINUTE);
    if backoff_max < backoff_min {
        let name = if section.has("backoff_max") { "backoff_max" } else { "backoff_min" };
        ctx.error(section.spot(name), "`backoff_max` is shorter than `backoff_min`");
    }
    let urls = urls?;
    Some(Upstream {
        url: urls.first()?.clone(),
        urls,
        probe_every,
        return_after,
        profile,
        status_topic,
        credentials,
        allow_plaintext,
        client_id,
        topic: topic?,
        encoding,
        protocol: form.protocol,
        mode: form.mode,
        message_expiry: form.message_expiry,
        user_properties: form.user_properties,
        alpn,
        window,
        payload_bytes_max,
        keep_alive,
        connect_timeout,
        ack_timeout,
        backoff_min,
        backoff_max,
        order: pacing::order(ctx, section),
        rate_limit: pacing::rate_limit(ctx, section, profile),
        calls: pacing::calls(ctx, section, time_zone),
        batch: bulk::batch(ctx, section, (form.mode, profile, payload_bytes_max), gateway),
        compression: bulk::compression(ctx, section),
    })
}

/// Reads a template, or reports where it goes wrong.
pub fn template_of(ctx: &mut Context<'_>, text: &Text, place: Place) -> Option<Template> {
    match template::parse(&text.value, place) {
        Ok(template) => Some(template),
        Err((at, why)) => {
            let rest = &text.value[at.min(text.value.len())..];
            let end = match rest.starts_with('{') {
                true => rest.find('}').map_or(rest.len(), |end| end + 1),
                false => rest.chars().next().map_or(0, char::len_utf8),
            };
            ctx.error(text.at(at, at + end), "this template cannot be filled in").label(why);
            None
        }
    }
}

/// Reports a pattern or filter that is not well formed.
pub fn pattern_fault(ctx: &mut Context<'_>, text: &Text, fault: (std::ops::Range<usize>, String), what: &str) {
    let (bytes, why) = fault;
    let spot: Spot = if bytes.is_empty() { text.spot } else { text.at(bytes.start, bytes.end) };
    ctx.error(spot, format!("this is no {what}")).label(why);
}

/// A text shared by many.
pub fn shared(text: Text) -> Arc<str> {
    text.value.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_name_makes_an_id() {
        assert_eq!(id_from_host("pi-7.plant.example"), "pi-7");
        assert_eq!(id_from_host("my_pi"), "my-pi");
        assert_eq!(id_from_host("été"), "-t-");
        assert_eq!(id_from_host(""), "gateway");
        assert_eq!(id_from_host("---"), "gateway");
    }

    #[test]
    fn a_host_name_that_others_have_or_that_changes_is_doubted() {
        assert!(doubt_of_host("3f2a9c0b7d1e").is_some_and(|why| why.contains("container")));
        assert!(doubt_of_host("raspberrypi").is_some_and(|why| why.contains("delivered")));
        for good in ["pump-station-7", "tidegate-71de6a7e", "3f2a9c0b7d1", "cold-store-12"] {
            assert_eq!(doubt_of_host(good), None, "{good}");
        }
        assert_eq!(doubt_of_id("chosen-by-somebody"), None);
    }
}
