//! One careful look at the upstream, for `tidegate check --environment`: name, TCP, TLS, login.
//!
//! Owns the order of the steps and their words. Publishes nothing, subscribes to nothing and uses a client id of its
//! own, so a gateway that is running is not disturbed.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::net::TcpStream;

use super::explain::{self, Phase};
use super::link::{Fault, Link, Options, Stream, dial};
use super::options::plain_options;
use super::tls;
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

async fn run(upstream: &Upstream, steps: &mut Steps) -> Result<(), String> {
    let client_id = format!("{}-check", upstream.client_id);
    let clock = SystemClock::new();
    let earliest = clock.earliest();
    let options = {
        let (upstream, client_id) = (upstream.clone(), client_id.clone());
        let read = tokio::task::spawn_blocking(move || plain_options(&upstream, &client_id, earliest));
        read.await.map_err(|error| error.to_string())?.map_err(|error| format!("credentials: {error}"))?
    };
    for warning in tls::warnings(&upstream.credentials, clock.wall().max(earliest)) {
        steps.add(format_args!("warning: {warning}"));
    }
    let addresses = resolve(upstream, steps).await?;
    let connected = in_time(upstream, dial::race(addresses, TcpStream::connect)).await?;
    let (tcp, address) = connected.map_err(|error| io_text(&error, upstream))?;
    steps.add(format_args!("TCP connection to {address}"));
    let stream: Box<dyn Stream> = match &options.tls {
        Some(tls) => Box::new(handshake(upstream, tcp, Arc::clone(tls), steps).await?),
        None => Box::new(tcp),
    };
    login(upstream, stream, &options, steps).await
}

async fn resolve(upstream: &Upstream, steps: &mut Steps) -> Result<Vec<SocketAddr>, String> {
    let found = in_time(upstream, dial::resolve(&upstream.url.host, upstream.url.port)).await?;
    let found = found.map_err(|error| io_text(&error, upstream))?;
    if upstream.url.host.parse::<IpAddr>().is_err() {
        let addresses: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
        steps.add(format_args!("{} is {}", upstream.url.host, addresses.join(" or ")));
    }
    Ok(found)
}

async fn handshake(
    upstream: &Upstream,
    tcp: TcpStream,
    config: Arc<ClientConfig>,
    steps: &mut Steps,
) -> Result<impl Stream + use<>, String> {
    let shaken = in_time(upstream, dial::secure(tcp, &upstream.url.host, config)).await?;
    let stream = shaken.map_err(|fault| explain::fault(&fault, upstream, Phase::Connecting).text)?;
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
    Ok(stream)
}

async fn login(
    upstream: &Upstream,
    stream: Box<dyn Stream>,
    options: &Options,
    steps: &mut Steps,
) -> Result<(), String> {
    let mut link = match in_time(upstream, Link::login(stream, options)).await? {
        Ok(link) => link,
        Err(fault) => {
            let mut text = explain::fault(&fault, upstream, Phase::Connecting).text;
            if matches!(fault, Fault::Refused { reason: 2 | 5 | 0x85 | 0x87, .. }) {
                let _ = write!(text, " (this check used the client id \"{}\")", options.client_id);
            }
            return Err(text);
        }
    };
    steps.add(format_args!("login accepted"));
    // Leave in order; if that fails there is nothing left to find out.
    let leave = async {
        if link.disconnect().await.is_ok() {
            while link.next().await.is_ok() {}
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), leave).await;
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
