//! Every way of cutting: with good frames, with broken ones, and with anything.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod meters;

use proptest::prelude::*;

use super::*;
use crate::config::model::{Block, BlockLength, CHECKSUMS, Checksum};
use meters::{p1, telegram, ve_block};

type Cuts = Vec<Result<Vec<u8>, Reject>>;

fn usual(kind: &str) -> Checksum {
    Checksum::usual(CHECKSUMS.iter().find(|(word, _)| *word == kind).unwrap().1)
}

fn common(checksum: Option<&str>) -> Common {
    Common { max_bytes: 64, keep_first: false, checksum: checksum.map(usual) }
}

fn start(start: &[u8], length: BlockLength, end: &[u8], checksum: Option<Checksum>) -> Framing {
    Framing::Block(Block {
        start: start.to_vec(),
        length,
        end: end.to_vec(),
        filler: b"\r\n".to_vec(),
        gap: None,
        max_bytes: 64,
        checksum,
    })
}

/// A dust sensor's frame: AA C0, six bytes, their sum, AB.
fn sds011() -> Framing {
    let checksum = Checksum { from: 2, at: Some(-2), ..usual("sum8") };
    start(&[0xaa, 0xc0], BlockLength::Bytes(10), &[0xab], Some(checksum))
}

/// A start, a length field, a CRC.
fn with_length() -> Framing {
    let length = BlockLength::Field { at: 1, width: 1, big_endian: true, add: 4 };
    start(&[0x7e], length, &[], Some(usual("crc16-modbus")))
}

fn cut(framing: &Framing, chunks: &[&[u8]]) -> Cuts {
    let mut framer = Framer::new(framing);
    let mut out = Cuts::new();
    for chunk in chunks {
        framer.push(chunk, Duration::ZERO, |frame| push(frame, &mut out));
    }
    out
}

fn push(frame: Frame<'_>, out: &mut Cuts) {
    out.push(match frame {
        Frame::Message(message) => Ok(message.to_vec()),
        Frame::Refused(reject, _) => Err(reject),
    });
}

fn message(bytes: &[u8]) -> Result<Vec<u8>, Reject> {
    Ok(bytes.to_vec())
}

// ---- delimiter ----

fn delimited(delimiter: &[u8], keep_first: bool) -> Framing {
    let common = Common { max_bytes: 8, keep_first, checksum: None };
    Framing::Delimiter { delimiter: delimiter.to_vec(), common }
}

#[test]
fn a_delimiter_of_several_bytes_is_found_across_chunks() {
    let cuts = cut(&delimited(b"\r;", true), &[b"a;b\r", b";", b"\r;c\r;d"]);
    assert_eq!(cuts, [message(b"a;b"), message(b"c")]);
    let cuts = cut(&delimited(b";", false), &[b"art;a;b;"]);
    assert_eq!(cuts, [Err(Reject::Partial), message(b"a"), message(b"b")]);
}

#[test]
fn a_delimited_frame_beyond_the_bound_is_told_once_and_dropped_to_its_end() {
    let cuts = cut(&delimited(b"\r;", true), &[b"12345678\r;", &[b'x'; 100], b"\r;ok\r;"]);
    assert_eq!(cuts, [message(b"12345678"), Err(Reject::TooLong), message(b"ok")]);
}

// ---- block ----

#[test]
fn a_start_inside_the_data_does_no_harm() {
    // The data holds AA C0; after a wrong checksum the search goes on behind the false start.
    let good = [0xaa, 0xc0, 0xaa, 0xc0, 1, 2, 3, 4, 0x74, 0xab];
    let cuts = cut(&sds011(), &[&good[2..], &good, &good]);
    assert_eq!(cuts, [Err(Reject::Malformed), message(&good), message(&good)]);
    let mut wrong = good;
    wrong[8] = 0;
    let cuts = cut(&sds011(), &[&good, &wrong, &good]);
    assert_eq!(cuts, [message(&good), Err(Reject::Checksum), message(&good)]);
}

#[test]
fn the_beginning_of_a_stream_may_be_partial_and_later_junk_is_told() {
    let good = [0xaa, 0xc0, 0x8c, 0, 0x94, 0, 0xbc, 0xf9, 0xd5, 0xab];
    let cuts = cut(&sds011(), &[&good[6..], &good, b"junk", &good]);
    assert_eq!(cuts, [Err(Reject::Partial), message(&good), Err(Reject::Malformed), message(&good)]);
}

