//! `tidegate doctor`: what a store holds, what is broken in it, and what to do; and whatever is readable, out of it.
//!
//! Owns the words. The look itself is [`crate::store::inspect`]; nothing in the store is changed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::client;
use crate::config::{self, model::Encoding};
use crate::error::Failure;
use crate::event::wire;
use crate::store::export::{self, Exported};
use crate::store::inspect::{self, Generation, Place, Report};

/// Most dead letters, losses and findings shown one by one to a person; JSON has them all.
const SHOWN_MAX: usize = 10;

/// Folders looked into for the store that is not where somebody said.
const LOOKED_INTO_MAX: usize = 256;

/// What is asked for on the command line.
#[derive(Debug)]
pub struct Wanted {
    /// The configuration that names the store, unless `store` does.
    pub config: PathBuf,
    /// The store's directory.
    pub store: Option<PathBuf>,
    /// Where to write events: a file that does not exist yet, or `-`.
    pub export: Option<PathBuf>,
    /// Delivered ones too.
    pub all: bool,
    /// The gateway's name in exported events.
    pub gateway: Option<String>,
    /// For scripts.
    pub json: bool,
}

/// Looks at a store, tells, and exports.
///
/// # Errors
/// [`Failure::Usage`] when there is no store to look at, [`Failure::Failed`] when it is damaged or cannot be read.
pub fn run(wanted: Wanted) -> Result<(), Failure> {
    let is_given = wanted.store.is_some();
    let (path, max_bytes, named) = match wanted.store {
        Some(path) => (path, None, None),
        None => {
            let env = |name: &str| std::env::var(name).ok();
            let loaded = config::load(&wanted.config, &env).map_err(|report| {
                let help = "\n  = help: `tidegate doctor --store PATH` needs no configuration";
                Failure::Configuration(format!("{report}{help}"))
            })?;
            let config = loaded.config;
            (config.store.path, Some(config.store.max_bytes), Some(config.gateway.id.to_string()))
        }
    };
    let gateway = wanted.gateway.or(named);
    if wanted.export.is_some() && gateway.is_none() {
        return Err(Failure::Usage(
            "error: exported events carry the gateway's name: give it with --gateway NAME, or the configuration with \
             --config FILE instead of --store"
                .to_owned(),
        ));
    }
    if !path.is_dir() && !matches!(path.metadata(), Err(error) if error.kind() == io::ErrorKind::PermissionDenied) {
        return Err(Failure::Usage(format!("error: {}: no store there (no such directory)", path.display())));
    }
    let is_store = inspect::is_store(&path).map_err(|error| cannot_read(&path, &error))?;
    if is_given && !is_store {
        return Err(no_store(&path));
    }
    let report = inspect::inspect(&path, max_bytes).map_err(|error| cannot_read(&path, &error))?;
    let text = if wanted.json { client::to_json(&report)? } else { render(&report, is_store) };
    let exports_here = wanted.export.as_deref() == Some(Path::new("-"));
    if exports_here {
        // Standard output is for the events alone.
        client::print_to(&mut io::stderr().lock(), |out| writeln!(out, "{text}"))?;
    } else {
        client::print(|out| writeln!(out, "{text}"))?;
    }
    if let (Some(to), Some(gateway)) = (&wanted.export, gateway) {
        let exported = export_to(&path, to, &gateway, wanted.all)?;
        let unreadable = match exported.unreadable {
            0 => String::new(),
            count => format!("; {count} records could not be decoded"),
        };
        let line = format!("exported {} events to {}{unreadable}", exported.events, to.display());
        client::print_to(&mut io::stderr().lock(), |out| writeln!(out, "{line}"))?;
    }
    if report.healthy {
        Ok(())
    } else {
        Err(Failure::Failed(format!("error: the store in {} is damaged, see the report", path.display())))
    }
}

fn export_to(path: &Path, to: &Path, gateway: &str, all: bool) -> Result<Exported, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("error: export to {}: {error}", to.display()));
    let mut out: Box<dyn Write> = if to == Path::new("-") {
        Box::new(BufWriter::new(io::stdout().lock()))
    } else {
        // Never over something that is there: it might be the store.
        Box::new(BufWriter::new(File::create_new(to).map_err(failed)?))
    };
    let mut line = Vec::new();
    let exported = export::export(path, all, |event| {
        wire::encode(event, gateway, Encoding::Json, true, &mut line);
        line.push(b'\n');
        out.write_all(&line)
    });
    match exported.and_then(|exported| out.flush().map(|()| exported)) {
        // Whoever reads has had enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exported::default()),
        result => result.map_err(failed),
    }
}

/// A folder that somebody took for a store.
fn no_store(path: &Path) -> Failure {
    let mut text = format!("error: {} holds no store (no folder `queue`); is its disk mounted?", path.display());
    let above = path.parent().filter(|above| inspect::is_store(above).unwrap_or(false));
    if let Some(further_down) = inspect::stores_below(path, LOOKED_INTO_MAX).first() {
        let _ = write!(text, "\n  = help: or is it one folder further down: {}?", further_down.display());
    } else if let Some(above) = above {
        let _ = write!(text, "\n  = help: or is it the folder above: {}?", above.display());
    }
    Failure::Failed(text)
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => "\n  = help: only root and the user tidegate runs as may read it: use sudo",
        _ => "",
    };
    Failure::Failed(format!("error: {} cannot be read: {error}{help}", path.display()))
}

