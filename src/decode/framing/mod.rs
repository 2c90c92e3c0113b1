//! Cuts a byte stream into messages, however the bytes come in.
//!
//! Owns what is unfinished, and its bound. Each way of cutting is one file that implements [`Cut`]; [`Framer`] is all of
//! them. What the cut looks like never depends on how the bytes were chunked, only (with a `gap`) on when they came: time
//! is an argument, counted from any start, and [`Framer::deadline`] says when to ask again without bytes. After garbage
//! every way finds back by itself; what was lost is told as a refusal. What comes first after opening has, as a rule, lost
//! its beginning: that is told as [`Reject::Partial`], which is no fault.

mod block;
mod checksum;
mod cobs;
mod delimiter;
mod gap;
mod line;
mod p1;
mod slip;
mod sml;
#[cfg(test)]
mod tests;
mod vedirect;

use std::fmt;
use std::time::Duration;

use crate::config::model::{Common, Framing};
use crate::counters::Reject;

pub(super) use sml::body as sml_body;

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message, without what only marks or protects it; not empty.
    Message(&'a [u8]),
    /// Bytes that make no message: the label, and in words what was found.
    Refused(Reject, String),
}

/// Takes what is found.
type Each<'e> = dyn FnMut(Frame<'_>) + 'e;

/// A way of cutting.
trait Cut: fmt::Debug + Send {
    /// The stream begins anew: what was unfinished is forgotten.
    fn reset(&mut self, now: Duration);

    /// Takes the next bytes.
    fn push(&mut self, bytes: &[u8], now: Duration, each: &mut Each<'_>);

    /// When [`Cut::on_deadline`] is due, if no byte comes before.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Nothing has come until now.
    fn on_deadline(&mut self, _now: Duration, _each: &mut Each<'_>) {}
}

/// Cuts one port's stream.
#[derive(Debug)]
pub struct Framer(Box<dyn Cut>);

impl Framer {
    /// A framer at the beginning of a stream, at time zero.
    pub fn new(framing: &Framing) -> Self {
        let mut cut: Box<dyn Cut> = match framing {
            Framing::Line { max_bytes, keep_first } => Box::new(line::Lines::new(*max_bytes, *keep_first)),
            Framing::Delimiter { delimiter, common } => Box::new(delimiter::Delimited::new(delimiter, common)),
            Framing::Block(block) => Box::new(block::Blocks::new(block)),
            Framing::Gap { gap, common } => Box::new(gap::Gaps::new(*gap, common)),
            Framing::Slip(common) => Box::new(slip::Slip::new(common)),
            Framing::Hdlc(common) => Box::new(slip::Slip::hdlc(common)),
            Framing::Cobs(common) => Box::new(cobs::Cobs::new(common)),
            Framing::P1 { max_bytes, unchecked } => Box::new(p1::Telegrams::new(*max_bytes, *unchecked)),
            Framing::Sml { max_bytes } => Box::new(sml::Files::new(*max_bytes)),
            Framing::VeDirect { max_bytes } => Box::new(vedirect::TextBlocks::new(*max_bytes)),
        };
        cut.reset(Duration::ZERO);
        Self(cut)
    }

    /// The stream begins anew: what was unfinished is forgotten.
    pub fn reset(&mut self, now: Duration) {
        self.0.reset(now);
    }

    /// Takes the next bytes and hands everything that they complete to `each`.
    pub fn push(&mut self, bytes: &[u8], now: Duration, mut each: impl FnMut(Frame<'_>)) {
        self.0.push(bytes, now, &mut each);
    }

    /// When [`Framer::on_deadline`] is to be called if no byte comes before.
    pub fn deadline(&self) -> Option<Duration> {
        self.0.deadline()
    }

    /// Nothing has come until now: hands what that completes to `each`.
    pub fn on_deadline(&mut self, now: Duration, mut each: impl FnMut(Frame<'_>)) {
        self.0.on_deadline(now, &mut each);
    }
}

/// What is done with a whole frame in several ways of cutting.
#[derive(Debug)]
struct Gate {
    common: Common,
    /// Whether the frame at hand may have lost its beginning.
    first: bool,
}

impl Gate {
    fn new(common: &Common) -> Self {
        Self { common: common.clone(), first: true }
    }

    fn reset(&mut self) {
        self.first = true;
    }

    /// A frame, which may turn out to be partial, or to have a wrong checksum.
    fn pass(&mut self, frame: &[u8], each: &mut Each<'_>) {
        let first = std::mem::take(&mut self.first);
        let partial = || format!("{} bytes of a frame that began before: {}", frame.len(), checksum::dump(frame));
        match &self.common.checksum {
            Some(checksum) => match checksum::verify(checksum, frame) {
                Ok([]) => each(Frame::Refused(Reject::Empty, "nothing but a checksum".to_owned())),
                Ok(message) => each(Frame::Message(message)),
                Err(_) if first => each(Frame::Refused(Reject::Partial, partial())),
                Err(what) => each(Frame::Refused(Reject::Checksum, what)),
            },
            None if first && !self.common.keep_first => each(Frame::Refused(Reject::Partial, partial())),
            None => each(Frame::Message(frame)),
        }
    }

    /// A frame that is none.
    fn refuse(&mut self, reject: Reject, what: String, each: &mut Each<'_>) {
        let first = std::mem::take(&mut self.first);
        // A broken beginning is expected; an endless one is not, and somebody has to see it.
        let reject = if first && reject != Reject::TooLong { Reject::Partial } else { reject };
        each(Frame::Refused(reject, what));
    }
}

/// A frame went past the bound.
fn too_long(bytes_max: usize) -> String {
    format!("more than {bytes_max} bytes (`max_bytes`) and no end; is the baud rate right?")
}
