//! A frame's bytes: what one value in sled looks like, and how it is found again in a damaged file.
//!
//! Owns the header, the checksum, the compression and the cutting into chunks. Never does I/O and never looks into a
//! section's content. The layout is written down in the module above.

use super::Damaged;

/// First bytes of every chunk. No byte of it is common in text, in zeroed or in padded blocks.
pub(super) const MAGIC: [u8; 4] = [0xd7, b'T', 0x9b, b'G'];

/// The version this program writes, and the newest it reads. Raised with whatever an older program could not read,
/// also inside a section (its own version is raised, too): by this number that one knows to leave the store alone, see
/// [`super::later`].
pub(super) const VERSION: u8 = 1;

/// Bytes before a chunk's body.
pub(super) const HEADER_BYTES: usize = 56;

/// Most events in a frame: compression gains little beyond, and a reader that wants one event decodes them all.
pub(super) const FRAME_EVENTS_MAX: usize = 64;

/// Most bytes of a chunk's body. sled puts up to 17 values into one leaf and moves a leaf above a quarter segment
/// (512 KiB) out into a file of its own, which is never what we want: 17 chunks stay well below.
pub(super) const CHUNK_BYTES_MAX: usize = 24 * 1024;

/// Most bytes of a frame before compression. Bounds what a decoder allocates; a checkpoint of 100,000 alarm states of
/// 300 bytes is an eighth of it, and events are kept far below by [`super::commit`].
pub(super) const RAW_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bodies smaller than this are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 96;

/// Compression level: the fastest. Level 3 gains under a tenth on our frames and costs twice the time.
const LEVEL: i32 = 1;

/// What a frame holds, one bit a section.
pub(super) mod kind {
    /// Events.
    pub(in crate::store) const EVENTS: u8 = 1;
    /// Alarm states.
    pub(in crate::store) const RECORDS: u8 = 2;
    /// The delivered mark.
    pub(in crate::store) const DELIVERED: u8 = 4;
    /// Dead letters.
    pub(in crate::store) const DEAD: u8 = 8;
    /// Dead letters that are gone or to be sent again.
    pub(in crate::store) const DEAD_CHANGES: u8 = 16;
    /// A snapshot of everything but the events.
    pub(in crate::store) const CHECKPOINT: u8 = 32;
    /// No section: among the events are announcements of losses, which must not be dropped without a word.
    pub(in crate::store) const ANNOUNCES: u8 = 64;
}

/// The head of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// 0 plain, 1 zstd.
    pub codec: u8,
    /// Bits of [`kind`].
    pub kinds: u8,
    /// Events by severity, least severe first.
    pub counts: [u8; 5],
    /// Last minus first sequence number of the frame's events.
    pub span: u16,
    /// The first event's sequence number; without events the next one that will be given.
    pub first: u64,
    /// Which commit the frame belongs to, numbered without gaps.
    pub commit: u64,
    /// Position of this chunk in its frame.
    pub chunk: u16,
    /// Chunks of the frame.
    pub chunks: u16,
    /// Position of the frame in its commit.
    pub part: u16,
    /// Frames of the commit.
    pub parts: u16,
    /// How many commits before this one the last is that was certainly on stable storage.
    pub synced_back: u32,
    /// Bytes of the whole frame's body before compression.
    pub raw: u32,
    /// Bytes of this chunk's body.
    pub body: u32,
}

/// What the bytes at some place are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No header of ours.
    Nothing,
    /// A header of ours that says how long the chunk is.
    Chunk(Header),
    /// A header of ours from a later version, and the bytes of its chunk. Whatever a version changes, it leaves the
    /// length and the checksum where they are, so that it can be told from damage.
    Newer(usize),
}

