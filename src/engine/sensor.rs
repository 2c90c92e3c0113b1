//! One sensor: its last values, its sign of life, and the machines that watch it.
//!
//! Owns the order in which a reading or a timer touches the machines: delays that have passed first, then the value,
//! then what is shown (`group`), then records and timers. A reading that changes nothing allocates nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::condition::{Rule, Verdict};
use super::machine::{Machine, Observation, Phase, Track};
use super::order::Order;
use super::rate::Window;
use super::{Accepted, Step, record};
use crate::clock::{BootTime, WallTime};
use crate::event::{AlarmRecord, ConditionKind, Sample};
use crate::reading::{Attributes, Reading, TimeSource, Unit, Value};

/// The last reading, as far as events tell it.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) value: Value,
    pub(super) unit: Option<Unit>,
    pub(super) time: WallTime,
    pub(super) time_source: TimeSource,
    pub(super) attributes: Option<Attributes>,
    /// False for an old retained message, which is shown for want of better but judged by nobody.
    pub(super) fresh: bool,
}

impl From<&Reading> for Last {
    fn from(reading: &Reading) -> Self {
        Self {
            value: reading.value.clone(),
            unit: reading.unit.clone(),
            time: reading.time,
            time_source: reading.time_source,
            attributes: reading.attributes.clone(),
            fresh: reading.fresh,
        }
    }
}

/// One sensor.
#[derive(Debug)]
pub(super) struct Sensor {
    pub(super) name: Arc<str>,
    pub(super) index: u32,
    pub(super) last: Option<Last>,
    /// The last number, while `last` is a text: limits go on by it.
    pub(super) last_number: Option<Box<Last>>,
    /// The readings before `last`, oldest first.
    ring: VecDeque<(Sample, TimeSource)>,
    /// As many as the alarms want in their events.
    ring_max: usize,
    pub(super) order: Order,
    /// The last fresh reading, late ones included.
    pub(super) life: Option<BootTime>,
    pub(super) machines: Vec<Machine>,
    /// Machines of one group, most severe first.
    pub(super) groups: Vec<Vec<u16>>,
    /// Where other sensors' deviations look for this one's value.
    pub(super) reference: Option<u32>,
}

impl Sensor {
    /// A sensor nobody has heard of.
    pub(super) fn new(name: Arc<str>, index: u32) -> Self {
        Self {
            name,
            index,
            last: None,
            last_number: None,
            ring: VecDeque::new(),
            ring_max: 0,
            order: Order::default(),
            life: None,
            machines: Vec::new(),
            groups: Vec::new(),
            reference: None,
        }
    }

    /// The last value that means something to this alarm.
    pub(super) fn last_for(&self, rule: &Rule) -> Option<&Last> {
        match (&self.last_number, &self.last) {
            (Some(number), _) if rule.wants_number() => Some(number),
            (_, last) => last.as_ref(),
        }
    }

    /// The last value on the number line.
    pub(super) fn number(&self) -> Option<f64> {
        let last = self.last_number.as_deref().or(self.last.as_ref())?;
        last.value.as_f64().filter(|number| number.is_finite())
    }

    /// Up to `count` readings before the last one, oldest first.
    pub(super) fn context(&self, count: usize) -> Vec<Sample> {
        self.ring.iter().skip(self.ring.len().saturating_sub(count)).map(|(sample, _)| sample.clone()).collect()
    }

    /// The readings kept for events, and whose clock their times are.
    pub(super) fn ring_mut(&mut self) -> impl Iterator<Item = &mut (Sample, TimeSource)> {
        self.ring.iter_mut()
    }

    /// Since when a stale alarm's sensor has been silent; `None` while the alarm does not know the sensor.
    pub(super) fn silent_since(&self, machine: &Machine) -> Option<BootTime> {
        machine.known_since.map(|known| self.life.map_or(known, |life| life.max(known)))
    }

    /// How long a stale alarm's sensor has been silent. One found silent before a restart, and not heard since, has been
    /// for at least as long as it was then.
    fn silence(&self, machine: &Machine, now: BootTime) -> Option<Duration> {
        let silence = now.since(self.silent_since(machine)?);
        let before = machine.measured.filter(|_| self.life.is_none() && machine.phase != Phase::Normal);
        Some(silence.max(before.and_then(|before| Duration::try_from_secs_f64(before).ok()).unwrap_or_default()))
    }

    /// Sets how many readings are kept for events.
    pub(super) fn keep(&mut self, count: usize) {
        self.ring_max = count;
        self.ring.drain(..self.ring.len().saturating_sub(count));
    }

