//! From `[upstream]` to the options of one connection.
//!
//! Owns who we are and what our last will is. Reads credential files (through [`tls`]); never connects.

use std::sync::Arc;
use std::time::Duration;

use super::link::{Options, Will};
use super::tls::expiry::Certificates;
use super::{side, status, tls};
use crate::clock::{SystemClock, WallTime};
use crate::config::model::Upstream;

/// Packet ids beyond the window: for the two status messages, and two to spare.
pub const PACKET_ID_MARGIN: u16 = 4;

/// How many packet ids the queue's events and the status messages use, from 1; the side lane's come after them, so that
/// neither ever waits for an id of the other.
pub fn queue_ids(upstream: &Upstream) -> u16 {
    upstream.window.saturating_add(PACKET_ID_MARGIN)
}

/// How many packet ids come before those of what goes ahead of the queue.
pub fn side_ids(upstream: &Upstream) -> u16 {
    queue_ids(upstream).saturating_add(side::INFLIGHT_MAX)
}

/// Longest keep-alive MQTT can say: 16 bits of seconds.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(65_535);

/// Makes the options, reading the credential files; the broker's certificates are noted in `seen`. Blocks for as long
/// as that takes.
///
/// # Errors
///
/// As [`tls::client_config`] and [`tls::password`].
pub fn connection_options(
    upstream: &Upstream,
    clock: &SystemClock,
    seen: &Certificates,
) -> Result<Options, tls::TlsError> {
    let mut options = plain_options(upstream, &upstream.client_id, clock.earliest(), seen)?;
    options.will = upstream.status_topic.as_ref().map(|topic| Will {
        topic: topic.to_string(),
        payload: status::lost(clock.wall()),
        retain: upstream.profile.retains(),
    });
    Ok(options)
}

/// The options that a connection shares with a mere check: place, login, TLS. It is `earliest` or later.
///
/// # Errors
///
/// As [`connection_options`].
pub fn plain_options(
    upstream: &Upstream,
    client_id: &str,
    earliest: WallTime,
    seen: &Certificates,
) -> Result<Options, tls::TlsError> {
    let password = tls::password(&upstream.credentials)?;
    let login = match (&upstream.credentials.username, password) {
        (Some(username), password) => Some((username.clone(), password.unwrap_or_default())),
        // MQTT 3.1.1, 3.1.2.9: no password without a user name.
        (None, Some(_)) => {
            return Err(tls::TlsError {
                file: upstream.credentials.password_file.clone(),
                found: "a password without a user name".to_owned(),
                help: "set `username` too".to_owned(),
            });
        }
        (None, None) => None,
    };
    let tls = if upstream.url.tls {
        let mut config = tls::client_config(&upstream.credentials, earliest, seen)?;
        config.alpn_protocols = upstream.alpn().into_iter().map(String::into_bytes).collect();
        Some(Arc::new(config))
    } else {
        None
    };
    Ok(Options {
        host: upstream.url.host.clone(),
        port: upstream.url.port,
        tls,
        protocol: upstream.protocol,
        client_id: client_id.to_owned(),
        login,
        keep_alive: upstream.keep_alive.clamp(Duration::from_secs(1), KEEP_ALIVE_MAX),
        silence_max: upstream.ack_timeout,
        will: None,
    })
}
