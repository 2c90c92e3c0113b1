//! Meters' telegrams and Victron's blocks: where they end, and what their checks find.

use super::*;

pub(super) fn telegram(body: &str) -> Vec<u8> {
    let text = format!("/{body}!");
    let crc = checksum::compute(usual("crc16-arc").kind, text.as_bytes());
    format!("{text}{crc:04X}\r\n").into_bytes()
}

pub(super) fn p1(unchecked: bool) -> Framing {
    Framing::P1 { max_bytes: 256, unchecked }
}

#[test]
fn a_telegram_ends_at_its_crc_and_a_lost_end_costs_one_only() {
    let good = telegram("MTR\r\n\r\n1-0:1.7.0(02.027*kW)\r\n");
    let found = message(b"/MTR\r\n\r\n1-0:1.7.0(02.027*kW)\r\n");
    let cuts = cut(&p1(false), &[b"0(1)\r\n!1A2B\r\n", &good, &good]);
    assert_eq!(cuts, [Err(Reject::Partial), found.clone(), found.clone()]);
    let cuts = cut(&p1(false), &[&good[..20], b"\r\n", &good, &good[..20], &good]);
    assert_eq!(cuts, [Err(Reject::Malformed), found.clone(), Err(Reject::Malformed), found.clone()]);
    let mut wrong = good.clone();
    wrong[12] ^= 1;
    assert_eq!(cut(&p1(false), &[&wrong, &good]), [Err(Reject::Checksum), found]);
}

#[test]
fn a_telegram_without_a_crc_is_kept_only_when_told_so() {
    let old = b"/KMP5\r\n\r\n1-0:1.7.0(02.027*kW)\r\n!\r\n";
    assert_eq!(cut(&p1(false), &[old]), [Err(Reject::Checksum)]);
    assert_eq!(cut(&p1(true), &[old]), [message(&old[..old.len() - 3])]);
    assert_eq!(cut(&p1(true), &[b"/x\r\n", &[b'y'; 300], b"\r\n", old]).len(), 2);
}

#[test]
fn a_readout_with_stx_is_checked_by_its_last_character() {
    let lines = b"/LGZ5\r\n\x021.8.0(1.5*kWh)\r\n!\r\n";
    let from = lines.iter().position(|byte| *byte == 2).unwrap() + 1;
    let readout = |check: u8| [&lines[..], &[3, check]].concat();
    let check = lines[from..].iter().fold(3, |sum, byte| sum ^ byte);
    let found = message(&lines[..lines.len() - 3]);
    assert_eq!(cut(&p1(false), &[&readout(check), &readout(check)]), [found.clone(), found.clone()]);
    let cuts = cut(&p1(false), &[&readout(check ^ 1), lines, &readout(check)]);
    assert_eq!(cuts, [Err(Reject::Checksum), Err(Reject::Malformed), found]);
}

// ---- vedirect ----

pub(super) fn ve_block(lines: &str) -> Vec<u8> {
    let mut block = format!("{lines}\r\nChecksum\t").into_bytes();
    let sum = block.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    block.push(sum.wrapping_neg());
    block
}

#[test]
fn a_victron_block_ends_at_its_checksum_whatever_byte_that_is() {
    let framing = Framing::VeDirect { max_bytes: 256 };
    for filling in 0..=255_u32 {
        let block =
            ve_block(&format!("\r\nV\t12800\r\nX\t{}", "z".repeat(filling as usize % 16) + &filling.to_string()));
        let cuts = cut(&framing, &[&block, b":A4F10000\n", &block]);
        assert_eq!(cuts.len(), 2, "{cuts:?}");
        assert!(cuts.iter().all(|cut| cut.as_ref().is_ok_and(|block| block.starts_with(b"V\t12800\nX\t"))));
    }
}

#[test]
fn a_hexadecimal_message_inside_a_victron_block_is_not_in_its_sum() {
    let framing = Framing::VeDirect { max_bytes: 256 };
    let block = ve_block("\r\nV\t12800\r\nI\t-1500");
    let cuts = cut(&framing, &[&block[..9], b":7F0ED0071\n", &block[9..]]);
    assert_eq!(cuts, [message(b"V\t12800\nI\t-1500\n")]);
    let mut wrong = block.clone();
    wrong[4] ^= 1;
    assert_eq!(
        cut(&framing, &[&wrong, &wrong, &block]),
        [Err(Reject::Partial), Err(Reject::Checksum), message(b"V\t12800\nI\t-1500\n")]
    );
}

// ---- all ----
