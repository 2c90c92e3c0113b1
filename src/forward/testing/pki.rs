//! Certificates for tests, in files of a directory that is removed at the end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// A CA and what it has signed.
pub struct Pki {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2060, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { dir: TempDir::new().unwrap(), issuer };
        std::fs::write(pki.ca_file(), pki.issuer.pem()).unwrap();
        pki
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Writes `<name>.pem` and `<name>.key` for a server of these names, valid until a Unix time.
    pub fn server(&self, name: &str, hosts: &[&str], from: i64, until: i64) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, "broker");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, params, from, until);
    }

    /// Writes `<name>.pem` and `<name>.key` for a client.
    pub fn client(&self, name: &str, common_name: &str) {
        self.client_until(name, common_name, unix_in_days(10_000));
    }

    /// The same, valid until a Unix time.
    pub fn client_until(&self, name: &str, common_name: &str, until: i64) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, params, unix_in_days(-1_000), until);
    }

    fn issue(&self, name: &str, mut params: CertificateParams, from: i64, until: i64) {
        let time = |unix: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(unix).unwrap());
        params.not_before = time(from);
        params.not_after = time(until);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        write_secret(&self.file(&format!("{name}.key")), key.serialize_pem().as_bytes());
    }
}

/// Writes a file that only its owner can read.
pub fn write_secret(file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Unix time, so many days from now.
pub fn unix_in_days(days: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + days * 24 * 3600
}
