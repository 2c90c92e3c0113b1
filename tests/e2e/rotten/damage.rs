//! Ways to damage a store's files.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// How a frame begins, and the bytes of its head (see the store's documentation).
const MAGIC: [u8; 4] = [0xd7, b'T', 0x9b, b'G'];
const HEADER_BYTES: usize = 56;

/// The generations' databases, oldest first.
pub(super) fn dbs(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("queue")).unwrap().map(|entry| entry.unwrap().path().join("db"));
    let mut dbs: Vec<_> = entries.filter(|db| db.exists()).collect();
    dbs.sort_unstable();
    dbs
}

pub(crate) fn newest(store: &Path) -> PathBuf {
    dbs(store).pop().unwrap()
}

pub(super) fn any(store: &Path, rng: &mut Rng) -> PathBuf {
    let dbs = dbs(store);
    dbs[rng.usize(..dbs.len())].clone()
}

pub(super) fn dir(db: &Path) -> &Path {
    db.parent().unwrap()
}

pub(super) fn open(path: &Path) -> (File, u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    (file, length)
}

pub(super) fn truncate(db: &Path, rng: &mut Rng) {
    let (file, length) = open(db);
    file.set_len(rng.u64(..=length)).unwrap();
}

pub(super) fn flip(db: &Path, most: usize, rng: &mut Rng) {
    let (file, length) = open(db);
    for _ in 0..rng.usize(1..=most) {
        let Some(at) = length.checked_sub(1).map(|end| rng.u64(..=end)) else { return };
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << rng.u8(..8))], at).unwrap();
    }
}

pub(super) fn zero(db: &Path, most: usize, rng: &mut Rng) {
    let (file, length) = open(db);
    for _ in 0..rng.usize(1..=most) {
        let blocks = length / 4096;
        if blocks > 0 {
            file.write_all_at(&[0; 4096], rng.u64(..blocks) * 4096).unwrap();
        }
    }
}

pub(super) fn old_block(db: &Path, rng: &mut Rng) {
    let (file, length) = open(db);
    let blocks = length / 4096;
    if blocks > 40 {
        let count = rng.u64(1..16);
        let (a, b) = (rng.u64(..blocks - count), rng.u64(..blocks - count));
        let mut bytes = vec![0; usize::try_from(count * 4096).unwrap()];
        file.read_exact_at(&mut bytes, a.min(b) * 4096).unwrap();
        file.write_all_at(&bytes, a.max(b) * 4096).unwrap();
    }
}

pub(super) fn swap(a: &Path, b: &Path) {
    if a != b {
        let aside = a.with_file_name("swapping");
        fs::rename(a, &aside).unwrap();
        fs::rename(b, a).unwrap();
        fs::rename(aside, b).unwrap();
    }
}

pub(super) fn close(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

/// Says of every record that a later version wrote it, with the checksum to match.
pub(crate) fn later_version(db: &Path) {
    let mut bytes = fs::read(db).unwrap();
    for at in 0..bytes.len().saturating_sub(HEADER_BYTES) {
        if bytes[at..at + 4] != MAGIC {
            continue;
        }
        let length = u32::from_le_bytes(bytes[at + 48..at + 52].try_into().unwrap()) as usize;
        let Some(chunk) = bytes.get_mut(at..at + HEADER_BYTES + length) else { continue };
        chunk[4] += 1;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&chunk[..52]), &chunk[HEADER_BYTES..]);
        chunk[52..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(db, bytes).unwrap();
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
