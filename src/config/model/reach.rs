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
    /// `entries`: the types of bytes that are a list of values.
    pub entries: Option<Entries>,
    /// `record_bytes` and `records_at`: bytes are records of one length, after so many others.
    pub records: Option<Records>,
    /// `strip_unit`: "21.5 °C" is a number and its unit, in formats that tell texts from numbers.
    pub strip_unit: bool,
    /// `charset = "latin-1"`: a text's bytes are ISO 8859-1 and not UTF-8.
    pub latin1: bool,
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
    /// Values with this character between them.
    List(char),
    /// The Cayenne Low Power Payload, as base64 or in hexadecimal digits.
    Lpp {
        hex: bool,
    },
    /// BTHome's service data, as base64 or in hexadecimal digits.
    BtHome {
        hex: bool,
    },
    /// A list of values as [`Entries`] declares it, as base64 or in hexadecimal digits.
    Entries {
        hex: bool,
    },
}

/// `entries` and `entries_at`: bytes that are a list of values, each behind bytes that say what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// The most particular first: by length, then by how many digits are given.
    pub kinds: Vec<EntryKind>,
    /// `entries_at`: bytes before the first entry.
    pub head_bytes: usize,
}

/// Bytes that are records of one length, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// `record_bytes`: the length of each.
    pub bytes: usize,
    /// `records_at`: bytes before the first.
    pub head_bytes: usize,
}

/// A type of entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryKind {
    /// As it was written, without blanks.
    pub name: String,
    /// For each byte what it must be, and which of its bits count.
    pub digits: Vec<(u8, u8)>,
    /// How long its value is.
    pub size: EntrySize,
}

/// How long the value of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntrySize {
    /// Always so many bytes.
    Bytes(usize),
    /// All that is left.
    Rest,
    /// As the number says that stands before it.
    Counted {
        /// Bytes of that number.
        bytes: usize,
        /// Most significant byte first.
        big: bool,
    },
}

/// Longest type of an entry, bytes.
pub const ENTRY_TYPE_BYTES_MAX: usize = 8;

impl Entries {
    /// With its types in the order in which they are tried.
    pub fn new(mut kinds: Vec<EntryKind>, head_bytes: usize) -> Self {
        let given = |kind: &EntryKind| kind.digits.iter().map(|(_, mask)| mask.count_ones()).sum::<u32>();
        kinds.sort_by_key(|kind| std::cmp::Reverse((kind.digits.len(), given(kind))));
        Self { kinds, head_bytes }
    }
}

impl EntryKind {
    /// Reads a type: pairs of hexadecimal digits, `?` for any; nothing where it is none.
    pub fn new(text: &str, size: EntrySize) -> Option<Self> {
        let name: String = text.chars().filter(|c| *c != ' ').collect();
        let digit = |c: char| match c {
            '?' => Some((0, 0)),
            c => Some((u8::try_from(c.to_digit(16)?).ok()?, 0xf)),
        };
        let digits = name.chars().map(digit).collect::<Option<Vec<(u8, u8)>>>()?;
        let fits = (2..=2 * ENTRY_TYPE_BYTES_MAX).contains(&digits.len()) && digits.len() % 2 == 0;
        let pair = |pair: &[(u8, u8)]| (pair[0].0 << 4 | pair[1].0, pair[0].1 << 4 | pair[1].1);
        fits.then(|| Self { digits: digits.chunks(2).map(pair).collect(), name, size })
    }

    /// Whether bytes begin with this type.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.digits.len()
            && self.digits.iter().zip(bytes).all(|((value, mask), byte)| byte & mask == *value)
    }

    /// Whether it stands for several types.
    pub fn is_open(&self) -> bool {
        self.name.contains('?')
    }
}
