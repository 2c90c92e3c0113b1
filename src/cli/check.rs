//! `tidegate check`: says everything that is wrong with the configuration, and starts nothing.

use std::io::{IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use crate::cli::client;
use crate::config::model::{Config, Upstream};
use crate::config::{self, Loaded};
use crate::error::Failure;

/// What is wanted of a check.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Also the certificates, keys and password files that are named.
    pub files: bool,
    /// Also everything around: the store's folder, the sources, the upstream.
    pub environment: bool,
    /// For scripts.
    pub json: bool,
}

/// What was tried of everything around.
#[derive(Debug, Serialize)]
struct Tried {
    what: String,
    good: bool,
    /// What was found.
    text: String,
}

/// For scripts.
#[derive(Debug, Serialize)]
struct Told<'a> {
    good: bool,
    errors: usize,
    warnings: usize,
    problems: Vec<config::Told>,
    /// What was tried around, with `--environment`.
    environment: &'a [Tried],
}

impl<'a> Told<'a> {
    fn new(report: &'a config::Report, environment: &'a [Tried]) -> Self {
        Self {
            good: report.error_count() == 0 && environment.iter().all(|tried| tried.good),
            errors: report.error_count(),
            warnings: report.warning_count(),
            problems: report.told().collect(),
            environment,
        }
    }

    fn print(&self) -> Result<(), Failure> {
        let text = client::to_json(self)?;
        client::print(|out| writeln!(out, "{text}"))
    }
}

/// Checks a configuration file and `conf.d` beside it, and what else is wanted. Each thing around is tried, whatever the
/// others say. Warnings and a summary go to standard output.
///
/// # Errors
/// [`Failure::Configuration`] with the whole report; [`Failure::Failed`] when something around is not as configured.
pub fn run(path: &Path, wanted: Wanted) -> Result<(), Failure> {
    let Wanted { files, environment, json } = wanted;
    // Errors go to the one, warnings to the other.
    let colour = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
    let env = |name: &str| std::env::var(name).ok();
    let (config, report) = match json {
        true => match load(path, files, &env) {
            Ok((loaded, report)) => (loaded.config, report),
            Err(report) => {
                Told::new(&report, &[]).print()?;
                return Err(Failure::Configuration(report.render(colour)));
            }
        },
        false => {
            (check_to(path, files, colour, &env, &mut std::io::stdout().lock())?.config, config::Report::default())
        }
    };
    let mut tried: Vec<Tried> = Vec::new();
    if environment {
        look_around(&config, |what, found| {
            let (good, text) = match found {
                Ok(text) => (true, text),
                Err(text) => (false, text),
            };
            tried.push(Tried { what, good, text });
            match tried.last() {
                Some(Tried { what, text, .. }) if !json => {
                    let mark = if good { "ok   " } else { "WRONG" };
                    client::print(|out| writeln!(out, "{mark} {what}: {text}"))
                }
                _ => Ok(()),
            }
        })?;
    }
    if json {
        Told::new(&report, &tried).print()?;
    }
    match tried.iter().filter(|tried| !tried.good).count() {
        0 => Ok(()),
        1 => Err(Failure::Failed("error: 1 thing around is not as configured, see above".to_owned())),
        wrong => Err(Failure::Failed(format!("error: {wrong} things around are not as configured, see above"))),
    }
}

/// Tries everything around; what was found is said as soon as it is known.
fn look_around(
    config: &Config,
    mut say: impl FnMut(String, Result<String, String>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("error: the runtime cannot start: {error}")))?;
    say("store".to_owned(), crate::store::probe(&config.store))?;
    if let Some(record) = &config.record {
        say("record".to_owned(), crate::record::probe(&record.path))?;
    }
    for source in &config.sources {
        say(format!("source `{}`", source.name), runtime.block_on(crate::source::probe(source)))?;
    }
    if let Some(upstream) = &config.upstream {
        for url in &upstream.urls {
            let name = if upstream.urls.len() > 1 { format!("upstream {}", url.host) } else { "upstream".to_owned() };
            let upstream = Upstream { url: url.clone(), ..upstream.clone() };
            say(name, runtime.block_on(crate::forward::probe(&upstream)))?;
        }
    }
    Ok(())
}

/// Reads the configuration, and what it names if that is wanted; what is wrong is all of it, warnings too.
fn load(
    path: &Path,
    files: bool,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Loaded, config::Report), config::Report> {
    let loaded = config::load(path, env)?;
    let mut report = loaded.warnings.clone();
    if files {
        report.extend(config::files::check(&loaded));
    }
    if report.error_count() > 0 { Err(report) } else { Ok((loaded, report)) }
}

/// The check of the files alone, with the environment and the output given; returns what was loaded, for those who look
/// further.
///
/// # Errors
/// As [`run`]; [`Failure::Failed`] when the output cannot be written.
pub fn check_to(
    path: &Path,
    files: bool,
    colour: bool,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
) -> Result<Loaded, Failure> {
    let (loaded, report) = load(path, files, env).map_err(|report| Failure::Configuration(report.render(colour)))?;
    let separator = if report.is_empty() { "" } else { "\n" };
    let text = format!("{}{separator}{}", report.render(colour), summary(&loaded));
    client::print_to(out, |out| writeln!(out, "{text}"))?;
    Ok(loaded)
}

fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let upstream = match &config.upstream {
        Some(upstream) => {
            let scheme = if upstream.url.tls { "mqtts" } else { "mqtt" };
            let host = &upstream.url.host;
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let more = match upstream.urls.len() {
                0 | 1 => String::new(),
                brokers => format!(" and {} more", brokers - 1),
            };
            format!("upstream {scheme}://{host}:{}{more}", upstream.url.port)
        }
        None => "no upstream".to_owned(),
    };
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    format!(
        "The configuration is good: gateway `{}`, {}, {}, {upstream} (from {})",
        config.gateway.id,
        count(config.sources.len(), "source"),
        count(config.alarms.len(), "alarm"),
        files.join(", "),
    )
}
