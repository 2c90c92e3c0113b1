//! What goes wrong in the store, named by what follows from it: not opened at all, set aside, tried again.
//!
//! Owns the errors' kinds and the words for people. Decides nothing.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::unit;

/// Why the store cannot be opened at all. Damage and full disks are no reason.
#[derive(Debug)]
pub enum OpenError {
    /// Another process works there.
    InUse {
        /// The store's path.
        path: PathBuf,
        /// The other process's id, as it wrote it down.
        process: String,
    },
    /// The directory cannot be made, listed or locked.
    Unusable {
        /// What was tried on.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// A later version of this program wrote it last. Nothing in it was changed, so that version reads all of it.
    Later {
        /// The store's path.
        path: PathBuf,
        /// How many pieces of it this version cannot read.
        pieces: u64,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path, process } => write!(
                f,
                "store {}: in use by another tidegate (process {process}); stop that one, or give this one its own \
                 `path` in [store]",
                path.display()
            ),
            Self::Unusable { path, error } => write!(f, "store {}: {error}; {}", path.display(), help(path, error)),
            Self::Later { path, pieces } => write!(
                f,
                "store {shown}: written by a later version of tidegate ({pieces} pieces that version {} cannot read); \
                 nothing in it was changed; install that version again and it goes on, or, to keep this store and begin \
                 an empty one: `sudo mv {shown} {shown}.later` and start tidegate again",
                env!("CARGO_PKG_VERSION"),
                shown = path.display(),
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// What a person can do about a path that cannot be used.
fn help(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let user = user();
            format!(
                "tidegate runs as {user}, who may not use it: `ls -ld {shown}` shows whose it is; make the store's \
                 directory and all in it theirs: `sudo chown -R {user}: <directory>`"
            )
        }
        // One of the store's own names says nothing to whoever reads this.
        io::ErrorKind::ReadOnlyFilesystem => {
            let is_ours = |path: &Path| ["queue", "lock"].iter().any(|name| path.ends_with(name));
            unit::read_only(path.parent().filter(|_| is_ours(path)).unwrap_or(path))
        }
        io::ErrorKind::NotFound => "is the disk mounted? `findmnt` shows what is".to_owned(),
        io::ErrorKind::NotADirectory => {
            format!(
                "a file is where a directory should be; move it away, or give another `path` in [store] than {shown}"
            )
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: `df -h` shows which, remove what is not needed there".to_owned()
        }
        _ => format!("the directory must be on a writable disk and belong to {}; `dmesg` may say more", user()),
    }
}

/// The user this process runs as, by name where there is one.
fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| id.to_string())
}

/// Stored bytes that do not say what they should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) String);

/// Something that went wrong on the way to the disk. The database it happened in is not used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) text: String,
    pub(super) cause: Cause,
}

/// What lies behind a fault, as far as somebody can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No block or inode is free, or the user's disk quota is used up.
    NoRoom,
    /// A file may not grow any further (`RLIMIT_FSIZE`).
    FileTooLarge,
    /// Nothing may be written.
    ReadOnly,
    /// See the text.
    Other,
}

impl Cause {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom,
            io::ErrorKind::FileTooLarge => Self::FileTooLarge,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Other,
        }
    }

    /// From the text of an error whose kind was lost on the way.
    pub(super) fn of_text(text: &str) -> Self {
        let has = |number: &str, kind: &str| {
            text.contains(&format!("os error {number})"))
                || text.contains(&format!("code: {number},"))
                || text.contains(kind)
        };
        if has("28", "StorageFull") || has("122", "QuotaExceeded") {
            Self::NoRoom
        } else if has("27", "FileTooLarge") {
            Self::FileTooLarge
        } else if has("30", "ReadOnlyFilesystem") {
            Self::ReadOnly
        } else {
            Self::Other
        }
    }
}

impl Fault {
    pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => "; the store and all in it must belong to the user tidegate runs as",
            io::ErrorKind::ReadOnlyFilesystem => "; the disk is read-only, or the service may not write there",
            _ => "",
        };
        Self { text: format!("{doing} {}: {error}{help}", path.display()), cause: Cause::of(error) }
    }

    pub(super) fn sled(doing: &str, text: &str, error: Option<&io::Error>) -> Self {
        // sled hands errors on as text, where their kind is lost.
        let cause = error.map_or(Cause::Other, Cause::of);
        let cause = if cause == Cause::Other { Cause::of_text(text) } else { cause };
        Self { text: format!("{doing} the store's database: {text}"), cause }
    }

    pub(super) fn damaged(text: &str) -> Self {
        Self { text: text.to_owned(), cause: Cause::Other }
    }

    pub(super) fn closed() -> Self {
        Self::damaged("the store's database is closed")
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unusable { path, error } => Self::io("making", &path, &error),
            shut @ (OpenError::InUse { .. } | OpenError::Later { .. }) => Self::damaged(&shut.to_string()),
        }
    }
}

impl From<Damaged> for Fault {
    fn from(Damaged(text): Damaged) -> Self {
        Self { text, cause: Cause::Other }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