#[test]
fn endless_junk_is_told_once_in_a_while() {
    let cuts = cut(&sds011(), &[&[0x55; 640]]);
    assert_eq!(cuts, vec![Err(Reject::Malformed); 10]);
}

#[test]
fn a_length_field_that_cannot_be_is_no_frame() {
    let checked = |data: &[u8]| {
        let mut frame = vec![0x7e, u8::try_from(data.len()).unwrap()];
        frame.extend(data);
        let crc = checksum::compute(usual("crc16-modbus").kind, &frame) as u16;
        frame.extend(crc.to_le_bytes());
        frame
    };
    let good = checked(b"abc");
    let cuts = cut(&with_length(), &[&[0x7e, 0xff], &good, &good]);
    let whole = &good[..good.len() - 2];
    assert_eq!(cuts, [Err(Reject::Malformed), message(whole), message(whole)]);
}

#[test]
fn a_frame_between_marks_may_have_a_check_character_behind_them() {
    let framing = start(b"\x02", BlockLength::UntilEnd { after: 0 }, b"\x03", None);
    let cuts = cut(&framing, &[b"x\x02ab\x03\x02c\x02de\x03"]);
    assert_eq!(cuts, [Err(Reject::Partial), message(b"ab"), Err(Reject::Malformed), message(b"de")]);
    // The exclusive or of all behind STX, ETX included.
    let checked = Checksum { from: 1, ..usual("xor8") };
    let framing = start(b"\x02", BlockLength::UntilEnd { after: 1 }, b"\x03", Some(checked));
    let bcc = b'a' ^ b'b' ^ 3;
    let cuts = cut(&framing, &[b"\x02ab\x03", &[bcc], b"\x02ab\x03", &[bcc ^ 1]]);
    assert_eq!(cuts, [message(b"ab"), Err(Reject::Checksum)]);
}

#[test]
fn frames_of_one_length_are_aligned_by_their_checksum_or_by_a_pause() {
    let framing = start(&[], BlockLength::Bytes(4), &[], Some(usual("crc16-modbus")));
    let mut good = b"ab".to_vec();
    good.extend((checksum::compute(usual("crc16-modbus").kind, b"ab") as u16).to_le_bytes());
    let cuts = cut(&framing, &[&good[1..], &good, &good]);
    assert_eq!(cuts, [Err(Reject::Partial), message(b"ab"), message(b"ab")]);

    let Framing::Block(block) = start(&[], BlockLength::Bytes(3), &[], None) else { unreachable!("made above") };
    let mut framer = Framer::new(&Framing::Block(Block { gap: Some(Duration::from_millis(50)), ..block }));
    let mut out = Cuts::new();
    framer.push(b"c", Duration::from_millis(10), |frame| push(frame, &mut out));
    assert_eq!(framer.deadline(), Some(Duration::from_millis(60)));
    framer.on_deadline(Duration::from_millis(60), |frame| push(frame, &mut out));
    framer.push(b"ab", Duration::from_millis(1_000), |frame| push(frame, &mut out));
    framer.push(b"c", Duration::from_millis(1_010), |frame| push(frame, &mut out));
    assert_eq!(out, [Err(Reject::Partial), message(b"abc")]);
    assert_eq!(framer.deadline(), None);
}

// ---- gap ----

#[test]
fn a_pause_ends_a_frame_and_the_first_one_is_whole_only_after_a_pause() {
    let gap = Duration::from_millis(20);
    let framing = Framing::Gap { gap, common: common(None) };
    let at = Duration::from_millis;
    let mut framer = Framer::new(&framing);
    let mut out = Cuts::new();
    framer.push(b"art", at(5), |frame| push(frame, &mut out));
    framer.push(b"ab", at(30), |frame| push(frame, &mut out));
    framer.push(b"c", at(45), |frame| push(frame, &mut out));
    assert_eq!(framer.deadline(), Some(at(65)));
    framer.on_deadline(at(65), |frame| push(frame, &mut out));
    assert_eq!(framer.deadline(), None);
    framer.push(&[0; 65], at(100), |frame| push(frame, &mut out));
    framer.push(b"more", at(110), |frame| push(frame, &mut out));
    framer.push(b"ok", at(140), |frame| push(frame, &mut out));
    framer.on_deadline(at(160), |frame| push(frame, &mut out));
    assert_eq!(out, [Err(Reject::Partial), message(b"abc"), Err(Reject::TooLong), message(b"ok")]);
    framer.reset(at(200));
    framer.push(b"whole", at(230), |frame| push(frame, &mut out));
    framer.on_deadline(at(250), |frame| push(frame, &mut out));
    assert_eq!(out.last(), Some(&message(b"whole")), "the line was quiet before it");
}

