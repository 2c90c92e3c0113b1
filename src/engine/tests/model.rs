//! A limit with its delays, held against its definition written out naively.

use proptest::prelude::*;

use super::support::*;
use crate::config::model::{Alarm, Condition};
use crate::engine::{Engine, Output};
use crate::event::Change;

/// What a high or low alarm must say, worked out from the definition: for each second, from all readings so far.
fn reference(alarm: &Alarm, sign: f64, limit: f64, readings: &[(u64, f64)], until: u64) -> Vec<(u64, Change)> {
    let violating = |value: f64| sign * value > sign * limit;
    let back = |value: f64| sign * value <= sign * limit - alarm.deadband;
    let mut said = Vec::new();
    let mut active = false;
    let mut decide = |second: u64, seen: &[(u64, f64)], active: &mut bool| {
        let run: Vec<_> = seen.iter().rev().take_while(|(_, value)| violating(*value)).collect();
        let since_violation: Vec<_> = seen.iter().rev().take_while(|(_, value)| !violating(*value)).collect();
        if !*active {
            let long = run.last().is_some_and(|(first, _)| second - first >= alarm.on_delay.as_secs());
            if long && run.len() >= alarm.min_samples as usize {
                said.push((second, Change::Raised));
                *active = true;
            }
        } else if let Some((first_back, _)) = since_violation.iter().rev().find(|(_, value)| back(*value))
            && second - first_back >= alarm.off_delay.as_secs()
        {
            said.push((second, Change::Cleared));
            *active = false;
        }
    };
    for second in 0..=until {
        let before = readings.iter().take_while(|(at, _)| *at < second).count();
        decide(second, &readings[..before], &mut active);
        let with = readings.iter().take_while(|(at, _)| *at <= second).count();
        if with > before {
            decide(second, &readings[..with], &mut active);
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_limit_with_delays_does_what_its_definition_says(
        steps in prop::collection::vec((1..8_u64, -4..5_i32), 1..60),
        deadband in 0..3_u32,
        on_delay in 0..12_u64,
        off_delay in 0..12_u64,
        min_samples in 1..4_u32,
        low in any::<bool>(),
        extra_calls in any::<bool>(),
    ) {
        let (sign, limit) = if low { (-1.0, -1.0) } else { (1.0, 1.0) };
        let condition = if low { Condition::Low(limit) } else { Condition::High(limit) };
        let definition = Alarm {
            deadband: f64::from(deadband),
            on_delay: seconds(on_delay),
            off_delay: seconds(off_delay),
            min_samples,
            ..alarm("limit", "#", condition)
        };
        let mut at = 0;
        let readings: Vec<(u64, f64)> = steps.iter().map(|(gap, value)| {
            at += gap;
            (at, f64::from(*value))
        }).collect();
        let until = at + 30;
        let mut engine = Engine::new(settings(now(0), 1), std::slice::from_ref(&definition));
        let mut said = Vec::new();
        let mut readings_left = readings.iter().peekable();
        for second in 0..=until {
            let now = now(second * 1000);
            let mut out = Output::default();
            if extra_calls || engine.next_deadline().is_some_and(|deadline| deadline <= now.boot) {
                engine.on_deadline(now, &mut out);
            }
            if let Some((_, value)) = readings_left.next_if(|(at, _)| *at == second) {
                engine.on_reading(&reading(SENSOR, *value, now), now, &mut out);
            }
            said.extend(out.events.iter().map(|event| (second, told(event).change)));
        }
        prop_assert_eq!(said, reference(&definition, sign, limit, &readings, until));
    }
}
