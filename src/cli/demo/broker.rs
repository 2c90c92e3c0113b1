//! The demo's brokers: two rumqttd in this process, and a TLS front whose link can be cut.
//!
//! Owns the threads of the brokers, which end with the process: rumqttd cannot be stopped. Everything listens on
//! loopback, at ports that were free a moment ago.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How long a broker may take to listen.
const START_MAX: Duration = Duration::from_secs(5);

/// Messages a broker sends ahead of their acknowledgements.
const INFLIGHT_MAX: usize = 200;

/// A port of loopback that nobody listens on.
///
/// # Errors
///
/// When there is none, or no loopback.
pub fn free_port() -> Result<u16, String> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// Starts a broker on `port` and waits until it listens.
///
/// # Errors
///
/// In words, when it does not.
pub async fn start(name: &str, port: u16) -> Result<(), String> {
    let settings = serde_json::json!({
        "id": 0,
        // What is kept for sessions that are away: 10 MiB, a thousand times what the demo sends.
        "router": {
            "max_connections": 20,
            "max_outgoing_packet_count": INFLIGHT_MAX,
            "max_segment_size": 1024 * 1024,
            "max_segment_count": 10,
        },
        "v4": {"plain": {
            "name": name,
            "listen": SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            "next_connection_delay_ms": 1,
            "connections": {
                "connection_timeout_ms": 5_000,
                "max_payload_size": 256 * 1024,
                "max_inflight_count": INFLIGHT_MAX,
                "dynamic_filters": true,
            },
        }},
    });
    let config: rumqttd::Config = serde_json::from_value(settings).map_err(|error| format!("{name}: {error}"))?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // It returns only when it cannot listen, and the wait below then says so.
            let _ = rumqttd::Broker::new(config).start();
        })
        .map_err(|error| format!("{name}: no thread: {error}"))?;
    let listening = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(START_MAX, listening).await.map_err(|_| format!("{name} does not listen on port {port}"))
}

/// Makes a certificate authority and, from it, a certificate for loopback. The authority's certificate goes to
/// `ca_file`; no key leaves the process.
///
/// # Errors
///
/// In words.
pub fn certificates(ca_file: &Path) -> Result<Arc<ServerConfig>, String> {
    let failed = |error: rcgen::Error| format!("no certificate: {error}");
    let ca_key = rcgen::KeyPair::generate().map_err(failed)?;
    let mut ca = rcgen::CertificateParams::new(Vec::new()).map_err(failed)?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "tidegate demo");
    let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;
    std::fs::write(ca_file, ca_certificate.pem()).map_err(|error| format!("{}: {error}", ca_file.display()))?;
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let server = rcgen::CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()]).map_err(failed)?;
    let certificate = server.signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).map_err(failed)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(vec![certificate.der().clone()], key))
        .map(Arc::new)
        .map_err(|error| format!("no TLS: {error}"))
}

/// A TLS listener in front of a broker's plain port.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub port: u16,
    open: watch::Sender<bool>,
}

impl Front {
    /// Listens, and pipes what comes to `broker_port`.
    ///
    /// # Errors
    ///
    /// In words, when it cannot listen.
    pub async fn listen(tls: Arc<ServerConfig>, broker_port: u16) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the TLS front cannot listen: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let (open, link) = watch::channel(true);
        let acceptor = TlsAcceptor::from(tls);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *link.borrow() {
                    tokio::spawn(pipe(client, acceptor.clone(), broker_port, link.clone()));
                }
            }
        });
        Ok(Self { port, open })
    }

    /// Ends all connections and every new one, until [`Self::restore`].
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn restore(&self) {
        self.open.send_replace(true);
    }
}

/// Carries bytes both ways until either side or the link ends.
async fn pipe(client: TcpStream, acceptor: TlsAcceptor, broker_port: u16, mut link: watch::Receiver<bool>) {
    // Small packets must not wait for each other: this is about the delay a person sees.
    let _ = client.set_nodelay(true);
    let carry = async {
        let mut client = acceptor.accept(client).await?;
        let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, broker_port)).await?;
        broker.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut broker).await
    };
    tokio::select! {
        _ = carry => {}
        _ = link.wait_for(|open| !open) => {}
    }
}
