//! Alarm records: whose they are, and the engine's own bytes.

use super::decode::begin;
use super::encode::finish;
use super::items::Writer;
use super::strings::{TextsRead, TextsWritten};
use super::{AlarmRecord, Error};

pub(super) fn encode(records: &[AlarmRecord]) -> Vec<u8> {
    let mut columns = [Writer::default(), Writer::default()];
    let [texts, items] = &mut columns;
    let mut strings = TextsWritten::default();
    for record in records {
        items.uint(strings.number(&record.alarm, texts));
        items.uint(strings.number(&record.sensor, texts));
        items.bytes(&record.state);
    }
    finish(columns.iter())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<AlarmRecord>, Error> {
    let [mut texts, mut items] = begin::<2>(bytes)?;
    let mut strings = TextsRead::default();
    let mut records = Vec::new();
    while !items.is_empty() {
        let alarm = strings.get(items.index()?, &mut texts)?;
        let sensor = strings.get(items.index()?, &mut texts)?;
        records.push(AlarmRecord { alarm, sensor, state: items.bytes()?.to_vec() });
    }
    if texts.is_empty() { Ok(records) } else { Err(Error::Damaged("a column is too long")) }
}
