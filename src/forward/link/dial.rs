//! From a host name to a connected socket, and to TLS on it.
//!
//! Owns the order in which a host's addresses are tried (RFC 8305, "happy eyeballs"): the families in turn, the next
//! address after a quarter of a second while those before are still being waited for, and the first that answers is
//! taken. So a network whose IPv6 leads nowhere costs a quarter of a second and not a minute. Never logs; the caller
//! bounds the time.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::tokio_rustls::client::TlsStream;
use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::fault::Fault;

/// Most addresses of one name tried. Large services have a dozen; more is a fault or an attack.
pub const ADDRESSES_MAX: usize = 16;

/// How long an address is waited for before the next is tried beside it (RFC 8305, section 5).
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_millis(250);

/// Tests of an idle connection that may go unanswered before the kernel gives it up.
const KEEPALIVE_PROBES: u32 = 3;

/// Looks up and connects. Unbounded in time: the caller sets the limit.
///
/// # Errors
///
/// The name is unknown, or none of its addresses answers: then the error that says most.
pub async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = resolve(host, port).await?;
    let (tcp, _) = race(addresses, TcpStream::connect).await?;
    // Acknowledgements and events are small and wanted at once.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// The addresses of a host, in the order in which they are tried.
///
/// # Errors
///
/// As the system's resolver.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port)).await?.collect(),
    };
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "could not resolve to any address"));
    }
    Ok(interleave(found))
}

/// Puts the families in turn, beginning with the resolver's first choice; at most [`ADDRESSES_MAX`].
pub fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_family = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == is_first_family);
    let mut order = Vec::new();
    while order.len() < ADDRESSES_MAX {
        match first.pop_front() {
            Some(address) => order.push(address),
            None if second.is_empty() => break,
            None => {}
        }
        std::mem::swap(&mut first, &mut second);
    }
    order
}

/// Connects to the first address that answers, by `connect`.
///
/// # Errors
///
/// None does: the error that says most.
pub async fn race<S, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<(S, SocketAddr)>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut waiting = VecDeque::from(addresses);
    let mut attempts = JoinSet::new();
    let mut worst: Option<io::Error> = None;
    let pause = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            biased;
            Some(done) = attempts.join_next(), if !attempts.is_empty() => {
                let done: Result<(SocketAddr, io::Result<S>), _> = done;
                match done {
                    Ok((address, Ok(stream))) => return Ok((stream, address)),
                    Ok((_, Err(error))) => {
                        if worst.as_ref().is_none_or(|before| telling(&error) > telling(before)) {
                            worst = Some(error);
                        }
                    }
                    Err(error) => worst = worst.or_else(|| Some(io::Error::other(error))),
                }
                // One that has failed makes room for the next at once.
                pause.as_mut().reset(tokio::time::Instant::now());
            }
            () = &mut pause, if !waiting.is_empty() => {
                if let Some(address) = waiting.pop_front() {
                    let attempt = connect(address);
                    attempts.spawn(async move { (address, attempt.await) });
                }
                pause.as_mut().reset(tokio::time::Instant::now() + NEXT_ATTEMPT_AFTER);
            }
            else => return Err(worst.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
        }
    }
}

/// How much an error says: that a machine was reached and refused is more than that there is no way to another.
fn telling(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => 3,
        io::ErrorKind::TimedOut => 2,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => 0,
        _ => 1,
    }
}

/// Has the kernel notice a connection whose other end is gone: sent bytes that no one confirms for `silence_max`, or an
/// idle connection whose tests stay unanswered. A kernel that cannot is no reason to go without a connection.
pub fn watch_over(tcp: &TcpStream, keep_alive: Duration, silence_max: Duration) {
    let second = Duration::from_secs(1);
    let millis = u32::try_from(silence_max.as_millis()).unwrap_or(u32::MAX).max(1_000);
    let set = || -> rustix::io::Result<()> {
        sockopt::set_tcp_keepidle(tcp, keep_alive.max(second))?;
        sockopt::set_tcp_keepintvl(tcp, (keep_alive / KEEPALIVE_PROBES).max(second))?;
        sockopt::set_tcp_keepcnt(tcp, KEEPALIVE_PROBES)?;
        sockopt::set_socket_keepalive(tcp, true)?;
        sockopt::set_tcp_user_timeout(tcp, millis)
    };
    let _ = set();
}

/// Shakes hands.
///
/// # Errors
///
/// The host is no name, or TLS failed.
pub async fn secure(tcp: TcpStream, host: &str, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Fault> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Fault::BadHost)?;
    Ok(TlsConnector::from(config).connect(name, tcp).await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_resolvers_first_choice_comes_first() {
        let found = addresses(&["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "192.0.2.1:1"]);
        let order = addresses(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "[2001:db8::3]:1"]);
        assert_eq!(interleave(found), order);
        let found = addresses(&["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"]);
        let order = addresses(&["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"]);
        assert_eq!(interleave(found), order);
        let many = (0..100).map(|port| SocketAddr::new([127, 0, 0, 1].into(), port)).collect();
        assert_eq!(interleave(many).len(), ADDRESSES_MAX);
        assert!(interleave(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_costs_a_quarter_of_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let nowhere = addresses(&["[2001:db8::1]:1883"])[0];
        let start = Instant::now();
        let (_, reached) = race(vec![nowhere, good], |address| async move {
            // Whether this machine's network drops packets to it or says so at once must not matter here.
            if address.is_ipv6() { std::future::pending().await } else { TcpStream::connect(address).await }
        })
        .await
        .unwrap();
        assert_eq!(reached, good);
        assert!(start.elapsed() >= NEXT_ATTEMPT_AFTER, "the first choice had its chance");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn an_address_that_refuses_makes_room_at_once_and_a_slow_one_may_still_win() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = addresses(&["[::1]:1", "127.0.0.1:1"]);
        let (_, reached) = race(vec![closed[0], closed[1], good], TcpStream::connect).await.unwrap();
        assert_eq!(reached, good);
        let (slow, dead) = (good, closed[1]);
        let (_, reached) = race(vec![slow, dead], |address| async move {
            if address == slow {
                tokio::time::sleep(2 * NEXT_ATTEMPT_AFTER).await;
            }
            TcpStream::connect(address).await
        })
        .await
        .unwrap();
        assert_eq!(reached, slow, "it goes on while the next is tried");
    }

    #[tokio::test]
    async fn when_none_answers_the_error_that_says_most_is_told() {
        let all = addresses(&["[2001:db8::1]:1", "127.0.0.1:1", "[2001:db8::2]:1"]);
        let failed = race(all, |address| async move {
            if address.is_ipv6() {
                Err(io::ErrorKind::NetworkUnreachable.into())
            } else {
                TcpStream::connect(address).await
            }
        })
        .await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let none = race(Vec::new(), TcpStream::connect).await;
        assert!(none.is_err());
    }

    #[tokio::test]
    async fn a_host_that_is_an_address_is_not_looked_up() {
        assert_eq!(resolve("::1", 7).await.unwrap(), addresses(&["[::1]:7"]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = dial("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
        watch_over(&tcp, Duration::from_secs(30), Duration::from_secs(60));
        assert_eq!(sockopt::tcp_user_timeout(&tcp).unwrap(), 60_000);
        assert!(sockopt::socket_keepalive(&tcp).unwrap());
    }
}
