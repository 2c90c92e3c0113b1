//! Whether a later version of this program wrote the store last, and this one was put in its place.
//!
//! Owns that one question, which is asked before anything in the store is changed. What a later version wrote cannot be
//! read here, and it is no damage: set aside, its events would be announced as lost although the version that wrote
//! them has them all. So the store stays shut and as it is. Never writes.
//!
//! A later version is told by the head of its frames ([`frame::VERSION`](super::frame::VERSION)), with a checksum that
//! holds, in the newest generation. Frames of one in older generations only are a mixture that no program makes; they
//! are treated like damage.

use std::path::Path;

use super::OpenError;
use super::accept::Claim;
use super::dirs::{Dirs, Mode};
use super::mark::Mark;
use super::scan::{open_plain, scan};

/// Looks at the newest generation below `store`.
///
/// # Errors
/// [`OpenError::Later`]. Whatever cannot be read is left to the recovery.
pub(super) fn refuse(store: &Path) -> Result<(), OpenError> {
    let queue = store.join("queue");
    let Ok(dirs) = Dirs::list(&queue, Mode::Look, &mut Vec::new()) else { return Ok(()) };
    let Some(newest) = dirs.places.values().next_back() else { return Ok(()) };
    let Ok(file) = open_plain(&queue.join(&newest.name).join("db")) else { return Ok(()) };
    let Ok(found) = scan(&file) else { return Ok(()) };
    if found.newer == 0 {
        return Ok(());
    }
    let id = Mark::read(store).map_or(0, |mark| mark.store);
    if Claim::of(&file, &found).is_some_and(|claim| !claim.is_of(id)) {
        // Another store's, put here by mistake: no reason not to open ours.
        return Ok(());
    }
    Err(OpenError::Later { path: store.to_owned(), pieces: found.newer })
}
