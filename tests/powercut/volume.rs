//! A disk that forgets: what it holds, what of it is on stable storage, and what a power cut leaves.
//!
//! Owns two views of every file and directory: *live*, as programs see it, and *durable*, as the disk would have it;
//! between them the list of changes in the order they were made. A sync moves changes from the list to the durable
//! view. A cut decides about what is still in the list, makes the durable view the live one and forgets the rest.
//! Never mounts anything, knows no time, and draws its chances from the generator it is given: same calls, same disk.
//!
//! Names are those of ext4 with `data=ordered` ([`Names::Journal`]): creations, renames and removals go to one journal,
//! and a sync of any file or directory that has something in the running transaction writes all of it. They bring no
//! file's bytes with them, as with delayed allocation. `fdatasync` of a file that has neither grown nor been created
//! writes no journal. The strict disk ([`Names::Strict`]) keeps only what POSIX promises: a name is durable after a
//! sync of its own directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::content::Content;

mod change;
mod cut;
#[cfg(test)]
mod tests;

use change::Change;

pub use cut::{Cut, Lost};

/// The root directory's number.
pub const ROOT: u64 = 1;

/// What makes names durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Any sync that writes the journal.
    Journal,
    /// A sync of the directory.
    Strict,
}

/// A file or a directory in one view.
#[derive(Clone, Debug, Default)]
struct Side {
    content: Content,
    entries: BTreeMap<OsString, u64>,
}

#[derive(Debug)]
struct Inode {
    is_dir: bool,
    mode: u16,
    live: Side,
    durable: Side,
    /// How often it is open.
    opens: u32,
    /// Whether programs see a name of it.
    is_named: bool,
    /// The last transaction with a change of its names.
    named_in: u64,
}

impl Inode {
    /// Blocks it takes; an empty directory takes one, too.
    fn blocks(&self) -> u64 {
        if self.is_dir { 1 } else { self.live.content.allocated() }
    }
}

/// What a program is told about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its number.
    pub inode: u64,
    /// A directory, or a file.
    pub is_dir: bool,
    /// Permission bits.
    pub mode: u16,
    /// Bytes.
    pub len: u64,
    /// Blocks of 512 bytes.
    pub sectors: u64,
}

/// Blocks that programs' files and directories take. A file without a name takes them as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Now.
    pub blocks: u64,
    /// The most there ever were.
    pub most: u64,
}

impl Used {
    fn change(&mut self, more: u64, less: u64) {
        self.blocks = self.blocks + more - less;
        self.most = self.most.max(self.blocks);
    }
}

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// ENOENT
    Missing,
    /// EEXIST
    Exists,
    /// ENOTEMPTY
    NotEmpty,
    /// ENOTDIR or EISDIR
    WrongKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Live,
    Durable,
}

/// The disk.
#[derive(Debug)]
pub struct Volume {
    inodes: BTreeMap<u64, Inode>,
    changes: Vec<Change>,
    names: Names,
    next_inode: u64,
    transaction: u64,
    used: Used,
    /// Syncs are answered and do nothing: a disk that lies, to see whether a test notices.
    pub ignores_syncs: bool,
}

impl Volume {
    /// An empty one.
    pub fn new(names: Names) -> Self {
        let root = Inode {
            is_dir: true,
            mode: 0o755,
            live: Side::default(),
            durable: Side::default(),
            opens: 0,
            is_named: true,
            named_in: 0,
        };
        Self {
            inodes: BTreeMap::from([(ROOT, root)]),
            changes: Vec::new(),
            names,
            next_inode: ROOT + 1,
            transaction: 1,
            used: Used { blocks: 1, most: 1 },
            ignores_syncs: false,
        }
    }

