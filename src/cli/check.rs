//! `tidegate check`: says everything that is wrong with the configuration, and starts nothing.

use std::io::Write;
use std::path::Path;

use crate::config::{self, Loaded};
use crate::error::Failure;

/// Checks a configuration file, `conf.d` beside it, and the certificates, keys and password files they name. Warnings
/// and a summary go to standard output.
///
/// # Errors
/// [`Failure::Configuration`] with the whole report.
pub fn check(path: &Path, colour: bool) -> Result<(), Failure> {
    check_to(path, colour, &|name| std::env::var(name).ok(), &mut std::io::stdout().lock()).map(drop)
}

/// [`check`] with the environment and the output given; returns what was loaded, for those who look further.
///
/// # Errors
/// As [`check`]; [`Failure::Failed`] when the output cannot be written.
pub fn check_to(
    path: &Path,
    colour: bool,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut dyn Write,
) -> Result<Loaded, Failure> {
    let refused = |report: &config::Report| Failure::Configuration(report.render(colour));
    let loaded = config::load(path, env).map_err(|report| refused(&report))?;
    let mut report = loaded.warnings.clone();
    report.extend(config::files::check(&loaded));
    if report.error_count() > 0 {
        return Err(refused(&report));
    }
    let unwritable = |error: std::io::Error| Failure::Failed(format!("the report cannot be written: {error}"));
    if !report.is_empty() {
        writeln!(out, "{}", report.render(colour)).map_err(unwritable)?;
    }
    writeln!(out, "{}", summary(&loaded)).map_err(unwritable)?;
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
            format!("upstream {scheme}://{host}:{}", upstream.url.port)
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
