//! The letters and their bytes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::event::{Event, EventData, GatewayStarted};
use crate::store::frame::{HEADER_BYTES, Packer, Place, sections, unpack};
use crate::store::handle::Refusal;

fn letter(sequence: u64) -> DeadLetter {
    let event = Event {
        sequence,
        id: uuid::Uuid::from_u128(u128::from(sequence)),
        subject: Arc::from("gateway"),
        time: WallTime(1),
        boot: crate::clock::BootTime(2),
        boot_id: uuid::Uuid::nil(),
        clock: crate::clock::ClockState::Synchronized,
        severity: crate::config::model::Severity::Info,
        correlation: None,
        data: EventData::GatewayStarted(GatewayStarted {
            version: "1".to_owned(),
            previous_stop: "clean".to_owned(),
            waiting: 0,
        }),
    };
    DeadLetter {
        event: Arc::new(event),
        reason: "too large".to_owned(),
        attempts: 3,
        time: WallTime(7),
        history: vec![DeadAttempt { time: WallTime(6), text: "closed".to_owned() }],
        retry: false,
        announced: true,
    }
}

fn put(sequence: u64) -> Step {
    Step::Put { letter: letter(sequence), is_new: true }
}

/// What a start makes of steps written as one frame.
fn read_back(steps: &[Step], delivered: u64) -> Letters {
    let mut frame = Frame::default();
    write_steps(steps, &mut frame);
    let chunk = Packer::new().pack(&frame, Place { commit: 1, synced: 0, part: 0, parts: 1 });
    let body = chunk.chunks.iter().flat_map(|chunk| chunk[HEADER_BYTES..].to_vec()).collect();
    let raw = unpack(&chunk.header, body).unwrap();
    let mut letters = Letters::default();
    for section in sections(&raw) {
        let (kind, bytes) = section.unwrap();
        let steps = if kind == kind::DEAD { decode_letters(bytes) } else { decode_changes(bytes) };
        steps.unwrap().into_iter().for_each(|step| letters.apply(step, delivered));
    }
    letters
}

#[test]
fn steps_count_in_their_order() {
    let steps =
        [put(5), Step::Mark(5), put(6), Step::Remove(6, Gone::Dropped), Step::Remove(5, Gone::Delivered), put(5)];
    let letters = read_back(&steps, 4);
    assert_eq!(letters.iter().collect::<Vec<_>>(), [&letter(5)]);
    assert!(letters.covers(6) && !letters.covers(7));
    assert_eq!((letters.count(), letters.covered_in(1, 9)), ((1, 0), 2));
    let marked = read_back(&[put(5), Step::Mark(5), Step::Mark(9)], 4);
    assert_eq!(marked.count(), (1, 1));
}

#[test]
fn the_delivered_mark_moves_over_what_is_set_aside_and_no_further() {
    let mut letters = read_back(&[put(5), put(6), put(9), Step::Remove(6, Gone::Dropped)], 4);
    assert_eq!(letters.settle(3), 3);
    assert_eq!(letters.settle(4), 6);
    assert!(letters.covers(5) && !letters.covers(6));
    assert_eq!(letters.settle(8), 9);
}

#[test]
fn a_section_of_the_first_version_is_read() {
    // Written by the first release: no history, no marks.
    let event = stored::encode_events(&[Arc::unwrap_or_clone(letter(5).event)]);
    let value = |text: &str| ciborium::Value::Text(text.to_owned());
    let old = ciborium::Value::Array(vec![ciborium::Value::Map(vec![
        (value("reason"), value("too large")),
        (value("attempts"), ciborium::Value::Integer(3.into())),
        (value("time"), ciborium::Value::Integer(7.into())),
        (value("event"), ciborium::Value::Bytes(event)),
    ])]);
    let mut bytes = vec![1];
    ciborium::into_writer(&old, &mut bytes).unwrap();
    let steps = decode_letters(&bytes).unwrap();
    let [Step::Put { letter: read, .. }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(*read, DeadLetter { history: Vec::new(), announced: false, ..letter(5) });
}

#[test]
fn the_history_and_its_texts_are_bounded() {
    let mut letter = letter(1);
    let attempt = |n| DeadAttempt { time: WallTime(n), text: "ü".repeat(10_000) };
    let why = Refusal { reason: "ö".repeat(10_000), attempts: 30, history: (0..30).map(attempt).collect() };
    letter.refused(why, WallTime(99));
    assert_eq!((letter.history.len(), letter.attempts), (ATTEMPTS_KEPT_MAX, 33));
    assert_eq!(letter.history[ATTEMPTS_KEPT_MAX - 1].time, WallTime(29));
    assert!(letter.reason.len() <= 512 && letter.history.iter().all(|attempt| attempt.text.len() <= 512));
}

#[test]
fn arbitrary_bytes_never_panic() {
    for _ in 0..2_000 {
        let mut bytes: Vec<u8> = (0..fastrand::usize(..60)).map(|_| fastrand::u8(..)).collect();
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        let _ = (decode_letters(&bytes).is_ok(), decode_changes(&bytes).is_ok());
    }
}
