//! One state machine: one alarm on one sensor.
//!
//! Owns the phases `Normal -> Pending -> Active -> Clearing -> Normal` and their delays, by the boot clock. A machine
//! always follows its sensor. Whether it is *shown*, that is whether it has an episode that consumers know of, is
//! decided afterwards: not while it is shelved, suppressed, out of schedule or held off, nor while a more severe alarm
//! of its group is (see `group`). Never makes events.

use std::time::Duration;

use uuid::Uuid;

use super::condition::{Rule, Verdict};
use super::rate::Window;
use crate::clock::{BootTime, WallTime};
use crate::event::AlarmState;
use crate::reading::Value;

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not in violation.
    Normal,
    /// In violation, but not for long enough or not often enough.
    Pending { since: BootTime },
    /// In violation; or, when `gone`, latched until somebody acknowledges.
    Active { gone: bool },
    /// Back inside, but not for long enough.
    Clearing { since: BootTime },
}

/// The worst and the number of the readings of a violation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Track {
    /// The value furthest beyond the limit, and how far that is.
    pub(super) peak: Option<(Value, f64)>,
    /// Readings in violation.
    pub(super) count: u64,
}

impl Track {
    /// Takes note of a value in violation.
    fn add(&mut self, value: Option<&Value>, beyond: f64, sample: bool) {
        let Some(value) = value else { return };
        if self.peak.as_ref().is_none_or(|(_, worst)| beyond > *worst) {
            self.peak = Some((value.clone(), beyond));
        }
        // Judged again without a new reading: the one that is judged counts, once.
        self.count = self.count.saturating_add(u64::from(sample || self.count == 0));
    }
}

/// A stretch of being shown as active.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    /// The correlation id: the id of the event that raised it.
    pub(super) id: Uuid,
    /// When it was raised.
    pub(super) start: WallTime,
    /// How long it had lasted at `since`.
    pub(super) elapsed: Duration,
    /// See `elapsed`; in this boot.
    pub(super) since: BootTime,
    /// The next reminder.
    pub(super) repeat_at: Option<BootTime>,
}

impl Shown {
    /// How long it has lasted.
    pub(super) fn lasted(&self, now: BootTime) -> Duration {
        self.elapsed.saturating_add(now.since(self.since))
    }
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation<'a> {
    /// What the condition says.
    pub(super) verdict: Verdict,
    /// The value, except for silence.
    pub(super) value: Option<&'a Value>,
    /// Whether a reading brought it, or the same value is judged again.
    pub(super) sample: bool,
}

/// One alarm on one sensor.
#[derive(Debug)]
pub(super) struct Machine {
    /// Index of its rule.
    pub(super) rule: u32,
    /// Whether it belongs to a group on its sensor.
    pub(super) grouped: bool,
    pub(super) phase: Phase,
    /// The last verdict.
    pub(super) in_violation: bool,
    /// Readings in violation in a row, while that matters.
    pub(super) run: u32,
    /// What was compared at the last verdict, where that is not the value.
    pub(super) measured: Option<f64>,
    pub(super) track: Option<Box<Track>>,
    /// Its episode, while consumers know it as active.
    pub(super) shown: Option<Box<Shown>>,
    /// For rate alarms.
    pub(super) window: Option<Box<Window>>,
    /// Somebody has seen it; ends with the phase.
    pub(super) acknowledged: bool,
    /// Was shown since it became active: then a latched alarm stays.
    pub(super) exposed: bool,
    pub(super) shelved: Option<BootTime>,
    pub(super) suppressed: bool,
    /// For stale alarms: the sensor exists since; silence counts from here until a reading comes.
    pub(super) known_since: Option<BootTime>,
    /// The state as told last.
    pub(super) told: AlarmState,
    /// Its entry in the timers.
    pub(super) timer: Option<BootTime>,
    /// Durable state has changed since the last record.
    pub(super) dirty: bool,
    /// The store holds a record.
    pub(super) recorded: bool,
}

impl Machine {
    /// A machine that has seen nothing.
    pub(super) fn new(rule: u32) -> Self {
        Self {
            rule,
            grouped: false,
            phase: Phase::Normal,
            in_violation: false,
            run: 0,
            measured: None,
            track: None,
            shown: None,
            window: None,
            acknowledged: false,
            exposed: false,
            shelved: None,
            suppressed: false,
            known_since: None,
            told: AlarmState::Normal,
            timer: None,
            dirty: false,
            recorded: false,
        }
    }

    /// Whether the alarm is out of force for this sensor: shelved, suppressed or out of schedule.
    pub(super) fn gated(&self, rule: &Rule) -> bool {
        self.shelved.is_some() || self.suppressed || !rule.in_force
    }

    /// Whether it would be shown as active if no more severe alarm of its group were.
    pub(super) fn wants_to_be_shown(&self, rule: &Rule, now: BootTime) -> bool {
        matches!(self.phase, Phase::Active { .. } | Phase::Clearing { .. })
            && !self.gated(rule)
            && (self.shown.is_some() || now >= rule.hold_until)
    }

    /// The state as told to people.
    pub(super) fn state(&self, rule: &Rule) -> AlarmState {
        match (self.phase, self.shown.is_some()) {
            (Phase::Active { .. }, true) => AlarmState::Active,
            (Phase::Clearing { .. }, true) => AlarmState::Clearing,
            (Phase::Pending { .. }, _) if !self.gated(rule) => AlarmState::Pending,
            _ => AlarmState::Normal,
        }
    }