// ---- slip ----

#[test]
fn slip_escapes_are_undone_and_wrong_ones_refused() {
    let framing = Framing::Slip(common(None));
    let cuts = cut(&framing, &[b"art\xc0\xc0a\xdb", b"\xdcb\xdb\xddc\xc0", b"x\xdbyz\xc0x\xdb\xc0ok\xc0"]);
    assert_eq!(
        cuts,
        [Err(Reject::Partial), message(b"a\xc0b\xdbc"), Err(Reject::Malformed), Err(Reject::Malformed), message(b"ok")]
    );
}

#[test]
fn a_slip_frame_with_a_fitting_checksum_is_kept_even_if_it_is_the_first() {
    let framing = Framing::Slip(common(Some("crc16-ccitt-false")));
    assert_eq!(cut(&framing, &[b"123456789\x29\xb1\xc0"]), [message(b"123456789")]);
    let cuts = cut(&framing, &[b"3456789\x29\xb1\xc0123456789\x29\xb2\xc0"]);
    assert_eq!(cuts, [Err(Reject::Partial), Err(Reject::Checksum)]);
}

#[test]
fn hdlc_frames_stand_between_flags_with_their_escapes() {
    let framing = Framing::Hdlc(common(None));
    let stream = b"old\x7e\x7e\x01\x7d\x5e\x7d\x5d\x02\x7e\x05\x7d\x7e\x06\x7e";
    let found = [Err(Reject::Partial), message(b"\x01\x7e\x7d\x02"), Err(Reject::Malformed), message(b"\x06")];
    assert_eq!(cut(&framing, &[stream]), found);
}

// ---- cobs ----

/// Stuffs as the paper says.
fn stuff(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut group = Vec::new();
    let mut full = false;
    for byte in data {
        full = false;
        if *byte != 0 {
            group.push(*byte);
        }
        if *byte == 0 || group.len() == 254 {
            full = *byte != 0;
            out.push(u8::try_from(group.len() + 1).unwrap());
            out.append(&mut group);
        }
    }
    if !full {
        out.push(u8::try_from(group.len() + 1).unwrap());
        out.append(&mut group);
    }
    out.push(0);
    out
}

#[test]
fn cobs_groups_are_put_together_and_broken_ones_refused() {
    let framing = Framing::Cobs(Common { keep_first: true, ..common(None) });
    assert_eq!(cut(&framing, &[&[1, 1, 0, 3, b'a', b'b', 2, b'c', 0]]), [message(&[0]), message(b"ab\0c")]);
    assert_eq!(
        cut(&framing, &[&[2, b'a', 0, 9, b'a', 0, 0, 2, b'b', 0]]),
        [message(b"a"), Err(Reject::Malformed), message(b"b")]
    );
}

// ---- p1 ----

fn framings() -> Vec<Framing> {
    vec![
        Framing::Line { max_bytes: 20, keep_first: false },
        delimited(b"\r\n", false),
        delimited(&[0xaa, 0xaa, 0xc0], true),
        sds011(),
        with_length(),
        start(&[], BlockLength::Bytes(5), &[], None),
        start(&[], BlockLength::Bytes(5), &[], Some(usual("sum8"))),
        start(&[0xaa], BlockLength::UntilEnd { after: 0 }, &[0xc0], None),
        start(&[0xaa, 0xaa], BlockLength::UntilEnd { after: 1 }, &[0xc0, 0], Some(usual("xor8"))),
        start(&[0x7e], BlockLength::Field { at: 40, width: 4, big_endian: false, add: -3 }, &[0], None),
        Framing::Gap { gap: Duration::from_secs(1), common: common(None) },
        Framing::Hdlc(common(None)),
        Framing::Slip(common(None)),
        Framing::Slip(common(Some("sum8"))),
        Framing::Cobs(common(None)),
        Framing::Cobs(common(Some("crc8"))),
        p1(true),
        Framing::VeDirect { max_bytes: 40 },
    ]
}

/// Bytes among which those that mean something are common.
fn bytes(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let marks = prop::sample::select(
        &b"\r\n\t:/!;\x02\x03\x00\x01\x03\x05\xaa\xaa\xc0\xc0\xdb\xdc\xdd\x7e\xabCchecksum0123*"[..],
    );
    prop::collection::vec(prop_oneof![3 => marks, 1 => any::<u8>()], 0..length_max)
}

