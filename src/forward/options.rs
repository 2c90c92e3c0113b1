//! From `[upstream]` to the options of one connection.
//!
//! Owns the limits given to the MQTT library. Reads credential files (through [`tls`]); never connects.

use std::time::Duration;

use rumqttc::{LastWill, MqttOptions, QoS, TlsConfiguration, Transport};

use super::tls::expiry::Certificates;
use super::{ahead, side, status, tls};
use crate::clock::{SystemClock, WallTime};
use crate::config::model::Upstream;

/// Largest packet taken from the broker, bytes. We subscribe to nothing, so acknowledgements are all that comes.
const INCOMING_BYTES_MAX: usize = 16 * 1024;

/// What a PUBLISH has besides its payload, bytes: the longest topic MQTT has, and the headers.
const PUBLISH_OVERHEAD_BYTES: usize = 65_535 + 16;

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

/// Makes the options, reading the credential files; the broker's certificates are noted in `seen`. Blocks for as long as that takes.
///
/// # Errors
///
/// As [`tls::client_config`] and [`tls::password`].
pub fn connection_options(
    upstream: &Upstream,
    clock: &SystemClock,
    seen: &Certificates,
) -> Result<MqttOptions, tls::TlsError> {
    let mut options = plain_options(upstream, &upstream.client_id, clock.earliest(), seen)?;
    options.set_inflight(side_ids(upstream).saturating_add(ahead::INFLIGHT_MAX));
    options.set_max_packet_size(INCOMING_BYTES_MAX, upstream.payload_bytes_max.saturating_add(PUBLISH_OVERHEAD_BYTES));
    if let Some(topic) = &upstream.status_topic {
        let retain = upstream.profile.retains();
        options.set_last_will(LastWill::new(&**topic, status::lost(clock.wall()), QoS::AtLeastOnce, retain));
    }
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
) -> Result<MqttOptions, tls::TlsError> {
    let mut options = MqttOptions::new(client_id, &upstream.url.host, upstream.url.port);
    // Everything that matters is in the store, so the broker need not remember us.
    options.set_clean_session(true);
    options.set_keep_alive(upstream.keep_alive.clamp(Duration::from_secs(1), KEEP_ALIVE_MAX));
    let password = tls::password(&upstream.credentials)?;
    match (&upstream.credentials.username, password) {
        (Some(username), password) => {
            options.set_credentials(username, password.unwrap_or_default());
        }
        // MQTT 3.1.1, 3.1.2.9: no password without a user name.
        (None, Some(_)) => {
            return Err(tls::TlsError {
                file: upstream.credentials.password_file.clone(),
                found: "a password without a user name".to_owned(),
                help: "set `username` too".to_owned(),
            });
        }
        (None, None) => {}
    }
    if upstream.url.tls {
        let config = tls::client_config(&upstream.credentials, earliest, seen)?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config.into())));
    }
    Ok(options)
}
