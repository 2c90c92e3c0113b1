//! Reading a credential file: bounded, and with words for a file that cannot be read.
//!
//! Owns what is wrong with a file whatever is in it: missing, a directory, a pipe, too large, not ours to read, open to
//! others. Never looks at what it means.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::TlsError;

/// Largest credential file read, bytes. A bundle of all public roots is about 230 KiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a file that only we may read.
pub(super) fn read_secret(file: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = read(file)?;
    refuse_open_to_others(file)?;
    Ok(bytes)
}

/// Refuses a file with a secret that every user of the machine can read or change.
pub(super) fn refuse_open_to_others(file: &Path) -> Result<(), TlsError> {
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    let mode = metadata.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(TlsError::new(
            file,
            format!("every user of this machine can get at this secret (mode {:04o})", mode & 0o7777),
            format!("close it with `chmod 600 {}`", file.display()),
        ));
    }
    Ok(())
}

/// Reads a file, bounded.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    // Looked at before it is opened: opening a pipe waits for somebody to write into it.
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if metadata.is_dir() {
        return Err(unreadable(file, &ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(TlsError::new(file, "it is no regular file", "correct the path in the configuration"));
    }
    let open = std::fs::File::open(file).map_err(|error| unreadable(file, &error))?;
    open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(file, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::new(file, "the file is larger than 1 MiB", "is this the right file?"));
    }
    Ok(bytes)
}

/// Says why a file could not be read.
fn unreadable(file: &Path, error: &std::io::Error) -> TlsError {
    match error.kind() {
        ErrorKind::NotFound => {
            TlsError::new(file, "the file does not exist", "put it there or correct the path in the configuration")
        }
        ErrorKind::PermissionDenied => no_permission(file),
        ErrorKind::IsADirectory => TlsError::new(file, "this is a directory", "name the file in it that is meant"),
        ErrorKind::NotADirectory => TlsError::new(
            file,
            "something in this path is a file and not a directory",
            "correct the path in the configuration",
        ),
        _ => TlsError::new(file, format!("cannot be read: {error}"), "check the disk and the path"),
    }
}

/// Says whom the file belongs to, who wants to read it, and the ways out.
fn no_permission(file: &Path) -> TlsError {
    let me = user(rustix::process::geteuid().as_raw());
    let denied = |path: &Path| std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    // Where not even a look is allowed, the fault is the directory above.
    let path = file.display();
    if let Some(closed) = file.ancestors().filter(|path| denied(path)).last().and_then(Path::parent) {
        let found = format!("user {me} may not enter the directory {}", closed.display());
        let help = format!(
            "let it in with `chmod o+x {}`, or let systemd bring the file: `LoadCredential={}:{path}` in the unit and \
             `${{CREDENTIALS_DIRECTORY}}` in the configuration",
            closed.display(),
            file.file_name().unwrap_or_default().display(),
        );
        return TlsError::new(file, found, help);
    }
    let owner = std::fs::metadata(file).map_or_else(
        |_| String::new(),
        |meta| format!(" (it belongs to {}, mode {:04o})", user(meta.uid()), meta.mode() & 0o7777),
    );
    let name = me.split_once(' ').map_or(me.as_str(), |(name, _)| name);
    let help = format!(
        "give it to that user with `chown {name} {path}`, or leave it as it is and let systemd bring it: \
         `LoadCredential={}:{path}` in the unit and `${{CREDENTIALS_DIRECTORY}}` in the configuration",
        file.file_name().unwrap_or_default().display(),
    );
    TlsError::new(file, format!("user {me} may not read this file{owner}"), help)
}

/// A user for people: `tidegate (998)`, or the number alone.
fn user(uid: u32) -> String {
    let passwd = std::fs::File::open("/etc/passwd").and_then(|open| {
        let mut text = String::new();
        open.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    });
    let name = passwd.ok().and_then(|text| {
        let entry = text.lines().find(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid)))?;
        entry.split(':').next().map(str::to_owned)
    });
    name.map_or_else(|| uid.to_string(), |name| format!("{name} ({uid})"))
}
