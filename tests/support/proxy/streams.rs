//! Where TLS records and MQTT packets begin and end in what passes.

/// Where TLS records begin and end, and how many of application data there were.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: Vec<u8>,
    /// Bytes of the present record that are still to come.
    left: usize,
    seen: u64,
}

impl Records {
    /// How many of these bytes pass when no more than `limit` records of application data may.
    pub(super) fn pass(&mut self, bytes: &[u8], limit: u64) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len() - at);
                self.left -= taken;
                at += taken;
                continue;
            }
            self.header.push(bytes[at]);
            if self.header == [23] && self.seen == limit {
                self.header.clear();
                return at;
            }
            at += 1;
            // Type, version, length: RFC 8446, 5.1.
            if let [kind, _, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.seen += u64::from(kind == 23);
                self.header.clear();
            }
        }
        at
    }
}

/// Length of the MQTT packet at the beginning; `None` when it is not complete.
pub(super) fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for (place, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * place);
        if byte & 128 == 0 {
            return Some(length + place + 2).filter(|whole| *whole <= bytes.len());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_however_they_are_cut() {
        let record = |kind: u8, length: u8| [vec![kind, 3, 3, 0, length], vec![23; usize::from(length)]].concat();
        let stream = [record(22, 7), record(20, 1), record(23, 9), record(23, 4), record(23, 2)].concat();
        let two = 12 + 6 + 14 + 9;
        for size in 1..=stream.len() {
            let mut records = Records::default();
            let mut passed = 0;
            for chunk in stream.chunks(size) {
                let passing = records.pass(chunk, 2);
                passed += passing;
                if passing < chunk.len() {
                    break;
                }
            }
            assert_eq!(passed, two, "in pieces of {size}");
        }
    }

    #[test]
    fn packets_are_known_when_they_are_whole() {
        assert_eq!(packet_length(&[0x40, 2, 0]), None);
        assert_eq!(packet_length(&[0x40, 2, 0, 1, 0x40]), Some(4));
        assert_eq!(packet_length(&[0xd0, 0]), Some(2));
        assert_eq!(packet_length(&[[0x30, 0x80, 1].as_slice(), &[0; 128]].concat()), Some(131));
    }
}
