//! A look at a store from outside: what it holds, what is broken, and what a start would make of it.
//!
//! Owns the report that `tidegate doctor` prints. Works on the store of a stopped gateway, on a copy, and on that of a
//! running one, whose files change meanwhile. Only reads: no lock is taken, nothing is removed, sled is not used.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::accept::Claim;
use super::clean::CleanMarker;
use super::dirs::Mode;
use super::frame::kind;
use super::generation::parse_directory_name;
use super::missing::Missing;
use super::quota::disk_bytes;
use super::recover::recover;
use super::ring::Ring;
use super::scan::{open_plain, scan};
use super::sealed::Sealed;

/// Events read at a time; as many as the forwarder's window.
const READ_EVENTS: usize = 256;

/// A running gateway changes files while they are looked at; what looks like damage is looked at this often.
const LOOKS_MAX: usize = 3;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The store's directory.
    pub path: PathBuf,
    /// The process that has it open, where one has: what is told below may be half a moment old.
    pub running_process: Option<String>,
    /// Every generation found, oldest first, by place.
    pub generations: Vec<Generation>,
    /// What a start would conclude now.
    pub start: Start,
    /// Events that the upstream refused for good, oldest first.
    pub dead_letters: Vec<Refused>,
    /// What lies in the store's directories and is none of ours.
    pub other_files: Vec<String>,
    /// Everything on disk below the path, bytes.
    pub bytes: u64,
    /// `store.max_bytes`, where the configuration is known.
    pub max_bytes: Option<u64>,
    /// What the disk has free, bytes.
    pub free_bytes: Option<u64>,
    /// Nothing is damaged, missing or unreadable.
    pub healthy: bool,
}

/// Where a generation lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In `queue/`: to be delivered.
    Queue,
    /// In `retained/`: delivered and kept for a while.
    Retained,
    /// In `quarantine/`, or set aside in `queue/`: damaged, for a person to look at.
    Quarantine,
}

/// One generation's directory.
#[derive(Debug, Serialize)]
pub struct Generation {
    /// Where.
    pub place: Place,
    /// The directory's name.
    pub name: String,
    /// On disk, bytes.
    pub bytes: u64,
    /// Readable records: events, alarm states, marks.
    pub frames: u64,
    /// Readable events.
    pub events: u64,
    /// The first readable event's sequence number.
    pub first_sequence: Option<u64>,
    /// The last readable event's sequence number.
    pub last_sequence: Option<u64>,
    /// Pieces of records whose checksum does not hold. After a power cut the last ones of the newest generation may
    /// be, which were never acknowledged.
    pub broken_chunks: u64,
    /// Pieces written by a later version of this program.
    pub newer_chunks: u64,
    /// A readable snapshot of the alarm states is in it.
    pub checkpoint: bool,
    /// It was closed as it should be.
    pub clean: bool,
    /// It is another store's.
    pub foreign: bool,
    /// Why it cannot be read at all.
    pub error: Option<String>,
}

/// What a start would conclude.
#[derive(Debug, Serialize)]
pub struct Start {
    /// How the last run ended: "first", "clean" or "unclean".
    pub previous_stop: &'static str,
    /// Alarm states it would go on with.
    pub alarm_states: u64,
    /// Everything up to here is delivered, or given up.
    pub delivered: u64,
    /// The next sequence number it would give.
    pub next_sequence: u64,
    /// Readable events waiting to be delivered.
    pub waiting: u64,
    /// Events missing, which it would announce upstream.
    pub lost: Vec<Lost>,
    /// Directories it would set aside.
    pub set_aside: Vec<PathBuf>,
    /// What a person should know.
    pub findings: Vec<String>,
}

/// Events that ought to be there and are not.
#[derive(Debug, Serialize)]
pub struct Lost {
    /// "salvaged", "quarantined" or "evicted", as in `tidegate.events.lost.v1`.
    pub reason: &'static str,
    /// How many; the most it can be where `exact` is false.
    pub count: u64,
    /// The range they lie in.
    pub first_sequence: u64,
    /// Its end.
    pub last_sequence: u64,
    /// All of the range is lost.
    pub exact: bool,
}

