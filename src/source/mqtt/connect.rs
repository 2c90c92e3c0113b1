//! One connection to a local broker: TCP, TLS, login.
//!
//! Owns the steps up to CONNACK and the words when one fails. Credential files are read anew each time, so what is
//! repaired on disk works at the next attempt. The session is persistent: the broker keeps what it has for us while we
//! are away, and sends again what we have not acknowledged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{Connect, ConnectReturnCode, Login, Packet};
use tokio::io::AsyncReadExt;

use super::packets::{Inbox, Incoming, Outgoing, Violation};
use crate::clock::{SystemClock, WallTime};
use crate::config::model::{
    Compression, Credentials, Encoding, Mode, MqttSource, Order, Protocol, RateLimit, Template, Upstream,
};
use crate::forward::explain::{self, Explanation, Phase};
pub(super) use crate::forward::link::Stream;
use crate::forward::link::{Fault, dial};
use crate::forward::profile::Profile;
use crate::forward::tls;
use crate::forward::tls::expiry::Certificates;

/// How long TCP, TLS and CONNACK may take together. A broker beside us answers in milliseconds, one across a radio
/// link in seconds.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

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
    let tcp = dial::dial(&config.url.host, config.url.port).await.map_err(|error| broken(&error))?;
    dial::watch_over(&tcp, config.keep_alive, 2 * config.keep_alive);
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(tls) => {
            let shaken = dial::secure(tcp, &config.url.host, tls).await;
            Box::new(shaken.map_err(|fault| {
                explain::time_of_fault(&fault, &clock.view(), clock.wall())
                    .unwrap_or_else(|| explain::fault(&fault, &view(config), Phase::Connecting))
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
            return Err(explain::fault(&Fault::NotMqtt, &view(config), Phase::Connecting));
        }
        match inbox.next() {
            Ok(None) => {}
            Ok(Some(Incoming::Control(Packet::ConnAck(ack)))) if ack.code == ConnectReturnCode::Success => {
                return Ok(Connection { stream, inbox, session_present: ack.session_present });
            }
            Ok(Some(Incoming::Control(Packet::ConnAck(ack)))) => {
                let refused = Fault::Refused { reason: ack.code as u8, text: None, server: None };
                return Err(explain::fault(&refused, &view(config), Phase::Connecting));
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
    explain::violation(&violation.0, &view(config))
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
        client_id: config.client_id.clone(),
        topic: Template::default(),
        encoding: Encoding::Json,
        protocol: Protocol::V311,
        mode: Mode::Structured,
        message_expiry: None,
        user_properties: Vec::new(),
        alpn: Vec::new(),
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
        batch: None,
        compression: Compression::default(),
    }
}
