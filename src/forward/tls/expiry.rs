//! When certificates end: what is known of them, and how that is told.
//!
//! Owns [`Certificates`], the shared note of the client's, the CA's and the broker's certificates, and its words. Takes
//! the time as an argument; never reads a file or a clock.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;

use crate::clock::WallTime;

/// How long before its end a certificate is mentioned: time to order a new one and carry it to the site.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(30 * DAY_S);

const DAY_S: u64 = 24 * 3600;

/// More certificates in `ca_file` than this are a bundle of public roots: their ends are their makers' business.
const OWN_CAS_MAX: usize = 8;

/// Longest name told, characters; a certificate may have one of many kilobytes.
const NAME_CHARS_MAX: usize = 120;

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours (`cert_file`).
    Client,
    /// The one we trust (`ca_file`).
    Ca,
    /// In the chain that the broker showed when we last connected.
    Broker,
}

impl Whose {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client certificate",
            Self::Ca => "CA certificate",
            Self::Broker => "broker's certificate",
        }
    }
}

/// What is known of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub whose: Whose,
    /// Where it lies; `None` for the broker's.
    pub file: Option<PathBuf>,
    /// Whom it is for, as in the certificate.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Valid from here on.
    pub not_before: WallTime,
    /// Valid through this.
    pub not_after: WallTime,
}

impl Certificate {
    /// From DER; `None` for what is no certificate.
    pub fn read(der: &CertificateDer<'_>, whose: Whose, file: Option<&Path>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let time = |time: x509_parser::time::ASN1Time| WallTime::from_secs(time.timestamp());
        let name = |name: String| name.chars().take(NAME_CHARS_MAX).collect();
        Some(Self {
            whose,
            file: file.map(Path::to_owned),
            subject: name(parsed.subject().to_string()),
            issuer: name(parsed.issuer().to_string()),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
        })
    }

    /// Whole days until it ends, rounded down; negative once it has ended.
    pub fn days_left(&self, now: WallTime) -> i64 {
        (self.not_after.0.saturating_sub(now.0)).div_euclid(DAY_S as i64 * 1_000_000_000)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: WallTime) -> bool {
        now > self.not_after
    }

    /// What is to be said of its time: it is over, has not come, or is over soon.
    pub fn notice(&self, now: WallTime) -> Option<String> {
        let Self { subject, not_before, not_after, .. } = self;
        let what = self.whose.as_str();
        let of = match &self.file {
            Some(file) => format!("{}: {what} \"{subject}\"", file.display()),
            None => format!("the {what} \"{subject}\""),
        };
        if self.is_expired(now) {
            let effect = match self.whose {
                Whose::Client => "brokers refuse it; renew it",
                Whose::Ca => "what it has signed is worth nothing to other programs; renew it",
                Whose::Broker => "the next connection will fail; renew it at the broker",
            };
            Some(format!("{of} expired on {not_after}; {effect}"))
        } else if now < *not_before {
            Some(format!("{of} is valid from {not_before} on; this gateway's clock says {now}"))
        } else if not_after.since(now).is_some_and(|left| left < EXPIRY_NOTICE) {
            let days = match self.days_left(now) {
                0 => "in less than a day".to_owned(),
                1 => "in 1 day".to_owned(),
                days => format!("in {days} days"),
            };
            let at = if self.whose == Whose::Broker { " at the broker" } else { "" };
            Some(format!("{of} expires on {not_after}, {days}; renew it in time{at}"))
        } else {
            None
        }
    }
}

/// All certificates a connection depends on, as last seen. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Known {
    files: Vec<Certificate>,
    broker: Vec<Certificate>,
}

/// The same note, not the same content.
impl PartialEq for Certificates {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Certificates {}

impl Certificates {
    /// What the files hold now.
    pub fn note_files(&self, files: Vec<Certificate>) {
        self.known().files = files;
    }

    /// What the broker has just shown, its own first; accepted.
    pub fn note_broker(&self, broker: Vec<Certificate>) {
        self.known().broker = broker;
        self.0.news.notify_one();
    }

    /// Returns when the broker has shown its certificates anew: at each connection. Cancel-safe.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// The certificates that count, the first to end first.
    pub fn by_end(&self) -> Vec<Certificate> {
        let known = self.known();
        let mut counting: Vec<Certificate> =
            known.files.iter().filter(|one| counts(one, &known)).chain(&known.broker).cloned().collect();
        drop(known);
        counting.sort_by_key(|one| one.not_after);
        counting
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a certificate of a file matters. Of CAs, not those of a bundle, not an old one beside the new one of the same
/// name (as it lies there while a CA is replaced), and, once the broker is known, only those that sign for it.
fn counts(one: &Certificate, known: &Known) -> bool {
    if one.whose != Whose::Ca {
        return true;
    }
    let cas = || known.files.iter().filter(|other| other.whose == Whose::Ca);
    let signs = |ca: &Certificate| known.broker.iter().any(|shown| shown.issuer == ca.subject);
    let is_newest = !cas().any(|other| other.subject == one.subject && other.not_after > one.not_after);
    let is_used = if cas().any(signs) { signs(one) } else { cas().count() <= OWN_CAS_MAX };
    is_newest && is_used
}
