//! What `[upstream]` and an MQTT source have in common: the broker's address and who we are to it.

use super::model::{BrokerUrl, Credentials};
use super::section::Section;
use super::text::unreadable;
use super::tree::{Context, Role};
use super::{upstream, url};

/// Longest client id, bytes. MQTT 3.1.1 promises 23, every broker in use takes this.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// Longest user name, bytes.
const USERNAME_BYTES_MAX: usize = 512;

/// `url`
pub fn url(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<BrokerUrl> {
    let text = section.text(ctx, "url")?;
    match url::parse(&text.value) {
        Ok(url) => Some(url),
        Err(why) => {
            unreadable(ctx, &text, "url").label(why);
            None
        }
    }
}

/// `client_id`, or the default.
pub fn client_id(ctx: &mut Context<'_>, section: &Section<'_>, default: String) -> String {
    section.filled_text(ctx, "client_id", CLIENT_ID_BYTES_MAX).map_or(default, |text| text.value)
}

/// `ca_file`, `cert_file`, `key_file`, `username` and `password_file`, and whether they go together.
pub fn credentials(ctx: &mut Context<'_>, section: &Section<'_>, url: Option<&BrokerUrl>) -> Credentials {
    let plain = url.is_some_and(|url| !url.tls);
    let url_key = upstream::url_key(section);
    for name in ["ca_file", "cert_file", "key_file"] {
        if let Some(entry) = section.entry(name)
            && plain
        {
            let place = ctx.place(section.spot(url_key));
            ctx.error(entry.key, format!("`{name}` has no effect without TLS"))
                .note(place, "this address is without TLS")
                .help(format!("write mqtts:// in `{url_key}`, or remove it"));
        }
    }
    for (name, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if let Some(entry) = section.entry(name)
            && section.lacks(ctx, other)
        {
            ctx.error(entry.key, format!("`{name}` without `{other}`"))
                .label(format!("`{other}` is missing: mutual TLS needs both"));
        }
    }
    if let Some(entry) = section.entry("password_file")
        && section.lacks(ctx, "username")
    {
        ctx.error(entry.key, "`password_file` without `username`").label("MQTT has no password without a user name");
    }
    if let (Some(entry), Some(url)) = (section.entry("password_file"), url)
        && plain
        && !url::is_loopback(url)
    {
        ctx.warning(entry.key, "the password crosses the network in the clear")
            .help("use mqtts:// if the broker offers it");
    }
    Credentials {
        ca_file: section.file(ctx, "ca_file", Role::Roots),
        cert_file: section.file(ctx, "cert_file", Role::Chain),
        key_file: section.file(ctx, "key_file", Role::PrivateKey),
        username: section.filled_text(ctx, "username", USERNAME_BYTES_MAX).map(|text| text.value),
        password_file: section.file(ctx, "password_file", Role::Password),
    }
}
