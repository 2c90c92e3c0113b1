//! The generations' directories: which there are, and which of them hold what their names say.
//!
//! Owns the look into `queue` before anything is read from it: rubbish, foreign files, two revisions of one generation,
//! and files that were put back under each other's names. Changes names only where [`Mode::Act`] lets it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::accept::Claim;
use super::generation::{directory_name, parse_directory_name};
use super::removal::{REMOVED, empty_dir, remove_dir};
use super::scan::{open_plain, scan};

/// No generation of ours gets this far: one begun every millisecond for 30 years. A directory that says so is foreign.
const NUMBER_MAX: u64 = 1 << 40;

/// Whether a look at a store may put things in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The store is being opened: rubbish is removed, names are put right.
    Act,
    /// Somebody only wants to know: nothing is changed.
    Look,
}

/// Where a generation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its revision.
    pub revision: u32,
    /// The directory's name; not that of the generation only where names were mixed up and may not be put right.
    pub name: String,
}

/// What is in `queue`.
#[derive(Debug, Default)]
pub(super) struct Dirs {
    /// The highest revision of each generation, by number.
    pub places: BTreeMap<u64, Place>,
    /// Names that are no generation's although they look like it.
    pub strange: Vec<String>,
    /// Generations (number and revision) that were given back, of which only the name is left.
    pub removed: BTreeSet<(u64, u32)>,
    /// No generation may be begun with this number or a lower one: the name is taken.
    pub highest: u64,
}

impl Dirs {
    /// Lists them, and clears rubbish away.
    pub(super) fn list(queue: &Path, mode: Mode, findings: &mut Vec<String>) -> std::io::Result<Self> {
        let mut dirs = Self::default();
        let entries = match fs::read_dir(queue) {
            Err(error) if mode == Mode::Look && error.kind() == std::io::ErrorKind::NotFound => return Ok(dirs),
            entries => entries?,
        };
        for entry in entries.flatten() {
            let name = name_of(&entry);
            if let Some(removed) = name.strip_prefix(REMOVED).and_then(parse_directory_name) {
                // Its name may be the only sign that it was delivered; the next checkpoint tells, then it goes.
                if mode == Mode::Act {
                    empty_dir(&entry.path());
                }
                dirs.removed.insert(removed);
                continue;
            }
            if name.starts_with("tmp-") {
                if mode == Mode::Act
                    && let Err(error) = fs::remove_dir_all(entry.path())
                {
                    findings.push(format!("{}: left over and cannot be removed: {error}", entry.path().display()));
                }
                continue;
            }
            let parsed = parse_directory_name(&name).filter(|(number, _)| *number < NUMBER_MAX);
            // A text file may have the name, too.
            dirs.highest = dirs.highest.max(parsed.map_or(0, |(number, _)| number));
            let Some((number, revision)) = parsed.filter(|_| entry.path().is_dir()) else {
                // Who only looks lists all of them.
                if mode == Mode::Act {
                    let what = if name_of(&entry).starts_with("aside-") {
                        "set aside at an earlier start, and could not be moved to quarantine/"
                    } else {
                        "not one of our files; ignored"
                    };
                    findings.push(format!("{}: {what}", entry.path().display()));
                }
                continue;
            };
            let place = Place { revision, name };
            match dirs.places.remove(&number) {
                None => drop(dirs.places.insert(number, place)),
                Some(other) => {
                    let (lower, higher) = if other.revision < revision { (other, place) } else { (place, other) };
                    dirs.settle(queue, number, lower, higher, mode, findings);
                }
            }
        }
        Ok(dirs)
    }

    /// Two revisions: the higher got its name only when it was complete, if it is ours.
    fn settle(
        &mut self,
        queue: &Path,
        number: u64,
        lower: Place,
        higher: Place,
        mode: Mode,
        findings: &mut Vec<String>,
    ) {
        if !is_rewritten(&queue.join(&higher.name)) {
            findings.push(format!("{}: no later revision of {}; set aside", higher.name, lower.name));
            self.strange.push(higher.name);
            self.places.insert(number, lower);
            return;
        }
        self.places.insert(number, higher);
        if mode == Mode::Act
            && let Err(fault) = remove_dir(queue, &lower.name)
        {
            findings.push(fault.to_string());
        }
    }

    /// Puts files that say they are another generation of this store where they belong. True when something was moved.
    pub(super) fn realign(&mut self, queue: &Path, store: u64, mode: Mode, findings: &mut Vec<String>) -> bool {
        let claim = |place: &Place| claim_of(&queue.join(&place.name)).filter(|claim| claim.is_of(store));
        let mut claims: BTreeMap<u64, u64> =
            self.places.iter().filter_map(|(&number, place)| Some((number, claim(place)?.number))).collect();
        let mut has_moved = false;
        // Each move puts one file where it belongs.
        for _ in 0..claims.len() {
            let belongs = |(&at, &to): (&u64, &u64)| {
                let is_free = claims.get(&to) != Some(&to);
                let is_rewritten = !claims.contains_key(&to) && self.places.get(&to).is_some_and(|p| p.revision > 1);
                (at != to && is_free && !is_rewritten).then_some((at, to))
            };
            let Some((at, to)) = claims.iter().find_map(belongs) else { break };
            let Some(place) = self.places.get(&at).cloned() else { break };
            let moved = match self.places.get(&to).cloned() {
                Some(other) => {
                    if mode == Mode::Look {
                        self.places.insert(at, Place { name: other.name, ..place.clone() });
                        self.places.insert(to, Place { name: place.name.clone(), ..other });
                        Ok(())
                    } else {
                        exchange(&queue.join(&place.name).join("db"), &queue.join(&other.name).join("db"))
                    }
                }
                None => {
                    let name = directory_name(to, place.revision);
                    self.places.remove(&at);
                    let renamed = match mode {
                        Mode::Act => fs::rename(queue.join(&place.name), queue.join(&name)),
                        Mode::Look => Ok(()),
                    };
                    let name = if mode == Mode::Act { name } else { place.name.clone() };
                    self.places.insert(to, Place { name, ..place.clone() });
                    renamed
                }
            };
            let name = directory_name(to, 1);
            if let Err(error) = moved {
                findings.push(format!("{}: holds the file of {name} and cannot be put right: {error}", place.name));
                break;
            }
            findings.push(format!("{}: held the file of {name}; put where it belongs", place.name));
            has_moved = true;
            match claims.insert(to, to) {
                Some(other) => drop(claims.insert(at, other)),
                None => drop(claims.remove(&at)),
            }
        }
        has_moved
    }
}

fn name_of(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// Lets two files change places in one step; a second file that is not there changes nothing about that.
fn exchange(a: &Path, b: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::NOENT) if !b.exists() => fs::rename(a, b),
        result => Ok(result?),
    }
}

fn claim_of(dir: &Path) -> Option<Claim> {
    let file = open_plain(&dir.join("db")).ok()?;
    let found = scan(&file).ok()?;
    Claim::of(&file, &found)
}

/// Whether a directory holds what eviction leaves of a generation: events, and no checkpoint.
fn is_rewritten(dir: &Path) -> bool {
    let found = open_plain(&dir.join("db")).and_then(|file| Ok((scan(&file)?, file)));
    found.is_ok_and(|(scan, file)| scan.frames().next().is_some() && Claim::of(&file, &scan).is_none())
}
