//! CBOR items, one at a time: the alphabet of the stored form.
//!
//! Owns writing to and reading from a column. Reading takes from a slice, never allocates by a length it was told and
//! never recurses without a bound.

use ciborium_ll::{Decoder, Encoder, Header};

use super::Error;
use crate::reading::Value;

/// Most digits after the point of a decimal. Sensors say two or three; computed values are not decimal anyway.
pub(super) const DECIMALS_MAX: u8 = 9;

/// Largest mantissa: up to here every whole number is an exact `f64`.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; DECIMALS_MAX as usize + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// RFC 8949: decimal fraction, `[exponent, mantissa]`.
pub(super) const TAG_DECIMAL: u64 = 4;

/// RFC 8949: unsigned bignum.
pub(super) const TAG_BIGNUM: u64 = 2;

const SIMPLE_FALSE: u8 = 20;
const SIMPLE_TRUE: u8 = 21;
const SIMPLE_NULL: u8 = 22;

const NANOS_PER_MICRO: i64 = 1_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// The mantissa of `number` with `decimals` digits after the point, where that gives back the very same number.
///
/// Both the mantissa and the power of ten are exact, so their quotient is the correctly rounded decimal, which is what
/// a parser made of the sensor's text.
pub(super) fn mantissa(number: f64, decimals: u8) -> Option<i64> {
    let scaled = (number * POWERS[usize::from(decimals)]).round();
    let mantissa = scaled as i64;
    // By bits, since -0.0 has no mantissa of its own.
    let exact = scaled.abs() <= MANTISSA_MAX && from_mantissa(mantissa, decimals).to_bits() == number.to_bits();
    exact.then_some(mantissa)
}

/// The fewest decimals, from `at_least` on, with which `number` is exact.
pub(super) fn decimals(number: f64, at_least: u8) -> Option<u8> {
    (at_least..=DECIMALS_MAX).find(|decimals| mantissa(number, *decimals).is_some())
}

/// The number that a mantissa stands for.
pub(super) fn from_mantissa(mantissa: i64, decimals: u8) -> f64 {
    mantissa as f64 / POWERS[usize::from(decimals)]
}

/// The coarsest unit, ns, that divides a span.
pub(super) fn unit_of(span_ns: i64) -> i64 {
    [NANOS_PER_MILLI, NANOS_PER_MICRO].into_iter().find(|unit| span_ns % unit == 0).unwrap_or(1)
}

/// A column being written.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn header(&mut self, header: Header) {
        Encoder::from(&mut self.0).push(header).expect("a Vec takes every byte");
    }

    pub(super) fn uint(&mut self, number: u64) {
        self.header(Header::Positive(number));
    }

    pub(super) fn int(&mut self, number: i64) {
        // The negative header holds the number with all bits inverted.
        self.header(if number < 0 { Header::Negative(!number as u64) } else { Header::Positive(number as u64) });
    }

    pub(super) fn text(&mut self, text: &str) {
        self.header(Header::Text(Some(text.len())));
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.header(Header::Bytes(Some(bytes.len())));
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn bool(&mut self, state: bool) {
        self.header(Header::Simple(if state { SIMPLE_TRUE } else { SIMPLE_FALSE }));
    }

    pub(super) fn null(&mut self) {
        self.header(Header::Simple(SIMPLE_NULL));
    }

    /// A number as a decimal fraction where that is exact, else as a float.
    pub(super) fn number(&mut self, number: f64) {
        match decimals(number, 0).and_then(|decimals| Some((decimals, mantissa(number, decimals)?))) {
            Some((decimals, mantissa)) => {
                self.header(Header::Tag(TAG_DECIMAL));
                self.header(Header::Array(Some(2)));
                self.int(-i64::from(decimals));
                self.int(mantissa);
            }
            None => self.header(Header::Float(number)),
        }
    }

    /// A value that is no decimal of its shape.
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(state) => self.bool(*state),
            Value::Integer(whole) => self.int(*whole),
            Value::Number(number) => self.header(Header::Float(*number)),
            Value::Text(text) => self.text(text),
        }
    }

    /// Nanoseconds as `quotient * 4 + unit`, unit 0 ns, 1 us, 2 ms. Unit 3: too large for that, the number follows.
    pub(super) fn span(&mut self, span_ns: i64) {
        let (unit, code) = span_parts(span_ns);
        match (span_ns / unit).unsigned_abs().checked_mul(4).filter(|coded| *coded <= i64::MAX as u64) {
            Some(coded) if span_ns < 0 => self.header(Header::Negative(coded - 4 + code)),
            Some(coded) => self.uint(coded + code),
            None => {
                self.uint(3);
                self.int(span_ns);
            }
        }
    }
}

fn span_parts(span_ns: i64) -> (i64, u64) {
    match unit_of(span_ns) {
        NANOS_PER_MILLI => (NANOS_PER_MILLI, 2),
        NANOS_PER_MICRO => (NANOS_PER_MICRO, 1),
        _ => (1, 0),
    }
}

