//! Changes that are not on stable storage, and how they are made in either view.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::{ROOT, View, Volume};

/// One change that is not on stable storage.
#[derive(Clone, Debug)]
pub enum Change {
    Write { inode: u64, offset: u64, bytes: Vec<u8> },
    Resize { inode: u64, len: u64 },
    Allocate { inode: u64, offset: u64, len: u64 },
    Link { parent: u64, name: OsString, inode: u64 },
    Unlink { parent: u64, name: OsString },
    Rename { from: (u64, OsString), to: (u64, OsString), inode: u64 },
}

impl Change {
    /// The file whose bytes it changes; `None` for a change of names.
    pub fn inode(&self) -> Option<u64> {
        match self {
            Self::Write { inode, .. } | Self::Resize { inode, .. } | Self::Allocate { inode, .. } => Some(*inode),
            _ => None,
        }
    }

    /// The directories it changes.
    pub fn parents(&self) -> Vec<u64> {
        match self {
            Self::Link { parent, .. } | Self::Unlink { parent, .. } => vec![*parent],
            Self::Rename { from, to, .. } => vec![from.0, to.0],
            _ => Vec::new(),
        }
    }
}

impl Volume {
    /// Makes a change in one view.
    pub(super) fn apply(&mut self, change: &Change, view: View) {
        match change {
            Change::Write { inode, offset, bytes } => {
                self.side(*inode, view).into_iter().for_each(|side| side.content.write(*offset, bytes));
            }
            Change::Resize { inode, len } => {
                self.side(*inode, view).into_iter().for_each(|side| side.content.resize(*len));
            }
            Change::Allocate { inode, offset, len } => {
                self.side(*inode, view).into_iter().for_each(|side| side.content.allocate(*offset, *len));
            }
            Change::Link { parent, name, inode } => {
                self.side(*parent, view).and_then(|side| side.entries.insert(name.clone(), *inode));
            }
            Change::Unlink { parent, name } => {
                self.side(*parent, view).and_then(|side| side.entries.remove(name));
            }
            Change::Rename { from, to, inode } => {
                self.side(from.0, view).and_then(|side| side.entries.remove(&from.1));
                self.side(to.0, view).and_then(|side| side.entries.insert(to.1.clone(), *inode));
            }
        }
    }

    /// Makes some of the changes durable, in order.
    pub(super) fn apply_where(&mut self, mut is_meant: impl FnMut(&Change) -> bool) {
        for change in std::mem::take(&mut self.changes) {
            if is_meant(&change) {
                self.apply(&change, View::Durable);
            } else {
                self.changes.push(change);
            }
        }
    }

    /// Makes the names in a directory durable. A rename between two directories is one step for both, so what was done
    /// in the other one comes along.
    pub(super) fn sync_names(&mut self, dir: u64) {
        let mut dirs = BTreeSet::from([dir]);
        loop {
            let before = dirs.len();
            for change in &self.changes {
                let parents = change.parents();
                if parents.iter().any(|parent| dirs.contains(parent)) {
                    dirs.extend(parents);
                }
            }
            if dirs.len() == before {
                break;
            }
        }
        self.apply_where(|change| change.parents().iter().any(|parent| dirs.contains(parent)));
    }

    /// Forgets files that have no name in any view and are not open.
    pub(super) fn clear_away(&mut self) {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![ROOT];
        waiting.extend(self.inodes.iter().filter(|(_, inode)| inode.opens > 0).map(|(number, _)| *number));
        // A change that is still to be made durable may give it a name again.
        waiting.extend(self.changes.iter().filter_map(|change| match change {
            Change::Link { inode, .. } | Change::Rename { inode, .. } => Some(*inode),
            _ => None,
        }));
        while let Some(number) = waiting.pop() {
            if reached.insert(number)
                && let Some(inode) = self.inodes.get(&number)
            {
                waiting.extend(inode.live.entries.values().chain(inode.durable.entries.values()));
            }
        }
        self.inodes.retain(|number, _| reached.contains(number));
        self.changes.retain(|change| change.inode().is_none_or(|inode| reached.contains(&inode)));
    }
}
