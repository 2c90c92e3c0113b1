//! The keys of a Modbus source's units and of their registers.

use super::{KeyTable, optional, required, with_default};

/// `[[source.unit]]`
pub static UNIT: KeyTable = KeyTable {
    title: "[[source.unit]]",
    noun: "a unit",
    selector: "",
    meaning: "A device on the line of a Modbus source. Its sensors are named `source/unit/quantity`. The \
              direction of an RS-485 line is switched by the adapter or by the port's driver; there is nothing to set here.",
    keys: &[
        required("id", "0 to 255", "Its address: 1 to 247 on a serial line. With TCP often 1 or 255, see its manual.")
            .near(&["address", "slave", "slave_id", "unit_id", "unit", "station", "node"]),
        required("name", "name", "Middle of its sensors' names. Letters, digits, `-` and `_`; at most 64; unique.")
            .near(&["device", "label"]),
        required("registers", "table", "What to read, see `registers`. At most 512.")
            .near(&["register", "fields", "values", "points", "map"]),
        optional("poll_interval", "duration, 50 ms to 24 h", "the source's", "How often it is read.")
            .near(&["poll_every", "interval", "period", "scan_interval", "every"]),
        optional("timeout", "duration, 10 ms to 60 s", "the source's", "How long it may think about a request.")
            .near(&["response_timeout", "read_timeout", "reply_timeout"]),
        with_default(
            "addressing",
            "\"zero-based\", \"one-based\" or \"modicon\"",
            "\"zero-based\"",
            "How this unit's manual counts addresses. zero-based: as on the wire, 0 is the first. one-based: 1 is the \
             first. modicon: 40001 (or 400001) is the first holding register, 30001 the first input register, 10001 the \
             first discrete input, 1 the first coil; the first digit says the table.",
        )
        .near(&["address_mode", "address_base", "base", "numbering"]),
        with_default(
            "order",
            "\"ABCD\", \"CDAB\", \"BADC\" or \"DCBA\"",
            "\"ABCD\"",
            "Byte order of all its registers that name none themselves; A is the most significant byte.",
        )
        .near(&["byte_order", "word_order", "endianness", "endian", "byteorder"]),
        with_default(
            "sunspec",
            "true or false",
            "false",
            "Its registers hold 0x8000, 0xFFFF, 0x80000000, 0xFFFFFFFF or NaN (by type) where it has no value.",
        ),
        with_default("max_registers", "1 to 125", "125", "Most registers that it answers at once; a longer value is asked for alone.").near(&[
            "batch",
            "batch_size",
            "max_read",
            "registers_max",
            "max_count",
        ]),
        with_default(
            "max_gap",
            "0 to 120",
            "8",
            "Up to so many registers that nobody wants are read along where that saves a request.",
        )
        .near(&["gap", "allowed_gap"]),
    ],
};

/// An entry of `registers`
pub static REGISTER: KeyTable = KeyTable {
    title: "registers",
    noun: "a register",
    selector: "",
    meaning: "One quantity of a unit. The entry's key is the quantity, the last part of the sensor's name, as in \
              `active_power = { address = 52, table = \"input\", type = \"f32\", unit = \"W\" }`.",
    keys: &[
        required(
            "address",
            "0 to 465536",
            "Where it begins, counted from 0 as on the wire unless the unit's `addressing` says otherwise.",
        )
        .near(&["register", "addr", "offset_address", "start"]),
        with_default(
            "table",
            "\"holding\", \"input\", \"coil\" or \"discrete\"",
            "\"holding\"",
            "holding: function code 3. input: 4. coil: 1. discrete: 2.",
        )
        .near(&["function", "function_code", "fc", "kind", "register_type", "area", "space"]),
        optional(
            "type",
            "\"u16\", \"i16\", \"u32\", \"i32\", \"u64\", \"i64\", \"f32\", \"f64\", \"bcd16\", \"bcd32\", \"bit\" or \
             \"bits\"",
            "\"u16\", or \"bit\" of a coil or discrete input",
            "What it holds: unsigned, signed, floating point or binary-coded decimal of so many bits; one bit; the bits \
             under a mask.",
        )
        .near(&["as", "format", "data_type", "datatype"]),
        optional(
            "order",
            "text such as \"CDAB\"",
            "the unit's",
            "Byte order as received; A is the most significant byte. \"ABCD\", \"CDAB\", \"BADC\" and \"DCBA\" stand for \
             any length (words as they are, swapped; bytes swapped; both); else one letter a byte, as \"BA\" or \
             \"CDABGHEF\".",
        )
        .near(&["byte_order", "word_order", "endianness", "endian", "byteorder"]),
        optional("bit", "0 to 15", "needs type = \"bit\"", "Which bit of the register; 0 is the least significant.")
            .near(&["bit_index", "index"]),
        optional(
            "mask",
            "1 to 65535",
            "needs type = \"bits\"",
            "Which bits, as in 0x0F00; they are shifted down to where the mask begins.",
        )
        .near(&["bit_mask", "bitmask"]),
        optional("unit", "text, at most 32 bytes", "none", "Unit of the value.").near(&["unit_name", "units"]),
        with_default("scale", "number, not 0", "1", "value = raw * scale + offset.").near(&[
            "factor",
            "multiplier",
            "multiply",
            "gain",
        ]),
        with_default("offset", "number", "0", "value = raw * scale + offset.").near(&["add", "bias"]),
        optional(
            "scale_register",
            "name or address",
            "none",
            "Where a power of ten stands (SunSpec's scale factors): the name of another register of this unit with type = \
             \"i16\", or an address in the same table. raw is then multiplied by that power of ten first.",
        )
        .near(&["scale_factor", "sf", "scale_factor_register"]),
        optional("sunspec", "true or false", "the unit's", "See the unit's `sunspec`."),
        optional("valid_range", "[low, high]", "any", "A value outside, after scaling, is refused and counted.")
            .near(&["range", "valid", "min_max"]),
        with_default("ignore_values", "list of numbers", "[]", "Raw values that mean \"no value\". At most 32.").near(&[
            "ignore",
            "invalid",
            "sentinels",
            "ignore_value",
        ]),
        optional(
            "map",
            "table",
            "none",
            "Raw numbers (or `true`/`false`) and their values, as in `map = { 1 = \"off\", 4 = \"running\" }`. At most 256.",
        )
        .near(&["mapping", "enum", "values", "states"]),
    ],
};
