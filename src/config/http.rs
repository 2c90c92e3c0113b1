//! `[http]`: the local page.

use std::net::SocketAddr;

use super::model::{HTTP_LISTEN, Http};
use super::section::Section;
use super::tree::{Context, Role};

/// Longest address, bytes: an IPv6 address with a zone and a port has less.
const ADDRESS_BYTES_MAX: usize = 128;

/// `[http]`
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>) -> Http {
    section.check_variant(ctx, "");
    let http = Http {
        enabled: section.boolean(ctx, "enabled").unwrap_or(true),
        listen: listen(ctx, section).unwrap_or(HTTP_LISTEN),
        token_file: section.file(ctx, "token_file", Role::Token),
    };
    if http.enabled && http.is_open_to_others() {
        if section.lacks(ctx, "token_file") {
            ctx.error(section.spot("listen"), "the page would be open to everybody on the network")
                .label("other machines can reach this address")
                .help("make a token, `umask 077; head -c 24 /dev/urandom | base64 > /etc/tidegate/page.token`, and name its file in `token_file`")
                .help("or stay with \"127.0.0.1:9280\" and reach it through a tunnel: ssh -L 9280:127.0.0.1:9280 HOST");
        } else {
            ctx.warning(section.spot("listen"), "the page and its token cross the network without encryption")
                .label("other machines can reach this address")
                .help("safer: \"127.0.0.1:9280\", and a tunnel (ssh -L 9280:127.0.0.1:9280 HOST) or a proxy with TLS in front");
        }
    }
    http
}

fn listen(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<SocketAddr> {
    let text = section.filled_text(ctx, "listen", ADDRESS_BYTES_MAX)?;
    match text.value.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Some(address),
        _ => {
            let problem = ctx.error(text.spot, "this is no address to listen on");
            problem.label("expected an IP address and a port, as in \"127.0.0.1:9280\" or \"[::1]:9280\"");
            if text.value.starts_with("localhost") {
                problem.help("for this machine only, write the address itself: \"127.0.0.1:9280\"");
            }
            None
        }
    }
}
