//! One connection to a local broker: TCP, TLS, login.
//!
//! Owns the steps up to CONNACK and the words when one fails. Credential files are read anew each time, so what is
//! repaired on disk works at the next attempt. The session is persistent: the broker keeps what it has for us while we
//! are away, and sends again what we have not acknowledged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::{Connect, ConnectReturnCode, ConnectionError, Login, Packet};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::packets::{Inbox, Incoming, Outgoing, Violation};
use crate::clock::{SystemClock, WallTime};
use crate::config::model::{Credentials, Encoding, MqttSource, Order, RateLimit, Template, Upstream};
use crate::forward::explain::{self, Explanation, Phase};
use crate::forward::profile::Profile;
use crate::forward::tls;
use crate::forward::tls::expiry::Certificates;

/// How long TCP, TLS and CONNACK may take together. A broker beside us answers in milliseconds, one across a radio
/// link in seconds.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A connected socket, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that the broker has accepted.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// What came after CONNACK in the same read, and whatever comes.
    pub(super) inbox: Inbox,
    /// Whether the broker has kept our session.
    pub(super) session_present: bool,
}

/// Connects; the error says why not and what to do.
pub(super) async fn connect(config: &MqttSource, clock: &SystemClock) -> Result<Connection, Explanation> {
    match tokio::time::timeout(CONNECT_TIMEOUT, steps(config, clock)).await {
        Ok(result) => result,
        Err(_) => Err(explain::timeout(&view(config), Phase::Connecting)),
    }
}

async fn steps(config: &MqttSource, clock: &SystemClock) -> Result<Connection, Explanation> {
    let broken = |error: &io::Error| explain::io(error, &view(config), Phase::Connecting);
    let (login, tls) = secrets(config, clock.earliest()).await?;
    let tcp = TcpStream::connect((config.url.host.as_str(), config.url.port)).await.map_err(|error| broken(&error))?;
    // Acknowledgements are small and wanted at once.
    tcp.set_nodelay(true).map_err(|error| broken(&error))?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(tls) => {
            let name = ServerName::try_from(config.url.host.clone()).map_err(|_| {
                let host = &config.url.host;
                Explanation::plain(format!(
                    "\"{host}\" is neither a host name nor an address; correct the source's `url`"
                ))
            })?;
            let shaken = TlsConnector::from(tls).connect(name, tcp).await;
            Box::new(shaken.map_err(|error| {
                explain::time_of_io(&error, &clock.view(), clock.wall()).unwrap_or_else(|| broken(&error))
            })?)
        }
    };
    let mut connect = Connect::new(&config.client_id);
    connect.clean_session = false;
    connect.keep_alive = u16::try_from(config.keep_alive.as_secs()).unwrap_or(u16::MAX).max(1);
    connect.login = login;
    let mut outgoing = Outgoing::default();
    outgoing.packet(&Packet::Connect(connect)).map_err(|error| violation(config, &error))?;
    while !outgoing.is_empty() {
        outgoing.write(&mut stream).await.map_err(|error| broken(&error))?;
    }
    let mut inbox = Inbox::new(config.packet_bytes_max);
    loop {
        // Known by its first byte, before a length that may be none is waited for.
        if !inbox.may_begin_with_connack() {
            let error = ConnectionError::NotConnAck(Packet::PingResp);
            return Err(explain::connection(&error, &view(config), Phase::Connecting));
        }
        match inbox.next() {
            Ok(None) => {}
            Ok(Some(Incoming::Control(Packet::ConnAck(ack)))) if ack.code == ConnectReturnCode::Success => {
                return Ok(Connection { stream, inbox, session_present: ack.session_present });
            }
            Ok(Some(Incoming::Control(Packet::ConnAck(ack)))) => {
                let error = ConnectionError::ConnectionRefused(ack.code);
                return Err(explain::connection(&error, &view(config), Phase::Connecting));
            }
            Ok(Some(_)) => return Err(violation(config, &Violation("no CONNACK".to_owned()))),
            Err(error) => return Err(violation(config, &error)),
        }
        let count = stream.read_buf(inbox.room()).await.map_err(|error| broken(&error))?;
        if count == 0 {
            return Err(broken(&io::ErrorKind::UnexpectedEof.into()));
        }
        inbox.arrived();
    }
}

/// Login and TLS settings, from files read now.
async fn secrets(
    config: &MqttSource,
    earliest: WallTime,
) -> Result<(Option<Login>, Option<Arc<rustls::ClientConfig>>), Explanation> {
    let with_tls = config.url.tls;
    let credentials = config.credentials.clone();
    if !with_tls && credentials == Credentials::default() {
        return Ok((None, None));
    }
    // Reading a slow card must not hold up the other tasks.
    let read = tokio::task::spawn_blocking(move || {
        let password = tls::password(&credentials)?.unwrap_or_default();
        let login = credentials.username.as_ref().map(|username| Login { username: username.clone(), password });
        let tls = if with_tls {
            Some(Arc::new(tls::client_config(&credentials, earliest, &Certificates::default())?))
        } else {
            None
        };
        Ok((login, tls))
    });
    match read.await {
        Ok(result) => result.map_err(|error: tls::TlsError| Explanation::plain(error.to_string())),
        Err(error) => Err(Explanation::plain(format!("the credential files could not be read: {error}"))),
    }
}

/// The broker breaks the protocol.
pub(super) fn violation(config: &MqttSource, violation: &Violation) -> Explanation {
    let place = explain::place(&view(config));
    Explanation::plain(format!("{place} does not keep to MQTT 3.1.1 ({}); look into its log", violation.0))
}

/// The source's broker as the forwarder's explanations and check want it. What it has beyond a place and who we are
/// plays no part there.
pub(super) fn view(config: &MqttSource) -> Upstream {
    Upstream {
        url: config.url.clone(),
        urls: vec![config.url.clone()],
        probe_every: CONNECT_TIMEOUT,
        return_after: CONNECT_TIMEOUT,
        profile: Profile::Portable,
        status_topic: None,
        credentials: config.credentials.clone(),
        allow_plaintext: true,
        client_id: config.client_id.clone(),
        topic: Template::default(),
        encoding: Encoding::Json,
        window: 1,
        payload_bytes_max: config.packet_bytes_max,
        keep_alive: config.keep_alive,
        connect_timeout: CONNECT_TIMEOUT,
        ack_timeout: CONNECT_TIMEOUT,
        backoff_min: super::RETRY.0,
        backoff_max: super::RETRY.1,
        order: Order::default(),
        rate_limit: RateLimit::default(),
        calls: None,
    }
}