/// A dead letter.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// Its sequence number.
    pub sequence: u64,
    /// Its CloudEvents type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is about.
    pub subject: String,
    /// Why it was refused.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, RFC 3339.
    pub time: String,
}

/// Whether a gateway has ever had its store in `path`.
///
/// # Errors
/// The directory cannot be listed.
pub fn is_store(path: &Path) -> std::io::Result<bool> {
    Ok(names(path)?.iter().any(|name| matches!(name.as_str(), "queue" | "mark" | "lock")))
}

/// The folders right below `path` that are stores, in the order of their names; at most so many folders are looked into.
pub fn stores_below(path: &Path, looked_into_max: usize) -> Vec<PathBuf> {
    let folders = names(path).unwrap_or_default().into_iter().map(|name| path.join(name)).filter(|path| path.is_dir());
    folders.take(looked_into_max).filter(|folder| is_store(folder).unwrap_or(false)).collect()
}

/// Looks at the store in `path`.
///
/// # Errors
/// The directory cannot be listed.
pub fn inspect(path: &Path, max_bytes: Option<u64>) -> std::io::Result<Report> {
    let mut report = look(path, max_bytes)?;
    for _ in 1..LOOKS_MAX {
        if report.healthy || report.running_process.is_none() {
            break;
        }
        report = look(path, max_bytes)?;
    }
    Ok(report)
}

fn look(path: &Path, max_bytes: Option<u64>) -> std::io::Result<Report> {
    let names = names(path)?;
    let queue = path.join("queue");
    let mut other_files: Vec<String> =
        names.iter().filter(|name| !is_ours(name)).map(|name| path.join(name).display().to_string()).collect();
    if queue.is_dir() {
        let known = |name: &&String| parse_directory_name(name).is_none() && !name.starts_with("aside-");
        other_files
            .extend(self::names(&queue)?.iter().filter(known).map(|name| queue.join(name).display().to_string()));
    }
    let mut recovered = recover(&queue, Mode::Look)?;
    let store = recovered.state.store;
    let generations: Vec<Generation> =
        all(path)?.into_iter().map(|(place, dir)| generation(place, &dir, store)).collect();
    let delivered = recovered.state.delivered;
    let mut ring = Ring::new(queue, &mut recovered, Mode::Look);
    let mut missing = Vec::new();
    let mut findings = std::mem::take(&mut recovered.findings);
    let waiting = match count(&mut ring, delivered, &mut missing) {
        Ok(waiting) => waiting,
        Err((waiting, fault)) => {
            findings.push(fault);
            waiting
        }
    };
    let is_unreadable = ring.has_kept();
    let mut lost: Vec<Lost> = recovered.lost.into_iter().map(|(missing, reason)| Lost::of(missing, reason)).collect();
    lost.extend(missing.into_iter().map(|missing| Lost::of(missing, "salvaged")));
    let dead_letters = recovered
        .state
        .dead
        .iter()
        .map(|letter| Refused {
            sequence: letter.event.sequence,
            kind: letter.event.data.event_type(),
            subject: letter.event.subject.to_string(),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            time: letter.time.to_string(),
        })
        .collect();
    let free_bytes = rustix::fs::statvfs(path).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    // What cannot be read of the newest after a power cut was never acknowledged: no damage.
    let is_damaged_newest = recovered.newest.as_ref().is_some_and(|newest| newest.is_damaged);
    let healthy = lost.is_empty()
        && recovered.set_aside.is_empty()
        && findings.is_empty()
        && !is_damaged_newest
        && !is_unreadable;
    let start = Start {
        previous_stop: recovered.previous_stop.as_str(),
        alarm_states: recovered.state.records().len() as u64,
        delivered,
        next_sequence: recovered.state.next_sequence,
        waiting,
        lost,
        set_aside: recovered.set_aside,
        findings,
    };
    Ok(Report {
        path: path.to_owned(),
        running_process: holder(path),
        generations,
        start,
        dead_letters,
        other_files,
        bytes: disk_bytes(path),
        max_bytes,
        free_bytes,
        healthy,
    })
}

