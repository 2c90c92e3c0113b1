//! The names of what the gateway reads of itself: its own source and that source's quantities.
//!
//! Owns names only; the reading is `source::own`.

/// The source's name; no `[[source]]` may have it.
pub const NAME: &str = "gateway";

/// All there is to read: the last part of the sensors' names.
pub const QUANTITIES: [&str; 10] = [
    "cpu_temperature",
    "under_voltage",
    "disk_free",
    "disk_free_percent",
    "memory_available",
    "load_1m",
    "clock_synchronized",
    "upstream_connected",
    "queue_events",
    "uptime",
];
