//! Which machines of a sensor are shown as active, once each knows its own phase.
//!
//! Owns the rule of groups: of the members that want to be shown only the most severe is (by severity, then by the
//! configured order). A takeover says `superseded` of the old one and `escalated` of the new one, in that order and in
//! the same episode; the first says `raised`, the last `cleared`. A machine without a group is a group of one. So for
//! each machine what raises and what clears alternate.

use super::Step;
use super::emit::{self, Telling};
use super::machine::{Phase, Shown};
use super::sensor::Sensor;
use crate::event::{AlarmState, Change};

impl Sensor {
    /// Brings what is shown in line with what the machines want, and tells the changes.
    pub(super) fn arbitrate(&mut self, step: &mut Step<'_>) {
        for machine in &mut self.machines {
            machine.enforce_gate(&step.rules[machine.rule as usize]);
        }
        for index in 0..self.machines.len() {
            if !self.machines[index].grouped {
                self.contest(&[index as u16], step);
            }
        }
        let groups = std::mem::take(&mut self.groups);
        for members in &groups {
            self.contest(members, step);
        }
        self.groups = groups;
    }

    /// Decides among the members of a group, most severe first.
    fn contest(&mut self, members: &[u16], step: &mut Step<'_>) {
        let goes_on = members.iter().any(|member| self.machines[usize::from(*member)].shown.is_some());
        let winner = members.iter().copied().find(|member| {
            let machine = &mut self.machines[usize::from(*member)];
            let wants = machine.wants_to_be_shown(&step.rules[machine.rule as usize], step.now.boot);
            if wants && !goes_on && !machine.in_violation {
                // A member may inherit an episode while only its deadband or off delay keeps it, but not begin one.
                machine.move_to(Phase::Normal);
                return false;
            }
            wants
        });
        let takes_over = winner.filter(|winner| self.machines[usize::from(*winner)].shown.is_none());
        let mut inherited = None;
        for member in members.iter().copied().filter(|member| Some(*member) != winner) {
            if takes_over.is_some() && inherited.is_none() {
                inherited = self.conceal(usize::from(member), Change::Superseded, step);
            } else {
                self.conceal(usize::from(member), Change::Cleared, step);
            }
        }
        if let Some(winner) = takes_over {
            self.expose(usize::from(winner), inherited, step);
        }
    }

    /// Ends that a machine is shown, if it is; returns its episode.
    pub(super) fn conceal(&mut self, index: usize, change: Change, step: &mut Step<'_>) -> Option<Box<Shown>> {
        let shown = self.machines[index].shown.take()?;
        let rule = &step.rules[self.machines[index].rule as usize];
        let id = step.ids.next(step.now.wall);
        let telling = Telling { id, change, shown: &shown, after: AlarmState::Normal };
        emit::tell(self, &self.machines[index], rule, telling, step);
        let machine = &mut self.machines[index];
        machine.dirty = true;
        if machine.gated(rule) {
            // If it is still in violation when it is in force again, that is a new episode.
            machine.forget_violation();
        }
        Some(shown)
    }

    /// Shows a machine as active, in the episode it inherits or in a new one.
    fn expose(&mut self, index: usize, inherited: Option<Box<Shown>>, step: &mut Step<'_>) {
        self.ensure_track(index, step);
        let machine = &self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        let now = step.now.boot;
        let id = step.ids.next(step.now.wall);
        let change = if inherited.is_some() { Change::Escalated } else { Change::Raised };
        let mut shown = inherited.unwrap_or_else(|| {
            Box::new(Shown { id, start: step.at, elapsed: Default::default(), since: now, repeat_at: None })
        });
        shown.repeat_at = rule.repeat_every.map(|period| now.after(period));
        let after = match machine.phase {
            Phase::Clearing { .. } => AlarmState::Clearing,
            _ => AlarmState::Active,
        };
        emit::tell(self, machine, rule, Telling { id, change, shown: &shown, after }, step);
        let machine = &mut self.machines[index];
        machine.shown = Some(shown);
        machine.exposed = true;
        machine.dirty = true;
    }

    /// Reminds of a machine that is still shown when its time has come.
    pub(super) fn remind(&mut self, index: usize, step: &mut Step<'_>) {
        let machine = &self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        let now = step.now.boot;
        let Some(shown) = machine.shown.as_deref().filter(|shown| shown.repeat_at.is_some_and(|at| at <= now)) else {
            return;
        };
        let id = step.ids.next(step.now.wall);
        let telling = Telling { id, change: Change::Repeated, shown, after: machine.state(rule) };
        emit::tell(self, machine, rule, telling, step);
        let machine = &mut self.machines[index];
        if let Some(shown) = &mut machine.shown {
            shown.repeat_at = rule.repeat_every.map(|period| now.after(period));
        }
        machine.dirty = true;
    }
}
