//! Asking chronyd whether it has set the clock.
//!
//! Owns the one question of chrony's monitoring protocol that we need (version 6, `tracking`), which every local user
//! may ask on UDP port 323 of the loopback interface. Never waits: a question is sent at one look, the answer taken at
//! a later one.
//!
//! All numbers are big-endian. The question is as long as the answer, which chronyd demands so that nobody can use it to
//! multiply traffic.
//!
//! ```text
//! question                               answer
//!  0  version u8, 6                       0  version u8, 6
//!  1  kind u8, 1                          1  kind u8, 2
//!  4  command u16, 33                     4  command u16, 33
//!  8  sequence u32                        6  report u16, 5
//! ..  zeros up to 104                     8  status u16, 0
//!                                        16  sequence u32
//!                                        28  reference u32, 7f 7f 01 01 for the machine itself
//!                                        54  leap status u16, 3 while not synchronised
//!                                        56  time of the last correction: u32, u32, u32
//! ```

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::clock::BootTime;

/// Length of question and answer.
const BYTES: usize = 104;

/// `leap status` while chronyd has no time.
const NOT_SYNCHRONISED: u16 = 3;

/// The reference of a chronyd that takes its own machine's clock for the time, by `local` in its configuration.
const ITSELF: [u8; 4] = [127, 127, 1, 1];

/// How often it is asked while the clock is not confirmed, and once it is.
const ASK_EVERY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(64)];

/// Answers taken at one look. One is expected; a stranger who floods the port gets no more of our time.
const ANSWERS_MAX: usize = 8;

/// The conversation with chronyd.
#[derive(Debug)]
pub struct Chrony {
    place: SocketAddr,
    socket: Option<UdpSocket>,
    sequence: u32,
    ask_at: BootTime,
    /// The last question is not answered yet.
    waiting: bool,
    sign: Option<u64>,
}

impl Chrony {
    /// Where chronyd listens on every system.
    pub fn local() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 323).into())
    }

    /// Somewhere else, for tests.
    pub fn at(place: SocketAddr) -> Self {
        Self { place, socket: None, sequence: fastrand::u32(..), ask_at: BootTime(0), waiting: false, sign: None }
    }

    /// Takes the answer to an earlier question, asks again when it is time, and returns what is known: a number that
    /// changes with every correction of the clock; `None` while there is no chronyd or it has no time.
    pub fn look(&mut self, now: BootTime, confirmed: bool) -> Option<u64> {
        self.take();
        if now >= self.ask_at {
            self.ask_at = now.after(ASK_EVERY[usize::from(confirmed)]);
            self.ask();
        }
        self.sign
    }

    /// Whether an answer may still come. Without a chronyd the loopback interface says so at once.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Asks at the next look.
    pub fn ask_soon(&mut self) {
        self.ask_at = BootTime(0);
    }

    fn take(&mut self) {
        let Some(socket) = &self.socket else { return };
        let mut answer = [0; BYTES];
        for _ in 0..ANSWERS_MAX {
            match socket.recv(&mut answer) {
                Ok(length) => {
                    if let Some(sign) = tracking(&answer[..length], self.sequence) {
                        (self.sign, self.waiting) = (sign, false);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // Nobody listens there (any more).
                Err(_) => return self.give_up(),
            }
        }
    }

    fn ask(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        if self.socket.is_none() {
            self.socket = connect(self.place).ok();
        }
        self.waiting = true;
        if self.socket.as_ref().is_none_or(|socket| socket.send(&question(self.sequence)).is_err()) {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        (self.socket, self.sign, self.waiting) = (None, None, false);
    }
}

fn connect(place: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(place)?;
    Ok(socket)
}

fn question(sequence: u32) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    (bytes[0], bytes[1], bytes[5]) = (6, 1, 33);
    bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

/// What an answer says; the outer `None` when it is no answer to this question.
fn tracking(bytes: &[u8], sequence: u32) -> Option<Option<u64>> {
    let begins = [(0, 6), (1, 2), (4, 0), (5, 33), (6, 0), (7, 5), (8, 0), (9, 0)];
    let is_answer = bytes.len() == BYTES
        && begins.iter().all(|(at, byte)| bytes[*at] == *byte)
        && bytes[16..20] == sequence.to_be_bytes();
    if !is_answer {
        return None;
    }
    if u16::from_be_bytes([bytes[54], bytes[55]]) >= NOT_SYNCHRONISED || bytes[28..32] == ITSELF {
        return Some(None);
    }
    let mixed = bytes[56..68].iter().fold(0, |mixed: u64, byte| mixed.wrapping_mul(0x100_0000_01B3) ^ u64::from(*byte));
    Some(Some(mixed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    /// An answer of chronyd 4.3 to question 0x01020304, with the leap status and the second of the last correction.
    fn answer(leap: u8, corrected: u8) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        (bytes[0], bytes[1], bytes[5], bytes[7]) = (6, 2, 33, 5);
        bytes[16..20].copy_from_slice(&[1, 2, 3, 4]);
        (bytes[55], bytes[63]) = (leap, corrected);
        bytes
    }

    #[test]
    fn an_answer_is_a_sign_that_changes_with_every_correction_and_anything_else_is_none() {
        let read = |bytes: &[u8]| tracking(bytes, 0x0102_0304);
        assert_eq!(read(&answer(3, 9)), Some(None));
        assert!(matches!(read(&answer(0, 9)), Some(Some(_))));
        assert_ne!(read(&answer(0, 9)), read(&answer(0, 10)));
        assert_eq!(tracking(&answer(0, 9), 5), None);
        let mut itself = answer(0, 9);
        itself[28..32].copy_from_slice(&ITSELF);
        assert_eq!(read(&itself), Some(None), "a clock that confirms itself is not confirmed");
        for length in 0..BYTES {
            assert_eq!(read(&answer(0, 9)[..length]), None);
        }
        for at in [0, 1, 4, 5, 6, 7, 8, 9] {
            let mut bytes = answer(0, 9);
            bytes[at] ^= 0x10;
            assert_eq!(read(&bytes), None, "byte {at}");
        }
    }

    #[test]
    fn chronyd_is_asked_without_waiting_and_its_end_is_noticed() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut chrony = Chrony::at(server.local_addr().unwrap());
        let second = |n: u64| BootTime(n * 1_000_000_000);
        assert_eq!(chrony.look(second(1), false), None);
        let mut asked = [0; 200];
        let (length, from) = server.recv_from(&mut asked).unwrap();
        assert_eq!((length, asked[0], asked[1], asked[5]), (BYTES, 6, 1, 33));
        let mut reply = answer(0, 9);
        reply[16..20].copy_from_slice(&asked[8..12]);
        server.send_to(&reply, from).unwrap();
        // On the loopback interface what was sent is there at once.
        assert!(chrony.is_waiting());
        assert!(chrony.look(second(2), false).is_some());
        assert!(!chrony.is_waiting());
        drop(server);
        chrony.ask_soon();
        chrony.look(second(3), true);
        assert_eq!(chrony.look(second(4), true), None);
        assert!(!chrony.is_waiting());
    }
}
