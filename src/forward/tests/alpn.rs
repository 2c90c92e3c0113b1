//! What is offered by ALPN in the TLS handshake, as a server sees it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use rumqttc::tokio_rustls::LazyConfigAcceptor;
use rustls::server::Acceptor;
use tokio::net::TcpListener;

use super::super::link::Link;
use super::super::options::plain_options;
use super::super::profile::Profile;
use super::super::tls::expiry::Certificates;
use super::*;
use crate::clock::WallTime;
use crate::config::model::BrokerUrl;

/// Names offered by the next client; the handshake goes no further.
async fn offered(listener: &TcpListener) -> Vec<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.unwrap();
    let hello = start.client_hello();
    let names = hello.alpn().map(|names| names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect());
    names.unwrap_or_default()
}

/// An upstream of AWS on a port.
fn aws(pki: &Pki, port: u16) -> Upstream {
    let upstream = upstream("localhost", port, Some(trusting(pki)));
    Upstream { profile: Profile::AwsIotCore, ..upstream }
}

#[tokio::test]
async fn the_names_that_aws_wants_on_port_443_are_offered_there_and_nowhere_else() {
    let pki = server_pki();
    pki.client("client", "gateway");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let with_certificate = |upstream: Upstream| {
        let credentials = Credentials {
            cert_file: Some(pki.file("client.pem")),
            key_file: Some(pki.file("client.key")),
            ..upstream.credentials
        };
        Upstream { credentials, ..upstream }
    };
    for (upstream, expected) in [
        (aws(&pki, 443), vec!["mqtt"]),
        (with_certificate(aws(&pki, 443)), vec!["x-amzn-mqtt-ca"]),
        (with_certificate(aws(&pki, 8883)), vec![]),
        (Upstream { profile: Profile::Portable, ..aws(&pki, 443) }, vec![]),
        (Upstream { alpn: vec!["a".to_owned(), "b".to_owned()], ..aws(&pki, 443) }, vec!["a", "b"]),
    ] {
        let mut options = plain_options(&upstream, "gateway", WallTime::default(), &Certificates::default()).unwrap();
        // The server of the test cannot have the port of HTTPS.
        options.port = listener.local_addr().unwrap().port();
        let (names, _) = tokio::join!(offered(&listener), Link::connect(&options));
        assert_eq!(names, expected, "{:?}", upstream.url);
    }
}

#[tokio::test]
async fn a_running_forwarder_offers_them() {
    let pki = server_pki();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = upstream("localhost", port, Some(trusting(&pki)));
    let running = Running::start(Upstream { alpn: vec!["mqtt".to_owned()], ..upstream }, &FakeStore::new());
    let names = tokio::time::timeout(PATIENCE, offered(&listener)).await.unwrap();
    assert_eq!(names, ["mqtt"]);
    running.stop().await;
}

#[test]
fn the_port_of_the_broker_in_turn_decides() {
    let pki = server_pki();
    let mut upstream = aws(&pki, 8883);
    upstream.urls.push(BrokerUrl { port: 443, ..upstream.url.clone() });
    assert!(upstream.alpn().is_empty());
    upstream.url = upstream.urls[1].clone();
    assert_eq!(upstream.alpn(), ["mqtt"]);
}
