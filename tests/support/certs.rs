//! Certificates for tests: authorities, servers good and bad, clients.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate and its key on disk, both PEM; the key is readable by its owner only.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Current,
    /// Until 2 January 2020.
    Expired,
    /// From 1 January 2090.
    NotYet,
    /// Now, and for so many days yet.
    ForDays(u32),
    /// From 1 January of this year to 2090.
    From(i32),
}

/// A certificate authority of one's own.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
    /// PEM of the authority's own certificate.
    pub cert: PathBuf,
}

impl Authority {
    /// A new authority with files in `dir/name`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).expect("make the authority's directory");
        let mut params = CertificateParams::new(Vec::new()).expect("no names to be wrong");
        params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("make a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("sign the authority");
        let cert = dir.join("ca.pem");
        fs::write(&cert, issuer.pem()).expect("write the authority");
        Self { issuer, dir, cert }
    }

    /// A certificate for these DNS names or addresses; `file` names its files.
    pub fn issue(&self, file: &str, names: &[&str], validity: Validity) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names are valid");
        params.distinguished_name.push(DnType::CommonName, file);
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = match validity {
            Validity::Current => (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1)),
            Validity::Expired => (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 2)),
            Validity::From(year) => (date_time_ymd(year, 1, 1), date_time_ymd(2090, 1, 1)),
            Validity::ForDays(days) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
                let end = now + std::time::Duration::from_secs(u64::from(days) * 24 * 3600);
                (date_time_ymd(2020, 1, 1), date_time_ymd(1970, 1, 1) + end)
            }
            Validity::NotYet => (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1)),
        };
        let key = KeyPair::generate().expect("make a key");
        let cert = params.signed_by(&key, &self.issuer).expect("sign the certificate");
        let identity =
            Identity { cert: self.dir.join(format!("{file}.pem")), key: self.dir.join(format!("{file}.key")) };
        fs::write(&identity.cert, cert.pem()).expect("write the certificate");
        write_secret(&identity.key, &key.serialize_pem());
        identity
    }

    /// A server's certificate for `localhost`, valid now.
    pub fn server(&self) -> Identity {
        self.issue("server", &["localhost"], Validity::Current)
    }
}

/// TLS as a client that trusts `ca` and may show a certificate, with rustls as the gateway has it.
pub fn client_config(ca: &Path, client: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("a usable authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has them").with_root_certificates(roots);
    let config = match client {
        Some(identity) => {
            let cert = CertificateDer::from_pem_file(&identity.cert).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
            builder.with_client_auth_cert(vec![cert], key).expect("key and certificate belong together")
        }
        None => builder.with_no_client_auth(),
    };
    config.into()
}

/// Writes a file that only its owner can read.
pub fn write_secret(path: &Path, content: &str) {
    let _ = fs::remove_file(path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.expect("make a secret file").write_all(content.as_bytes()).expect("write a secret file");
}
