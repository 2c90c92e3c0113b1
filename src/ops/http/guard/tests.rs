//! Requests that get through, and those that do not.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

const TOKEN: &str = "0123456789abcdef";

fn guard(listen: &str, token: Option<&str>) -> Guard {
    let config = Http { listen: listen.parse().unwrap(), ..Http::default() };
    Guard::new(&config, token.map(|token| Token::new(token).unwrap()), "gw1", "Pi7.plant.example")
}

fn asked(guard: &Guard, method: &Method, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    guard.refusal(method, &uri.parse().unwrap(), &map).map_or(200, |(status, _)| status.as_u16())
}

fn get(guard: &Guard, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
    asked(guard, &Method::GET, uri, headers)
}

#[test]
fn a_page_for_this_machine_answers_to_its_loopback_names_and_to_no_other() {
    let guard = guard("127.0.0.1:9280", None);
    for host in [
        "127.0.0.1:9280",
        "localhost:9280",
        "LOCALHOST",
        "[::1]:9280",
        "127.0.0.2",
        "localhost:8080",
        "[::ffff:127.0.0.1]",
    ] {
        assert_eq!(get(&guard, "/", &[("host", host)]), 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:9280",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.7:9280",
        "pi7",
        "pi7.local",
        "",
        ":9280",
        "[::1",
        "[::1]x",
        "localhost:9280@evil",
        "localhost:",
        "localhost:x",
        "127.0.0.1:123456",
    ] {
        let expected = if host == "localhost:" { 200 } else { 421 };
        assert_eq!(get(&guard, "/", &[("host", host)]), expected, "{host}");
    }
    assert_eq!(get(&guard, "/", &[]), 400);
    assert_eq!(get(&guard, "/", &[("host", "localhost"), ("host", "localhost")]), 400);
    assert_eq!(get(&guard, "http://evil.example/", &[("host", "localhost")]), 421);
}

#[test]
fn a_page_for_the_network_answers_to_addresses_and_to_this_machines_names() {
    let guard = guard("0.0.0.0:9280", Some(TOKEN));
    for host in ["10.0.0.7:9280", "[fd00::7]:9280", "pi7:9280", "PI7.local", "pi7.plant.example", "localhost"] {
        assert_eq!(get(&guard, "/healthz", &[("host", host)]), 200, "{host}");
    }
    for host in ["evil.example", "pi8", "plant.example", ""] {
        assert_eq!(get(&guard, "/healthz", &[("host", host)]), 421, "{host}");
    }
}

#[test]
fn only_reading_and_logging_in_is_possible() {
    let guard = guard("127.0.0.1:9280", None);
    let host = [("host", "localhost")];
    assert_eq!(asked(&guard, &Method::HEAD, "/", &host), 200);
    assert_eq!(asked(&guard, &Method::POST, "/login", &host), 200);
    for method in
        [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::CONNECT, Method::TRACE]
    {
        assert_eq!(asked(&guard, &method, "/api/v1/state", &host), 405, "{method}");
    }
    assert_eq!(asked(&guard, &Method::PUT, "/login", &host), 405);
}

#[test]
fn a_page_of_another_origin_gets_nothing() {
    let guard = guard("127.0.0.1:9280", None);
    let host = ("host", "127.0.0.1:9280");
    assert_eq!(get(&guard, "/api/v1/state", &[host, ("origin", "http://127.0.0.1:9280")]), 200);
    for origin in
        ["null", "http://evil.example", "http://127.0.0.1:8000", "http://localhost:9280", "file://127.0.0.1:9280", ""]
    {
        assert_eq!(get(&guard, "/api/v1/state", &[host, ("origin", origin)]), 403, "{origin}");
        assert_eq!(asked(&guard, &Method::POST, "/login", &[host, ("origin", origin)]), 403, "{origin}");
    }
    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(get(&guard, "/api/v1/state", &[host, cross, ("sec-fetch-mode", "no-cors")]), 403);
    assert_eq!(get(&guard, "/api/v1/state", &[host, ("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(get(&guard, "/", &[host, cross, ("sec-fetch-mode", "navigate")]), 200, "a link may lead here");
}

#[test]
fn without_the_token_only_the_login_and_health_are_there() {
    let guard = guard("127.0.0.1:9280", Some(TOKEN));
    let host = ("host", "localhost");
    for open in OPEN {
        assert_eq!(get(&guard, open, &[host]), 200, "{open}");
    }
    let right = [
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", format!("bearer  {TOKEN}")),
        ("cookie", format!("a=b; tidegate_gw1={TOKEN}; c=d")),
    ];
    let wrong = [
        ("authorization", format!("Basic {TOKEN}")),
        ("authorization", TOKEN.to_owned()),
        ("authorization", format!("Bearer {TOKEN}x")),
        ("authorization", "Bearer".to_owned()),
        ("cookie", format!("tidegate_gw2={TOKEN}")),
        ("cookie", format!("tidegate_gw1={}", &TOKEN[1..])),
        ("cookie", "tidegate_gw1".to_owned()),
    ];
    for closed in
        ["/", "/api/v1/state", "/api/v1/stream", "/api/v1/history", "/metrics", "/js/app.js", "/login/", "//login"]
    {
        assert_eq!(get(&guard, closed, &[host]), 401, "{closed}");
        for (name, value) in &right {
            assert_eq!(get(&guard, closed, &[host, (name, value)]), 200, "{closed} {value}");
        }
        for (name, value) in &wrong {
            assert_eq!(get(&guard, closed, &[host, (name, value)]), 401, "{closed} {value}");
        }
    }
}

#[test]
fn the_cookie_is_for_this_gateway_and_for_no_script_and_no_other_page() {
    let cookie = guard("127.0.0.1:9280", None).set_cookie(&Token::new(TOKEN).unwrap());
    assert!(cookie.starts_with(&format!("tidegate_gw1={TOKEN};")), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
}

#[test]
fn every_header_we_send_is_one() {
    for (name, value) in HEADERS {
        assert!(name.parse::<axum::http::HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok(), "{name}");
    }
}
