//! What comes over a Modbus line or connection after requests, and what units' registers hold.
//!
//! The first byte: RTU or TCP; then requests and what is heard after each, in turns between marks. What a request got
//! is read as the registers of a unit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::config::model::{Source, SourceKind, Table};
use tidegate::decode::Decoded;
use tidegate::decode::modbus::frame::{Filter, Framing, HELD_BYTES_MAX};
use tidegate::decode::modbus::{Image, UnitDecoder, plan};
use tidegate_fuzz::{BETWEEN, decoding, sources, split, watched};

thread_local! {
    static SOURCE: Source = sources::modbus();
}

fn registers(source: &Source, first: u16, bytes: &[u8]) {
    let SourceKind::Modbus(modbus) = &source.kind else { panic!("no Modbus source") };
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    for unit in &modbus.units {
        let mut image = Image::default();
        for table in [Table::Holding, Table::Input, Table::Coil, Table::Discrete] {
            image.put(table, first, words.clone());
        }
        let mut out = Decoded::default();
        UnitDecoder::new("s", unit).decode(&image, decoding::ARRIVAL, &mut out);
        decoding::check(&out);
    }
}

fuzz_target!(|input: &[u8]| watched(|| {
    let [how, rest @ ..] = input else { return };
    let framing = if how & 1 == 0 { Framing::Rtu } else { Framing::Tcp };
    let mut filter = Filter::new(framing);
    let mut parts = split(rest, &BETWEEN);
    while let Some(request) = parts.next() {
        filter.ask(request);
        for piece in parts.next().unwrap_or_default().chunks(usize::from(how >> 1).max(1)) {
            filter.hear(piece);
            match filter.answer() {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= HELD_BYTES_MAX, "an answer of {} bytes", frame.len());
                    let first = frame.first().copied().unwrap_or(0).into();
                    SOURCE.with(|source| registers(source, first, frame.get(3..).unwrap_or_default()));
                }
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }
    SOURCE.with(|source| registers(source, u16::from(*how), rest));
    // Which registers to ask for, from any spans.
    let spans = rest.chunks_exact(4).map(|four| plan::Span {
        table: [Table::Holding, Table::Input][usize::from(four[0] & 1)],
        first: u16::from_be_bytes([four[1], four[2]]),
        count: u16::from(four[3]).max(1),
    });
    plan::plan(spans.collect(), 125, u16::from(*how));
}));
