//! From files to a [`Config`], or to everything that is wrong with them.
//!
//! Owns reading the files (the main one, then `conf.d/*.toml` beside it by name), their limits, and how they are put
//! together: `[[source]]` and `[[alarm]]` add up, the keys of the tables of which there is one are set once.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keys::{self, KeyTable};
use super::model::Config;
use super::report::{Level, Problem, Report, SourceFile, order};
use super::section::Section;
use super::suggest::{suggestion, unknown_key};
use super::tree::{Context, Data, Entry, FileReference, Spot};
use super::{alarm, cross, general, home_assistant, http, limits, preset, source, syntax, upstream};

/// Largest configuration file. 5,000 alarms take about half of it.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Files in conf.d.
pub const FILES_MAX: usize = 256;
/// Sources; each is a task and a connection or port.
pub const SOURCES_MAX: usize = 256;
/// Alarms; each is tried on every new sensor.
pub const ALARMS_MAX: usize = 5_000;

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The files it came from, main file first.
    pub files: Vec<PathBuf>,
    /// What is legal but probably not meant.
    pub warnings: Report,
    /// The files it names; [`super::files::check`] looks at them.
    pub references: Vec<FileReference>,
}

/// Reads a configuration file and `conf.d/*.toml` beside it. `env` gives environment variables.
///
/// # Errors
/// Every problem there is, warnings included, with at least one error among them.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
    let mut ctx = Context::new(env);
    let mut texts = Vec::new();
    for (number, path) in std::iter::once(path.to_owned()).chain(conf_d(&mut ctx, path)).enumerate() {
        match read_file(&path) {
            Ok(text) if number == 0 && text.trim_matches(is_blank).is_empty() => {
                ctx.push(Problem::of_file(Level::Error, &path, "the file is empty"))
                    .help("was the disk full, or the power cut, when it was written?")
                    .help("a gateway that is meant to be idle needs at least [gateway]");
            }
            Ok(text) => texts.push((path, text)),
            Err(problem) => {
                ctx.push(*problem);
            }
        }
    }
    assemble(ctx, texts)
}

/// Reads a configuration from a text, reported under `name`; no files beside it.
///
/// # Errors
/// As [`load`].
pub fn load_text(name: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
    assemble(Context::new(env), vec![(name.to_owned(), text.to_owned())])
}

/// A byte order mark is none, but no text either.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// Whether a file in conf.d was probably meant to be read: `10.toml.txt`, `10.TOML`, `10.conf`. What an editor or a
/// package manager leaves beside a file was not, nor was what somebody has put aside by its name.
fn is_misnamed(name: &str) -> bool {
    let aside = ["bak", "old", "orig", "save", "disabled", "off", "example", "sample", "swp", "tmp", "md"];
    let Some((_, ending)) = name.rsplit_once('.') else { return false };
    let is_packages = [".dpkg-", ".ucf-", ".rpm"].iter().any(|mark| name.contains(mark));
    !name.starts_with('.') && !name.ends_with('~') && !is_packages && !aside.contains(&ending)
}

fn conf_d(ctx: &mut Context<'_>, main: &Path) -> Vec<PathBuf> {
    let directory = main.parent().unwrap_or(Path::new("")).join("conf.d");
    let failed =
        |error: &std::io::Error| Problem::of_file(Level::Error, &directory, format!("cannot be listed: {error}"));
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(_) if directory.is_file() => {
            let what = "conf.d is a file, not a folder: nothing of it is read";
            ctx.push(Problem::of_file(Level::Warning, &directory, what))
                .help("put it into a folder of this name, under a name that ends in .toml");
            return Vec::new();
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Vec::new(),
        Err(error) => {
            ctx.push(failed(&error));
            return Vec::new();
        }
    };
    let (mut paths, mut passed_over) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Ok(entry) => {
                let name = entry.file_name();
                let shown = name.to_string_lossy();
                if !shown.starts_with('.') && Path::new(&name).extension().is_some_and(|ending| ending == "toml") {
                    paths.push(entry.path());
                } else if is_misnamed(&shown) && entry.path().is_file() {
                    passed_over.push(entry.path());
                }
            }
            Err(error) => {
                ctx.push(failed(&error));
            }
        }
    }
    passed_over.sort();
    for path in passed_over.iter().take(FILES_MAX) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let what = format!("conf.d/{name} is not read: names must end in .toml");
        ctx.push(Problem::of_file(Level::Warning, path, what));
    }
    paths.sort();
    if paths.len() > FILES_MAX {
        ctx.push(Problem::of_file(
            Level::Error,
            &directory,
            format!("{} files here; at most {FILES_MAX}", paths.len()),
        ));
        paths.truncate(FILES_MAX);
    }
    paths
}

