//! Backtests of small recordings, and that they say what the engine itself would.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;

use proptest::prelude::*;

use super::compare::{Side, Standing, lines};
use super::input::Input;
use super::lines::Lines;
use super::*;
use crate::config::model::Condition;
use crate::reading::{Reading, SensorId, TimeSource, Value};
use tally::Figures;

fn high(name: &str, limit: f64) -> Alarm {
    Alarm::plain(name, "plant/+/t", Condition::High(limit))
}

const START: i64 = 1_767_225_600;

fn at(second: i64, sensor: &str, value: f64) -> Recorded {
    let time = WallTime::from_secs(START + second);
    let reading = Reading {
        sensor: SensorId::new(sensor),
        value: Value::Number(value),
        unit: None,
        time,
        time_source: TimeSource::Payload,
        fresh: true,
        attributes: None,
    };
    Recorded { arrival: time, reading }
}

fn run(alarms: &[Alarm], readings: &[Recorded]) -> Tally {
    let mut run = Run::new(alarms, TimeZone::UTC, readings[0].arrival, 100);
    for recorded in readings {
        run.take(recorded);
    }
    run.finish()
}

fn figures(alarm: Alarm, readings: &[Recorded]) -> Figures {
    run(std::slice::from_ref(&alarm), readings).alarms.remove(&alarm.name).unwrap_or_default()
}

/// Values of `plant/a/t`, ten seconds apart.
fn row(values: &[f64]) -> Vec<Recorded> {
    values.iter().zip(0..).map(|(value, index)| at(index * 10, "plant/a/t", *value)).collect()
}

#[test]
fn raises_active_time_and_the_shortest_episodes_are_counted() {
    let found = figures(high("a", 8.0), &row(&[1.0, 9.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 9.0, 9.0]));
    let seconds = |seconds: &[u64]| seconds.iter().map(|s| Duration::from_secs(*s)).collect::<Vec<_>>();
    assert_eq!((found.raised, found.flaps, found.active_at_end), (3, 1, 1));
    assert_eq!(found.shortest, seconds(&[10, 70]));
    assert_eq!(found.active, Duration::from_secs(10 + 70 + 10));
    assert_eq!(found.busiest(), Some(("plant/a/t", 3)));
}

#[test]
fn delays_pass_between_the_readings_at_their_own_time() {
    let delayed = |on_delay, off_delay| Alarm {
        on_delay: Duration::from_secs(on_delay),
        off_delay: Duration::from_secs(off_delay),
        ..high("a", 8.0)
    };
    // In violation from second 10 to second 30, then for good from second 40 on.
    let readings = row(&[1.0, 9.0, 9.0, 1.0, 9.0, 1.0, 1.0, 1.0]);
    assert_eq!(figures(delayed(15, 0), &readings).active, Duration::from_secs(5), "from 25 to 30");
    assert_eq!(figures(delayed(25, 0), &readings).raised, 0);
    let bridged = figures(delayed(0, 15), &readings);
    assert_eq!((bridged.raised, bridged.active), (1, Duration::from_secs(55)), "from 10 to 65");
}

#[test]
fn silence_is_noticed_while_nothing_is_read_and_ends_with_the_reading() {
    let silent = Alarm { condition: Condition::Stale { after: Duration::from_secs(60) }, ..high("silent", 0.0) };
    let readings =
        [at(0, "plant/a/t", 1.0), at(50, "plant/a/t", 1.0), at(110, "plant/a/t", 1.0), at(400, "plant/a/t", 1.0)];
    let found = figures(silent, &readings);
    // A reading at the very moment is a sign of life: only the gap of 290 s counts.
    assert_eq!((found.raised, found.active), (1, Duration::from_secs(230)));
}

#[test]
fn reminders_and_hold_offs_change_nothing() {
    let quiet = figures(high("a", 8.0), &row(&[9.0, 9.0, 1.0]));
    let loud =
        Alarm { repeat_every: Some(Duration::from_millis(1)), hold_off: Duration::from_secs(3600), ..high("a", 8.0) };
    assert_eq!(figures(loud, &row(&[9.0, 9.0, 1.0])), quiet);
    assert_eq!(quiet.raised, 1);
}

#[test]
fn the_comparison_tells_new_changed_gone_and_unwatched() {
    let readings = row(&[1.0, 9.0, 1.0, 7.0, 1.0]);
    let other = Alarm { sensors: vec!["elsewhere/#".into()], ..high("other", 1.0) };
    let (new, old) = ([high("a", 6.0), high("b", 8.0), other], [high("a", 8.0), high("b", 8.0), high("c", 8.0)]);
    let sensors = [SensorId::new("plant/a/t")];
    let (new_tally, old_tally) = (run(&new, &readings), run(&old, &readings));
    let lines = lines(Side { alarms: &new, tally: new_tally }, Some(Side { alarms: &old, tally: old_tally }), &sensors);
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            let raised = |figures: &Option<Figures>| figures.as_ref().map(|figures| figures.raised);
            (&*line.alarm, line.standing, line.watches, raised(&line.new), raised(&line.running), line.differs())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("a", Standing::Changed, 1, Some(2), Some(1), true),
            ("b", Standing::Same, 1, Some(1), Some(1), false),
            ("other", Standing::Added, 0, Some(0), None, true),
            ("c", Standing::Removed, 1, None, Some(1), true),
        ]
    );
}

