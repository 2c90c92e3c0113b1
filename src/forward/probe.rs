//! One careful look at the upstream, for `tidegate check --environment`: name, TCP, TLS, login.
//!
//! Owns the order of the steps and their words. Publishes nothing, subscribes to nothing and uses a client id of its
//! own, so a gateway that is running is not disturbed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, EventLoop, MqttOptions};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::explain::{self, Phase};
use super::options::plain_options;
use super::tls::expiry::{Certificates, Whose};
use super::tls::{self, inspect};
use crate::clock::{SystemClock, WallTime};
use crate::config::model::Upstream;

/// Looks up, connects, shakes hands, logs in, leaves. All steps together take at most `connect_timeout` each.
///
/// # Errors
///
/// The steps that worked, and why the next one did not, with what to do.
pub async fn probe(upstream: &Upstream) -> Result<String, String> {
    let mut steps = Steps::default();
    match run(upstream, &mut steps).await {
        Ok(()) => Ok(steps.0),
        Err(why) if steps.0.is_empty() => Err(why),
        Err(why) => Err(format!("{}; but {why}", steps.0)),
    }
}

/// What worked so far.
#[derive(Default)]
struct Steps(String);

impl Steps {
    fn add(&mut self, step: std::fmt::Arguments<'_>) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        let _ = self.0.write_fmt(step);
    }
}

/// Behind the client id while another broker is looked at.
const PROBE_SUFFIX: &str = "-probe";

/// Longest client id of a probe, bytes: what AWS IoT Core and Azure Event Grid take.
const PROBE_ID_BYTES_MAX: usize = 128;

/// Whether a broker lets us in, told shortly: for a gateway that is connected to another one. Takes `connect_timeout` at
/// most. A broker that only does not take the client id of a probe would take ours, so that counts as well.
///
/// # Errors
///
/// Why not.
pub async fn answers(upstream: &Upstream, earliest: WallTime) -> Result<(), String> {
    let options = {
        let (upstream, client_id) = (upstream.clone(), probe_id(&upstream.client_id));
        let read = tokio::task::spawn_blocking(move || {
            plain_options(&upstream, &client_id, earliest, &Certificates::default())
        });
        read.await.map_err(|error| error.to_string())?.map_err(|error| format!("credentials: {error}"))?
    };
    let (client, mut link) = AsyncClient::new(options, 1);
    link.network_options.set_connection_timeout(upstream.connect_timeout.as_secs().saturating_add(1));
    match in_time(upstream, link.poll()).await? {
        Ok(_connack) => leave(&client, &mut link).await,
        Err(ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId)) => {}
        Err(error) => return Err(explain::connection(&error, upstream, Phase::Connecting).text),
    }
    Ok(())
}

/// A client id with [`PROBE_SUFFIX`], cut so that it is no longer than brokers take.
fn probe_id(client_id: &str) -> String {
    let most = PROBE_ID_BYTES_MAX - PROBE_SUFFIX.len();
    let cut = client_id.char_indices().map(|(at, character)| at + character.len_utf8()).take_while(|end| *end <= most);
    format!("{}{PROBE_SUFFIX}", &client_id[..cut.last().unwrap_or(0)])
}

/// Takes leave in order; if that fails there is nothing left to find out.
async fn leave(client: &AsyncClient, link: &mut EventLoop) {
    let _ = client.try_disconnect();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), async { while link.poll().await.is_ok() {} }).await;
}

async fn run(upstream: &Upstream, steps: &mut Steps) -> Result<(), String> {
    let client_id = format!("{}-check", upstream.client_id);
    let clock = SystemClock::new();
    let earliest = clock.earliest();
    let options = {
        let (upstream, client_id) = (upstream.clone(), client_id.clone());
        let read = tokio::task::spawn_blocking(move || {
            plain_options(&upstream, &client_id, earliest, &Certificates::default())
        });
        read.await.map_err(|error| error.to_string())?.map_err(|error| format!("credentials: {error}"))?
    };
    let now = clock.wall().max(earliest);
    let (seen, credentials) = (Certificates::default(), upstream.credentials.clone());
    let read =
        tokio::task::spawn_blocking(move || (inspect::certificates(&credentials), inspect::remarks(&credentials)));
    let (files, remarks) = read.await.map_err(|error| error.to_string())?;
    seen.note_files(files);
    for remark in remarks {
        steps.add(format_args!("warning: {remark}"));
    }
    let told = |steps: &mut Steps, broker: bool| {
        for one in seen.by_end().iter().filter(|one| (one.whose == Whose::Broker) == broker) {
            if let Some(notice) = one.notice(now) {
                steps.add(format_args!("warning: {notice}"));
            }
        }
    };
    told(steps, false);
    let address = resolve(upstream, steps).await?;
    let tcp = in_time(upstream, TcpStream::connect(address)).await?.map_err(|error| io_text(&error, upstream))?;
    steps.add(format_args!("TCP connection to {address}"));
    if upstream.url.tls {
        handshake(upstream, tcp, earliest, &seen, steps).await?;
        told(steps, true);
    }
    login(upstream, options, &client_id, steps).await
}

