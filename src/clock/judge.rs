//! Whether the wall clock is right, and when it was set.
//!
//! Owns the judgement. Pure: what the clocks and the time services say is handed in.
//!
//! The boot clock is slewed together with the wall clock, so the distance between them (the *base*) changes only when
//! somebody sets the wall clock. From that follow three rules:
//! - The wall clock is confirmed by a sign of a time service, and stays so until it is set: a site that loses its
//!   network for a week still has the time, less a few seconds of drift.
//! - A change of the base is a jump. Signs given before it say nothing about the clock after it; a new one must come.
//! - A clock that shows less than the build time of this program is wrong, whoever says otherwise.

use std::time::Duration;

use super::signs::{Signs, Witness};
use super::{BUILT, BootTime, WallTime};

/// Smallest change that counts as a jump: above what a leap second or a time service's small corrections do, and far
/// below what would hurt anybody.
pub const JUMP_MIN: Duration = Duration::from_secs(2);

/// Smallest change of the base that is followed. What is below is the time between two readings of two clocks, and an
/// event that is sent twice should say the same time twice.
const STEP_MIN: Duration = Duration::from_millis(10);

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// When it was noticed.
    pub boot: BootTime,
    /// What the clock would have said then.
    pub before: WallTime,
    /// What it said.
    pub after: WallTime,
}

/// How far the wall clock is ahead of the boot clock, nanoseconds.
pub fn base(boot: BootTime, wall: WallTime) -> i64 {
    wall.0.saturating_sub(i64::try_from(boot.0).unwrap_or(i64::MAX))
}

/// Whether two bases are those of two different settings of the clock.
pub fn is_jump(before: i64, after: i64) -> bool {
    u128::from(before.abs_diff(after)) >= JUMP_MIN.as_nanos()
}

/// What is known about the wall clock.
#[derive(Debug, Default)]
pub struct Judge {
    base: Option<i64>,
    heard: Signs,
    /// Signs given about the clock as it was before it jumped.
    spent: Signs,
    by: Option<Witness>,
}

impl Judge {
    /// Goes on from an earlier run in the same boot, in which the clock was confirmed at this base.
    pub fn resume(base: i64) -> Self {
        Self { base: Some(base), by: Some(Witness::EarlierRun), ..Self::default() }
    }

    /// Who confirmed the wall clock; `None` while nobody has.
    pub fn confirmed_by(&self) -> Option<Witness> {
        self.by
    }

    /// The base, steady while nobody sets the clock.
    pub fn base(&self) -> Option<i64> {
        self.base
    }

    /// Looks at clocks and signs; returns a jump since the last look.
    pub fn look(&mut self, boot: BootTime, wall: WallTime, signs: Signs) -> Option<Jump> {
        let after = base(boot, wall);
        let before = *self.base.get_or_insert(after);
        let jump = is_jump(before, after).then(|| {
            self.spent = self.heard;
            self.by = None;
            let shown = i64::try_from(boot.0).unwrap_or(i64::MAX).saturating_add(before);
            Jump { boot, before: WallTime(shown), after: wall }
        });
        if u128::from(before.abs_diff(after)) >= STEP_MIN.as_nanos() {
            self.base = Some(after);
        }
        self.heard = signs;
        if wall < BUILT {
            self.by = None;
        } else if self.by.is_none() {
            self.by = signs.fresh(&self.spent);
        }
        jump
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn signs(mark: Option<u64>) -> Signs {
        let mut signs = Signs::default();
        signs.set(Witness::Timesyncd, mark);
        signs
    }

    /// A look at a second after boot, the wall clock some seconds after the build time.
    fn look(judge: &mut Judge, boot_s: u64, wall_s: i64, mark: Option<u64>) -> (bool, bool) {
        let boot = BootTime(boot_s * 1_000_000_000);
        let jump = judge.look(boot, BUILT.offset(wall_s.saturating_mul(SECOND)), signs(mark));
        (jump.is_some(), judge.confirmed_by().is_some())
    }

    #[test]
    fn a_sign_confirms_the_clock_and_it_stays_confirmed() {
        let mut judge = Judge::default();
        assert_eq!(look(&mut judge, 10, 1_000, None), (false, false));
        assert_eq!(look(&mut judge, 11, 1_001, Some(1)), (false, true));
        assert_eq!(look(&mut judge, 700_000, 700_990, None), (false, true));
        assert_eq!(judge.confirmed_by(), Some(Witness::Timesyncd));
    }

    #[test]
    fn a_clock_before_the_build_time_is_wrong_whoever_says_otherwise() {
        let mut judge = Judge::default();
        assert_eq!(look(&mut judge, 10, -1, Some(1)), (false, false));
        assert_eq!(look(&mut judge, 11, 0, Some(1)), (false, true));
    }

    #[test]
    fn the_first_setting_of_the_clock_is_a_jump_and_waits_for_a_sign_given_after_it() {
        let mut judge = Judge::default();
        assert_eq!(look(&mut judge, 10, -1_000_000, None), (false, false));
        assert_eq!(look(&mut judge, 11, 5_000, None), (true, false));
        assert_eq!(look(&mut judge, 12, 5_001, Some(5_001)), (false, true));
    }

    #[test]
    fn a_clock_set_by_hand_is_not_confirmed_by_an_old_sign() {
        let mut judge = Judge::default();
        assert_eq!(look(&mut judge, 10, 1_000, Some(1)), (false, true));
        assert_eq!(look(&mut judge, 11, 315_000_000, Some(1)), (true, false));
        assert_eq!(look(&mut judge, 12, 315_000_001, Some(1)), (false, false));
        assert_eq!(look(&mut judge, 13, 1_003, Some(1)), (true, false));
        assert_eq!(look(&mut judge, 14, 1_004, Some(2)), (false, true));
    }

    #[test]
    fn a_small_correction_is_no_jump_and_a_jump_tells_both_times() {
        let mut judge = Judge::default();
        look(&mut judge, 10, 1_000, Some(1));
        assert_eq!(look(&mut judge, 11, 1_002, Some(1)), (false, true));
        let jump = judge.look(BootTime(20_000_000_000), BUILT, signs(Some(1)));
        // Ten seconds at the boot clock, one at a correction.
        let before = BUILT.offset(1_011 * SECOND);
        assert_eq!(jump, Some(Jump { boot: BootTime(20_000_000_000), before, after: BUILT }));
    }

    #[test]
    fn a_restart_in_the_same_boot_keeps_the_confirmation_unless_the_clock_was_set_meanwhile() {
        let base = base(BootTime(10_000_000_000), BUILT.offset(1_000 * SECOND));
        let mut judge = Judge::resume(base);
        assert_eq!(look(&mut judge, 500, 1_490, None), (false, true));
        assert_eq!(judge.confirmed_by(), Some(Witness::EarlierRun));
        let mut judge = Judge::resume(base);
        assert_eq!(look(&mut judge, 500, 9_000, None), (true, false));
    }

    #[test]
    fn clocks_at_the_ends_of_their_range_do_no_harm() {
        let mut judge = Judge::default();
        for (boot, wall) in [(0, i64::MIN), (u64::MAX, i64::MAX), (u64::MAX, i64::MIN), (0, i64::MAX)] {
            judge.look(BootTime(boot), WallTime(wall), Signs::default());
        }
    }
}
