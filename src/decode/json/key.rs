//! Keys that are looked for, so that most others differ in one comparison.

/// A wanted key. Its head tells it from nearly all others without a call to compare texts, which a key of a payload
/// would otherwise cost for every wanted one of its length.
#[derive(Debug)]
pub(super) struct Key {
    text: Box<str>,
    head: u64,
}

impl Key {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), head: head(text) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is this one; `head` is that of `key`.
    pub(super) fn is(&self, head: u64, key: &str) -> bool {
        self.head == head
            && self.text.len() == key.len()
            && (key.len() <= size_of::<u64>() || self.text.as_bytes()[8..] == key.as_bytes()[8..])
    }
}

/// The first eight bytes of a key; of a shorter one all, so that its length and this make it out.
pub(super) fn head(key: &str) -> u64 {
    let bytes = key.as_bytes();
    if let Some(first) = bytes.first_chunk() {
        return u64::from_le_bytes(*first);
    }
    match (bytes.first_chunk(), bytes.last_chunk(), bytes) {
        // From 4 to 7 bytes: the two overlap.
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        (.., [first, .., last]) => u64::from_le_bytes([*first, bytes[bytes.len() / 2], *last, 0, 0, 0, 0, 0]),
        (.., [only]) => u64::from(*only),
        (.., []) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_itself_and_no_other() {
        // Of every length two that differ in one place only, for every place.
        let longest = "abcdefghijklmnopqrst";
        let mut keys = vec![String::new()];
        for length in 1..=longest.len() {
            keys.push(longest[..length].to_owned());
            for at in 0..length {
                keys.push(format!("{}Z{}", &longest[..at], &longest[at + 1..length]));
            }
        }
        keys.extend(["\0", "\0\0", "a\0", "\0a", "\u{e9}"].map(str::to_owned));
        for wanted in &keys {
            let key = Key::new(wanted);
            for other in &keys {
                assert_eq!(key.is(head(other), other), wanted == other, "{wanted:?} and {other:?}");
            }
        }
    }
}
