//! What `[upstream]` says on order, speed and when to be connected at all.

use std::time::Duration;

use super::cron;
use super::keys::RATE_LIMIT;
use super::model::{CallPlan, Order, RateLimit, Severity};
use super::section::Section;
use super::text::{unreadable, wrong_type};
use super::tree::{Context, Data};
use crate::forward::profile::Profile;

/// Longest cron expression, bytes.
const CRON_BYTES_MAX: usize = 256;

/// `order`
pub fn order(ctx: &mut Context<'_>, section: &Section<'_>) -> Order {
    let orders = [
        ("oldest-first", Order::OldestFirst),
        ("live-first", Order::LiveFirst),
        ("severity-first", Order::SeverityFirst),
    ];
    section.choice(ctx, "order", &orders).unwrap_or_default()
}

/// `rate_limit`; where it says nothing on events, what the kind of broker takes.
pub fn rate_limit(ctx: &mut Context<'_>, section: &Section<'_>, profile: Profile) -> RateLimit {
    let default = RateLimit { events_per_second: profile.publishes_per_second(), bytes_per_second: None };
    let Some(entry) = section.entry("rate_limit") else { return default };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`rate_limit`", "a table such as { events_per_second = 50 }");
        return default;
    };
    let limits = Section::new(ctx, &RATE_LIMIT, entry.value.spot, &[entries]);
    if entries.is_empty() {
        ctx.error(entry.value.spot, "`rate_limit` limits nothing")
            .label("expected `events_per_second`, `bytes_per_second` or both");
    }
    RateLimit {
        events_per_second: limits.integer(ctx, "events_per_second", 1..=100_000).or(default.events_per_second),
        bytes_per_second: limits.size(ctx, "bytes_per_second", 64..=1 << 30),
    }
}

/// `connect_when`, `connect_for` and `connect_at_once`
pub fn calls(ctx: &mut Context<'_>, section: &Section<'_>, time_zone: &str) -> Option<CallPlan> {
    let day = Duration::from_secs(86_400);
    let longest =
        section.duration(ctx, "connect_for", Duration::from_secs(10)..=day).unwrap_or(Duration::from_secs(300));
    let [info, low, medium, high, critical] = Severity::ALL.map(|severity| (severity.as_str(), Some(severity)));
    let severities = [info, low, medium, high, critical, ("never", None)];
    let at_once = section.choice(ctx, "connect_at_once", &severities).unwrap_or(Some(Severity::Critical));
    if section.lacks(ctx, "connect_when") {
        for name in ["connect_for", "connect_at_once"] {
            if let Some(entry) = section.entry(name) {
                ctx.error(entry.key, format!("`{name}` without `connect_when`"))
                    .label("without a schedule the gateway is connected all the time");
            }
        }
        return None;
    }
    let text = section.filled_text(ctx, "connect_when", CRON_BYTES_MAX)?;
    match cron::parse(&text.value) {
        Ok(when) => Some(CallPlan { when, time_zone: time_zone.to_owned(), longest, at_once }),
        Err(why) => {
            unreadable(ctx, &text, "connect_when").label(why);
            None
        }
    }
}
