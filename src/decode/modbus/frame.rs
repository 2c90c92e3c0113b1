//! What of the bytes on a line answers the request that was asked.
//!
//! Owns telling an answer from everything else: noise, an echo of the request, the answer to a request that was given
//! up. Pure: bytes go in, at most one whole frame comes out. What is held is bounded by [`HELD_BYTES_MAX`].
//!
//! RTU: `unit, function, data, CRC-16 (low byte first)`; only a frame of the right unit, function, length and checksum is
//! an answer. TCP: `transaction (2), 0 (2), length (2), unit, function, data`; only the frame with the request's
//! transaction is an answer. All numbers but the CRC are big-endian. Modbus over Serial Line V1.02, Modbus Messaging on
//! TCP/IP V1.0b.

/// Most bytes kept while looking for an answer; two RTU frames of the greatest length.
pub const HELD_BYTES_MAX: usize = 512;

/// Length of a TCP frame's header up to its length field.
const TCP_PREFIX: usize = 6;

/// Greatest value of that field: unit and 253 bytes.
const TCP_LENGTH_MAX: usize = 254;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// On a serial line.
    Rtu,
    /// Over TCP.
    Tcp,
}

/// What is on the other end does not speak Modbus TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotModbus;

/// Lets only the awaited answer through.
#[derive(Debug)]
pub struct Filter {
    framing: Framing,
    /// The request that waits for its answer.
    asked: Option<Vec<u8>>,
    held: Vec<u8>,
    /// Bytes since the request that belong to no answer (RTU).
    noise: u64,
    /// Answers to earlier requests that came after those had been given up (TCP).
    late: u64,
}

impl Filter {
    /// Nothing is asked yet.
    pub fn new(framing: Framing) -> Self {
        Self { framing, asked: None, held: Vec::new(), noise: 0, late: 0 }
    }

    /// A request leaves; whatever came before is no answer to it.
    pub fn ask(&mut self, request: &[u8]) {
        if self.framing == Framing::Rtu {
            self.held.clear();
        }
        self.noise = 0;
        self.asked = Some(request.to_vec());
    }

    /// Bytes have come.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if self.framing == Framing::Rtu {
            let excess = self.held.len().saturating_sub(HELD_BYTES_MAX);
            self.drop_noise(excess);
        }
    }

    /// The answer, if it is there as a whole: the frame as it came, but with TCP the unit of the request, which some
    /// servers do not repeat.
    ///
    /// # Errors
    /// TCP only: from here on no frame can be told from the next; the connection is of no use any more.
    pub fn answer(&mut self) -> Result<Option<Vec<u8>>, NotModbus> {
        match self.framing {
            Framing::Rtu => Ok(self.rtu()),
            Framing::Tcp => self.tcp(),
        }
    }

    /// Bytes heard since the request that are no part of an answer.
    pub fn noise(&self) -> u64 {
        self.noise + if self.framing == Framing::Rtu { self.held.len() as u64 } else { 0 }
    }

    /// Answers that came too late, so far.
    pub fn late(&self) -> u64 {
        self.late
    }

    fn drop_noise(&mut self, count: usize) {
        self.noise += count as u64;
        self.held.drain(..count);
    }

    fn rtu(&mut self) -> Option<Vec<u8>> {
        let asked = self.asked.as_deref()?;
        let (&[unit, function], expected) = (asked.get(..2)?.first_chunk::<2>()?, answer_bytes(asked)?);
        let held = &self.held;
        let found = (0..held.len()).find_map(|from| {
            let frame = &held[from..];
            let length = match *frame {
                [of, by, count, ..] if of == unit && by == function && usize::from(count) == expected => 5 + expected,
                [of, by, ..] if of == unit && by == function | 0x80 => 5,
                _ => return None,
            };
            let frame = frame.get(..length)?;
            let (body, sum) = frame.split_at(length - 2);
            (crc(body).to_le_bytes() == sum).then(|| (from, frame.to_vec()))
        });
        let (from, frame) = found?;
        self.drop_noise(from);
        self.held.drain(..frame.len());
        self.asked = None;
        Some(frame)
    }

    fn tcp(&mut self) -> Result<Option<Vec<u8>>, NotModbus> {
        loop {
            let Some(prefix) = self.held.first_chunk::<TCP_PREFIX>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([prefix[4], prefix[5]]));
            if prefix[2..4] != [0, 0] || !(3..=TCP_LENGTH_MAX).contains(&length) {
                return Err(NotModbus);
            }
            let total = TCP_PREFIX + length;
            if self.held.len() < total {
                return Ok(None);
            }
            let mut frame: Vec<u8> = self.held.drain(..total).collect();
            match self.asked.as_deref() {
                Some(asked) if asked.len() > TCP_PREFIX && asked[..2] == frame[..2] => {
                    frame[TCP_PREFIX] = asked[TCP_PREFIX];
                    self.asked = None;
                    return Ok(Some(frame));
                }
                _ => self.late += 1,
            }
        }
    }
}