    /// Takes a reading through all machines.
    pub(super) fn on_reading(&mut self, reading: &Reading, step: &mut Step<'_>) -> Accepted {
        if !reading.fresh {
            if self.last.is_none() {
                self.last = Some(Last::from(reading));
            }
            return Accepted::NotFresh;
        }
        self.fire_due(step);
        let late = self.order.is_late(reading, step.now.boot);
        step.at = match reading.time_source {
            TimeSource::Payload if !late => reading.time,
            _ => step.now.wall,
        };
        let mut moved = self.sign_of_life(step);
        if !late {
            self.remember(Last::from(reading));
            for index in 0..self.machines.len() {
                moved |= self.judge_reading(index, reading, step);
            }
        }
        if moved {
            self.settle(step);
        }
        if late { Accepted::Late } else { Accepted::Evaluated }
    }

    /// Judges one machine again because the sensor it is compared with has spoken.
    pub(super) fn on_reference(&mut self, index: usize, step: &mut Step<'_>) {
        let at = std::mem::replace(&mut step.at, step.now.wall);
        self.fire_due(step);
        step.at = at;
        if self.judge_last(index, true, step) {
            self.settle(step);
        }
    }

    /// A timer entry of one machine has come up.
    pub(super) fn on_timer(&mut self, index: usize, step: &mut Step<'_>) {
        let now = step.now.boot;
        let silence = self.silence(&self.machines[index], now);
        let machine = &mut self.machines[index];
        step.timers.disarm((self.index, index as u16), &mut machine.timer);
        let rule = &step.rules[machine.rule as usize];
        if machine.shelved.is_some_and(|until| until <= now) {
            machine.shelved = None;
            machine.dirty = true;
        }
        if let Some(verdict) = silence.and_then(|silence| rule.judge_silence(silence)) {
            machine.observe(rule, Observation { verdict, value: None, sample: false }, now);
        }
        machine.elapse(rule, now);
        self.arbitrate(step);
        self.remind(index, step);
        self.finish(step);
    }

    /// What a machine's alarm says of the last value, or of the silence.
    fn verdict(&self, index: usize, step: &Step<'_>) -> Option<(Verdict, Option<&Value>)> {
        let machine = &self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        if let Some(silence) = self.silence(machine, step.now.boot) {
            return Some((rule.judge_silence(silence)?, None));
        }
        let last = self.last_for(rule).filter(|last| last.fresh)?;
        let reference = rule.reference.and_then(|reference| step.references[reference as usize].number);
        let slope = machine.window.as_deref().and_then(Window::slope);
        Some((rule.judge(&last.value, reference, slope)?, Some(&last.value)))
    }

    /// Lets a machine act on the last value once more. True when it has moved.
    pub(super) fn judge_last(&mut self, index: usize, sample: bool, step: &Step<'_>) -> bool {
        let Some((verdict, value)) = self.verdict(index, step) else { return false };
        let value = value.cloned();
        let machine = &mut self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        machine.observe(rule, Observation { verdict, value: value.as_ref(), sample }, step.now.boot)
    }

    /// Shows and hides, writes records and sets timers after machines have moved.
    pub(super) fn settle(&mut self, step: &mut Step<'_>) {
        self.arbitrate(step);
        self.finish(step);
    }

    /// Writes records of what has changed, and sets timers.
    pub(super) fn finish(&mut self, step: &mut Step<'_>) {
        for index in 0..self.machines.len() {
            let silent_since = self.silent_since(&self.machines[index]);
            let machine = &mut self.machines[index];
            let rule = &step.rules[machine.rule as usize];
            if machine.phase == Phase::Normal {
                machine.forget_violation();
            }
            machine.told = machine.state(rule);
            let deadline = machine.deadline(rule, silent_since, step.now.boot);
            step.timers.arm((self.index, index as u16), &mut machine.timer, deadline);
            if std::mem::take(&mut machine.dirty) {
                self.write_record(index, step);
            }
        }
    }

    /// Writes the record of a machine; nothing when there is nothing to keep and nothing kept.
    fn write_record(&mut self, index: usize, step: &mut Step<'_>) {
        let machine = &self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        let state = record::encode(machine, rule, self.last_for(rule), step);
        if state.is_empty() && !machine.recorded {
            return;
        }
        let (alarm, sensor) = (Arc::clone(&rule.alarm.name), Arc::clone(&self.name));
        self.machines[index].recorded = !state.is_empty();
        step.out.records.push(AlarmRecord { alarm, sensor, state });
    }