async fn resolve(upstream: &Upstream, steps: &mut Steps) -> Result<SocketAddr, String> {
    let name = (upstream.url.host.as_str(), upstream.url.port);
    let found: Vec<SocketAddr> =
        in_time(upstream, tokio::net::lookup_host(name)).await?.map_err(|error| io_text(&error, upstream))?.collect();
    let Some(first) = found.first() else { return Err(format!("the name {} has no address", upstream.url.host)) };
    if upstream.url.host.parse::<std::net::IpAddr>().is_err() {
        let addresses: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
        steps.add(format_args!("{} is {}", upstream.url.host, addresses.join(" or ")));
    }
    // The connection tries them all in turn; a check that fails on a dead IPv6 address would mislead.
    for address in &found {
        if let Ok(Ok(_)) = tokio::time::timeout(upstream.connect_timeout, TcpStream::connect(address)).await {
            return Ok(*address);
        }
    }
    Ok(*first)
}

async fn handshake(
    upstream: &Upstream,
    tcp: TcpStream,
    earliest: WallTime,
    seen: &Certificates,
    steps: &mut Steps,
) -> Result<(), String> {
    let (credentials, seen) = (upstream.credentials.clone(), seen.clone());
    let config = tokio::task::spawn_blocking(move || tls::client_config(&credentials, earliest, &seen))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(upstream.url.host.clone())
        .map_err(|_| format!("\"{}\" is neither a host name nor an address; correct `url`", upstream.url.host))?;
    let stream = in_time(upstream, TlsConnector::from(Arc::new(config)).connect(name, tcp))
        .await?
        .map_err(|error| io_text(&error, upstream))?;
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let until = session.peer_certificates().and_then(|chain| chain.first()).and_then(|der| {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        Some(WallTime::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1000)))
    });
    match until {
        Some(until) => steps.add(format_args!("{version} with a certificate valid until {until}")),
        None => steps.add(format_args!("{version}")),
    }
    Ok(())
}

async fn login(upstream: &Upstream, options: MqttOptions, client_id: &str, steps: &mut Steps) -> Result<(), String> {
    let (client, mut link) = AsyncClient::new(options, 1);
    link.network_options.set_connection_timeout(upstream.connect_timeout.as_secs().saturating_add(1));
    match in_time(upstream, link.poll()).await? {
        Ok(_connack) => {}
        Err(error) => {
            let mut text = explain::connection(&error, upstream, Phase::Connecting).text;
            if let ConnectionError::ConnectionRefused(
                ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadClientId,
            ) = error
            {
                let _ = write!(text, " (this check used the client id \"{client_id}\")");
            }
            return Err(text);
        }
    }
    steps.add(format_args!("login accepted"));
    leave(&client, &mut link).await;
    Ok(())
}

async fn in_time<T>(upstream: &Upstream, step: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(upstream.connect_timeout, step)
        .await
        .map_err(|_| explain::timeout(upstream, Phase::Connecting).text)
}

fn io_text(error: &std::io::Error, upstream: &Upstream) -> String {
    explain::io(error, upstream, Phase::Connecting).text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_id_of_a_probe_is_never_longer_than_brokers_take() {
        assert_eq!(probe_id("tidegate-gw1"), "tidegate-gw1-probe");
        let long = probe_id(&"ä".repeat(64));
        assert_eq!(long, format!("{}-probe", "ä".repeat(61)));
        assert!(long.len() <= PROBE_ID_BYTES_MAX);
    }
}