impl Lost {
    fn of(Missing { first, last, count, whole }: Missing, reason: &'static str) -> Self {
        Self { reason, count, first_sequence: first, last_sequence: last, exact: whole }
    }
}

/// Reads everything that waits, as the forwarder would.
fn count(ring: &mut Ring, delivered: u64, missing: &mut Vec<Missing>) -> Result<u64, (u64, String)> {
    let (mut waiting, mut from) = (0, delivered + 1);
    loop {
        let events = ring
            .read(from, READ_EVENTS, usize::MAX, delivered, missing)
            .map_err(|fault| (waiting, fault.to_string()))?;
        let Some(last) = events.last() else { return Ok(waiting) };
        waiting += events.len() as u64;
        from = last.sequence + 1;
    }
}

fn generation(place: Place, dir: &Path, store: u64) -> Generation {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut out = Generation {
        place,
        name,
        bytes: disk_bytes(dir),
        frames: 0,
        events: 0,
        first_sequence: None,
        last_sequence: None,
        broken_chunks: 0,
        newer_chunks: 0,
        checkpoint: false,
        clean: CleanMarker::read(dir).is_some(),
        foreign: false,
        error: None,
    };
    let found = open_plain(&dir.join("db")).and_then(|file| Ok((scan(&file)?, file)));
    let (scan, file) = match found {
        Ok(found) => found,
        Err(error) => {
            out.error = Some(error.to_string());
            return out;
        }
    };
    let claim = Claim::of(&file, &scan);
    out.frames = scan.frames().count() as u64;
    out.broken_chunks = scan.broken.len() as u64;
    out.newer_chunks = scan.newer;
    out.checkpoint = scan.frames().any(|run| run[0].header.has(kind::CHECKPOINT)) && claim.is_some();
    out.foreign = claim.is_some_and(|claim| !claim.is_of(store));
    let sealed = Sealed::index((0, 0), file, &scan, u64::MAX);
    out.events = sealed.events();
    out.first_sequence = sealed.frames().next().map(|(first, ..)| first);
    out.last_sequence = sealed.frames().last().map(|(_, last, _)| last);
    out
}

/// All directories that hold, or should hold, a generation.
pub(super) fn all(path: &Path) -> std::io::Result<Vec<(Place, PathBuf)>> {
    let mut found = Vec::new();
    for (place, name) in [(Place::Queue, "queue"), (Place::Retained, "retained"), (Place::Quarantine, "quarantine")] {
        let room = path.join(name);
        // Not there is as good as empty; what cannot be listed is told with the room's own generations.
        for name in names(&room).unwrap_or_default() {
            let dir = room.join(&name);
            let is_aside = place == Place::Queue && name.starts_with("aside-");
            let is_generation = match place {
                Place::Queue => parse_directory_name(&name).is_some() || is_aside,
                Place::Retained | Place::Quarantine => true,
            };
            if is_generation && dir.is_dir() {
                found.push((if is_aside { Place::Quarantine } else { place }, dir));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What a directory holds, in order.
fn names(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names: Vec<String> =
        fs::read_dir(dir)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

fn is_ours(name: &str) -> bool {
    matches!(name, "queue" | "retained" | "quarantine" | "reserve" | "lock" | "mark" | "mark.new")
}

/// The process that holds the store's lock, found without trying to take it: a gateway that starts in that moment must
/// not find it taken.
fn holder(path: &Path) -> Option<String> {
    let lock = fs::metadata(path.join("lock")).ok()?;
    let inode = lock.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // "1: FLOCK ADVISORY WRITE <process> <major>:<minor>:<inode> 0 EOF"; devices are numbered anew by some file systems.
    let holds = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1) == Some(&"FLOCK") && fields.get(5)?.rsplit(':').next() == Some(inode.as_str());
        is_it.then(|| fields.get(4).map(|process| (*process).to_owned())).flatten()
    };
    let candidate = locks.lines().find_map(holds)?;
    let told = fs::read_to_string(path.join("lock")).unwrap_or_default();
    let told = told.trim();
    // A process of another name space has another number there, or 0.
    Some(if told.is_empty() { candidate } else { told.to_owned() })
}
