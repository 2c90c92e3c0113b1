//! Whether what a port hears is garbage, and at which baud rate it would make sense.
//!
//! Owns the guess; never touches a port. Bytes are counted until something is understood. Text that is mostly not
//! printable, or a binary stream in which no frame fits for long, is taken for the wrong rate. A device that is slower
//! than we are holds each of its bits for several of ours, so in what we read bits change only at certain places: a rate at
//! which nearly all bytes keep to its places is the device's. A faster device leaves no such trace; then the usual rates
//! above ours are named.

/// The rates that devices have, bits per second. 74,880 is the boot text of the ESP8266.
const RATES: [u32; 15] =
    [300, 600, 1_200, 2_400, 4_800, 9_600, 14_400, 19_200, 38_400, 57_600, 74_880, 115_200, 230_400, 460_800, 921_600];

/// Fewest bytes to judge text by, and a binary stream.
const TEXT_BYTES_MIN: u32 = 64;
const BINARY_BYTES_MIN: u32 = 2_048;

/// From this share of unprintable bytes on, text is none. Text with some degree signs stays far below.
const ODD_SHARE_MIN: f64 = 0.25;

/// So large a share of the bytes has to keep to the places of a rate. Noise keeps to those of the nearest by 1 in 8.
const FIT_SHARE_MIN: f64 = 0.9;

/// Most faster rates named.
const FASTER_NAMED_MAX: usize = 4;

/// Counts what is heard and not understood.
#[derive(Debug)]
pub(super) struct Judge {
    text: bool,
    bytes: u32,
    counts: [u32; 256],
}

/// What is wrong, for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// The share of unprintable bytes; of text only.
    pub(super) odd_share: Option<f64>,
    /// Of so many bytes.
    pub(super) bytes: u32,
    /// The rates that would fit, the likeliest first.
    pub(super) rates: Vec<u32>,
}

impl Judge {
    /// For a device that sends text, or bytes.
    pub(super) fn new(text: bool) -> Self {
        Self { text, bytes: 0, counts: [0; 256] }
    }

    /// Bytes came.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.counts[usize::from(*byte)] = self.counts[usize::from(*byte)].saturating_add(1);
        }
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    /// Something was understood, or the port is new: begins again.
    pub(super) fn clear(&mut self) {
        if self.bytes > 0 {
            *self = Self::new(self.text);
        }
    }

    /// Says that it is garbage, once there is enough to tell.
    pub(super) fn verdict(&self, baud: u32) -> Option<Verdict> {
        if self.bytes < if self.text { TEXT_BYTES_MIN } else { BINARY_BYTES_MIN } {
            return None;
        }
        let odd = self.share(|byte| !matches!(byte, b'\t' | b'\r' | b'\n' | 0x02 | 0x03 | b' '..=b'~'));
        if self.text && odd < ODD_SHARE_MIN {
            return None;
        }
        Some(Verdict { odd_share: self.text.then_some(odd), bytes: self.bytes, rates: self.rates(baud) })
    }

    fn share(&self, is: impl Fn(u8) -> bool) -> f64 {
        let count: u64 =
            (0..=u8::MAX).filter(|byte| is(*byte)).map(|byte| u64::from(self.counts[usize::from(byte)])).sum();
        count as f64 / f64::from(self.bytes.max(1))
    }

    fn rates(&self, baud: u32) -> Vec<u32> {
        // The slowest has the fewest places: that bytes keep to them says most.
        let slower = RATES.iter().filter(|rate| **rate < baud).find(|rate| {
            let still = still(f64::from(baud) / f64::from(**rate));
            still != 0 && self.share(|byte| changes(byte) & still == 0) >= FIT_SHARE_MIN
        });
        match slower {
            Some(rate) => vec![*rate],
            None => RATES.iter().filter(|rate| **rate > baud).take(FASTER_NAMED_MAX).copied().collect(),
        }
    }
}

/// The places in a byte where the bit cannot change when each of the device's bits is `ratio` of ours. Place `n` is
/// between bit `n - 1` and bit `n` of a character, its start bit being bit 0; a bit is read in its middle.
fn still(ratio: f64) -> u16 {
    let device_bit = |bit: u16| ((f64::from(bit) + 0.5) / ratio) as u16;
    (1..=8).filter(|place| device_bit(place - 1) == device_bit(*place)).fold(0, |set, place| set | 1 << place)
}

