//! `on_event` of an alarm: a program of the operator's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::keys::ON_EVENT;
use super::model::{Hook, HookOn};
use super::section::Section;
use super::text::wrong_type;
use super::tree::{Context, Data, FileReference, Role};

/// Program and arguments.
const WORDS_MAX: usize = 32;

/// Longest time a program may be given; who needs longer hands over to something else.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Time it has when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads it where the alarm has it.
pub fn read(ctx: &mut Context<'_>, alarm: &Section<'_>, name: &Arc<str>) -> Option<Hook> {
    let entry = alarm.entry("on_event")?;
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`on_event`", "a table such as { command = [\"/usr/local/bin/siren\", \"on\"] }");
        return None;
    };
    let section = Section::new(ctx, &ON_EVENT, entry.value.spot, &[entries]);
    section.check_variant(ctx, "");
    let timeout = section.duration(ctx, "timeout", Duration::from_millis(100)..=TIMEOUT_MAX).unwrap_or(TIMEOUT);
    let mut on = Vec::new();
    for text in section.texts(ctx, "on", HookOn::ALL.len()).unwrap_or_default() {
        match HookOn::ALL.iter().find(|(name, _)| *name == text.value) {
            Some((_, wanted)) => on.push(*wanted),
            None => {
                ctx.error(text.spot, format!("`{}` is no kind of event of an alarm", text.value))
                    .label("expected \"exceeded\", \"repeated\" or \"cleared\"");
            }
        }
    }
    if !section.has("on") {
        on = vec![HookOn::Exceeded, HookOn::Cleared];
    } else if on.is_empty() {
        ctx.error(section.spot("on"), "`on` is empty: the program would never run");
    }
    let words = section.texts(ctx, "command", WORDS_MAX)?;
    match words.first() {
        None => {
            ctx.error(section.spot("command"), "`command` is empty")
                .label("expected a program's path and its arguments");
        }
        Some(program) if !program.value.starts_with('/') => {
            ctx.error(program.spot, "this is no whole path of a program")
                .label("expected one that begins with `/`; there is no shell that would look for it");
        }
        Some(program) => {
            let place = ctx.place(program.spot);
            let path = PathBuf::from(&program.value);
            ctx.references.push(FileReference { path, role: Role::Program, place, credential: false });
        }
    }
    let command = words.into_iter().map(|word| word.value).collect();
    Some(Hook { alarm: Arc::clone(name), command, timeout, on })
}
