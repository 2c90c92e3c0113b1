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
use super::tls::expiry::{Certificates, Whose};
use super::tls::inspect;
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

/// How long a farewell may take.
const LEAVE_MAX: std::time::Duration = std::time::Duration::from_secs(1);

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
    match in_time(upstream, Link::connect(&options)).await? {
        Ok(mut link) => leave(&mut link).await,
        Err(Fault::Refused { reason: 2 | 0x85, .. }) => {}
        Err(fault) => return Err(explain::fault(&fault, upstream, Phase::Connecting).text),
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
async fn leave(link: &mut Link) {
    let leave = async {
        if link.disconnect().await.is_ok() {
            while link.next().await.is_ok() {}
        }
    };
    let _ = tokio::time::timeout(LEAVE_MAX, leave).await;
}

async fn run(upstream: &Upstream, steps: &mut Steps) -> Result<(), String> {
    let client_id = format!("{}-check", upstream.client_id);
    let clock = SystemClock::new();
    let earliest = clock.earliest();
    let now = clock.wall().max(earliest);
    let seen = Certificates::default();
    let options = {
        let (upstream, client_id, seen) = (upstream.clone(), client_id, seen.clone());
        let read = tokio::task::spawn_blocking(move || plain_options(&upstream, &client_id, earliest, &seen));
        read.await.map_err(|error| error.to_string())?.map_err(|error| format!("credentials: {error}"))?
    };
    let credentials = upstream.credentials.clone();
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
    let addresses = resolve(upstream, steps).await?;
    let connected = in_time(upstream, dial::race(addresses, TcpStream::connect)).await?;
    let (tcp, address) = connected.map_err(|error| io_text(&error, upstream))?;
    steps.add(format_args!("TCP connection to {address}"));
    let stream: Box<dyn Stream> = match &options.tls {
        Some(tls) => {
            let stream = handshake(upstream, tcp, Arc::clone(tls), steps).await?;
            told(steps, true);
            Box::new(stream)
        }
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
    leave(&mut link).await;
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