    /// Takes a verdict. True when the machine has moved or its deadline may have come nearer.
    pub(super) fn observe(&mut self, rule: &Rule, seen: Observation<'_>, now: BootTime) -> bool {
        let Verdict { violating, back, beyond, measured } = seen.verdict;
        self.in_violation = violating;
        if measured.is_some() {
            self.measured = measured;
        }
        if !violating {
            return self.observe_inside(rule, back, now);
        }
        match self.phase {
            Phase::Normal => {
                self.run = 1;
                self.track = None;
                self.track.get_or_insert_default().add(seen.value, beyond, true);
                self.move_to(Phase::Pending { since: now });
                self.elapse(rule, now);
                true
            }
            Phase::Pending { .. } => {
                let short = self.run < rule.min_samples;
                self.run = self.run.saturating_add(u32::from(seen.sample));
                self.track.get_or_insert_default().add(seen.value, beyond, seen.sample);
                self.elapse(rule, now) || (short && self.run >= rule.min_samples)
            }
            Phase::Active { gone } => {
                self.track.get_or_insert_default().add(seen.value, beyond, seen.sample);
                if gone {
                    self.move_to(Phase::Active { gone: false });
                }
                gone
            }
            Phase::Clearing { .. } => {
                self.track.get_or_insert_default().add(seen.value, beyond, seen.sample);
                self.move_to(Phase::Active { gone: false });
                true
            }
        }
    }

    /// A verdict of "not in violation".
    fn observe_inside(&mut self, rule: &Rule, back: bool, now: BootTime) -> bool {
        match self.phase {
            Phase::Normal => false,
            Phase::Pending { .. } => {
                self.move_to(Phase::Normal);
                true
            }
            // Nobody has been told: nothing needs holding by a deadband or a delay.
            Phase::Active { .. } | Phase::Clearing { .. }
                if self.shown.is_none() && (self.gated(rule) || now < rule.hold_until) =>
            {
                self.move_to(Phase::Normal);
                true
            }
            Phase::Active { gone: false } if back => {
                self.move_to(Phase::Clearing { since: now });
                self.elapse(rule, now);
                true
            }
            Phase::Active { .. } | Phase::Clearing { .. } => false,
        }
    }

    /// Carries out a delay that has passed. True when the machine has moved.
    pub(super) fn elapse(&mut self, rule: &Rule, now: BootTime) -> bool {
        match self.phase {
            Phase::Pending { since } if self.run >= rule.min_samples && now >= since.after(rule.alarm.on_delay) => {
                self.move_to(Phase::Active { gone: false });
                true
            }
            Phase::Clearing { since } if now >= since.after(rule.alarm.off_delay) => {
                let latched = rule.alarm.latched && self.exposed && !self.acknowledged;
                self.move_to(if latched { Phase::Active { gone: true } } else { Phase::Normal });
                true
            }
            _ => false,
        }
    }

    /// Somebody has seen it. True when there was something to see.
    pub(super) fn acknowledge(&mut self) -> bool {
        let was_told = matches!(self.phase, Phase::Active { .. } | Phase::Clearing { .. }) && self.exposed;
        if !was_told {
            return false;
        }
        if !self.acknowledged {
            self.acknowledged = true;
            self.dirty = true;
        }
        if self.phase == (Phase::Active { gone: true }) {
            self.move_to(Phase::Normal);
        }
        true
    }

    /// Out of force, a machine keeps to the plain truth: active only while in violation.
    pub(super) fn enforce_gate(&mut self, rule: &Rule) {
        if !self.in_violation && self.phase != Phase::Normal && self.gated(rule) {
            self.move_to(Phase::Normal);
        }
    }

    /// Forgets what belonged to an active phase that is over, or was taken out of force.
    pub(super) fn forget_violation(&mut self) {
        self.acknowledged = false;
        self.exposed = false;
        self.track = None;
        if self.phase == Phase::Normal {
            self.run = 0;
        }
    }

    /// When it must be looked at without a reading. `silent_since` is for stale alarms.
    pub(super) fn deadline(&self, rule: &Rule, silent_since: Option<BootTime>, now: BootTime) -> Option<BootTime> {
        let stale_at = rule.stale_after().zip(silent_since).map(|(after, since)| since.after(after));
        let phase = match self.phase {
            Phase::Normal | Phase::Active { gone: true } => stale_at,
            Phase::Pending { since } if self.run >= rule.min_samples => Some(since.after(rule.alarm.on_delay)),
            Phase::Pending { .. } => None,
            Phase::Active { .. } if self.shown.is_none() && now < rule.hold_until => Some(rule.hold_until),
            Phase::Active { .. } => None,
            Phase::Clearing { since } => earliest(Some(since.after(rule.alarm.off_delay)), stale_at),
        };
        let repeat = self.shown.as_ref().and_then(|shown| shown.repeat_at);
        earliest(earliest(phase, repeat), self.shelved)
    }

    pub(super) fn move_to(&mut self, phase: Phase) {
        self.phase = phase;
        self.dirty = true;
    }
}

/// The earlier of two times, where there are any.
pub(super) fn earliest(a: Option<BootTime>, b: Option<BootTime>) -> Option<BootTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
