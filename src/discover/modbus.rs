//! Whether bytes overheard on a line are Modbus RTU: another master at work.
//!
//! Owns the looking. Pure; bounded by [`BYTES_MAX`].

use std::collections::BTreeSet;

/// Bytes looked at: some hundred requests.
const BYTES_MAX: usize = 16 * 1024;

/// A request to read: unit, function, first, count, checksum.
const REQUEST_BYTES: usize = 8;

/// Requests before they are believed: one checksum in 65,536 fits by accident.
const REQUESTS_MIN: usize = 2;

/// The units that somebody asks for registers; empty where nobody does.
pub fn units_asked(bytes: &[u8]) -> BTreeSet<u8> {
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    let is_request = |window: &&[u8]| {
        matches!(window[1], 1..=4) && window[0] <= 247 && window[4] == 0 && window[5] > 0 && {
            let sum = u16::from_le_bytes([window[6], window[7]]);
            crc(&window[..6]) == sum
        }
    };
    let units: Vec<u8> = bytes.windows(REQUEST_BYTES).filter(is_request).map(|window| window[0]).collect();
    if units.len() < REQUESTS_MIN { BTreeSet::new() } else { units.into_iter().collect() }
}

/// CRC-16 with the polynomial 0x8005, reflected, from 0xFFFF (Modbus over serial line, 6.2.2).
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xa001 } else { sum >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_among_answers_and_noise_are_found_and_noise_alone_is_none() {
        assert_eq!(crc(b"123456789"), 0x4b37);
        let request = |unit: u8| {
            let mut frame = vec![unit, 3, 0, 0x10, 0, 2];
            frame.extend(crc(&frame).to_le_bytes());
            frame
        };
        let line =
            [&[0xff, 0][..], &request(3), &[3, 3, 4, 1, 2, 3, 4, 9, 9], &request(17), &[17, 0x83, 2, 0, 0]].concat();
        assert_eq!(units_asked(&line), [3, 17].into());
        assert_eq!(units_asked(&request(3)), BTreeSet::new(), "one may be an accident");
        let noise: Vec<u8> = (0..40_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(units_asked(&noise), BTreeSet::new());
        assert_eq!(units_asked(b"short"), BTreeSet::new());
    }
}
