//! The keys of the formats that belong to one kind of device.

use crate::config::model::Format;
use crate::config::section::Section;
use crate::config::tree::Context;

/// Where the meters with a P1 port are: the Netherlands, Belgium and Luxembourg keep the same time.
pub const P1_TIME_ZONE: &str = "Europe/Amsterdam";

pub fn nmea(ctx: &mut Context<'_>, section: &Section<'_>) -> Format {
    let unchecked = section.choice(ctx, "checksum", &[("required", false), ("optional", true)]);
    Format::Nmea { unchecked: unchecked.unwrap_or(false) }
}

pub fn scale(ctx: &mut Context<'_>, section: &Section<'_>) -> Format {
    let keep = section.choice(ctx, "unstable", &[("drop", false), ("keep", true)]);
    Format::Scale { keep_unstable: keep.unwrap_or(false) }
}
