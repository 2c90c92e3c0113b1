//! The local page by raw HTTP: who is served, what is refused, and what happens when there is no port or no room.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use crate::stage::Stage;
use crate::support::gateway::{line, said, tidegate};
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, free_port, wait_until};

const TOKEN: &str = "dGhpcyBpcyBhIHRva2Vu+/==";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends a request as it is and reads until the other end closes.
fn send(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    // A connection that is cut after the answer has answered.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn ask(port: u16, method: &str, path: &str, headers: &str) -> Answer {
    send(port, &format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n{headers}\r\n"))
}

fn get(port: u16, path: &str) -> Answer {
    ask(port, "GET", path, "")
}

fn with_page(change: impl FnOnce(&mut crate::support::gateway::Config)) -> (Stage, u16) {
    let port = free_port();
    let stage = Stage::with(|config| {
        config.http = line("listen", format!("127.0.0.1:{port}"));
        change(config);
    });
    (stage, port)
}

#[track_caller]
fn wait_served(port: u16) {
    wait_until("the page to be served", PATIENT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
}

#[test]
fn every_answer_is_guarded_and_only_reading_is_possible() {
    let (mut stage, port) = with_page(|_| {});
    stage.start();
    wait_served(port);
    for (path, status) in [
        ("/", 200),
        ("/js/app.js", 200),
        ("/api/v1/state", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/nothing", 404),
    ] {
        let answer = get(port, path);
        assert_eq!(answer.status, status, "{path}: {}", answer.head);
        assert!(path != "/metrics" || answer.body.contains("tidegate_"), "{}", answer.body);
        for header in [
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{path} lacks {header}: {}", answer.head);
        }
        assert!(!answer.head.contains("unsafe") && !answer.head.contains("access-control"), "{}", answer.head);
    }
    assert_eq!(ask(port, "HEAD", "/", "").status, 200);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = ask(port, method, "/api/v1/state", "content-length: 0\r\n");
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    }
    let rebound = format!("GET /api/v1/state HTTP/1.1\r\nhost: evil.example:{port}\r\nconnection: close\r\n\r\n");
    let rebound = send(port, &rebound);
    assert_eq!(rebound.status, 421);
    assert!(!rebound.body.contains("gw1") && rebound.head.contains("nosniff"), "{}", rebound.body);
    let foreign = ask(port, "GET", "/api/v1/state", "origin: http://evil.example\r\n");
    assert_eq!(foreign.status, 403);
    assert!(!foreign.body.contains("gw1"));
    assert_eq!(ask(port, "GET", "/api/v1/state", &format!("origin: http://127.0.0.1:{port}\r\n")).status, 200);
}

#[test]
fn the_state_has_what_the_page_shows() {
    let (mut stage, port) = with_page(|_| {});
    stage.start();
    wait_served(port);
    stage.say("oven", 80.5, 1);
    stage.publisher.publish("sensors/oven/temp", [0xff, b'{', 0]);
    let state = || serde_json::from_str::<serde_json::Value>(&get(port, "/api/v1/state").body).unwrap_or_default();
    wait_until("the alarm and the refused input", SOON, || {
        let state = state();
        state["alarms"][0]["alarm"] == "too-warm" && state["refused"][0]["raw_hex"] == "ff7b00"
    });
    let state = state();
    assert_eq!((&state["kind"], &state["status"]["gateway"]), (&"full".into(), &"gw1".into()));
    let sensor = &state["sensors"][0];
    assert_eq!(
        (&sensor["name"], &sensor["value"], &sensor["unit"]),
        (&"plant/oven/value".into(), &80.5.into(), &"°C".into())
    );
    assert_eq!((&sensor["limits"][0]["condition"], &sensor["limits"][0]["limit"]), (&"high".into(), &75.0.into()));
    assert!(sensor["seen_ms"].as_u64() <= state["boot_ms"].as_u64());
    assert_eq!(state["events"][0]["alarm"]["change"], "raised");
    assert_eq!((&state["refused"][0]["source"], &state["refused"][0]["times"]), (&"plant".into(), &1.into()));
    let history = get(port, &format!("/api/v1/history?epoch={}&rows=0,77", state["epoch"])).body;
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["rows"]["0"][0][3], 80.5);
    assert!(history["rows"]["77"].is_null(), "{history}");
    assert_eq!(get(port, "/api/v1/history?epoch=99&rows=0").status, 409);
    let many = (0..65).map(|row: u32| row.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(get(port, &format!("/api/v1/history?epoch=0&rows={many}")).status, 400);
    assert_eq!(get(port, "/api/v1/history?epoch=0&rows=x").status, 400);
}

#[test]
fn with_a_token_nobody_reads_without_it() {
    let (mut stage, port) = with_page(|_| {});
    let file = stage.path("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    stage.config.http = line("listen", format!("0.0.0.0:{port}")) + &line("token_file", file.display());
    stage.gateway.configure(&stage.config);
    stage.start();
    wait_served(port);
    assert!(stage.gateway.logged(&["without encryption"]), "it is said at the start");
    let check = tidegate(&["check", "--config", stage.path("gateway/tidegate.toml").to_str().unwrap()]);
    assert!(said(&check).contains("without encryption") && check.status.success(), "{}", said(&check));
    assert!(!stage.gateway.log().contains(TOKEN));

    let form = get(port, "/");
    assert_eq!(form.status, 401);
    assert!(form.body.contains("type=\"password\"") && !form.body.contains("gw1"), "{}", form.body);
    for path in
        ["/api/v1/state", "/api/v1/stream", "/api/v1/history?epoch=0&rows=0", "/js/app.js", "/metrics", "/nothing"]
    {
        assert_eq!(get(port, path).status, 401, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(port, path).status, 200, "{path}: a health check knows no token");
    }
    assert_eq!(ask(port, "GET", "/api/v1/state", &format!("authorization: Bearer {TOKEN}\r\n")).status, 200);
    assert_eq!(ask(port, "GET", "/api/v1/state", &format!("authorization: Bearer {TOKEN}x\r\n")).status, 401);

    let post = |body: &str| ask_with_body(port, body);
    let wrong = post("token=wrong");
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("not the token") && !wrong.head.contains("set-cookie"), "{}", wrong.head);
    assert_eq!(post(&format!("token={}", "x".repeat(100_000))).status, 413);
    let right = post(&format!("token={}", TOKEN.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")));
    assert_eq!(right.status, 303, "{}", right.head);
    assert!(right.head.contains("httponly") && right.head.contains("samesite=strict"), "{}", right.head);
    assert_eq!(ask(port, "GET", "/api/v1/state", &format!("cookie: tidegate_gw1={TOKEN}\r\n")).status, 200);

    // A new token is taken by a reload, and the old one is no good any more.
    fs::write(&file, "another-token-0123456789").unwrap();
    stage.gateway.reload();
    let is_other = || ask(port, "GET", "/api/v1/state", &format!("authorization: Bearer {TOKEN}\r\n")).status == 401;
    wait_until("the new token", SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() && is_other());
}

fn ask_with_body(port: u16, body: &str) -> Answer {
    let head = format!("POST /login HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
    let kind = "content-type: application/x-www-form-urlencoded\r\n";
    send(port, &format!("{head}{kind}content-length: {}\r\n\r\n{body}", body.len()))
}

#[test]
fn an_address_for_others_without_a_token_is_refused_by_the_check() {
    let (stage, port) = with_page(|_| {});
    let mut config = stage.config.clone();
    config.http = line("listen", format!("0.0.0.0:{port}"));
    stage.gateway.configure(&config);
    let check = tidegate(&["check", "--config", stage.path("gateway/tidegate.toml").to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(78));
    assert!(said(&check).contains("open to everybody") && said(&check).contains("token_file"), "{}", said(&check));
}

#[test]
fn a_port_that_is_taken_stops_nothing_and_is_tried_again() {
    let (mut stage, port) = with_page(|_| {});
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    stage.start();
    stage.gateway.wait_logged(&["the local page is not served", "another program listens", "ss -tlnp"]);
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(crate::support::consumer::EXCEEDED, 1, PATIENT);
    let fault = || stage.status()["http"]["fault"].as_str().map(str::to_owned);
    assert!(fault().is_some_and(|fault| fault.contains("another program")));
    let text = said(&stage.ask(&["status"]));
    assert!(text.contains("NOT SERVED: another program listens"), "{text}");
    drop(other);
    wait_until("the port to be taken", PATIENT, || fault().is_none());
    assert_eq!(get(port, "/").status, 200);
    assert!(said(&stage.ask(&["status"])).contains(&format!("http://127.0.0.1:{port}/")));
}

#[test]
fn a_slow_or_endless_head_and_too_many_connections_are_cut_short() {
    let (mut stage, port) = with_page(|_| {});
    stage.start();
    wait_served(port);
    let open = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // One too many may be refused before it has said anything.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
        stream
    };
    let mut slow: Vec<TcpStream> = (0..31).map(|_| open()).collect();
    wait_until("the connections to be all there are", SOON, || {
        // On a busy machine the first are cut before the last is looked at.
        slow.push(open());
        get(port, "/").status == 503
    });
    // They never end their heads, so they are cut.
    let mut last = slow.pop().unwrap();
    last.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    wait_until("room again", SOON, || get(port, "/").status == 200);
    let endless = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    // It may be cut before all is sent.
    let _ = stream.write_all(endless.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    assert!(!String::from_utf8_lossy(&text).contains("200 OK"));
    let fields = "a: b\r\n".repeat(200);
    assert_ne!(ask(port, "GET", "/", &fields).status, 200);
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(crate::support::consumer::EXCEEDED, 1, PATIENT);
}

#[test]
fn as_many_pages_as_may_be_open_leave_room_for_a_health_check() {
    let (mut stage, port) = with_page(|_| {});
    stage.start();
    wait_served(port);
    let open = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        (stream, String::from_utf8_lossy(&start).into_owned())
    };
    let pages: Vec<_> = (0..16).map(|_| open()).collect();
    assert!(pages.iter().all(|(_, start)| start == "HTTP/1.1 200"));
    assert_eq!(open().1, "HTTP/1.1 503");
    assert_eq!(get(port, "/healthz").status, 200);
    drop(pages);
    assert!(holds_within(PATIENT, || open().1 == "HTTP/1.1 200"), "closed pages make room");
}

#[test]
fn a_gateway_that_waits_for_its_store_is_alive_and_not_ready() {
    let (mut stage, port) = with_page(|_| {});
    fs::write(stage.path("store"), "").unwrap();
    stage.gateway.start();
    wait_served(port);
    assert_eq!(get(port, "/healthz").status, 200);
    let ready = get(port, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("no store") && ready.body.contains("move it away"), "{}", ready.body);
    assert_eq!(get(port, "/").status, 200, "the page says so, too");
    fs::remove_file(stage.path("store")).unwrap();
    stage.local.wait_subscribed(crate::support::gateway::SOURCE_CLIENT, 1);
    wait_until("it to be ready", SOON, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() && get(port, "/readyz").status == 200
    });
}

#[test]
fn a_reload_opens_the_page_moves_it_and_closes_it() {
    let mut stage = Stage::new();
    let ports = [free_port(), free_port()];
    let is_served = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    stage.start();
    assert!(stage.status()["http"].is_null(), "it is off");
    for port in ports {
        stage.config.http = line("listen", format!("127.0.0.1:{port}"));
        stage.gateway.configure(&stage.config);
        stage.gateway.reload();
        wait_served(port);
        assert_eq!(get(port, "/api/v1/state").status, 200);
    }
    wait_until("the old port to be closed", SOON, || !is_served(ports[0]));
    stage.config.http = "enabled = false\n".to_owned();
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    wait_until("the page to be closed", SOON, || !is_served(ports[1]) && stage.status()["http"].is_null());
}