proptest! {
    #[test]
    fn chunking_never_changes_what_is_cut(bytes in bytes(400), cuts in prop::collection::vec(0_usize..400, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        for framing in framings() {
            let whole = cut(&framing, &[&bytes]);
            prop_assert_eq!(&cut(&framing, &single), &whole, "{:?}", framing);
            prop_assert_eq!(&cut(&framing, &chunks), &whole, "{:?}", framing);
        }
    }

    #[test]
    fn garbage_never_hides_more_than_the_bound(garbage in bytes(300), data in prop::collection::vec(any::<u8>(), 1..20)) {
        let crc = |kind: &str, data: &[u8]| checksum::compute(usual(kind).kind, data) as u16;
        let mut dust = vec![0xaa, 0xc0];
        dust.extend(data.iter().copied().chain([0; 6]).take(6));
        let sum = checksum::compute(usual("sum8").kind, &dust[2..]);
        dust.extend([u8::try_from(sum).unwrap(), 0xab]);
        let mut counted = vec![0x7e, u8::try_from(data.len()).unwrap()];
        counted.extend(&data);
        counted.extend(crc("crc16-modbus", &counted).to_le_bytes());
        let mut checked = data.clone();
        checked.extend(crc("crc16-ccitt-false", &data).to_be_bytes());
        let slip: Vec<u8> = checked
            .iter()
            .flat_map(|byte| match byte {
                0xc0 => vec![0xdb, 0xdc],
                0xdb => vec![0xdb, 0xdd],
                byte => vec![*byte],
            })
            .chain([0xc0])
            .collect();
        let ends = common(Some("crc16-ccitt-false"));
        let whole = telegram("MTR\r\n\r\n1-0:1.7.0(02.027*kW)\r\n");
        let block = ve_block("\r\nV\t12800\r\nI\t-1500");
        for (framing, frame, found, bound) in [
            (sds011(), dust.clone(), dust, 64),
            (with_length(), counted.clone(), counted[..counted.len() - 2].to_vec(), 64),
            (Framing::Slip(ends.clone()), slip, data.clone(), 0),
            (Framing::Cobs(ends), stuff(&checked), data.clone(), 0),
            (p1(false), whole.clone(), whole[..whole.len() - 7].to_vec(), 256),
            (Framing::VeDirect { max_bytes: 256 }, block, b"V\t12800\nI\t-1500\n".to_vec(), 256),
        ] {
            let sent = 40;
            let stream: Vec<u8> = garbage.iter().chain(frame.repeat(sent).iter()).copied().collect();
            let seen = cut(&framing, &[&stream]).into_iter().filter(|cut| cut.as_ref() == Ok(&found)).count();
            let hidden = 2 + bound / frame.len();
            prop_assert!(seen + hidden >= sent, "{seen} of {sent} in {framing:?}");
        }
    }

    #[test]
    fn what_is_stuffed_comes_back(data in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 1..600)) {
        let framing = Framing::Cobs(Common { max_bytes: 1_000, keep_first: true, checksum: None });
        let sent = stuff(&data);
        prop_assert_eq!(cut(&framing, &[&sent]), [Ok(data)]);
    }
}

#[test]
fn filler_between_frames_is_no_refusal_and_anything_else_there_is() {
    let checksum = Checksum { at: Some(-2), to: Some(-3), from: 1, ..usual("sum6-printable") };
    let Framing::Block(block) = start(b"\n", BlockLength::UntilEnd { after: 0 }, b"\r", Some(checksum)) else {
        panic!("a block")
    };
    let mut framer = Framer::new(&Framing::Block(Block { filler: vec![2, 3], ..block }));
    let mut out = Vec::new();
    framer.push(
        b"\x02\nPAPP 00300 $\r\nPAPP 00301 $\r\x03\x02\nPAPP 00310 %\r\x03x\x02\nPAPP 00311 &\r",
        Duration::ZERO,
        |frame| {
            out.push(match frame {
                Frame::Message(message) => String::from_utf8_lossy(message).into_owned(),
                Frame::Refused(reject, _) => format!("{reject:?}"),
            });
        },
    );
    assert_eq!(out, ["PAPP 00300 ", "Checksum", "PAPP 00310 ", "Malformed", "PAPP 00311 "]);
}
