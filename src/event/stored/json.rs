//! Carried payload fields, which can be JSON of any form, as CBOR items.

use ciborium_ll::Header;
use serde_json::Value as Json;

use super::Error;
use super::items::{Reader, TAG_BIGNUM, Writer};

/// Deepest nesting of a carried value: the JSON parser's own limit.
pub(super) const DEPTH_MAX: usize = 128;

/// A carried value of any form. Beyond `depth` levels it is left out: no parser that feeds us goes that deep.
pub(super) fn write(value: &Json, depth: usize, out: &mut Writer) {
    match value {
        Json::Null => out.null(),
        Json::Bool(state) => out.bool(*state),
        Json::String(text) => out.text(text),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => out.int(whole),
            (None, Some(large)) => {
                out.header(Header::Tag(TAG_BIGNUM));
                out.bytes(&large.to_be_bytes());
            }
            (None, None) => out.number(number.as_f64().unwrap_or_default()),
        },
        Json::Array(_) | Json::Object(_) if depth == 0 => out.null(),
        Json::Array(items) => {
            out.header(Header::Array(Some(items.len())));
            items.iter().for_each(|item| write(item, depth - 1, out));
        }
        Json::Object(entries) => {
            out.header(Header::Map(Some(entries.len())));
            for (key, item) in entries {
                out.text(key);
                write(item, depth - 1, out);
            }
        }
    }
}

/// The carried value that `header` begins.
pub(super) fn read(header: Header, depth: usize, column: &mut Reader<'_>) -> Result<Json, Error> {
    if let Some(whole) = Reader::as_int(header) {
        return Ok(Json::from(whole));
    }
    if let Some(state) = Reader::as_bool(header) {
        return Ok(Json::from(state));
    }
    if Reader::is_null(header) {
        return Ok(Json::Null);
    }
    let deeper = depth.checked_sub(1).ok_or(Error::Damaged("a carried value is nested too deeply"));
    match header {
        Header::Text(Some(length)) => Ok(Json::from(column.text_of(length)?)),
        Header::Tag(TAG_BIGNUM) => {
            let bytes = column.bytes()?;
            let bytes = bytes.try_into().map_err(|_| Error::Damaged("a large number is too large"))?;
            Ok(Json::from(u64::from_be_bytes(bytes)))
        }
        Header::Array(Some(length)) => {
            let deeper = deeper?;
            let mut items = Vec::with_capacity(length.min(column.len()));
            for _ in 0..length {
                let header = column.header()?;
                items.push(read(header, deeper, column)?);
            }
            Ok(Json::from(items))
        }
        Header::Map(Some(length)) => {
            let deeper = deeper?;
            let mut entries = serde_json::Map::new();
            for _ in 0..length {
                let key = column.text()?.to_owned();
                let header = column.header()?;
                entries.insert(key, read(header, deeper, column)?);
            }
            Ok(Json::from(entries))
        }
        header => column.number_of(header)?.map(Json::from).ok_or(Error::Damaged("a carried value was expected")),
    }
}
