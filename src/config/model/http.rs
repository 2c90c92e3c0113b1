//! `[http]` as the rest of the program sees it: where the local page is served, and to whom.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// Where the local page is served when nothing else is configured: to this machine only.
pub const HTTP_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9280));

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `enabled`. Default true.
    pub enabled: bool,
    /// `listen`: address and port. Default [`HTTP_LISTEN`]. Any other than a loopback address comes with `token_file`.
    pub listen: SocketAddr,
    /// `token_file`: what a reader of the page must know; `None`: nothing.
    pub token_file: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self { enabled: true, listen: HTTP_LISTEN, token_file: None }
    }
}

impl Http {
    /// Whether other machines can reach it.
    pub fn is_open_to_others(&self) -> bool {
        !self.listen.ip().to_canonical().is_loopback()
    }
}