    /// Carries out delays that passed before the reading at hand, so that the outcome does not depend on whether the
    /// caller's timer or the reading was a moment earlier. Silence is left to the timers: the reading ends it.
    fn fire_due(&mut self, step: &mut Step<'_>) {
        let now = step.now.boot;
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            if machine.timer.is_some_and(|timer| timer <= now)
                && step.rules[machine.rule as usize].kind != ConditionKind::Stale
            {
                self.on_timer(index, step);
            }
        }
    }

    /// The sensor lives. True when a stale alarm has moved or has just learnt of the sensor.
    fn sign_of_life(&mut self, step: &Step<'_>) -> bool {
        let now = step.now.boot;
        let mut moved = false;
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            let rule = &step.rules[machine.rule as usize];
            if rule.stale_after().is_none() || (machine.known_since.is_some() && machine.phase == Phase::Normal) {
                continue;
            }
            let silence = self.silence(machine, now);
            let machine = &mut self.machines[index];
            match (silence, rule.judge_silence(Duration::ZERO)) {
                (Some(silence), Some(verdict)) => {
                    moved |= machine.observe(rule, Observation { verdict, value: None, sample: true }, now);
                    // Told in the recovery: how long it was silent, not how long it has been since.
                    machine.measured = Some(silence.as_secs_f64());
                }
                _ => {
                    machine.known_since = Some(now);
                    machine.dirty = true;
                    moved = true;
                }
            }
        }
        self.life = Some(now);
        moved
    }

    /// Judges a reading by one machine. True when the machine has moved.
    fn judge_reading(&mut self, index: usize, reading: &Reading, step: &Step<'_>) -> bool {
        let machine = &mut self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        let mut slope = None;
        if let Some(width) = rule.rate_window() {
            let Some(number) = reading.value.as_f64().filter(|number| number.is_finite()) else { return false };
            let window = machine.window.get_or_insert_with(|| Box::new(Window::new(width)));
            window.push(reading, number, step.now.boot);
            slope = window.slope();
        }
        let reference = rule.reference.and_then(|reference| step.references[reference as usize].number);
        let Some(verdict) = rule.judge(&reading.value, reference, slope) else { return false };
        machine.observe(rule, Observation { verdict, value: Some(&reading.value), sample: true }, step.now.boot)
    }

    /// Makes a reading the last one, and the one before it context.
    fn remember(&mut self, last: Last) {
        let Some(before) = self.replace_last(last) else { return };
        if before.fresh && self.ring_max > 0 {
            while self.ring.len() >= self.ring_max {
                self.ring.pop_front();
            }
            if self.ring.len() == self.ring.capacity() {
                // No more than is wanted: among many sensors the usual doubling adds up.
                self.ring.reserve_exact(self.ring.len().max(4).min(self.ring_max - self.ring.len()));
            }
            self.ring.push_back((Sample { time: before.time, value: before.value }, before.time_source));
        }
    }

    /// Makes a reading the last one, and keeps the last number beside a text.
    fn replace_last(&mut self, last: Last) -> Option<Last> {
        let is_text = matches!(last.value, Value::Text(_));
        if !is_text {
            self.last_number = None;
        }
        let before = self.last.replace(last)?;
        if is_text && before.fresh && !matches!(before.value, Value::Text(_)) {
            self.last_number = Some(Box::new(before.clone()));
        }
        Some(before)
    }

    /// Takes a reading known from before a restart; called in the order they were known.
    pub(super) fn resume(&mut self, last: Last) {
        if last.time_source == TimeSource::Payload && last.fresh {
            self.order.resume(last.time);
        }
        self.replace_last(last);
    }

    /// Sees to it that an episode about to begin has a peak: one that begins without a reading (a shelf that ends, a
    /// schedule that begins) starts from the last value.
    pub(super) fn ensure_track(&mut self, index: usize, step: &Step<'_>) {
        let machine = &self.machines[index];
        let rule = &step.rules[machine.rule as usize];
        if machine.track.is_some() || rule.kind == ConditionKind::Stale {
            return;
        }
        let Some(last) = self.last_for(rule) else { return };
        let beyond = self.verdict(index, step).map_or(0.0, |(verdict, _)| verdict.beyond);
        let track = Track { peak: Some((last.value.clone(), beyond)), count: 1 };
        self.machines[index].track = Some(Box::new(track));
    }
}
