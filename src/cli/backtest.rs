//! `tidegate backtest`: what would these alarms have done with those readings?
//!
//! Owns its arguments and how the comparison looks in a terminal. The work is done in [`crate::backtest`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::app::SENSORS_MAX;
use crate::backtest::Run;
use crate::backtest::compare::{self, Line, Side, Standing};
use crate::backtest::input::{Faults, Input};
use crate::backtest::tally::Figures;
use crate::cli::client;
use crate::cli::top::text::tame;
use crate::config::{self, model::Config};
use crate::engine::Accepted;
use crate::error::Failure;
use crate::reading::{Recorded, SensorId};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate backtest --config new.toml --readings /var/lib/tidegate-readings
  tidegate backtest --config new.toml --readings week.csv --against old.toml
  tidegate tap --json > readings.jsonl; tidegate backtest --config new.toml --readings readings.jsonl

Readings are files or folders of [record], CSV lines `time,sensor,value[,unit]`, or JSON lines with these names; `-` is
standard input. Times are RFC 3339 or numbers since 1970. They should be in order: one that is late is judged when it
comes, as a gateway would; `sort -t, -k1,1` helps. The readings are as recorded: changed units, scales or names in
[[source]] have no effect. Reminders and hold-offs are left out.

Exit codes: 0 done, 1 the readings cannot be read or there is none, 2 usage, 78 a configuration is wrong.";

/// Sensors named where no alarm watches any.
const EXAMPLES_MAX: usize = 3;

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration to try
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Recorded readings: a file, a recorder's folder, or - ; several in the order of their times
    #[arg(long, short, value_name = "FILE", required = true, num_args = 1..)]
    readings: Vec<PathBuf>,
    /// The configuration to compare with [default: /etc/tidegate/tidegate.toml if it can be read]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// All there is to say.
#[derive(Debug, Serialize)]
struct Report {
    readings: u64,
    sensors: usize,
    /// The names of some, for a person.
    #[serde(skip)]
    examples: Vec<String>,
    first: Option<String>,
    last: Option<String>,
    /// Older than the newest of their sensor: not judged.
    late: u64,
    /// Of sensors beyond the bound of a gateway.
    too_many_sensors: u64,
    out_of_order: Faults,
    bad: Faults,
    config: String,
    against: Option<String>,
    alarms: Vec<Line>,
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// A configuration is wrong, or readings cannot be read at all.
    pub fn execute(self) -> Result<(), Failure> {
        let new = load(&self.config)?;
        let against = match &self.against {
            Some(path) => Some((path.clone(), load(path)?)),
            None => running(&self.config),
        };
        let report = report(&self, &new, against.as_ref().map(|(path, config)| (path.as_path(), config)))?;
        match self.json {
            true => {
                let text = client::to_json(&report)?;
                client::print(|out| writeln!(out, "{text}"))
            }
            false => client::print(|out| out.write_all(report.text().as_bytes())),
        }
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    let loaded = config::load(path, &|name| std::env::var(name).ok());
    loaded.map(|loaded| loaded.config).map_err(|report| Failure::Configuration(report.to_string()))
}

/// The configuration that is in force on this machine, if there is one and it is another.
fn running(new: &Path) -> Option<(PathBuf, Config)> {
    let path = PathBuf::from(super::DEFAULT_CONFIG);
    let same = matches!((new.canonicalize(), path.canonicalize()), (Ok(new), Ok(path)) if new == path);
    if same || std::fs::File::open(&path).is_err() {
        return None;
    }
    match config::load(&path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => Some((path, loaded.config)),
        Err(_) => {
            let text = format!("warning: not compared with {}: `tidegate check` finds it wrong", path.display());
            // Beside the output, which scripts read.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
            None
        }
    }
}

fn report(wanted: &Arguments, new: &Config, against: Option<(&Path, &Config)>) -> Result<Report, Failure> {
    let mut runs: Option<(Run, Option<Run>)> = None;
    let (mut late, mut too_many_sensors) = (0, 0);
    let mut each = |recorded: &Recorded| {
        let (run, other) = runs.get_or_insert_with(|| {
            let run = |config: &Config| Run::new(&config.alarms, config.gateway.zone(), recorded.arrival, SENSORS_MAX);
            (run(new), against.map(|(_, config)| run(config)))
        });
        match run.take(recorded) {
            Accepted::Late => late += 1,
            Accepted::TooManySensors => too_many_sensors += 1,
            Accepted::Evaluated | Accepted::NotFresh => {}
        }
        if let Some(other) = other {
            other.take(recorded);
        }
    };
    let mut input = Input::default();
    for path in &wanted.readings {
        input.read(path, &mut each).map_err(|error| {
            Failure::Failed(format!("error: the readings of {} cannot be read: {error}", path.display()))
        })?;
    }
    let Some((run, other)) = runs else { return Err(no_reading(&wanted.readings, &input)) };
    let (run, other) = (run.finish(), other.map(Run::finish));
    let sensors: Vec<SensorId> = input.sensors.into_iter().collect();
    let old = against.map(|(_, config)| Side { alarms: &config.alarms, tally: other.unwrap_or_default() });
    Ok(Report {
        readings: input.readings,
        sensors: sensors.len(),
        examples: examples(&sensors),
        first: input.span.map(|(first, _)| first.to_string()),
        last: input.span.map(|(_, last)| last.to_string()),
        late,
        too_many_sensors,
        out_of_order: input.out_of_order,
        bad: input.bad,
        config: wanted.config.display().to_string(),
        against: against.map(|(path, _)| path.display().to_string()),
        alarms: compare::lines(Side { alarms: &new.alarms, tally: run }, old, &sensors),
    })
}

/// Some of the names, the same at every run.
fn examples(sensors: &[SensorId]) -> Vec<String> {
    let mut names: Vec<&str> = sensors.iter().map(SensorId::as_str).collect();
    names.sort_unstable();
    let mut examples: Vec<String> = names.iter().take(EXAMPLES_MAX).map(|name| tame(name, true).into_owned()).collect();
    if names.len() > EXAMPLES_MAX {
        examples.push("..".to_owned());
    }
    examples
}

/// Nothing to judge by is no good outcome.
fn no_reading(paths: &[PathBuf], input: &Input) -> Failure {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let what = match input.bad.first.first() {
        Some(fault) if paths.len() > 1 => format!("{} line {}: {}", fault.file, fault.line, fault.what),
        Some(fault) => format!("line {}: {}", fault.line, fault.what),
        None => "nothing is in it but headings and comments, if that".to_owned(),
    };
    Failure::Failed(format!("error: no reading in {}; {what}", paths.join(", ")))
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!("{} readings of {} sensors", self.readings, self.sensors);
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            let _ = write!(text, ", {first} to {last}");
        }
        text.push('\n');
        faults(&mut text, "were no readings and are left out", &self.bad);
        faults(&mut text, "came out of order", &self.out_of_order);
        for (count, what) in [
            (self.late, "were older than the newest of their sensor: not judged"),
            (self.too_many_sensors, "were of more sensors than a gateway keeps: not judged"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "  {count} {what}");
            }
        }
        match &self.against {
            Some(against) => {
                let _ = writeln!(text, "{} beside {against} (in brackets, where they differ)\n", self.config);
            }
            None => {
                let _ = writeln!(text, "{}, compared with nothing\n", self.config);
            }
        }
        self.table(&mut text);
        self.sum(&mut text);
        if self.alarms.is_empty() {
            text.push_str("warning: there is no [[alarm]] that could watch them\n");
        } else if self.alarms.iter().all(|line| line.watches == 0) {
            let _ = writeln!(
                text,
                "warning: no alarm watches any of these sensors ({}): compare their names with `sensors` of the alarms",
                self.examples.join(", ")
            );
        }
        text
    }

    fn table(&self, text: &mut String) {
        let head = ["alarm", "raised", "active", "under 1m", "shortest", ""].map(str::to_owned);
        let mut rows = vec![head];
        for line in &self.alarms {
            let cell = |show: &dyn Fn(&Figures) -> String| both(line, show);
            rows.push([
                line.alarm.to_string(),
                cell(&|figures| figures.raised.to_string()),
                cell(&|figures| {
                    let still = if figures.active_at_end > 0 { "+" } else { "" };
                    format!("{}{still}", span(figures.active))
                }),
                cell(&|figures| figures.flaps.to_string()),
                cell(&|figures| figures.shortest.first().map_or("-".to_owned(), |shortest| span(*shortest))),
                remark(line),
            ]);
        }
        let widths: [usize; 6] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }

    fn sum(&self, text: &mut String) {
        let raised = |side: fn(&Line) -> &Option<Figures>| -> u64 {
            self.alarms.iter().filter_map(|line| side(line).as_ref()).map(|figures| figures.raised).sum()
        };
        let new = raised(|line| &line.new);
        let still = self
            .alarms
            .iter()
            .any(|line| [&line.new, &line.running].into_iter().flatten().any(|figures| figures.active_at_end > 0));
        text.push('\n');
        if still {
            text.push_str("+ still active when the readings end\n");
        }
        match &self.against {
            None => {
                let _ = writeln!(text, "raised {new} times in all");
            }
            Some(_) => {
                let differ = self.alarms.iter().filter(|line| line.differs()).count();
                let old = raised(|line| &line.running);
                let _ =
                    writeln!(text, "raised {new} times in all instead of {old}; {differ} alarms would act otherwise");
            }
        }
    }
}

