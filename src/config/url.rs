//! Broker addresses: `mqtt://host[:port]` and `mqtts://host[:port]`.
//!
//! Owns reading them and knowing this machine by its loopback names. Pure.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::model::BrokerUrl;

/// Longest DNS name, RFC 1035.
const HOST_BYTES_MAX: usize = 253;

/// Reads a broker's address.
///
/// # Errors
/// What is wrong and how to write it; never repeats a user name or password that was put into the address.
pub fn parse(text: &str) -> Result<BrokerUrl, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match text.contains('@') {
            true => "expected mqtt://host:port or mqtts://host:port".into(),
            false => format!("no scheme; write \"mqtt://{text}\", or \"mqtts://{text}\" for TLS"),
        });
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "mqtt" => false,
        "mqtts" => true,
        "tcp" => return Err("`tcp://` is written `mqtt://` here".into()),
        "ssl" | "tls" => return Err(format!("`{scheme}://` is written `mqtts://` here")),
        "ws" | "wss" => return Err("MQTT over WebSocket is not supported; use `mqtt://` or `mqtts://`".into()),
        _ => return Err("expected `mqtt://` or `mqtts://`".into()),
    };
    if rest.contains('@') {
        return Err("the user does not belong into the address; use `username` and `password_file`".into());
    }
    let (host, port) = host_port(scheme, rest, [1883, 8883][usize::from(tls)])?;
    Ok(BrokerUrl { tls, host, port })
}

/// Where a Modbus server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModbusUrl {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Frames of a serial line go over the connection, not those of Modbus TCP.
    pub is_rtu: bool,
}

/// Reads a Modbus server's address: `modbus-tcp://host[:port]`, or `modbus-rtu-tcp://host:port` of a serial device server.
///
/// # Errors
/// As [`parse`].
pub fn modbus(text: &str) -> Result<ModbusUrl, String> {
    let expected = "expected modbus-tcp://host[:port], or modbus-rtu-tcp://host:port for a serial device server";
    match text.split_once("://") {
        Some(("modbus-tcp" | "modbus-rtu-tcp", rest)) if rest.contains('@') => {
            Err("Modbus knows no users; the address is modbus-tcp://host[:port]".into())
        }
        Some(("modbus-tcp", rest)) => {
            host_port("modbus-tcp", rest, 502).map(|(host, port)| ModbusUrl { host, port, is_rtu: false })
        }
        Some(("modbus-rtu-tcp", rest)) => match host_port("modbus-rtu-tcp", rest, 0)? {
            (_, 0) => Err("a serial device server has no usual port: write modbus-rtu-tcp://host:port".into()),
            (host, port) => Ok(ModbusUrl { host, port, is_rtu: true }),
        },
        Some(_) => Err(expected.into()),
        None if text.contains('@') => Err(expected.into()),
        None => Err(format!("no scheme; write \"modbus-tcp://{text}\"")),
    }
}

/// The host, without brackets, and the port.
fn host_port(scheme: &str, rest: &str, default: u16) -> Result<(String, u16), String> {
    let address = rest.strip_suffix('/').unwrap_or(rest);
    if address.contains(['/', '?', '#']) {
        return Err("an address ends with the host and port, without a path".into());
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or("`[` is never closed by `]`")?;
            host.parse::<Ipv6Addr>().map_err(|_| format!("`{host}` is no IPv6 address"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err("expected `:port` after the address".into()),
            };
            (host, port)
        }
        None => match address.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(format!("an IPv6 address is written in brackets: {scheme}://[{address}]"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err("no host".into());
    }
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if host.len() > HOST_BYTES_MAX || !host.chars().all(known) {
        return Err(format!("`{}` is no host name or address", host.chars().take(60).collect::<String>()));
    }
    let port = match port {
        None => default,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("`{port}` is no port; expected 1 to 65535")),
        },
    };
    Ok((host.to_owned(), port))
}

/// Whether the host is this machine, by name or number; names are not looked up.
pub fn is_loopback(url: &BrokerUrl) -> bool {
    let name = url.host.strip_suffix('.').unwrap_or(&url.host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_schemes_are_read() {
        for (text, tls, host, port) in [
            ("mqtt://127.0.0.1", false, "127.0.0.1", 1883),
            ("mqtts://broker.example.com", true, "broker.example.com", 8883),
            ("mqtt://localhost:1884/", false, "localhost", 1884),
            ("mqtts://[fe80::1]:1", true, "fe80::1", 1),
            ("MQTT://[::1]", false, "::1", 1883),
        ] {
            assert_eq!(parse(text).unwrap(), BrokerUrl { tls, host: host.into(), port });
        }
    }

    #[test]
    fn wrong_addresses_are_told_how_to_be_written() {
        for (text, word) in [
            ("localhost:1883", "mqtt://localhost:1883"),
            ("tcp://h", "`mqtt://`"),
            ("ssl://h", "`mqtts://`"),
            ("ws://h", "WebSocket"),
            ("http://h", "expected `mqtt://`"),
            ("mqtt://h/path", "without a path"),
            ("mqtt://h:0", "1 to 65535"),
            ("mqtt://h:99999", "1 to 65535"),
            ("mqtt://h:", "1 to 65535"),
            ("mqtt://", "no host"),
            ("mqtt://::1", "brackets"),
            ("mqtt://[::1", "closed"),
            ("mqtt://[::1]1883", "`:port`"),
            ("mqtt://a b", "no host name"),
            ("", "no scheme"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
        assert!(!parse("mqtt://me:hunter2@h").unwrap_err().contains("hunter2"));
        assert!(!parse("me:hunter2@h").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn modbus_servers_are_read_by_their_framing() {
        for (text, host, port, is_rtu) in [
            ("modbus-tcp://h", "h", 502, false),
            ("modbus-tcp://[::1]:1502", "::1", 1502, false),
            ("modbus-rtu-tcp://192.168.1.7:8899", "192.168.1.7", 8899, true),
        ] {
            assert_eq!(modbus(text), Ok(ModbusUrl { host: host.into(), port, is_rtu }));
        }
        for (text, word) in [
            ("modbus-rtu-tcp://h", "no usual port"),
            ("modbus-rtu-tcp://me@h:1", "no users"),
            ("rtu://h:1", "modbus-rtu-tcp://"),
            ("h", "modbus-tcp://h"),
        ] {
            let why = modbus(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("127.1.2.3", true),
            ("::1", true),
            ("10.0.0.1", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(is_loopback(&BrokerUrl { tls: false, host: host.into(), port: 1 }), expected, "{host}");
        }
    }
}
