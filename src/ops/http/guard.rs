//! Who may read the page: the checks before every route, and the headers after it.
//!
//! Owns three defences. *Methods*: GET and HEAD, and POST only to log in. *Names*: a page of the internet may have its
//! own name resolved to this machine (DNS rebinding), so the `Host` asked for must be an address or a name of this
//! machine, and an `Origin` must be the same. *Token*: where there is one, it comes as `Authorization: Bearer` or as the
//! cookie that logging in has set.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::login;
use super::token::Token;
use crate::config::model::Http;

/// Routes for which nobody must be known: the login's own, and health checks, which tell nothing about the plant.
const OPEN: [&str; 5] = ["/login", "/style.css", "/icon.svg", "/healthz", "/readyz"];

/// What every answer says to the browser: no script, style, picture or connection but our own, no frame, no guessing.
const HEADERS: [(&str, &str); 9] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("x-robots-tag", "noindex"),
    // An upgraded gateway must not meet the old page's scripts.
    ("cache-control", "no-store"),
];

/// The rules.
#[derive(Debug)]
pub struct Guard {
    token: Option<Token>,
    /// Only this machine can reach the address.
    loopback: bool,
    /// Names of this machine, in small letters.
    names: Vec<String>,
    /// The cookie's name: cookies know no ports, and one browser may see several gateways through tunnels.
    cookie: String,
}

impl Guard {
    /// For an address; `host_name` is this machine's.
    pub fn new(config: &Http, token: Option<Token>, gateway: &str, host_name: &str) -> Self {
        let host = host_name.to_ascii_lowercase();
        let short = host.split('.').next().unwrap_or_default().to_owned();
        let names = if config.is_open_to_others() { vec![format!("{short}.local"), short, host] } else { Vec::new() };
        Self { token, loopback: !config.is_open_to_others(), names, cookie: format!("tidegate_{gateway}") }
    }

    /// The token asked for.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Whether a `Host` names this machine by something that nobody else can make resolve to it: an address, or one of
    /// its own names. The port is not looked at, as a tunnel has another.
    fn allows_host(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let host = host.to_ascii_lowercase();
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => !self.loopback || address.to_canonical().is_loopback(),
            Err(_) => host == "localhost" || (!host.is_empty() && self.names.contains(&host)),
        }
    }

    /// Whether the request proves that the reader is known, or nobody has to be.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(bearer);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|header| self.cookie_of(header));
        bearer.chain(cookies).any(|given| token.is(given))
    }

    fn cookie_of<'h>(&self, header: &'h HeaderValue) -> Option<&'h str> {
        let pairs = header.to_str().ok()?.split(';');
        pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.cookie)
            .map(|(_, value)| value)
    }

    /// The cookie that proves it from now on; kept for thirty days, never sent along with a request of another page.
    pub fn set_cookie(&self, token: &Token) -> String {
        format!("{}={}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict", self.cookie, token.cookie_value())
    }

    /// Why a request is refused; `None`: it is not.
    fn refusal(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        let is_login = *method == Method::POST && uri.path() == "/login";
        if !(method == Method::GET || method == Method::HEAD || is_login) {
            return Some((StatusCode::METHOD_NOT_ALLOWED, "the page is read-only: GET and HEAD\n"));
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let (Some(host), None) = (host, hosts.next()) else {
            return Some((StatusCode::BAD_REQUEST, "a request names one host\n"));
        };
        // A request in the form for proxies names it twice.
        let is_same = uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
        if !is_same || !self.allows_host(host) {
            let text = "not served under this name; open it by its IP address, or as http://localhost:PORT/ on this machine or through a tunnel\n";
            return Some((StatusCode::MISDIRECTED_REQUEST, text));
        }
        let is_ours = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| is_same_origin(origin, host));
        let is_foreign = headers.get_all(header::ORIGIN).iter().any(|origin| !is_ours(origin));
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        // Following a link from elsewhere is no harm; asking for data from there is.
        let is_visit = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate") && *method == Method::GET;
        let is_cross = matches!(site, Some("cross-site" | "same-site")) && !is_visit;
        if is_foreign || is_cross {
            return Some((StatusCode::FORBIDDEN, "not for pages of other origins\n"));
        }
        if OPEN.contains(&uri.path()) || self.knows(headers) {
            return None;
        }
        Some((
            StatusCode::UNAUTHORIZED,
            "the token is missing or wrong: `Authorization: Bearer TOKEN`, or open / to log in\n",
        ))
    }
}

/// Checks a request and, if it may, lets it through.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let refusal = guard.refusal(request.method(), request.uri(), request.headers());
    let mut response = match refusal {
        None => next.run(request).await,
        Some((StatusCode::UNAUTHORIZED, _)) if request.uri().path() == "/" => login::page(StatusCode::UNAUTHORIZED, ""),
        Some((status, text)) => (status, text).into_response(),
    };
    let headers = response.headers_mut();
    match response_extras(refusal.map(|(status, _)| status)) {
        Some((name, value)) => headers.insert(name, HeaderValue::from_static(value)),
        None => None,
    };
    for (name, value) in HEADERS {
        // The form has a word of its own on one of them.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn response_extras(refused: Option<StatusCode>) -> Option<(header::HeaderName, &'static str)> {
    match refused? {
        StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"tidegate\"")),
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, "GET, HEAD")),
        _ => None,
    }
}

/// The host of `host[:port]`; `None` when it is no such thing.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

/// Whether an `Origin` is that of the host asked for. `null` is nobody's.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