fn faults(text: &mut String, what: &str, faults: &Faults) {
    if faults.count == 0 {
        return;
    }
    let _ = writeln!(text, "  {} {what}:", faults.count);
    for fault in &faults.first {
        let _ = writeln!(text, "    {} line {}: {}", fault.file, fault.line, fault.what);
    }
    if faults.count > faults.first.len() as u64 {
        text.push_str("    ...\n");
    }
}

/// The new figure, and the old one behind it where it was another.
fn both(line: &Line, show: &dyn Fn(&Figures) -> String) -> String {
    match (&line.new, &line.running) {
        (Some(new), Some(old)) => {
            let (new, old) = (show(new), show(old));
            if new == old { new } else { format!("{new} ({old})") }
        }
        (Some(new), None) => show(new),
        (None, Some(old)) => format!("- ({})", show(old)),
        (None, None) => String::new(),
    }
}

fn remark(line: &Line) -> String {
    let mut remark = match line.standing {
        Standing::Alone => String::new(),
        Standing::Same if line.differs() => "same settings, other outcome (its group or time zone)".to_owned(),
        Standing::Same => "as it is".to_owned(),
        Standing::Changed => "changed".to_owned(),
        Standing::Added => "new".to_owned(),
        Standing::Removed => "gone".to_owned(),
    };
    let figures = line.new.as_ref().or(line.running.as_ref());
    let mut add = |what: String| {
        if !remark.is_empty() {
            remark.push_str("; ");
        }
        remark.push_str(&what);
    };
    match figures.and_then(Figures::busiest) {
        _ if line.watches == 0 => add("watches none of these sensors".to_owned()),
        Some((sensor, times)) if line.watches > 1 => add(format!("most on {sensor} ({times})")),
        _ => {}
    }
    remark
}

/// A duration to read at a glance: its two greatest units.
fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{}ms", time.as_millis());
    }
    let shown = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    shown.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
