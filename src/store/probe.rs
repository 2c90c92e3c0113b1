//! Whether a store's folder can be used, without opening the store.
//!
//! Owns one small file that it writes, syncs and removes. Never touches what the gateway has stored.

use std::fs;
use std::io::Write;

use crate::config::model;

/// Tries the folder: made if missing, written to, synced, and measured against the quota.
///
/// # Errors
/// In words, with what to do.
pub fn probe(store: &model::Store) -> Result<String, String> {
    let path = &store.path;
    let shown = path.display();
    let denied = |what: &str, error: &std::io::Error| {
        format!(
            "{shown} cannot be {what}: {error}; it must belong to the user that runs the gateway: \
             sudo install -d -o tidegate -g tidegate -m 750 {shown}"
        )
    };
    fs::create_dir_all(path).map_err(|error| denied("made", &error))?;
    let file = path.join(".probe");
    let written = fs::File::create(&file).and_then(|mut probe| {
        probe.write_all(&[0; 4096])?;
        probe.sync_all()
    });
    // Removed whether or not it could be written; what is left of it otherwise is empty.
    let removed = fs::remove_file(&file);
    written.and(removed).map_err(|error| denied("written to", &error))?;
    let space = rustix::fs::statvfs(path).map_err(|error| format!("{shown} cannot be measured: {error}"))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let (free_mib, quota_mib) = (free >> 20, store.max_bytes >> 20);
    if free < store.max_bytes {
        return Ok(format!(
            "{shown} can be written; only {free_mib} MiB are free for a quota of {quota_mib} MiB (fine if the store \
             fills the rest)"
        ));
    }
    Ok(format!("{shown} can be written; {free_mib} MiB free, quota {quota_mib} MiB"))
}