/// The places where a byte's bits change, as it was on the line: after a start bit of 0, least significant first.
fn changes(byte: u8) -> u16 {
    let line = u16::from(byte) << 1;
    (1..=8).filter(|place| line >> (place - 1) & 1 != line >> place & 1).fold(0, |set, place| set | 1 << place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// What a receiver at `ours` makes of a text sent at `theirs`, eight bits, no parity, one stop bit.
    fn misread(text: &[u8], theirs: u32, ours: u32) -> Vec<u8> {
        let mut line = vec![true; 4];
        for byte in text {
            line.push(false);
            line.extend((0..8).map(|bit| byte >> bit & 1 == 1));
            line.push(true);
        }
        let ratio = f64::from(theirs) / f64::from(ours);
        let at = |time: f64| line.get((time * ratio) as usize).copied();
        let (mut out, mut time) = (Vec::new(), 0.0);
        // A sixteenth of a bit at a time, as a receiver looks for the start.
        while let Some(level) = at(time) {
            time += 1.0 / 16.0;
            if level {
                continue;
            }
            let start = time - 1.0 / 16.0;
            let bits: Option<Vec<bool>> = (1..=8).map(|bit| at(start + f64::from(bit) + 0.5)).collect();
            let Some(bits) = bits else { break };
            out.push(bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
            time = start + 9.5;
            while at(time) == Some(false) {
                time += 1.0 / 16.0;
            }
        }
        out
    }

    fn judged(theirs: u32, ours: u32) -> Option<Verdict> {
        let text = "temperature=21.5 humidity=48 battery=2.97 state=ok\r\n".repeat(40);
        let mut judge = Judge::new(true);
        judge.hear(&misread(text.as_bytes(), theirs, ours));
        judge.verdict(ours)
    }

    #[test]
    fn the_simulated_line_is_read_rightly_at_the_right_rate() {
        assert_eq!(misread(b"t=21.5\r\n", 9_600, 9_600), b"t=21.5\r\n");
    }

    #[test]
    fn a_slower_device_is_recognised_with_its_rate() {
        for ours in [9_600, 19_200, 38_400, 57_600, 115_200] {
            for theirs in [2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200] {
                let ratio = f64::from(ours) / f64::from(theirs);
                if !(1.4..=8.0).contains(&ratio) {
                    continue;
                }
                let verdict = judged(theirs, ours).unwrap_or_else(|| panic!("{theirs} read at {ours}"));
                assert_eq!(verdict.rates, [theirs], "{theirs} read at {ours}: {verdict:?}");
            }
        }
    }

    #[test]
    fn a_faster_device_is_recognised_and_the_rates_above_are_named() {
        for (theirs, ours) in [(19_200, 9_600), (115_200, 9_600), (115_200, 57_600), (115_200, 19_200)] {
            let verdict = judged(theirs, ours).unwrap_or_else(|| panic!("{theirs} read at {ours}"));
            assert!(verdict.rates.iter().all(|rate| *rate > ours), "{theirs} read at {ours}: {verdict:?}");
        }
    }

    #[test]
    fn text_that_nobody_understands_is_no_garbage_and_little_is_not_judged() {
        let mut judge = Judge::new(true);
        judge.hear("Temperatur: 21,5 °C, Tür geöffnet\r\n".repeat(20).as_bytes());
        assert_eq!(judge.verdict(9_600), None);
        let mut judge = Judge::new(true);
        judge.hear(&[0xff; 63]);
        assert_eq!(judge.verdict(9_600), None);
        judge.hear(&[0xff]);
        assert!(judge.verdict(9_600).is_some());
        judge.clear();
        assert_eq!(judge.verdict(9_600), None);
    }

    #[test]
    fn a_binary_stream_is_judged_by_how_long_nothing_fits() {
        let mut judge = Judge::new(false);
        judge.hear(&[0x55; 2_047]);
        assert_eq!(judge.verdict(9_600), None);
        judge.hear(&[0x55]);
        let verdict = judge.verdict(9_600).unwrap();
        assert_eq!((verdict.odd_share, verdict.bytes), (None, 2_048));
    }
}
