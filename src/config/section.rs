//! A table being read: known keys, typed values, and a plain word about everything else.
//!
//! Owns unknown-key suggestions, "missing", and the readers of single values (text, number, duration, size, choice,
//! list). A reader that finds something wrong reports it and returns `None`, and reading goes on.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::interpolate::interpolate;
use super::keys::{Default, Key, KeyTable};
use super::tree::{Context, Data, Entry, FileReference, Node, Role, Spot};
use super::units;

/// Longest text value, bytes, after variables are filled in. Paths end at 4096.
const TEXT_BYTES_MAX: usize = 4096;

/// Longest word compared for likeness, bytes; comparing is quadratic.
const COMPARED_BYTES_MAX: usize = 128;

/// Characters of a value repeated in a message.
const FOUND_CHARS_MAX: usize = 60;

/// A table of one kind, from one or several places.
pub struct Section<'t> {
    /// Its keys.
    pub keys: &'static KeyTable,
    /// Where it starts, for what is missing.
    pub head: Spot,
    entries: BTreeMap<&'t str, &'t Entry>,
}

impl<'t> Section<'t> {
    /// Takes the entries of a table (or of several that make one) and refuses unknown keys and keys set twice.
    pub fn new(ctx: &mut Context<'_>, keys: &'static KeyTable, head: Spot, parts: &[&'t [Entry]]) -> Self {
        let mut entries: BTreeMap<&'t str, &'t Entry> = BTreeMap::new();
        for entry in parts.iter().flat_map(|part| part.iter()) {
            if keys.key(&entry.name).is_none() {
                unknown_key(ctx, keys, entry);
            } else if let Some(first) = entries.get(entry.name.as_str()) {
                let first = ctx.place(first.key);
                ctx.error(entry.key, format!("`{}` of {} is set twice", entry.name, keys.noun))
                    .label("the second time")
                    .note(first, "the first time")
                    .help("remove one of them; files in conf.d add to the main file, they do not override it");
            } else {
                entries.insert(&entry.name, entry);
            }
        }
        Self { keys, head, entries }
    }

    /// The entry of a key, if it is there.
    pub fn entry(&self, name: &str) -> Option<&'t Entry> {
        debug_assert!(self.keys.key(name).is_some(), "`{name}` is not declared in keys.rs");
        self.entries.get(name).copied()
    }

