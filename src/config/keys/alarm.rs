//! The keys of an alarm.

use super::{KeyTable, optional, required, with_default};

/// `[[alarm]]`
pub static ALARM: KeyTable = KeyTable {
    title: "[[alarm]]",
    noun: "an alarm",
    selector: "",
    meaning: "One rule over any number of sensors, each on its own. Exactly one of `high`, `low`, `outside`, `equals`, \
              `not_equals`, `rate_above`, `deviation_from` and `stale_after`. A value at the limit does not raise.",
    keys: &[
        required("name", "name", "Letters, digits, `-` and `_`; at most 64; unique.").near(&["id", "alarm"]),
        optional(
            "description",
            "text, at most 512 bytes",
            "none",
            "Told to the operator and in the event.",
        ).near(&["text", "message", "comment", "title"]),
        required(
            "sensors",
            "list of patterns",
            "Sensors, with `+` for one level and a last `#` for all below. At most 64.",
        )
            .near(&["sensor", "topic", "topics", "source", "sources", "pattern"]),
        optional("high", "number", "", "Raised above it.").near(&[
            "threshold", "above", "max", "maximum", "upper", "upper_limit", "limit", "over", "gt", "greater_than", "hi", "high_limit",
        ]),
        optional("low", "number", "", "Raised below it.").near(&[
            "below", "min", "minimum", "lower", "lower_limit", "under", "lt", "less_than", "low_limit",
        ]),
        optional(
            "outside",
            "[low, high]",
            "",
            "Raised below the first or above the second.",
        ).near(&["range", "between", "band", "limits"]),
        optional(
            "equals",
            "value or list",
            "",
            "Raised when the state is one of these. At most 64.",
        ).near(&["equal", "eq", "is", "state", "value"]),
        optional(
            "not_equals",
            "value or list",
            "",
            "Raised when the state is none of these. At most 64.",
        ).near(&["not_equal", "ne", "is_not"]),
        optional(
            "rate_above",
            "rate, as \"5/min\"",
            "",
            "Raised when the value changes faster.",
        ).near(&["rate", "rate_of_change", "slope"]),
        with_default(
            "rate_window",
            "duration, 1 s to 7 d",
            "\"5m\"",
            "With `rate_above`: the stretch of readings the slope is fitted to.",
        )
            .near(&["window"]),
        with_default(
            "rate_direction",
            "\"rising\", \"falling\" or \"both\"",
            "\"both\"",
            "With `rate_above`: which direction counts.",
        )
            .near(&["direction"]),
        optional(
            "deviation_from",
            "sensor or number",
            "",
            "Raised when further than `deviation_above` from it.",
        ).near(&["deviation", "set_point", "setpoint"]),
        optional(
            "deviation_above",
            "number above 0",
            "required with `deviation_from`",
            "The largest distance allowed.",
        ).near(&["max_deviation"]),
        optional("stale_after", "duration, 1 s to 366 d", "", "Raised when no fresh reading came for this long.")
            .near(&["timeout", "stale", "silent_after", "max_age", "missing_after"]),
        with_default(
            "deadband",
            "number, or a rate with `rate_above`",
            "0",
            "How far back inside the limit a value must be to clear. Not with `equals`, `not_equals` and `stale_after`.",
        )
        .near(&["hysteresis", "dead_band", "tolerance"]),
        with_default("on_delay", "duration, up to 366 d", "\"0s\"", "How long it must hold before the alarm is raised.")
            .near(&["delay", "for", "duration", "hold"]),
        with_default(
            "off_delay",
            "duration, up to 366 d",
            "\"0s\"",
            "How long it must be gone before the alarm clears.",
        ).near(&["clear_delay"]),
        with_default(
            "min_samples",
            "1 to 1000",
            "1",
            "Readings in violation, in a row, before the alarm is raised. Not with `stale_after`.",
        )
            .near(&["samples", "count", "min_count"]),
        optional(
            "repeat_every",
            "duration, 1 s to 366 d",
            "off",
            "While it is active, remind.",
        ).near(&["repeat", "remind", "remind_every"]),
        with_default(
            "latched",
            "true or false",
            "false",
            "Stays active until acknowledged.",
        ).near(&["latch", "latching"]),
        with_default(
            "hold_off",
            "duration, up to 366 d",
            "\"0s\"",
            "After start-up nothing is raised for this long.",
        ).near(&["holdoff", "startup_delay"]),
        optional("group", "name", "none", "Of the alarms of one group on one sensor only the most severe is active."),
        with_default("severity", "\"info\", \"low\", \"medium\", \"high\" or \"critical\"", "\"medium\"", "How urgent.")
            .near(&["priority", "level", "urgency"]),
        with_default(
            "context",
            "0 to 100",
            "10",
            "Readings before the crossing that go into the event.",
        ).near(&["history"]),
        with_default(
            "schedule",
            "list of spans",
            "[]",
            "In force only then, as in [\"mon-fri 06:00-18:00\"]; empty: always. At most 64.",
        )
            .near(&["active", "when", "hours", "time"]),
        optional(
            "on_event",
            "table",
            "no program is run",
            "A program of this machine to run, as in `on_event = { command = [\"/usr/local/bin/siren\", \"on\"] }`, see \
             `on_event`.",
        )
        .near(&["hook", "exec", "run", "command", "script", "action"]),
    ],
};

/// `on_event` of an alarm.
pub static ON_EVENT: KeyTable = KeyTable {
    title: "on_event",
    noun: "`on_event`",
    selector: "",
    meaning: "A program that is run when the alarm changes, after the event is stored. It gets the event as CloudEvents \
              JSON (without its sequence number) on standard input, and an environment of `PATH` and `TIDEGATE_GATEWAY`, \
              `TIDEGATE_EVENT`, `TIDEGATE_ID`, `TIDEGATE_ALARM`, `TIDEGATE_SENSOR`, `TIDEGATE_SEVERITY`, `TIDEGATE_VALUE` \
              and `TIDEGATE_UNIT`. No shell is between. Two run at a time and 64 wait; more are dropped and counted. It \
              runs once at most: what waits when the gateway ends is not made up for. It has the service's user and \
              sandbox: under the unit of the package it writes to /var/lib/tidegate, /run/tidegate and its own /tmp only, \
              cannot use sudo, and counts within `TasksMax=` and `MemoryMax=`.",
    keys: &[
        required("command", "list of texts", "The program's whole path, and its arguments; at most 32.")
            .near(&["program", "exec", "run", "cmd"]),
        with_default("timeout", "duration, 100 ms to 10 m", "\"10s\"", "Then it is killed with all it has started.")
            .near(&["time_limit", "max_time"]),
        with_default(
            "on",
            "list of \"exceeded\", \"repeated\" and \"cleared\"",
            "[\"exceeded\", \"cleared\"]",
            "At which changes; \"exceeded\" and \"cleared\" are also a sensor that falls silent and comes back.",
        )
        .near(&["events", "when", "types"]),
    ],
};

/// The keys of [`ALARM`] of which there must be exactly one.
pub static CONDITIONS: [&str; 8] =
    ["high", "low", "outside", "equals", "not_equals", "rate_above", "deviation_from", "stale_after"];