impl Header {
    /// Events in the frame.
    pub(super) fn events(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Last sequence number in the frame.
    pub(super) fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.span))
    }

    /// Whether the frame holds a section of this kind.
    pub(super) fn has(&self, kind: u8) -> bool {
        self.kinds & kind != 0
    }

    /// The newest commit that was certainly on stable storage when this was written.
    pub(super) fn synced(&self) -> u64 {
        self.commit.saturating_sub(u64::from(self.synced_back))
    }

    /// Reads the head of a chunk, checking only that it can be one.
    pub(super) fn look(bytes: &[u8]) -> Look {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Look::Nothing };
        if head[..4] != MAGIC {
            return Look::Nothing;
        }
        let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        match head[4] {
            VERSION => {}
            0 => return Look::Nothing,
            _ => {
                let body = u32_at(48) as usize;
                return if body <= CHUNK_BYTES_MAX { Look::Newer(HEADER_BYTES + body) } else { Look::Nothing };
            }
        }
        let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let header = Self {
            codec: head[5],
            kinds: head[6],
            counts: [head[8], head[9], head[10], head[11], head[12]],
            span: u16_at(14),
            first: u64_at(16),
            commit: u64_at(24),
            chunk: u16_at(32),
            chunks: u16_at(34),
            part: u16_at(36),
            parts: u16_at(38),
            synced_back: u32_at(40),
            raw: u32_at(44),
            body: u32_at(48),
        };
        let plausible = header.codec <= 1
            && header.chunk < header.chunks
            && header.part < header.parts
            && header.body as usize <= CHUNK_BYTES_MAX
            && header.raw as usize <= RAW_BYTES_MAX;
        if plausible { Look::Chunk(header) } else { Look::Nothing }
    }

    /// Bytes of the whole chunk.
    pub(super) fn chunk_bytes(&self) -> usize {
        HEADER_BYTES + self.body as usize
    }

    fn write(&self, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.codec, self.kinds, 0]);
        out.extend_from_slice(&self.counts);
        out.push(0);
        out.extend_from_slice(&self.span.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.commit.to_le_bytes());
        for short in [self.chunk, self.chunks, self.part, self.parts] {
            out.extend_from_slice(&short.to_le_bytes());
        }
        for word in [self.synced_back, self.raw, self.body] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let sum = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), body);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(body);
    }
}

/// Whether a chunk's bytes (header and body, no more) are as they were written.
pub(super) fn is_intact(chunk: &[u8]) -> bool {
    let Some((head, body)) = chunk.split_at_checked(HEADER_BYTES) else { return false };
    let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..HEADER_BYTES - 4]), body);
    head[HEADER_BYTES - 4..] == sum.to_le_bytes()
}

/// A frame before it is written: sections and what the header says about them.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Bits of [`kind`].
    pub kinds: u8,
    /// Events by severity.
    pub counts: [u8; 5],
    /// First sequence number.
    pub first: u64,
    /// Last minus first.
    pub span: u16,
    /// The sections, each `kind u8, length u32, bytes`.
    pub sections: Vec<u8>,
}

impl Frame {
    /// Adds a section.
    pub(super) fn add(&mut self, kind: u8, bytes: &[u8]) {
        self.kinds |= kind;
        self.sections.push(kind);
        let length = u32::try_from(bytes.len()).expect("invariant: a section is far below 4 GiB");
        self.sections.extend_from_slice(&length.to_le_bytes());
        self.sections.extend_from_slice(bytes);
    }
}

/// The sections of a decoded frame.
pub(super) fn sections(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), Damaged>> {
    std::iter::from_fn(move || {
        let (&kind, rest) = bytes.split_first()?;
        let split = rest
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?));
        let Some((section, rest)) = split else {
            bytes = &[];
            return Some(Err(Damaged("a section is cut short".to_owned())));
        };
        bytes = rest;
        Some(Ok((kind, section)))
    })
}

/// Where a frame belongs: filled in when its commit is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The commit.
    pub commit: u64,
    /// The newest commit on stable storage.
    pub synced: u64,
    /// Position in the commit.
    pub part: u16,
    /// Frames in the commit.
    pub parts: u16,
}

/// A frame ready to be stored.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// The first chunk's head.
    pub header: Header,
    /// The values.
    pub chunks: Vec<Vec<u8>>,
}

