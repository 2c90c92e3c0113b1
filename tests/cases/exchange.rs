//! A bus master and what it is answered: our requests must be those of the case, and its answers our readings.

use tidegate::clock::WallTime;
use tidegate::config::model::{ModbusUnit, Source, SourceKind};
use tidegate::decode::Decoded;
use tidegate::decode::modbus::frame::{Filter, Framing, crc};
use tidegate::decode::modbus::plan::{Read, plan, spans};
use tidegate::decode::modbus::{Image, UnitDecoder};

use super::file::{Case, Step};
use super::run::Seen;

/// Bytes of an RTU frame before its data, and of the checksum behind it.
const AROUND: (usize, usize) = (3, 2);

/// Goes through the exchanges with the one unit of the one source.
pub fn run(case: &Case, sources: &[Source]) -> Result<Seen, String> {
    let [Source { name, kind: SourceKind::Modbus(source), .. }] = sources else {
        return Err("an exchange needs one source of type \"modbus\"".to_owned());
    };
    let [unit] = source.units.as_slice() else {
        return Err("an exchange needs one [[source.unit]]".to_owned());
    };
    let mut reads = plan(spans(unit), unit.max_registers, unit.max_gap).into_iter();
    let (mut filter, mut image) = (Filter::new(Framing::Rtu), Image::default());
    let mut asked: Option<Read> = None;
    for step in &case.steps {
        match step {
            Step::Request(bytes) => {
                let read = reads.next().ok_or("the case asks for more than we would")?;
                let ours = request(unit, &read);
                if *bytes != ours {
                    return Err(format!("we would ask {ours:02x?}, the case asks {bytes:02x?}"));
                }
                filter.ask(&ours);
                asked = Some(read);
            }
            Step::Answer(bytes) => {
                filter.hear(bytes);
                let Some(frame) = filter.answer().map_err(|_| "no Modbus")? else { continue };
                let read = asked.take().ok_or("an answer before its request")?;
                let data = &frame[AROUND.0..frame.len() - AROUND.1];
                let words = data.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                image.put(read.span.table, read.span.first, words);
            }
            Step::Event => return Err("the port goes away in an exchange".to_owned()),
            Step::Bytes { .. } => return Err("bytes of a source that is only listened to, in an exchange".to_owned()),
        }
    }
    if let Some(read) = asked.or_else(|| reads.next()) {
        return Err(format!("{read:?} was not answered ({})", case.facts["framing"]));
    }
    let mut out = Decoded::default();
    UnitDecoder::new(name, unit).decode(&image, WallTime(case.received_at), &mut out);
    Ok(Seen { readings: out.readings, rejects: out.rejects, ignored: out.ignored })
}

fn request(unit: &ModbusUnit, read: &Read) -> Vec<u8> {
    let [first, count] = [read.span.first, read.span.count].map(u16::to_be_bytes);
    let body = [unit.id, read.span.table.function(), first[0], first[1], count[0], count[1]];
    [&body[..], &crc(&body).to_le_bytes()].concat()
}
