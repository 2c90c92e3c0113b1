//! The files that a configuration names: are they there, readable, what they should be, and kept from others?
//!
//! Apart from loading, so that a configuration can be checked where its files are not. `run` and `check` call it.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt;

use super::load::Loaded;
use super::report::{Level, Problem, Report};
use super::tree::{FileReference, Role};
use crate::forward::tls::FILE_BYTES_MAX;

/// Looks at every file the configuration names.
pub fn check(loaded: &Loaded) -> Report {
    Report { problems: loaded.references.iter().filter_map(fault).collect() }
}

fn fault(reference: &FileReference) -> Option<Problem> {
    let path = reference.path.display();
    let wrong = |message: String| Problem::at(Level::Error, reference.place.clone(), message);
    // Looked at before it is opened: opening a pipe waits for somebody to write into it.
    let opened = std::fs::metadata(&reference.path)
        .and_then(|meta| if meta.is_file() { File::open(&reference.path).map(Some) } else { Ok(None) });
    let mut file = match opened {
        Ok(Some(file)) => file,
        Ok(None) => return Some(wrong(format!("{path} is no regular file"))),
        Err(error) => {
            let mut problem = match error.kind() {
                ErrorKind::NotFound => wrong(format!("the file {path} does not exist")),
                ErrorKind::PermissionDenied => wrong(format!("this user may not read {path}")),
                _ => wrong(format!("{path} cannot be read: {error}")),
            };
            if error.kind() == ErrorKind::PermissionDenied {
                problem.help(format!("give it to the user the gateway runs as: chown tidegate {path}"));
            }
            return Some(problem);
        }
    };
    let (bytes, mode) = match file.metadata().and_then(|meta| {
        let mut bytes = Vec::new();
        (&mut file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok((bytes, meta.mode()))
    }) {
        Ok(read) => read,
        Err(error) => return Some(wrong(format!("{path} cannot be read: {error}"))),
    };
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Some(wrong(format!("{path} is larger than 1 MiB")));
    }
    let secret = matches!(reference.role, Role::PrivateKey | Role::Password);
    if secret && mode & 0o007 != 0 {
        let mut problem = wrong(format!("others can read {path} (mode {:04o})", mode & 0o7777));
        problem.label("a secret is for this program only").help(format!("chmod 600 {path}"));
        return Some(problem);
    }
    // systemd gives the service its credentials by an access list, whose mask shows as group bits.
    let is_shared = secret && !reference.credential && mode & 0o070 != 0;
    content_fault(reference, &bytes).or_else(|| is_shared.then(|| shared_with_group(reference, mode)))
}

/// Taken, as a file of root's may be lent to the service by its group; but more often a slip.
fn shared_with_group(reference: &FileReference, mode: u32) -> Problem {
    let path = reference.path.display();
    let message = format!("its group can read {path} (mode {:04o})", mode & 0o7777);
    let mut problem = Problem::at(Level::Warning, reference.place.clone(), message);
    problem.help(format!("if nobody else is to have it: chmod 600 {path}"));
    problem
}

fn content_fault(reference: &FileReference, bytes: &[u8]) -> Option<Problem> {
    let path = reference.path.display();
    let wrong = |message: String| Problem::at(Level::Error, reference.place.clone(), message);
    let has = |mark: &str| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    let (certificate, key) =
        (has("-----BEGIN CERTIFICATE-----"), has(" PRIVATE KEY-----") || has("-----BEGIN PRIVATE KEY-----"));
    match reference.role {
        Role::Password if bytes.iter().all(u8::is_ascii_whitespace) => Some(wrong(format!("{path} is empty"))),
        Role::Password => None,
        Role::PrivateKey if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") => {
            let mut problem = wrong(format!("the key in {path} is locked by a passphrase"));
            problem.help(format!("unlock it: openssl pkey -in {path} -out unlocked.key; chmod 600 unlocked.key"));
            Some(problem)
        }
        Role::PrivateKey if key => None,
        Role::PrivateKey if certificate => {
            let mut problem = wrong(format!("{path} holds a certificate, not a private key"));
            problem.help("are `cert_file` and `key_file` swapped?");
            Some(problem)
        }
        Role::PrivateKey => Some(wrong(format!("{path} holds no private key in PEM form"))),
        Role::Roots | Role::Chain if certificate => None,
        Role::Roots | Role::Chain if key => {
            let mut problem = wrong(format!("{path} holds a private key, not a certificate"));
            problem.help("are `cert_file` and `key_file` swapped?");
            Some(problem)
        }
        Role::Roots | Role::Chain => {
            let mut problem = wrong(format!("{path} holds no certificate in PEM form"));
            problem.help(format!("from DER to PEM: openssl x509 -inform der -in {path} -out new.pem"));
            Some(problem)
        }
    }
}
