//! Removing generations, in steps that a start understands wherever they were cut off.
//!
//! Owns the name that a generation has while it is being removed. Decides nothing about what must go.

use std::fs::{self, File};
use std::path::Path;

use super::Fault;
use super::generation::directory_name;
use super::ring::Ring;
use super::state::Entry;

impl Ring {
    /// Removes what is in a generation's directory, and leaves the directory under the name that it has while it is
    /// being removed. [`Self::clear_removed`] ends it.
    pub(super) fn hollow_out(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.close(entry);
        let dir = self.dir(entry);
        let hollow = self.queue().join(format!("{REMOVED}{}", directory_name(entry.number, entry.revision)));
        fs::rename(&dir, &hollow)
            .and_then(|()| File::open(self.queue())?.sync_all())
            .map_err(|error| Fault::io("removing", &dir, &error))?;
        // From here on it is removed, however much is left of it for the moment.
        empty_dir(&hollow);
        Ok(())
    }

    /// Removes the directories that were left as a sign of what was removed.
    pub(super) fn clear_removed(&self) {
        for entry in fs::read_dir(self.queue()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(REMOVED) {
                // What cannot be removed is tried again with the next generation.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes a generation's directory, by way of a name that start-up clears away should we be cut off.
    pub(super) fn remove(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.close(entry);
        remove_dir(self.queue(), &directory_name(entry.number, entry.revision))?;
        // Its blocks are free only when no power cut brings them back; what is written next counts on them.
        fs::File::open(self.queue())
            .and_then(|queue| queue.sync_all())
            .map_err(|error| Fault::io("syncing", self.queue(), &error))
    }
}

/// Before the name of a generation that is being removed: nobody needs it, whatever a catalogue says.
pub(super) const REMOVED: &str = "tmp-removed-";

/// Removes the files and directories in a directory as far as that goes.
pub(super) fn empty_dir(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// Removes `queue/name`; not finding it is fine.
pub(super) fn remove_dir(queue: &Path, name: &str) -> Result<(), Fault> {
    let (dir, trash) = (queue.join(name), queue.join(format!("{REMOVED}{name}")));
    let _ = fs::remove_dir_all(&trash);
    match fs::rename(&dir, &trash) {
        Ok(()) => fs::remove_dir_all(&trash).map_err(|error| Fault::io("removing", &trash, &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Fault::io("removing", &dir, &error)),
    }
}