fn read_file(path: &Path) -> Result<String, Box<Problem>> {
    let wrong = |message: String| Box::new(Problem::of_file(Level::Error, path, message));
    let unreadable = |error: std::io::Error| {
        let mut problem = match error.kind() {
            ErrorKind::NotFound => wrong("this configuration file does not exist".into()),
            ErrorKind::PermissionDenied => wrong("this user may not read this configuration file".into()),
            ErrorKind::IsADirectory => wrong("this is a directory, not a configuration file".into()),
            _ => wrong(format!("this configuration file cannot be read: {error}")),
        };
        match error.kind() {
            ErrorKind::NotFound => problem.help("name another with --config FILE"),
            ErrorKind::PermissionDenied => problem.help(format!("see who may: ls -l {}", path.display())),
            _ => &mut *problem,
        };
        problem
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong("larger than 1 MiB; is this the configuration file?".into()));
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes[..] {
        let mut problem = wrong("not UTF-8 but UTF-16 text, as some editors write it".into());
        problem.help(format!("to convert it: iconv -f utf-16 -t utf-8 {} > new.toml", path.display()));
        return Err(problem);
    }
    if bytes.contains(&0) {
        let mut problem = wrong("the file holds zero bytes: it was lost in a power cut or on a full disk".into());
        problem.help("write it again");
        return Err(problem);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut problem = wrong(format!("not UTF-8 text: line {line} holds a byte that is no character"));
        problem.help(format!("if it was written as Latin-1: iconv -f latin1 -t utf-8 {} > new.toml", path.display()));
        problem
    })
}

/// A table that is there once, gathered from all files.
struct Single<'t> {
    keys: &'static KeyTable,
    parts: Vec<(Spot, &'t [Entry])>,
}

impl<'t> Single<'t> {
    fn section(&self, ctx: &mut Context<'_>) -> Section<'t> {
        let head = self.parts.first().map_or(Spot { file: 0, start: 0, end: 0 }, |(spot, _)| *spot);
        let parts: Vec<&[Entry]> = self.parts.iter().map(|(_, entries)| *entries).collect();
        Section::new(ctx, self.keys, head, &parts)
    }
}

fn assemble(mut ctx: Context<'_>, texts: Vec<(PathBuf, String)>) -> Result<Loaded, Report> {
    let ctx = &mut ctx;
    let files: Vec<PathBuf> = texts.iter().map(|(path, _)| path.clone()).collect();
    let mut trees = Vec::new();
    for (number, (path, text)) in texts.into_iter().enumerate() {
        // A byte order mark is no text.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        ctx.files.push(Arc::new(SourceFile::new(&path, text)));
        trees.push(syntax::parse(ctx, number));
    }
    let single = |keys| Single { keys, parts: Vec::new() };
    let mut singles =
        [&keys::GATEWAY, &keys::STORE, &keys::UPSTREAM, &keys::HTTP, &keys::RECORD, &keys::HOME_ASSISTANT].map(single);
    let (mut sources, mut alarms) = (Vec::new(), Vec::new());
    for entry in trees.iter().flatten() {
        match entry.name.as_str() {
            "gateway" => one(ctx, entry, &mut singles[0]),
            "store" => one(ctx, entry, &mut singles[1]),
            "upstream" => one(ctx, entry, &mut singles[2]),
            "http" => one(ctx, entry, &mut singles[3]),
            "record" => one(ctx, entry, &mut singles[4]),
            "home_assistant" => one(ctx, entry, &mut singles[5]),
            "source" => many(ctx, entry, SOURCES_MAX, &mut sources),
            "alarm" => many(ctx, entry, ALARMS_MAX, &mut alarms),
            _ => stray(ctx, entry),
        }
    }
    let [gateway, store, to_upstream, http, to_record, home_assistant] = singles;
    let section = gateway.section(ctx);
    let gateway = general::gateway(ctx, &section);
    let section = store.section(ctx);
    let store = general::store(ctx, &section);
    let mut record = None;
    if !to_record.parts.is_empty() {
        let section = to_record.section(ctx);
        record = general::record(ctx, &section, &store);
    }
    let section = http.section(ctx);
    let http = http::read(ctx, &section);
    let section = home_assistant.section(ctx);
    let home_assistant = home_assistant::read(ctx, &section);
    let (mut to, mut to_spot) = (None, Spot { file: 0, start: 0, end: 0 });
    if !to_upstream.parts.is_empty() {
        let section = to_upstream.section(ctx);
        to = general::upstream(ctx, &section, &gateway.id, &gateway.time_zone);
        to_spot = section.spot(if section.has("client_id") { "client_id" } else { upstream::url_key(&section) });
    }
    let mut read_sources = Vec::new();
    let sources: Vec<_> = sources.into_iter().map(|(spot, entries)| (spot, preset::apply(ctx, entries))).collect();
    for (spot, entries) in &sources {
        let section = Section::new(ctx, &keys::SOURCE, *spot, &[entries.as_ref()]);
        read_sources.extend(source::read(ctx, &section, &gateway.id));
    }
    let mut read_alarms = Vec::new();
    for (spot, entries) in alarms {
        let section = Section::new(ctx, &keys::ALARM, spot, &[entries]);
        read_alarms.extend(alarm::read(ctx, &section));
    }
    cross::unique(ctx, "source", read_sources.iter().map(|read| (&read.source.name, read.name)));
    cross::unique(ctx, "alarm", read_alarms.iter().map(|read| (&read.alarm.name, read.name)));
    if let Some((wanted, spot)) = &home_assistant {
        home_assistant::check(ctx, wanted, *spot, &read_sources);
    }
    cross::sources(ctx, &read_sources, to.as_ref().map(|upstream| (upstream, to_spot)));
    if ctx.report.error_count() == 0 {
        // Only then, so that a mistake which both of them know is told once.
        cross::decoders(ctx, &read_sources);
    }
    // What is missing or matches nothing may be among what could not be read.
    let whole = ctx.report.error_count() == 0;
    let sources: Vec<_> = read_sources.into_iter().map(|read| read.source).collect();
    let alarms = read_alarms.iter().map(|read| read.alarm.clone()).collect();
    let hooks = read_alarms.iter().filter_map(|read| read.hook.clone()).collect();
    let home_assistant = home_assistant.map(|(wanted, _)| wanted);
    let config = Config { gateway, sources, alarms, store, upstream: to, http, record, home_assistant, hooks };
    if whole {
        cross::patterns(ctx, &read_alarms, &config.sources, config.watches_itself());
        cross::groups(ctx, &read_alarms);
        limits::check(ctx, &read_alarms, &config.sources);
    }
    let mut report = std::mem::take(&mut ctx.report);
    report.sort(&ctx.files);
    let mut references = std::mem::take(&mut ctx.references);
    references.sort_by_key(|reference| order(&ctx.files, &reference.place));
    if !whole {
        return Err(report);
    }
    let main = files.first().cloned().unwrap_or_default();
    let lacks = cross::lacks(&config).into_iter().map(|text| Problem::of_file(Level::Warning, &main, text));
    report.problems.splice(0..0, lacks);
    Ok(Loaded { config, files, warnings: report, references })
}

fn one<'t>(ctx: &mut Context<'_>, entry: &'t Entry, single: &mut Single<'t>) {
    match &entry.value.data {
        Data::Table(entries) => {
            ctx.heads.push(entry.value.spot);
            single.parts.push((entry.value.spot, entries));
        }
        Data::List(_) => {
            ctx.error(entry.key, format!("there is only one {}", single.keys.title)).label("in single brackets");
        }
        _ => {
            ctx.error(entry.key, format!("`{}` is {}", entry.name, entry.value.kind()))
                .label(format!("expected a table that starts with {}", single.keys.title));
        }
    }
}