impl Packed {
    /// Bytes of all chunks.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

/// Packs frames, keeping the compressor's memory between them.
pub(super) struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Packer {
    /// A packer. Should the compressor not get its memory, frames are stored plain.
    pub(super) fn new() -> Self {
        Self { compressor: zstd::bulk::Compressor::new(LEVEL).ok(), packed: Vec::new() }
    }

    /// The frame's chunks, each as one value to store, in order.
    pub(super) fn pack(&mut self, frame: &Frame, place: Place) -> Packed {
        let raw = &frame.sections;
        assert!(raw.len() <= RAW_BYTES_MAX, "invariant: the caller keeps frames below RAW_BYTES_MAX");
        let (codec, body) = if self.compress(raw) { (1, &self.packed) } else { (0, raw) };
        let chunks = body.len().div_ceil(CHUNK_BYTES_MAX).max(1);
        let mut out = Vec::with_capacity(chunks);
        let mut first = None;
        for chunk in 0..chunks {
            let part = &body[chunk * CHUNK_BYTES_MAX..body.len().min((chunk + 1) * CHUNK_BYTES_MAX)];
            let header = Header {
                codec,
                kinds: frame.kinds,
                counts: frame.counts,
                span: frame.span,
                first: frame.first,
                commit: place.commit,
                chunk: u16::try_from(chunk).expect("invariant: RAW_BYTES_MAX / CHUNK_BYTES_MAX fits"),
                chunks: u16::try_from(chunks).expect("invariant: RAW_BYTES_MAX / CHUNK_BYTES_MAX fits"),
                part: place.part,
                parts: place.parts,
                synced_back: u32::try_from(place.commit.saturating_sub(place.synced)).unwrap_or(u32::MAX),
                raw: u32::try_from(raw.len()).expect("invariant: below RAW_BYTES_MAX"),
                body: u32::try_from(part.len()).expect("invariant: below CHUNK_BYTES_MAX"),
            };
            let mut value = Vec::with_capacity(header.chunk_bytes());
            header.write(part, &mut value);
            out.push(value);
            first.get_or_insert(header);
        }
        Packed { header: first.expect("invariant: at least one chunk"), chunks: out }
    }

    /// Compresses into `self.packed`; false when that is no use.
    fn compress(&mut self, raw: &[u8]) -> bool {
        let Some(compressor) = self.compressor.as_mut().filter(|_| raw.len() >= COMPRESS_BYTES_MIN) else {
            return false;
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        compressor.compress_to_buffer(raw, &mut self.packed).is_ok_and(|length| length < raw.len())
    }
}

/// Undoes [`Packer::pack`] for the joined bodies of a frame's chunks.
pub(super) fn unpack(header: &Header, body: Vec<u8>) -> Result<Vec<u8>, Damaged> {
    let raw = if header.codec == 0 {
        body
    } else {
        zstd::bulk::decompress(&body, header.raw as usize).map_err(|error| Damaged(error.to_string()))?
    };
    if raw.len() == header.raw as usize { Ok(raw) } else { Err(Damaged("wrong length after unpacking".to_owned())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn place() -> Place {
        Place { commit: 7, synced: 5, part: 1, parts: 3 }
    }

    fn pack(frame: &Frame) -> Vec<Vec<u8>> {
        Packer::new().pack(frame, place()).chunks
    }

    fn frame(bytes: &[u8]) -> Frame {
        let mut frame = Frame { counts: [1, 0, 2, 0, 3], first: 1 << 40, span: 5, ..Frame::default() };
        frame.add(kind::EVENTS, bytes);
        frame.add(kind::DELIVERED, &[9]);
        frame
    }

    #[test]
    fn a_frame_comes_back_as_it_was_packed() {
        for bytes in [vec![], vec![1, 2, 3], vec![b'x'; 5_000], (0..100_000).map(|_| fastrand::u8(..)).collect()] {
            let frame = frame(&bytes);
            let chunks = pack(&frame);
            let mut body = Vec::new();
            let mut first = None;
            for (index, chunk) in chunks.iter().enumerate() {
                let Look::Chunk(header) = Header::look(chunk) else { panic!("not recognised") };
                assert!(is_intact(chunk));
                assert_eq!((header.chunk_bytes(), usize::from(header.chunk)), (chunk.len(), index));
                assert_eq!((header.first, header.last(), header.events()), (1 << 40, (1 << 40) + 5, 6));
                assert_eq!((header.commit, header.synced(), header.part, header.parts), (7, 5, 1, 3));
                assert!(header.has(kind::EVENTS) && !header.has(kind::RECORDS));
                body.extend_from_slice(&chunk[HEADER_BYTES..]);
                first = Some(header);
            }
            let raw = unpack(&first.unwrap(), body).unwrap();
            let all: Vec<_> = sections(&raw).map(Result::unwrap).collect();
            assert_eq!(all, [(kind::EVENTS, &bytes[..]), (kind::DELIVERED, &[9][..])]);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let chunk = pack(&frame(b"some event")).remove(0);
        for bit in 0..chunk.len() * 8 {
            let mut bad = chunk.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let noticed = match Header::look(&bad) {
                Look::Chunk(header) => header.chunk_bytes() != bad.len() || !is_intact(&bad),
                Look::Nothing => true,
                Look::Newer(bytes) => bytes != bad.len() || !is_intact(&bad),
            };
            assert!(noticed, "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut chunk = pack(&frame(b"x")).remove(0);
        chunk[4] = VERSION + 1;
        assert_eq!(Header::look(&chunk), Look::Newer(chunk.len()));
    }

    #[test]
    fn arbitrary_sections_never_panic() {
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..fastrand::usize(..40)).map(|_| fastrand::u8(..)).collect();
            let _ = sections(&bytes).count();
        }
    }
}