#[test]
fn a_line_with_other_separators_is_told_how_to_write_it() {
    for (line, separator) in [
        ("time;sensor;value;unit", "`;`"),
        ("2026-01-01T00:00:00Z;plant/a/t;21,5;C", "`;`"),
        ("2026-01-01T00:00:00Z\tplant/a/t\t21.5", "tabs"),
    ] {
        let why = Lines::default().read(line.as_bytes()).unwrap_err();
        assert!(why.contains(&format!("separated by {separator}: write commas (time,sensor,value[,unit])")), "{why}");
    }
    let why = Lines::default().read(b"2026-01-01T00:00:00Z,a;b;c").unwrap_err();
    assert!(why.contains("separated"), "{why}");
    let why = Lines::default().read(b"soon,a;b;c,1").unwrap_err();
    assert!(why.contains("`soon` is no time"), "{why}");
}

#[test]
fn every_form_of_line_is_read() {
    let read = |lines: &[&str]| -> Vec<(String, String, Value, Option<String>)> {
        let mut reader = Lines::default();
        let recorded = lines.iter().filter_map(|line| reader.read(line.as_bytes()).unwrap());
        recorded
            .map(|recorded| {
                let reading = recorded.reading;
                (
                    reading.time.to_string(),
                    reading.sensor.to_string(),
                    reading.value,
                    reading.unit.map(|u| u.to_string()),
                )
            })
            .collect()
    };
    let expected = |value: Value, unit: Option<&str>| {
        ("2026-01-01T00:00:00.5Z".to_owned(), "plant/a/t".to_owned(), value, unit.map(str::to_owned))
    };
    let number = || expected(Value::Number(21.5), Some("°C"));
    assert_eq!(
        read(&[
            "time,sensor,value,unit\r\n",
            "2026-01-01T00:00:00.5Z,plant/a/t,21.5,°C",
            "1767225600.5, plant/a/t ,+21.5,°C\r\n",
            "1767225600500,\"plant/a/t\",2.15e1,°C",
            "1767225600500000,plant/a/t,21.5,°C",
            "1767225600500000000,plant/a/t,21.5,°C",
            r#"{"time":"2026-01-01T01:00:00.5+01:00","sensor":"plant/a/t","value":21.5,"unit":"°C"}"#,
            r#"{"ts":1767225600.5,"name":"plant/a/t","value":21.5,"unit":"°C","more":[1]}"#,
            "# a comment",
            "",
            r#"{"kind":"missed","count":7}"#,
        ]),
        std::iter::repeat_with(number).take(7).collect::<Vec<_>>()
    );
    let order = read(&["value;x,sensor".replace("value;x", "value,time").as_str(), "true,1767225600.5,plant/a/t"]);
    assert_eq!(order, [expected(Value::Bool(true), None)]);
    let text = read(&[
        "1767225600.5,plant/a/t,\"open, \"\"wide\"\"\"",
        r#"{"time":1767225600.5,"sensor":"plant/a/t","value":7}"#,
    ]);
    assert_eq!(text, [expected(Value::Text("open, \"wide\"".into()), None), expected(Value::Number(7.0), None)]);
}

#[test]
fn bad_lines_and_times_out_of_order_are_counted_and_told_with_their_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(
        b"1767225600,a,1\nnonsense\n1767225660,a,nan\n1767225540,a,2\n5,a,2\n1767225700,a\n1767225700,a,3\n",
    )
    .unwrap();
    writeln!(file, "1767225700,{},3", "x".repeat(70_000)).unwrap();
    file.write_all(b"1767225800,a,4").unwrap();
    let mut input = Input::default();
    let mut values = Vec::new();
    input.read(file.path(), &mut |recorded| values.push(recorded.reading.value.as_f64().unwrap())).unwrap();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
    let places: Vec<u64> = input.bad.first.iter().map(|fault| fault.line).collect();
    assert_eq!((input.bad.count, places), (5, vec![2, 3, 5, 6, 8]));
    assert_eq!((input.out_of_order.count, input.out_of_order.first[0].line), (1, 4));
    assert_eq!((input.readings, input.sensors.len()), (4, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..80), text in "[0-9.,{}\":a-z-]{0,40}") {
        let mut lines = Lines::default();
        let _ = lines.read(&line);
        let _ = lines.read(text.as_bytes());
    }

    /// The clock only ever goes on, and every raise ends or is open at the end.
    #[test]
    fn any_recording_has_consistent_figures(
        steps in prop::collection::vec((-30..300_i64, 0..3_usize, -2..12_i32), 1..80), on in 0..40_u64, off in 0..40_u64,
    ) {
        let alarm = Alarm {
            on_delay: Duration::from_secs(on), off_delay: Duration::from_secs(off), latched: false, ..high("a", 8.0)
        };
        let silent = Alarm { condition: Condition::Stale { after: Duration::from_secs(60) }, ..high("silent", 0.0) };
        let (mut second, mut last) = (0, 0);
        let mut readings = Vec::new();
        for (step, sensor, value) in steps {
            second = (second + step).max(0);
            last = last.max(second);
            readings.push(at(second, ["plant/a/t", "plant/b/t", "plant/c/t"][sensor], value.into()));
        }
        let span = Duration::from_secs(u64::try_from(last).unwrap());
        for (_, found) in run(&[alarm, silent], &readings).alarms {
            prop_assert_eq!(found.raised, found.sensors.values().sum::<u64>());
            prop_assert!(found.active_at_end <= 3 && found.active_at_end <= found.raised);
            prop_assert!(found.active <= span * 3, "{:?} of {:?}", found.active, span);
            prop_assert!(found.shortest.is_sorted() && found.shortest.len() as u64 <= found.raised - found.active_at_end);
        }
    }
}
