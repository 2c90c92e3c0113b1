//! The files that a configuration names: are they there, readable, what they should be, and kept from others?
//!
//! Apart from loading, so that a configuration can be checked where its files are not. `run` and `check` call it. What is
//! wrong with a file's content, and the words for it, are those of the code that reads it for a connection.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use super::load::Loaded;
use super::model::{Credentials, SourceKind};
use super::report::{Level, Problem, Report};
use super::tree::{FileReference, Role};
use crate::clock::{BUILT, SystemClock, WallTime};
use crate::forward::tls::expiry::{Certificate, Certificates};
use crate::forward::tls::{self, TlsError, inspect};
use crate::ops::http::token::Token;

/// Looks at every file the configuration names, and at whether certificates and keys belong together.
pub fn check(loaded: &Loaded) -> Report {
    let now = SystemClock::new().wall().max(BUILT);
    let mut problems: Vec<Problem> = loaded.references.iter().flat_map(|reference| faults(reference, now)).collect();
    for credentials in all_credentials(loaded) {
        let Err(error) = tls::identity(credentials) else { continue };
        let named = loaded.references.iter().find(|reference| Some(&reference.path) == error.file.as_ref());
        let Some(problem) = named.map(|reference| refused(reference, &error)) else { continue };
        // A file that cannot be used alone has been told above.
        if !problems.iter().any(|told| told.message == problem.message) {
            problems.push(problem);
        }
    }
    Report { problems }
}

fn all_credentials(loaded: &Loaded) -> impl Iterator<Item = &Credentials> {
    let sources = loaded.config.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Mqtt(source) => Some(&source.credentials),
        _ => None,
    });
    loaded.config.upstream.iter().map(|upstream| &upstream.credentials).chain(sources)
}

fn faults(reference: &FileReference, now: WallTime) -> Vec<Problem> {
    let file = &reference.path;
    let looked_at = match reference.role {
        Role::Roots => inspect::ca_file(file),
        Role::Chain => inspect::cert_file(file),
        Role::PrivateKey => inspect::key_file(file).map(|()| Vec::new()),
        Role::Password => inspect::password_file(file),
        Role::Token => Token::read(file).map(|_| Vec::new()),
        Role::Program => return program(reference).into_iter().collect(),
    };
    let remarks = match looked_at {
        Ok(remarks) => remarks,
        Err(error) => return vec![refused(reference, &error)],
    };
    let warning = |remark: String| Problem::at(Level::Warning, reference.place.clone(), remark);
    let mut problems: Vec<Problem> = remarks.into_iter().map(warning).collect();
    problems.extend(ends(reference, now));
    problems.extend(shared_with_group(reference));
    problems
}

/// Certificates whose time is over or soon will be. Only a client certificate that has ended is an error: a CA's end
/// stops nobody here.
fn ends(reference: &FileReference, now: WallTime) -> Vec<Problem> {
    let (ca_file, cert_file) = match reference.role {
        Role::Roots => (Some(reference.path.clone()), None),
        Role::Chain => (None, Some(reference.path.clone())),
        Role::PrivateKey | Role::Password | Role::Token | Role::Program => return Vec::new(),
    };
    let seen = Certificates::default();
    seen.note_files(inspect::certificates(&Credentials { ca_file, cert_file, ..Credentials::default() }));
    let problem = |one: Certificate| {
        let is_fatal = reference.role == Role::Chain && one.is_expired(now);
        let level = if is_fatal { Level::Error } else { Level::Warning };
        Some(Problem::at(level, reference.place.clone(), one.notice(now)?))
    };
    seen.by_end().into_iter().filter_map(problem).collect()
}

/// A file that a connection would refuse.
fn refused(reference: &FileReference, error: &TlsError) -> Problem {
    let message = format!("{}: {}", reference.path.display(), error.found);
    let mut problem = Problem::at(Level::Error, reference.place.clone(), message);
    problem.help(error.help.clone());
    problem
}

/// A program that could not be run as things are; a warning, as it may be installed later.
fn program(reference: &FileReference) -> Option<Problem> {
    let shown = reference.path.to_string_lossy();
    let (found, help) = match std::fs::metadata(&reference.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match shown.split_once(char::is_whitespace) {
            Some(_) => {
                let words: Vec<String> = shown.split_whitespace().map(|word| format!("\"{word}\"")).collect();
                let help = format!("there is no shell that would split it: command = [{}, ..]", words.join(", "));
                ("does not exist: the blank is taken as a part of the file's name", help)
            }
            None => ("does not exist", "the event is stored and sent all the same, but nothing is run".to_owned()),
        },
        // Whom this user may not look over the shoulder of, the service may.
        Err(_) => return None,
        Ok(file) if !file.is_file() => ("is no program", "name the program itself".to_owned()),
        Ok(file) if file.mode() & 0o111 == 0 => ("is not executable", format!("chmod +x {shown}")),
        Ok(_) => return None,
    };
    let mut problem = Problem::at(Level::Warning, reference.place.clone(), format!("{shown} {found}"));
    problem.help(help);
    Some(problem)
}

/// Taken, as a file of root's may be lent to the service by its group; but more often a slip.
fn shared_with_group(reference: &FileReference) -> Option<Problem> {
    let secret = matches!(reference.role, Role::PrivateKey | Role::Password | Role::Token);
    // systemd gives the service its credentials by an access list, whose mask shows as group bits.
    if !secret || reference.credential {
        return None;
    }
    let mode = std::fs::metadata(&reference.path).ok()?.mode();
    let path = reference.path.display();
    (mode & 0o070 != 0).then(|| {
        let message = format!("its group can read {path} (mode {:04o})", mode & 0o7777);
        let mut problem = Problem::at(Level::Warning, reference.place.clone(), message);
        problem.help(format!("if nobody else is to have it: chmod 600 {path}"));
        problem
    })
}