fn render(report: &Report, is_store: bool) -> String {
    let mut lines = vec![format!("store     {}", report.path.display())];
    if let Some(process) = &report.running_process {
        lines.push(format!("          in use by process {process}: figures are those of a moment ago"));
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let mut disk = format!("disk      {} used", mib(report.bytes));
    if let Some(max) = report.max_bytes {
        let share = report.bytes.saturating_mul(100).checked_div(max).unwrap_or(0);
        let _ = write!(disk, " of {} ({share} % of the quota)", mib(max));
    }
    if let Some(free) = report.free_bytes {
        let _ = write!(disk, ", {} free on the disk", mib(free));
    }
    lines.push(disk);
    lines.extend(report.generations.iter().map(generation));
    let start = &report.start;
    lines.push(format!(
        "a start   finds {} stop, {} alarm states, everything delivered up to {}, {} events waiting; goes on at {}",
        match start.previous_stop {
            "first" => "no earlier",
            "clean" => "a clean",
            _ => "an unclean",
        },
        start.alarm_states,
        start.delivered,
        start.waiting,
        start.next_sequence,
    ));
    let some = |lines: &mut Vec<String>, all: Vec<String>| {
        let more = all.len().saturating_sub(SHOWN_MAX);
        lines.extend(all.into_iter().take(SHOWN_MAX));
        if more > 0 {
            lines.push(format!("          and {more} more (--json shows all)"));
        }
    };
    let lost = start.lost.iter().map(|lost| {
        let amount = if lost.exact { "" } else { "up to " };
        let (first, last) = (lost.first_sequence, lost.last_sequence);
        format!(
            "lost      {amount}{} events between {first} and {last} ({}); announced upstream",
            lost.count, lost.reason
        )
    });
    some(&mut lines, lost.collect());
    some(
        &mut lines,
        start.set_aside.iter().map(|dir| format!("aside     {} would be set aside", dir.display())).collect(),
    );
    some(&mut lines, start.findings.iter().map(|finding| format!("found     {finding}")).collect());
    some(&mut lines, report.other_files.iter().map(|file| format!("other     {file}: not ours, left alone")).collect());
    let dead = report.dead_letters.iter().map(|letter| {
        format!(
            "refused   {} {} about {} at {} after {} attempts: {}",
            letter.sequence, letter.kind, letter.subject, letter.time, letter.attempts, letter.reason
        )
    });
    some(&mut lines, dead.collect());
    lines.push(match is_store {
        true => verdict(report),
        false => "EMPTY     no gateway has run here yet; if one has, is its disk mounted?".to_owned(),
    });
    lines.join("\n")
}

fn generation(generation: &Generation) -> String {
    let place = match generation.place {
        Place::Queue => "queue     ",
        Place::Retained => "retained  ",
        Place::Quarantine => "quarantine",
    };
    let name = &generation.name;
    if let Some(error) = &generation.error {
        return format!("{place}{} {name}: cannot be read: {error}", separator(place));
    }
    let range = match (generation.first_sequence, generation.last_sequence) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    let mut text = format!(
        "{place}{} {name}: {} events{range} in {} records, {} KiB, {}, {}",
        separator(place),
        generation.events,
        generation.frames,
        generation.bytes / 1024,
        if generation.checkpoint { "with alarm states" } else { "no alarm states" },
        if generation.clean { "closed cleanly" } else { "no clean end" },
    );
    if generation.broken_chunks > 0 {
        let _ = write!(text, ", {} broken pieces", generation.broken_chunks);
    }
    if generation.newer_chunks > 0 {
        let _ = write!(text, ", {} pieces of a later version", generation.newer_chunks);
    }
    if generation.foreign {
        text.push_str(", of another store");
    }
    text
}

/// Longer words need it where the shorter ones are padded.
fn separator(place: &str) -> &'static str {
    if place.ends_with(' ') { "" } else { ":" }
}

/// In one line: how it is, and what to do.
fn verdict(report: &Report) -> String {
    let start = &report.start;
    let lost: u64 = start.lost.iter().map(|lost| lost.count).sum();
    let is_full = report.max_bytes.is_some_and(|max| report.bytes.saturating_mul(100) / max.max(1) >= 95);
    let has_newer = report.generations.iter().any(|generation| generation.newer_chunks > 0);
    let has_quarantine = report.generations.iter().any(|generation| generation.place == Place::Quarantine);
    if report.healthy {
        let mut text = "HEALTHY   nothing to do".to_owned();
        if is_full {
            text = "HEALTHY   but nearly full: see that the upstream is reached, or raise store.max_bytes".to_owned();
        }
        if has_quarantine {
            text.push_str(
                "; quarantine/ holds what was damaged earlier: take a copy if you want it looked at, the gateway \
                 removes it by itself when it needs the room",
            );
        }
        return text;
    }
    let mut text = match lost {
        0 => "DAMAGED   no event is lost".to_owned(),
        _ => format!("DAMAGED   at most {lost} events are lost"),
    };
    if has_newer {
        text.push_str("; part of it is of a later version: install that version again and it reads all of it");
    } else {
        text.push_str(
            "; the gateway starts with it as it is, delivers what can be read, announces the rest and sets the damaged \
             part aside. If the disk is to blame (`dmesg`), replace it; to save what can be read first: `tidegate \
             doctor --all --export FILE`",
        );
    }
    text
}
