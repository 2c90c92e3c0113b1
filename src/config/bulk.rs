//! What `[upstream]` says on sending several events in one message, and on compressing what is sent.

use std::sync::Arc;
use std::time::Duration;

use super::keys::BATCH;
use super::model::Mode;
use super::section::Section;
use super::text::wrong_type;
use super::tree::{Context, Data};
use super::upstream;
use crate::forward::profile::Profile;

const DEFAULT_TOPIC: &str = "tidegate/{gateway}/batch";
const DEFAULT_EVENTS_MAX: usize = 50;
const DEFAULT_BYTES_MAX: usize = 32 << 10;
const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// `batch`: several events in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// `events_max`, 2 to 1,000. Default 50.
    pub events_max: usize,
    /// `bytes_max`: of a batch before it is compressed. Default 32 KiB, or `payload_bytes_max` if that is less.
    pub bytes_max: usize,
    /// `wait`: how long the first event of a batch waits for others. Default 5 s.
    pub wait: Duration,
    /// `topic`, filled in. Default `tidegate/<gateway>/batch`.
    pub topic: Arc<str>,
}

/// `compress`: what is done to payloads of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are sent as they are.
    #[default]
    None,
    /// `"zstd"`: one zstd frame (RFC 8878), where that is shorter.
    Zstd,
}

/// `compress`
pub fn compression(ctx: &mut Context<'_>, section: &Section<'_>) -> Compression {
    let choices = [("none", Compression::None), ("zstd", Compression::Zstd)];
    section.choice(ctx, "compress", &choices).unwrap_or_default()
}

/// `batch`, within what one message may have.
pub fn batch(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    (mode, profile, payload_bytes_max): (Mode, Profile, usize),
    gateway: &str,
) -> Option<BatchPlan> {
    let entry = section.entry("batch")?;
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`batch`", "a table such as { events_max = 50, wait = \"5s\" }");
        return None;
    };
    if mode == Mode::Binary {
        ctx.error(entry.key, "`batch` with mode = \"binary\"")
            .label("in binary mode each message is one event; remove `batch` or write mode = \"structured\"");
    }
    let keys = Section::new(ctx, &BATCH, entry.value.spot, &[entries]);
    let events_max = keys.integer(ctx, "events_max", 2..=1_000).unwrap_or(DEFAULT_EVENTS_MAX);
    let bytes_max = match keys.size(ctx, "bytes_max", 1 << 10..=16 << 20) {
        None => DEFAULT_BYTES_MAX.min(payload_bytes_max),
        Some(bytes) => {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            if bytes > payload_bytes_max {
                ctx.error(keys.spot("bytes_max"), "`bytes_max` of a batch is more than one message may have")
                    .label(format!("`payload_bytes_max` is {payload_bytes_max} bytes, before compression"));
            }
            bytes
        }
    };
    let wait = keys.duration(ctx, "wait", Duration::ZERO..=Duration::from_secs(3_600)).unwrap_or(DEFAULT_WAIT);
    let topic = upstream::gateway_topic(ctx, &keys, ("topic", DEFAULT_TOPIC), profile, gateway)?;
    Some(BatchPlan { events_max, bytes_max, wait, topic })
}
