//! The keys of `decode` that reach beyond plain fields.

use std::sync::Arc;

/// The keys of `decode` that reach beyond plain fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reach {
    /// `topics`: which of the source's messages this is for; empty: all.
    pub topics: Vec<String>,
    /// `when`: what stands at places of the messages that this is for: one of these texts.
    pub when: Vec<(String, Vec<String>)>,
    /// `each`: the path of the elements that paths start from.
    pub each: Option<String>,
    /// `others`: numbers and booleans that no field names are taken, too.
    pub others: bool,
    /// `units`: of values whose field has none, by the last part of their name.
    pub units: Vec<(Arc<str>, Arc<str>)>,
    /// `skip`: paths that wildcards pass over.
    pub skip: Vec<String>,
    /// `unpack`: texts that hold a document, by their paths.
    pub unpack: Vec<(String, Packing)>,
    /// `strip_unit`: "21.5 °C" is a number and its unit, in formats that tell texts from numbers.
    pub strip_unit: bool,
    /// `online`: a device's birth and death are readings of a quantity `online`.
    pub online: bool,
    /// `rebirth`: a Sparkplug node whose birth is missing is not asked for it. Named for its default: the key is true.
    pub no_rebirth: bool,
    /// `ts_format`: how a time is written that is not ISO 8601, in strftime's letters.
    pub ts_format: Option<String>,
}

/// What a packed text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Packing {
    Json,
    Base64,
    Hex,
    /// CBOR as base64.
    Cbor,
    /// The Cayenne Low Power Payload, as base64 or in hexadecimal digits.
    Lpp {
        hex: bool,
    },
    /// BTHome's service data, as base64 or in hexadecimal digits.
    BtHome {
        hex: bool,
    },
}