    /// Whether a key is there, right or wrong.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// All entries, by name.
    pub fn entries(&self) -> impl Iterator<Item = &'t Entry> {
        self.entries.values().copied()
    }

    /// Where a key's value is, or the table when it is left out.
    pub fn spot(&self, name: &str) -> Spot {
        self.entry(name).map_or(self.head, |entry| entry.value.spot)
    }

    /// Reports a required key that is not there.
    pub fn require(&self, ctx: &mut Context<'_>, name: &'static str) {
        if self.has(name) || ctx.is_damaged(self.head) {
            return;
        }
        let takes = self.keys.key(name).map_or("", |key| key.takes);
        ctx.error(self.head, format!("{} needs `{name}`", self.keys.noun))
            .label(format!("`{name}` is missing: {takes}"));
    }

    /// Reports every required key of the chosen variant that is missing, and every key that belongs to another one.
    pub fn check_variant(&self, ctx: &mut Context<'_>, variant: &str) {
        for key in self.keys.keys {
            let belongs = key.only.is_empty() || key.only.contains(&variant);
            if belongs && key.default == Default::Required {
                self.require(ctx, key.name);
            }
            if let Some(entry) = self.entry(key.name)
                && !belongs
            {
                let selector = self.keys.selector;
                let owners: Vec<String> = key.only.iter().map(|only| format!("\"{only}\"")).collect();
                ctx.error(entry.key, format!("`{}` has no meaning with {selector} = \"{variant}\"", key.name))
                    .label(format!("only with {selector} = {}", owners.join(" or ")));
            }
        }
    }

    /// A text.
    pub fn text(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<Text> {
        self.entry(name).and_then(|entry| text(ctx, &entry.value, &quoted(name)))
    }

    /// A text that is not empty.
    pub fn filled_text(&self, ctx: &mut Context<'_>, name: &'static str, bytes_max: usize) -> Option<Text> {
        let text = self.text(ctx, name)?;
        if text.value.trim().is_empty() {
            ctx.error(text.spot, format!("`{name}` is empty")).label(self.expected(name));
            return None;
        }
        if text.value.len() > bytes_max {
            let found = format!("`{name}` is {} bytes long", text.value.len());
            ctx.error(text.spot, found).label(format!("at most {bytes_max}"));
            return None;
        }
        if text.value.chars().any(|c| c.is_control()) {
            ctx.error(text.spot, format!("`{name}` holds a control character (a tab or line end, perhaps)"));
            return None;
        }
        Some(text)
    }

    /// A name of letters, digits, `-` and `_`.
    pub fn name(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<Text> {
        let text = self.text(ctx, name)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.value.is_empty() || text.value.len() > super::NAME_BYTES_MAX || !text.value.chars().all(fits) {
            let found = match text.shown() {
                Some(shown) => format!("`{shown}` cannot be used as `{name}`"),
                None => format!("this cannot be used as `{name}`"),
            };
            ctx.error(text.spot, found)
                .label(format!("letters, digits, `-` and `_`, 1 to {} of them", super::NAME_BYTES_MAX));
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn boolean(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<bool> {
        let entry = self.entry(name)?;
        match &entry.value.data {
            Data::Bool(state) => Some(*state),
            Data::Text(text) if matches!(text.as_str(), "true" | "false") => {
                let help = format!("write {name} = {text}, without quotes");
                wrong_type(ctx, &entry.value, &quoted(name), "true or false").help(help);
                None
            }
            _ => {
                wrong_type(ctx, &entry.value, &quoted(name), "true or false");
                None
            }
        }
    }

    /// A whole number in bounds.
    pub fn integer<T: TryFrom<i64>>(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Option<T> {
        let entry = self.entry(name)?;
        let expected = self.keys.key(name).map_or("a whole number", |key| key.takes);
        match &entry.value.data {
            Data::Integer(Some(number)) if bounds.contains(number) => T::try_from(*number).ok(),
            Data::Integer(_) => {
                out_of_bounds(ctx, entry, expected);
                None
            }
            Data::Text(text) if text.trim().parse::<i64>().is_ok() => {
                let help = format!("write {name} = {}, without quotes", text.trim());
                wrong_type(ctx, &entry.value, &quoted(name), expected).help(help);
                None
            }
            _ => {
                wrong_type(ctx, &entry.value, &quoted(name), expected);
                None
            }
        }
    }

    /// A finite number.
    pub fn number(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<f64> {
        self.entry(name).and_then(|entry| number(ctx, &entry.value, &quoted(name)))
    }

    /// A duration in bounds.
    pub fn duration(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let bare = |number: &dyn Display| {
            format!("write \"{number}s\" if seconds are meant, or \"{number}ms\", \"{number}m\"")
        };
        let (found, entry) = self.with_unit(ctx, name, "a duration such as \"30s\"", bare, units::duration)?;
        if bounds.contains(&found) {
            return Some(found);
        }
        self.beyond(ctx, entry, &units::show_duration(*bounds.start()), &units::show_duration(*bounds.end()));
        None
    }

    /// A size in bytes, in bounds.
    pub fn size(&self, ctx: &mut Context<'_>, name: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let bare = |number: &dyn Display| match number.to_string().parse::<u64>() {
            Ok(bytes) => format!("write \"{}\" if bytes are meant", units::show_size(bytes)),
            Err(_) => "write it as \"64MiB\"".to_owned(),
        };
        let (found, entry) = self.with_unit(ctx, name, "a size such as \"64MiB\"", bare, units::size)?;
        if bounds.contains(&found) {
            return Some(found);
        }
        self.beyond(ctx, entry, &units::show_size(*bounds.start()), &units::show_size(*bounds.end()));
        None
    }

    fn beyond(&self, ctx: &mut Context<'_>, entry: &Entry, low: &str, high: &str) {
        ctx.error(entry.value.spot, format!("`{}` is out of bounds", entry.name))
            .label(format!("expected {low} to {high}"));
    }

    fn with_unit<T>(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        expected: &str,
        bare: impl Fn(&dyn Display) -> String,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<(T, &'t Entry)> {
        let entry = self.entry(name)?;
        let number: &dyn Display = match &entry.value.data {
            Data::Text(_) => {
                let text = text(ctx, &entry.value, &quoted(name))?;
                return match read(&text.value) {
                    Ok(value) => Some((value, entry)),
                    Err(why) => {
                        unreadable(ctx, &text, name).label(why);
                        None
                    }
                };
            }
            Data::Integer(Some(number)) => number,
            Data::Number(Some(number)) => number,
            _ => {
                wrong_type(ctx, &entry.value, &quoted(name), expected);
                return None;
            }
        };
        let help = bare(number);
        ctx.error(entry.value.spot, format!("`{name}` has no unit")).label(format!("expected {expected}")).help(help);
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let entry = self.entry(name)?;
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = one_of(&words, "\"");
        if !matches!(entry.value.data, Data::Text(_)) {
            wrong_type(ctx, &entry.value, &quoted(name), &expected);
            return None;
        }
        let text = text(ctx, &entry.value, &quoted(name))?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let near = nearest(&text.value.to_ascii_lowercase(), words.iter().copied());
        let problem = match text.shown() {
            Some(shown) => ctx.error(text.spot, format!("`{name}` cannot be \"{shown}\"")),
            None => ctx.error(text.spot, format!("`{name}` cannot be this")),
        };
        problem.label(match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("expected {expected}"),
        });
        if near.is_some() {
            problem.help(format!("expected {expected}"));
        }
        None
    }

    /// A list, at most so long.
    pub fn list(&self, ctx: &mut Context<'_>, name: &'static str, length_max: usize) -> Option<&'t [Node]> {
        let entry = self.entry(name)?;
        let Data::List(items) = &entry.value.data else {
            let raw: String = ctx.raw(entry.value.spot).chars().take(FOUND_CHARS_MAX + 1).collect();
            let scalar = matches!(entry.value.data, Data::Text(_) | Data::Integer(_) | Data::Number(_) | Data::Bool(_));
            let problem =
                wrong_type(ctx, &entry.value, &quoted(name), self.keys.key(name).map_or("a list", |key| key.takes));
            if scalar && raw.len() <= FOUND_CHARS_MAX && !raw.contains('\n') {
                problem.help(format!("a list stands in brackets: {name} = [{raw}]"));
            }
            return None;
        };
        if items.len() > length_max {
            ctx.error(entry.value.spot, format!("`{name}` holds {} entries", items.len()))
                .label(format!("at most {length_max}"));
            return None;
        }
        Some(items)
    }

    /// A list of texts.
    pub fn texts(&self, ctx: &mut Context<'_>, name: &'static str, length_max: usize) -> Option<Vec<Text>> {
        let items = self.list(ctx, name, length_max)?;
        Some(items.iter().filter_map(|item| text(ctx, item, &format!("an entry of `{name}`"))).collect())
    }

    /// Two numbers, the first below the second.
    pub fn range(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<(f64, f64)> {
        let items = self.list(ctx, name, usize::MAX)?;
        let what = format!("an entry of `{name}`");
        let [low, high] = items else {
            let found = format!("`{name}` holds {} entries", items.len());
            ctx.error(self.spot(name), found).label("expected two numbers: [low, high]");
            return None;
        };
        let (low, high) = (number(ctx, low, &what), number(ctx, high, &what));
        let (low, high) = (low?, high?);
        if low >= high {
            ctx.error(self.spot(name), format!("`{name}` is empty: {low} is not below {high}"))
                .label("expected [low, high]");
            return None;
        }
        Some((low, high))
    }

    /// A file's path; remembered for the check that it is there and safe.
    pub fn file(&self, ctx: &mut Context<'_>, name: &'static str, role: Role) -> Option<PathBuf> {
        let text = self.filled_text(ctx, name, TEXT_BYTES_MAX)?;
        let path = PathBuf::from(text.value);
        let directory = (ctx.env)("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
        let credential = directory.is_some_and(|directory| path.starts_with(directory));
        let place = ctx.place(text.spot);
        ctx.references.push(FileReference { path: path.clone(), role, place, credential });
        Some(path)
    }

    /// Whether a key with a wrong value may go unmentioned: what it should hold.
    pub fn expected(&self, name: &str) -> String {
        format!("expected {}", self.keys.key(name).map_or("a value", |key| key.takes))
    }
}

/// A text value, variables filled in.
#[derive(Clone)]
pub struct Text {
    /// The text.
    pub value: String,
    /// Its value's place, quotes included.
    pub spot: Spot,
    /// It stands in the file as it is: one quote, no escapes, no variables.
    plain: bool,
}

impl Text {
    /// A key's own name, as a text.
    pub fn of_key(entry: &Entry) -> Self {
        Self { value: entry.name.clone(), spot: entry.key, plain: false }
    }

    /// The place of some bytes of the text, where it is possible to tell.
    pub fn at(&self, start: usize, end: usize) -> Spot {
        match self.plain {
            true => Spot { start: self.spot.start + 1 + start, end: self.spot.start + 1 + end, ..self.spot },
            false => self.spot,
        }
    }

    /// The text for a message: only if it stands in the file so, since variables may hold secrets, and only if short.
    pub fn shown(&self) -> Option<&str> {
        (self.plain && self.value.chars().count() <= FOUND_CHARS_MAX).then_some(&*self.value)
    }
}

/// Reads a text and fills in its variables.
pub fn text(ctx: &mut Context<'_>, node: &Node, what: &str) -> Option<Text> {
    let Data::Text(written) = &node.data else {
        wrong_type(ctx, node, what, "a text");
        return None;
    };
    let raw = ctx.raw(node.spot);
    let plain = raw.len() == written.len() + 2 && raw.get(1..raw.len() - 1) == Some(written);
    match interpolate(written, ctx.env) {
        Ok(value) if value.len() > TEXT_BYTES_MAX => {
            ctx.error(node.spot, format!("{what} is {} bytes long", value.len()))
                .label(format!("at most {TEXT_BYTES_MAX}"));
            None
        }
        Ok(value) => Some(Text { plain: plain && value == *written, value, spot: node.spot }),
        Err(faults) => {
            let whole = Text { value: String::new(), spot: node.spot, plain };
            for fault in faults {
                let problem = ctx.error(whole.at(fault.bytes.start, fault.bytes.end), fault.message);
                if fault.variable == "CREDENTIALS_DIRECTORY" {
                    problem.help("systemd sets it for the service (LoadCredential=); to check by hand, set it to a directory with the same files");
                } else if matches!(
                    fault.variable.as_str(),
                    "topic" | "payload" | "sensor" | "gateway" | "severity" | "alarm" | "type"
                ) {
                    problem
                        .help(format!("a place in a template is written {{{}}}, without the dollar", fault.variable));
                } else if !fault.variable.is_empty() {
                    problem.help(format!("set it, or give a default: ${{{}:-default}}", fault.variable));
                } else {
                    problem.help("an environment variable is written ${NAME}; for a dollar sign itself write $$");
                }
            }
            None
        }
    }
}

/// Reads a finite number.
pub fn number(ctx: &mut Context<'_>, node: &Node, what: &str) -> Option<f64> {
    match &node.data {
        Data::Integer(Some(number)) => Some(*number as f64),
        Data::Number(Some(number)) if number.is_finite() => Some(*number),
        Data::Integer(None) | Data::Number(_) => {
            ctx.error(node.spot, format!("{what} is no number that can be compared")).label("expected a finite number");
            None
        }
        Data::Text(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
            let help = format!("write {}, without quotes", text.trim());
            wrong_type(ctx, node, what, "a number").help(help);
            None
        }
        Data::Text(text) if text.contains("${") => {
            wrong_type(ctx, node, what, "a number")
                .help("variables are filled in inside texts only; write the number itself");
            None
        }
        _ => {
            wrong_type(ctx, node, what, "a number");
            None
        }
    }
}

/// Reports a value of the wrong type.
pub fn wrong_type<'c>(
    ctx: &'c mut Context<'_>,
    node: &Node,
    what: &str,
    expected: &str,
) -> &'c mut super::report::Problem {
    ctx.error(node.spot, format!("{what} is {}", node.kind())).label(format!("expected {expected}"))
}

/// Reports a text that cannot be read as what it should be; say why by a label.
pub fn unreadable<'c>(ctx: &'c mut Context<'_>, text: &Text, name: &str) -> &'c mut super::report::Problem {
    match text.shown() {
        // An address may hold a password; the report masks the line, and the message must not give it away.
        Some(shown) if !shown.contains('@') => ctx.error(text.spot, format!("`{name}`: cannot read \"{shown}\"")),
        _ => ctx.error(text.spot, format!("`{name}` cannot be read")),
    }
}

fn out_of_bounds(ctx: &mut Context<'_>, entry: &Entry, expected: &str) {
    ctx.error(entry.value.spot, format!("`{}` is out of bounds", entry.name)).label(format!("expected {expected}"));
}

/// Reports a key that no table of this kind has.
pub fn unknown_key(ctx: &mut Context<'_>, table: &'static KeyTable, entry: &Entry) {
    let is_table = matches!(entry.value.data, Data::Table(_))
        || matches!(&entry.value.data, Data::List(items) if items.iter().any(|item| matches!(item.data, Data::Table(_))));
    let what = if is_table { "table" } else { "key" };
    let near = suggestion(table, &entry.name);
    let all: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
    let problem = ctx.error(entry.key, format!("unknown {what} `{}`", printable_name(&entry.name)));
    match near {
        Some(key) => problem.label(format!("did you mean `{}`?", key.name)),
        None => problem.label(format!("not a {what} of {}", table.noun)),
    };
    match near {
        Some(key) if key.name == "password_file" => {
            problem.help("passwords do not stand in the configuration: put it into a file only this program can read, and name that file");
        }
        _ => {
            problem.help(format!("{} takes {}", table.noun, one_of(&all, "`").replace(" or ", " and ")));
        }
    }
}

fn printable_name(name: &str) -> String {
    name.chars().take(FOUND_CHARS_MAX).collect()
}

/// The key that was probably meant: by another word for it, else by likeness.
pub fn suggestion(table: &'static KeyTable, found: &str) -> Option<&'static Key> {
    if found.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let found = found.to_ascii_lowercase().replace('-', "_");
    let same = |key: &&Key| key.name == found || key.near.contains(&found.as_str());
    table.keys.iter().find(same).or_else(|| {
        let words =
            table.keys.iter().flat_map(|key| std::iter::once(&key.name).chain(key.near).map(move |word| (key, *word)));
        let scored = words.map(|(key, word)| (strsim::osa_distance(&found, word), key.name != word, key, word));
        let best = scored.filter(|(distance, _, _, word)| close(*distance, found.len(), word.len()));
        best.min_by_key(|(distance, alias, _, _)| (*distance, *alias)).map(|(_, _, key, _)| key)
    })
}

/// The word that was probably meant.
pub fn nearest<'w>(found: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if found.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let words = words.filter(|word| word.len() <= COMPARED_BYTES_MAX);
    let scored = words.map(|word| (strsim::osa_distance(found, word), word));
    scored.filter(|(distance, word)| close(*distance, found.len(), word.len())).min().map(|(_, word)| word)
}

fn close(distance: usize, found: usize, word: usize) -> bool {
    distance <= found.min(word).div_ceil(3).min(3) && distance < found.min(word)
}

/// "`a`, `b` or `c`".
pub fn one_of(words: &[&str], quote: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{quote}{word}{quote}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}
