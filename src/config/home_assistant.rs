//! `[home_assistant]`: alarms as entities of Home Assistant.

use super::general::shared;
use super::model::{DISCOVERY_PREFIX, HomeAssistant};
use super::section::Section;
use super::source;
use super::tree::{Context, Spot};
use crate::config::model::SourceKind;

/// Longest prefix, bytes.
const PREFIX_BYTES_MAX: usize = 128;

/// The table, and where it names its source.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<(HomeAssistant, Spot)> {
    section.check_variant(ctx, "");
    let enabled = section.boolean(ctx, "enabled").unwrap_or(false);
    let source = section.name(ctx, "source");
    let prefix = section.filled_text(ctx, "discovery_prefix", PREFIX_BYTES_MAX);
    if let Some(prefix) = prefix.as_ref().filter(|prefix| {
        prefix.value.contains(['+', '#']) || prefix.value.starts_with('/') || prefix.value.ends_with('/')
    }) {
        ctx.error(prefix.spot, "this is no prefix of a topic")
            .label("expected levels without wildcards, and no slash at either end, as in \"homeassistant\"");
    }
    if enabled && source.is_none() && section.lacks(ctx, "source") {
        ctx.error(section.spot("enabled"), "[home_assistant] needs `source`")
            .label("at which broker? name a [[source]] with type = \"mqtt\"");
    }
    let source = source.filter(|_| enabled)?;
    let spot = source.spot;
    let discovery_prefix = prefix.map_or_else(|| DISCOVERY_PREFIX.to_owned(), |prefix| prefix.value);
    Some((HomeAssistant { source: shared(source), discovery_prefix }, spot))
}

/// Whether the source is there and has a broker.
pub fn check(ctx: &mut Context<'_>, wanted: &HomeAssistant, spot: Spot, sources: &[source::Read]) {
    let found = sources.iter().find(|read| read.source.name == wanted.source);
    match found.map(|read| &read.source.kind) {
        Some(SourceKind::Mqtt(_)) => {}
        Some(_) => {
            ctx.error(spot, format!("source `{}` has no broker", wanted.source))
                .label("expected the name of a [[source]] with type = \"mqtt\"");
        }
        None => {
            ctx.error(spot, format!("there is no source `{}`", wanted.source))
                .label("expected the name of a [[source]] with type = \"mqtt\"");
        }
    }
}
