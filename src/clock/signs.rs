//! What time services say: each leaves a sign that it has set the clock, and another one whenever it does so again.
//!
//! Owns the places where the signs are found. Nothing here waits.
//!
//! - systemd-timesyncd touches `/run/systemd/timesync/synchronized` at each correction (systemd-timesyncd.service(8)).
//! - chrony is asked for its tracking report, see [`super::signs::chrony`].
//! - Any other service (ntpd, ntpd-rs, openntpd, a GPS or a script) can touch [`MARK`] from its own hook.
//!
//! The kernel's own verdict (adjtimex) is not asked: its system call is closed by `ProtectClock=yes`, which our service
//! unit sets, and no safe wrapper of it builds for 32-bit ARM.

pub mod chrony;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The mark of systemd-timesyncd.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";

/// The mark that any other time service can set, by touching it after each correction.
pub const MARK: &str = "/run/clock-synchronized";

/// Who says that the clock is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// systemd-timesyncd, by its mark.
    Timesyncd,
    /// chrony, by its tracking report.
    Chrony,
    /// Another service, by [`MARK`].
    Mark,
    /// An earlier run of this program in the same boot; the clock was not set since.
    EarlierRun,
}

impl Witness {
    /// As people know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timesyncd => "systemd-timesyncd",
            Self::Chrony => "chrony",
            Self::Mark => MARK,
            Self::EarlierRun => "an earlier run in this boot",
        }
    }
}

/// Those that leave signs.
const HEARD: [Witness; 3] = [Witness::Timesyncd, Witness::Chrony, Witness::Mark];

/// The sign of each witness: a number that changes when it speaks anew; `None` while it is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs([Option<u64>; HEARD.len()]);

impl Signs {
    /// Notes what a witness says.
    pub fn set(&mut self, witness: Witness, sign: Option<u64>) {
        if let Some(index) = HEARD.iter().position(|heard| *heard == witness) {
            self.0[index] = sign;
        }
    }

    /// A witness that speaks, and has not said the same among the spent signs.
    pub fn fresh(&self, spent: &Self) -> Option<Witness> {
        let said = self.0.iter().zip(&spent.0);
        let index = said.enumerate().position(|(_, (sign, spent))| sign.is_some() && sign != spent)?;
        Some(HEARD[index])
    }
}

/// Looks for the files; chrony is asked elsewhere, since it does not answer at once.
pub(super) fn marks() -> Signs {
    let mut signs = Signs::default();
    signs.set(Witness::Timesyncd, touched(Path::new(TIMESYNCD)));
    signs.set(Witness::Mark, touched(Path::new(MARK)));
    signs
}

/// A number that changes whenever the file is touched.
fn touched(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    // The status change as well: it moves also where a tool sets the modification time itself.
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some(times.iter().fold(0, |mixed: u64, time| mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(*time as u64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    #[test]
    fn a_touched_file_is_a_new_sign_and_an_untouched_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synchronized");
        assert_eq!(touched(&path), None);
        let file = std::fs::File::create(&path).unwrap();
        let first = touched(&path);
        assert!(first.is_some());
        assert_eq!(touched(&path), first);
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(touched(&path), first);
    }

    #[test]
    fn a_sign_counts_again_only_when_it_changes() {
        let mut spent = Signs::default();
        spent.set(Witness::Chrony, Some(7));
        let mut signs = spent;
        assert_eq!(signs.fresh(&spent), None);
        assert_eq!(signs.fresh(&Signs::default()), Some(Witness::Chrony));
        signs.set(Witness::Chrony, Some(8));
        assert_eq!(signs.fresh(&spent), Some(Witness::Chrony));
        signs.set(Witness::Chrony, None);
        assert_eq!(signs.fresh(&spent), None);
    }
}
