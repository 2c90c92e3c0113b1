//! What of a port's bytes is believed.

use super::*;

#[test]
fn seven_bits_with_parity_are_told_from_eight() {
    let text = b"t=21.5 h=48\r\nt=21.6 h=47\r\n";
    let with_parity = text.map(|byte| byte | ((byte.count_ones() % 2) as u8) << 7);
    for (bytes, seven_even) in [(text, false), (&with_parity, true)] {
        let mut tried = Tried { baud: 9600, bytes: bytes.to_vec(), ..Tried::default() };
        tried.judge();
        assert_eq!((tried.seven_even, tried.is_good(), tried.bytes()), (seven_even, true, text.to_vec()));
    }
    let mut noise = Tried { bytes: (0..=255).collect(), ..Tried::default() };
    noise.judge();
    assert!(!noise.is_good());
}

#[test]
fn only_whole_lines_count() {
    let heard = lines(b"half\r\none\r\n\r\ntwo\nhal");
    let heard: Vec<&[u8]> = heard.iter().map(|heard| &*heard.payload).collect();
    assert_eq!(heard, [b"one", b"two"]);
    assert_eq!(lines(b"nothing").len(), 0);
}