    /// The number of a name.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<u64, Refusal> {
        let parent = self.inode(parent)?;
        parent.live.entries.get(name).copied().ok_or(Refusal::Missing)
    }

    /// What there is to know about a file.
    pub fn attributes(&self, number: u64) -> Result<Attributes, Refusal> {
        let inode = self.inode(number)?;
        let len = if inode.is_dir { 4096 } else { inode.live.content.len() };
        let sectors = inode.blocks() * 8;
        Ok(Attributes { inode: number, is_dir: inode.is_dir, mode: inode.mode, len, sectors })
    }

    /// Names and numbers in a directory, by number.
    pub fn list(&self, dir: u64) -> Result<Vec<(OsString, u64)>, Refusal> {
        let mut entries: Vec<_> =
            self.inode(dir)?.live.entries.iter().map(|(name, inode)| (name.clone(), *inode)).collect();
        entries.sort_unstable_by_key(|(_, inode)| *inode);
        Ok(entries)
    }

    /// What is taken of the disk.
    pub fn used(&self) -> Used {
        self.used
    }

    /// Up to `size` bytes.
    pub fn read(&self, inode: u64, offset: u64, size: usize) -> Result<Vec<u8>, Refusal> {
        Ok(self.inode(inode)?.live.content.read(offset, size))
    }

    /// Makes a file or a directory.
    pub fn create(&mut self, parent: u64, name: &OsStr, is_dir: bool, mode: u16) -> Result<u64, Refusal> {
        match self.lookup(parent, name) {
            Err(Refusal::Missing) => {}
            Ok(_) => return Err(Refusal::Exists),
            Err(refusal) => return Err(refusal),
        }
        let number = self.next_inode;
        self.next_inode += 1;
        let (live, durable) = (Side::default(), Side::default());
        self.inodes.insert(number, Inode { is_dir, mode, live, durable, opens: 0, is_named: true, named_in: 0 });
        self.change(Change::Link { parent, name: name.to_owned(), inode: number });
        self.touch(&[parent, number]);
        Ok(number)
    }

    /// Removes a file or an empty directory.
    pub fn remove(&mut self, parent: u64, name: &OsStr, is_dir: bool) -> Result<(), Refusal> {
        let number = self.lookup(parent, name)?;
        let inode = self.inode(number)?;
        if inode.is_dir != is_dir {
            return Err(Refusal::WrongKind);
        }
        if !inode.live.entries.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.change(Change::Unlink { parent, name: name.to_owned() });
        self.touch(&[parent, number]);
        Ok(())
    }

    /// Gives a file or directory another name; what had that name is replaced.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Refusal> {
        let number = self.lookup(from.0, from.1)?;
        if let Ok(there) = self.lookup(to.0, to.1) {
            if there == number {
                return Ok(());
            }
            let (there, inode) = (self.inode(there)?, self.inode(number)?);
            if there.is_dir != inode.is_dir {
                return Err(Refusal::WrongKind);
            }
            if !there.live.entries.is_empty() {
                return Err(Refusal::NotEmpty);
            }
        }
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        let parents = [from.0, to.0, number];
        self.change(Change::Rename { from, to, inode: number });
        self.touch(&parents);
        Ok(())
    }

    /// Writes bytes.
    pub fn write(&mut self, inode: u64, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.inode(inode)?;
        self.change(Change::Write { inode, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    /// Sets the length.
    pub fn resize(&mut self, inode: u64, len: u64) -> Result<(), Refusal> {
        self.inode(inode)?;
        self.change(Change::Resize { inode, len });
        Ok(())
    }

    /// Sets blocks aside.
    pub fn allocate(&mut self, inode: u64, offset: u64, len: u64) -> Result<(), Refusal> {
        self.inode(inode)?;
        self.change(Change::Allocate { inode, offset, len });
        Ok(())
    }

    /// Sets the permission bits; not part of what a cut is about.
    pub fn set_mode(&mut self, inode: u64, mode: u16) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.mode = mode;
        }
    }

    /// Says that a file is open once more: it stays when its name goes.
    pub fn open(&mut self, inode: u64) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.opens += 1;
        }
    }

    /// The opposite of [`Self::open`].
    pub fn close(&mut self, inode: u64) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.opens = inode.opens.saturating_sub(1);
            if inode.opens == 0 && !inode.is_named {
                self.used.change(0, inode.blocks());
            }
        }
    }

    /// `fsync`, or `fdatasync` if `data_only`, of a file or a directory.
    pub fn sync(&mut self, number: u64, data_only: bool) -> Result<(), Refusal> {
        let transaction = self.transaction;
        let inode = self.inode(number)?;
        if self.ignores_syncs {
            return Ok(());
        }
        let (live, durable) = (&inode.live.content, &inode.durable.content);
        let has_grown = live.len() != durable.len() || live.allocated() != durable.allocated();
        let is_written = self.changes.iter().any(|change| change.inode() == Some(number));
        let writes_journal = inode.named_in == transaction || has_grown || (is_written && !data_only);
        let is_dir = inode.is_dir;
        self.apply_where(|change| change.inode() == Some(number));
        match self.names {
            Names::Journal if writes_journal => {
                self.apply_where(|change| change.inode().is_none());
                self.transaction += 1;
            }
            Names::Strict if is_dir => self.sync_names(number),
            _ => {}
        }
        self.clear_away();
        Ok(())
    }

    fn inode(&self, number: u64) -> Result<&Inode, Refusal> {
        self.inodes.get(&number).ok_or(Refusal::Missing)
    }

    fn change(&mut self, change: Change) {
        let named = match &change {
            Change::Link { inode, .. } => Some(*inode),
            // What loses its name gives its blocks back when nobody has it open.
            Change::Unlink { parent, name } | Change::Rename { to: (parent, name), .. } => {
                if let Ok(inode) = self.lookup(*parent, name) {
                    self.unname(inode);
                }
                None
            }
            change => change.inode(),
        };
        let blocks = |volume: &Self| {
            let inode = named.and_then(|number| volume.inodes.get(&number));
            inode.map_or(0, Inode::blocks)
        };
        let before = if matches!(change, Change::Link { .. }) { 0 } else { blocks(self) };
        self.apply(&change, View::Live);
        self.used.change(blocks(self), before);
        self.changes.push(change);
    }

    fn unname(&mut self, number: u64) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.is_named = false;
            if inode.opens == 0 {
                self.used.change(0, inode.blocks());
            }
        }
    }

    fn touch(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(inode) = self.inodes.get_mut(number) {
                inode.named_in = self.transaction;
            }
        }
    }

    fn side(&mut self, number: u64, view: View) -> Option<&mut Side> {
        let inode = self.inodes.get_mut(&number)?;
        Some(if view == View::Live { &mut inode.live } else { &mut inode.durable })
    }
}
