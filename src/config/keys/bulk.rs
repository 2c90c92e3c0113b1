//! The keys of the tables in `[upstream]`: how fast, and how many at a time.

use super::{KeyTable, optional};

/// `batch`
pub static BATCH: KeyTable = KeyTable {
    title: "batch",
    noun: "`batch`",
    selector: "",
    meaning: "Several events in one message, for links that are paid by the byte: a CloudEvents batch (a JSON array, or a \
              CBOR array). Only neighbours in the queue share one; an event that finds no company, a critical one, and \
              what goes ahead of the queue or is replayed are sent alone, on the topic of their own. `batch = {}` takes \
              all defaults.",
    keys: &[
        optional("events_max", "2 to 1000", "`50`", "Most events of a batch.").near(&["max_events", "size", "count"]),
        optional(
            "bytes_max",
            "size, 1 KiB to 16 MiB",
            "`\"32KiB\"`",
            "Most bytes of a batch before it is compressed; at most `payload_bytes_max`.",
        )
        .near(&["max_bytes", "bytes"]),
        optional(
            "wait",
            "duration, 0s to 1h",
            "`\"5s\"`",
            "How long the first event of a batch waits for others. Critical events never wait, nor does what waits \
             before them, nor anything in a call by `connect_when`.",
        )
        .near(&["linger", "delay", "interval", "max_wait"]),
        optional(
            "topic",
            "template; only {gateway} is filled in",
            "`\"tidegate/{gateway}/batch\"`",
            "Where batches are published: the events of one have different topics of their own.",
        ),
    ],
};

/// `rate_limit`
pub static RATE_LIMIT: KeyTable =
    KeyTable {
        title: "rate_limit",
        noun: "`rate_limit`",
        selector: "",
        meaning: "The most that is sent upstream in a second; one key or both.",
        keys: &[
            optional("events_per_second", "1 to 100000", "what the `profile` takes; else any number", "Events.")
                .near(&["events", "per_second", "rate"]),
            optional(
                "bytes_per_second",
                "size, 64 B to 1 GiB",
                "any number",
                "Bytes of topics and payloads; what TLS, TCP and IP add (about a tenth) comes on top.",
            )
            .near(&["bytes", "bandwidth", "bytes_per_sec"]),
        ],
    };
