//! Which generations a store's directory holds, as seen from outside.
//!
//! Owns the listing. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::store::accept::Scanned;
use crate::store::clean::CleanMarker;
use crate::store::generation::{directory_name, parse_directory_name};
use crate::store::retain::{RETAINED, RetainedName};
use crate::store::scan::{open_plain, scan};

/// Whether a generation's directory is there without its file: a start sets it aside.
pub(super) fn holds_nothing(dir: &Path) -> bool {
    dir.is_dir() && !dir.join("db").exists()
}

/// Scans one generation of the queue.
pub(super) fn scanned(queue: &Path, (number, revision): (u64, u32)) -> io::Result<(Scanned, Option<CleanMarker>)> {
    let dir = queue.join(directory_name(number, revision));
    let file = open_plain(&dir.join("db"))?;
    let scan = scan(&file)?;
    let marker = CleanMarker::read(&dir);
    Ok((Scanned { number, revision, dir, file, scan }, marker))
}

/// The highest revision of each generation in the queue.
pub(super) fn queue_dirs(names: &BTreeSet<String>) -> BTreeMap<u64, u32> {
    let mut dirs = BTreeMap::new();
    for (number, revision) in names.iter().filter_map(|name| parse_directory_name(name.strip_prefix("queue/")?)) {
        let best: &mut u32 = dirs.entry(number).or_insert(revision);
        *best = revision.max(*best);
    }
    dirs
}

/// The names of all generations, below the store's path.
pub(super) fn names(path: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    // The queue first: what moves to `retained/` meanwhile is then found twice rather than not at all.
    for entry in fs::read_dir(path.join("queue"))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if parse_directory_name(&name).is_some() {
            names.insert(format!("queue/{name}"));
        }
    }
    match fs::read_dir(path.join(RETAINED)) {
        Ok(entries) => {
            let retained = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            names
                .extend(retained.filter(|name| RetainedName::parse(name).is_some()).map(|n| format!("{RETAINED}/{n}")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(names)
}