fn many<'t>(ctx: &mut Context<'_>, entry: &'t Entry, count_max: usize, into: &mut Vec<(Spot, &'t [Entry])>) {
    let name = &entry.name;
    let Data::List(items) = &entry.value.data else {
        ctx.heads.push(entry.value.spot);
        ctx.error(entry.key, format!("`{name}` is {}", entry.value.kind()))
            .label("in double brackets")
            .help(format!("every {name} starts with [[{name}]]"));
        return;
    };
    for item in items {
        ctx.heads.push(item.spot);
        match &item.data {
            Data::Table(_) if into.len() == count_max => {
                ctx.error(item.spot, format!("more than {count_max} {name}s"));
                return;
            }
            Data::Table(entries) => into.push((item.spot, entries)),
            _ => {
                ctx.error(item.spot, format!("an entry of `{name}` is {}", item.kind()))
                    .label(format!("expected tables that start with [[{name}]]"));
            }
        }
    }
}

/// Something at the top of the file that does not belong there.
fn stray(ctx: &mut Context<'_>, entry: &Entry) {
    let table = matches!(entry.value.data, Data::Table(_) | Data::List(_));
    if table {
        ctx.heads.push(entry.value.spot);
    }
    let owner = [&keys::GATEWAY, &keys::STORE, &keys::UPSTREAM, &keys::HTTP, &keys::RECORD, &keys::HOME_ASSISTANT]
        .into_iter()
        .find(|table| table.key(&entry.name).is_some());
    if let (false, Some(owner)) = (table, owner) {
        ctx.error(entry.key, format!("`{}` stands before any table", entry.name))
            .label(format!("belongs under {}", owner.title));
    } else if let (true, Some(key)) = (table, suggestion(keys::ROOT.keys, &entry.name)) {
        let written = if matches!(key.name, "source" | "alarm") {
            format!("[[{}]]", key.name)
        } else {
            format!("[{}]", key.name)
        };
        ctx.error(entry.key, format!("unknown table `{}`", entry.name))
            .label(format!("did you mean {written}?"))
             .help("the tables are [gateway], [[source]], [[alarm]], [store], [upstream], [http], [record] and [home_assistant]");
    } else {
        unknown_key(ctx, &keys::ROOT, None, entry);
    }
}
