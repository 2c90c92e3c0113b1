//! `tidegate check`: says everything that is wrong with the configuration, and starts nothing.

use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::cli::client;
use crate::config::model::Upstream;
use crate::config::{self, Loaded};
use crate::error::Failure;

/// Checks a configuration file and `conf.d` beside it; with `files` also the certificates, keys and password files they
/// name; with `environment` also everything around: the store's folder, the sources, the upstream. Each is tried,
/// whatever the others say. Warnings and a summary go to standard output.
///
/// # Errors
/// [`Failure::Configuration`] with the whole report; [`Failure::Failed`] when something around is not as configured.
pub fn run(path: &Path, files: bool, environment: bool) -> Result<(), Failure> {
    // Errors go to the one, warnings to the other.
    let colour = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
    let env = |name: &str| std::env::var(name).ok();
    let loaded = check_to(path, files, colour, &env, &mut std::io::stdout().lock())?;
    if !environment {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("error: the runtime cannot start: {error}")))?;
    let config = &loaded.config;
    let mut wrong = 0_usize;
    let mut say = |what: &str, found: Result<String, String>| {
        let (mark, text) = match found {
            Ok(text) => ("ok   ", text),
            Err(text) => {
                wrong += 1;
                ("WRONG", text)
            }
        };
        client::print(|out| writeln!(out, "{mark} {what}: {text}"))
    };
    say("store", crate::store::probe(&config.store))?;
    for source in &config.sources {
        say(&format!("source `{}`", source.name), runtime.block_on(crate::source::probe(source)))?;
    }
    if let Some(upstream) = &config.upstream {
        for url in &upstream.urls {
            let name = if upstream.urls.len() > 1 { format!("upstream {}", url.host) } else { "upstream".to_owned() };
            let upstream = Upstream { url: url.clone(), ..upstream.clone() };
            say(&name, runtime.block_on(crate::forward::probe(&upstream)))?;
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::Failed("error: 1 thing around is not as configured, see above".to_owned())),
        _ => Err(Failure::Failed(format!("error: {wrong} things around are not as configured, see above"))),
    }
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
    let refused = |report: &config::Report| Failure::Configuration(report.render(colour));
    let loaded = config::load(path, env).map_err(|report| refused(&report))?;
    let mut report = loaded.warnings.clone();
    if files {
        report.extend(config::files::check(&loaded));
    }
    if report.error_count() > 0 {
        return Err(refused(&report));
    }
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