/// How many bytes of data an RTU request's answer has; `None` for what we never ask.
fn answer_bytes(request: &[u8]) -> Option<usize> {
    let [_, function, _, _, high, low, ..] = *request else { return None };
    let count = usize::from(u16::from_be_bytes([high, low]));
    match function {
        1 | 2 => Some(count.div_ceil(8)),
        3 | 4 => Some(2 * count),
        _ => None,
    }
}

/// CRC-16/MODBUS: polynomial 0x8005 reflected, start 0xFFFF.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn with_crc(body: &[u8]) -> Vec<u8> {
        [body, &crc(body).to_le_bytes()].concat()
    }

    /// Unit 1, holding registers 0 and 1.
    fn request() -> Vec<u8> {
        with_crc(&[1, 3, 0, 0, 0, 2])
    }

    fn answer() -> Vec<u8> {
        with_crc(&[1, 3, 4, 0x41, 0xAC, 0, 0])
    }

    fn rtu(pieces: &[&[u8]]) -> (Option<Vec<u8>>, u64) {
        let mut filter = Filter::new(Framing::Rtu);
        filter.hear(b"left over");
        filter.ask(&request());
        let mut found = None;
        for piece in pieces {
            filter.hear(piece);
            found = found.or(filter.answer().unwrap());
        }
        (found, filter.noise())
    }

    #[test]
    fn the_checksum_is_the_documented_one() {
        assert_eq!(with_crc(&[1, 3, 0, 0, 0, 8]), [1, 3, 0, 0, 0, 8, 0x44, 0x0C]);
    }

    #[test]
    fn an_answer_may_come_in_pieces_after_noise_and_an_echo() {
        let frame = answer();
        assert_eq!(rtu(&[&frame]), (Some(frame.clone()), 0));
        assert_eq!(rtu(&[&frame[..1], &frame[1..4], &frame[4..]]), (Some(frame.clone()), 0));
        assert_eq!(rtu(&[&[0xFF, 1, 3, 4], &request(), &frame]), (Some(frame.clone()), 12));
        assert_eq!(rtu(&[&[0; 5000], &frame]), (Some(frame), 5000));
    }

    #[test]
    fn answers_of_others_and_damaged_ones_are_noise() {
        let mut damaged = answer();
        damaged[4] ^= 1;
        let other_unit = with_crc(&[2, 3, 4, 0, 0, 0, 0]);
        let other_function = with_crc(&[1, 4, 4, 0, 0, 0, 0]);
        let other_length = with_crc(&[1, 3, 2, 0, 0]);
        for wrong in [&damaged, &other_unit, &other_function, &other_length] {
            assert_eq!(rtu(&[wrong]), (None, wrong.len() as u64));
            assert_eq!(rtu(&[wrong, &answer()]).0, Some(answer()));
        }
        assert_eq!(rtu(&[&with_crc(&[1, 0x83, 2])]).0, Some(with_crc(&[1, 0x83, 2])), "an exception is an answer");
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_dropped() {
        let mut filter = Filter::new(Framing::Rtu);
        filter.hear(&answer());
        assert_eq!(filter.answer(), Ok(None));
        filter.ask(&request());
        assert_eq!(filter.answer(), Ok(None), "it came before the request");
    }

    fn tcp(transaction: u8, unit: u8) -> Vec<u8> {
        vec![0, transaction, 0, 0, 0, 7, unit, 3, 4, 0x41, 0xAC, 0, 0]
    }

    #[test]
    fn with_tcp_the_transaction_tells_a_late_answer_from_the_right_one() {
        let mut filter = Filter::new(Framing::Tcp);
        filter.ask(&[0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2]);
        let late = tcp(6, 1);
        filter.hear(&late[..5]);
        assert_eq!(filter.answer(), Ok(None));
        // The rest of it comes when the next request has been asked.
        filter.ask(&[0, 8, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2]);
        filter.hear(&late[5..]);
        filter.hear(&tcp(7, 1));
        filter.hear(&tcp(8, 255));
        assert_eq!(filter.answer(), Ok(Some(tcp(8, 1))), "with the unit that was asked");
        assert_eq!(filter.late(), 2);
    }

    #[test]
    fn what_is_no_modbus_tcp_is_told() {
        for bytes in [&b"HTTP/1.1 400 Bad Request"[..], &[0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0]] {
            let mut filter = Filter::new(Framing::Tcp);
            filter.hear(bytes);
            assert_eq!(filter.answer(), Err(NotModbus));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_do_no_harm_and_the_answer_is_still_found(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            asked in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            for framing in [Framing::Rtu, Framing::Tcp] {
                let mut filter = Filter::new(framing);
                filter.ask(&asked);
                for piece in &pieces {
                    filter.hear(piece);
                    let _ = filter.answer();
                    prop_assert!(framing == Framing::Tcp || filter.held.len() <= HELD_BYTES_MAX);
                }
            }
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let found = rtu(&[&pieces[..], &[&answer()[..]]].concat()).0;
            prop_assert!(found.is_some());
        }
    }
}
