//! A port's bytes, however they come in: the framing, and the format behind it.
//!
//! The first byte is the port, the next four say how the rest is cut into reads. What comes out must not depend on
//! that, except where pauses divide messages.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tidegate::config::model::{self, SourceKind};
use tidegate::counters::Reject;
use tidegate::decode::framing::{Frame, Framer};
use tidegate::decode::Decoder;
use tidegate_fuzz::{decoding, sources, watched};

#[derive(Debug, PartialEq)]
enum Cut {
    Message(Vec<u8>),
    Refused(Reject),
}

fn owned(frame: Frame<'_>) -> Cut {
    match frame {
        Frame::Message(bytes) => {
            assert!(!bytes.is_empty(), "a message without bytes");
            Cut::Message(bytes.to_vec())
        }
        Frame::Refused(reject, _) => Cut::Refused(reject),
    }
}

/// Reads of the sizes that `sizes` says, in turns; `pause` passes between any two.
fn cut(framing: &model::Framing, bytes: &[u8], sizes: &[u8], pause: Duration) -> Vec<Cut> {
    let mut framer = Framer::new(framing);
    let (mut found, mut now, mut rest) = (Vec::new(), Duration::ZERO, bytes);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size).max(1)).min(rest.len());
        let (read, behind) = rest.split_at(size);
        rest = behind;
        now += pause;
        while let Some(deadline) = framer.deadline().filter(|deadline| *deadline <= now) {
            framer.on_deadline(deadline, |frame| found.push(owned(frame)));
            assert!(framer.deadline().is_none_or(|next| next > deadline), "the same deadline again");
        }
        framer.push(read, now, |frame| found.push(owned(frame)));
    }
    if let Some(deadline) = framer.deadline() {
        framer.on_deadline(deadline, |frame| found.push(owned(frame)));
    }
    found
}

fuzz_target!(|input: &[u8]| watched(|| {
    let [port, sizes @ .., ] = input else { return };
    let Some(text) = sources::PORTS.get(usize::from(*port)) else { return };
    let Some((sizes, bytes)) = sizes.split_at_checked(4) else { return };
    let source = sources::load_port(text);
    let SourceKind::Serial(serial) = &source.kind else { panic!("no port: {text}") };
    let whole = cut(&serial.framing, bytes, &[], Duration::ZERO);
    let parts = cut(&serial.framing, bytes, sizes, Duration::ZERO);
    assert_eq!(whole, parts, "cut differently when read in pieces of {sizes:?}");
    cut(&serial.framing, bytes, sizes, Duration::from_millis(30));
    let mut decoder = Decoder::new(&source).expect("the tables' sources are valid");
    for message in whole {
        if let Cut::Message(bytes) = message {
            decoding::decode(&mut decoder, None, &bytes, false);
        }
    }
}));