/// How many bytes [`Writer::span`] takes, nearly: for choosing between two ways.
pub(super) fn span_bytes(span_ns: i64) -> usize {
    int_bytes((span_ns / unit_of(span_ns)).saturating_mul(4))
}

/// How many bytes a CBOR integer takes.
pub(super) fn int_bytes(number: i64) -> usize {
    match if number < 0 { !number } else { number } {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// A column being read.
#[derive(Clone, Copy, Default)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes that are left: no count of items can be larger.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn header(&mut self) -> Result<Header, Error> {
        Decoder::from(&mut self.rest).pull().map_err(|_| Error::Damaged("not a CBOR item"))
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Error::Damaged("a column ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn uint(&mut self) -> Result<u64, Error> {
        match self.header()? {
            Header::Positive(number) => Ok(number),
            _ => Err(Error::Damaged("a number was expected")),
        }
    }

    pub(super) fn index(&mut self) -> Result<usize, Error> {
        usize::try_from(self.uint()?).map_err(|_| Error::Damaged("a number is too large"))
    }

    pub(super) fn int(&mut self) -> Result<i64, Error> {
        let header = self.header()?;
        Self::as_int(header).ok_or(Error::Damaged("a whole number was expected"))
    }

    pub(super) fn as_int(header: Header) -> Option<i64> {
        match header {
            Header::Positive(number) => i64::try_from(number).ok(),
            Header::Negative(inverted) => i64::try_from(inverted).ok().map(|inverted| !inverted),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Error> {
        match self.header()? {
            Header::Text(Some(length)) => self.text_of(length),
            _ => Err(Error::Damaged("a text was expected")),
        }
    }

    pub(super) fn text_of(&mut self, length: usize) -> Result<&'a str, Error> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Error::Damaged("a text is not UTF-8"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        match self.header()? {
            Header::Bytes(Some(length)) => self.take(length),
            _ => Err(Error::Damaged("bytes were expected")),
        }
    }

    pub(super) fn array(&mut self) -> Result<usize, Error> {
        match self.header()? {
            Header::Array(Some(length)) => Ok(length),
            _ => Err(Error::Damaged("an array was expected")),
        }
    }

    pub(super) fn as_bool(header: Header) -> Option<bool> {
        match header {
            Header::Simple(SIMPLE_FALSE) => Some(false),
            Header::Simple(SIMPLE_TRUE) => Some(true),
            _ => None,
        }
    }

    pub(super) fn is_null(header: Header) -> bool {
        header == Header::Simple(SIMPLE_NULL)
    }

    pub(super) fn number(&mut self) -> Result<f64, Error> {
        let header = self.header()?;
        self.number_of(header)?.ok_or(Error::Damaged("a number was expected"))
    }

    /// The number that `header` begins, if it begins one.
    pub(super) fn number_of(&mut self, header: Header) -> Result<Option<f64>, Error> {
        match header {
            Header::Float(number) if number.is_finite() => Ok(Some(number)),
            Header::Float(_) => Err(Error::Damaged("a number is not finite")),
            Header::Tag(TAG_DECIMAL) => {
                if self.array()? != 2 {
                    return Err(Error::Damaged("a decimal has two parts"));
                }
                let decimals = u8::try_from(-i128::from(self.int()?)).unwrap_or(u8::MAX);
                if decimals > DECIMALS_MAX {
                    return Err(Error::Damaged("a decimal has too many digits"));
                }
                Ok(Some(from_mantissa(self.int()?, decimals)))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn value(&mut self) -> Result<Value, Error> {
        let header = self.header()?;
        if let Some(whole) = Self::as_int(header) {
            return Ok(Value::Integer(whole));
        }
        if let Some(state) = Self::as_bool(header) {
            return Ok(Value::Bool(state));
        }
        match header {
            Header::Text(Some(length)) => Ok(Value::Text(self.text_of(length)?.into())),
            _ => self.number_of(header)?.map(Value::Number).ok_or(Error::Damaged("a value was expected")),
        }
    }

    pub(super) fn span(&mut self) -> Result<i64, Error> {
        const TOO_LARGE: Error = Error::Damaged("a time difference is too large");
        let (coded, negative) = match self.header()? {
            Header::Positive(3) => return self.int(),
            Header::Positive(coded) => (coded, false),
            Header::Negative(coded) => (coded, true),
            _ => return Err(Error::Damaged("a time difference was expected")),
        };
        let unit = match coded & 3 {
            0 => 1,
            1 => NANOS_PER_MICRO,
            2 => NANOS_PER_MILLI,
            _ => return Err(TOO_LARGE),
        };
        let quotient = i64::try_from(coded >> 2).map_err(|_| TOO_LARGE)?;
        let quotient = if negative { !quotient } else { quotient };
        quotient.checked_mul(unit).ok_or(TOO_LARGE)
    }
}
