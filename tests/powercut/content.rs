//! The bytes of a file, in blocks that a copy of it shares until one of them changes.

use std::sync::Arc;

/// What a disk writes as a whole: ext4's block.
pub const BLOCK_BYTES: usize = 4096;

type Block = Arc<[u8; BLOCK_BYTES]>;

/// A file's bytes. Blocks never written are holes and read as zeros.
#[derive(Clone, Debug, Default)]
pub struct Content {
    blocks: Vec<Option<Block>>,
    /// Blocks that are not holes.
    allocated: u64,
    len: u64,
}

impl Content {
    /// Its length, bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Blocks that are not holes.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Up to `size` bytes from `offset` on; fewer at the end.
    pub fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let size = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(size);
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let (index, start) = place(offset + bytes.len() as u64);
            let count = (BLOCK_BYTES - start).min(size - bytes.len());
            match self.blocks.get(index).and_then(Option::as_ref) {
                Some(block) => bytes.extend_from_slice(&block[start..start + count]),
                None => bytes.resize(bytes.len() + count, 0),
            }
        }
        bytes
    }

    /// Writes, and grows as needed.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (at, piece) in pieces(offset, bytes) {
            let (index, start) = place(at);
            self.block(index)[start..start + piece.len()].copy_from_slice(piece);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Cuts off or grows by a hole.
    pub fn resize(&mut self, len: u64) {
        if len < self.len {
            let (index, start) = place(len);
            let kept = (if start == 0 { index } else { index + 1 }).min(self.blocks.len());
            self.allocated -= self.blocks.drain(kept..).flatten().count() as u64;
            if start > 0 && self.blocks.get(index).is_some_and(Option::is_some) {
                self.block(index)[start..].fill(0);
            }
        }
        self.len = len;
    }

    /// Sets blocks aside, and grows as needed.
    pub fn allocate(&mut self, offset: u64, len: u64) {
        if len > 0 {
            for index in place(offset).0..=place(offset + len - 1).0 {
                self.block(index);
            }
            self.len = self.len.max(offset + len);
        }
    }

    fn block(&mut self, index: usize) -> &mut [u8; BLOCK_BYTES] {
        if self.blocks.len() <= index {
            self.blocks.resize(index + 1, None);
        }
        let block = &mut self.blocks[index];
        self.allocated += u64::from(block.is_none());
        Arc::make_mut(block.get_or_insert_with(|| Arc::new([0; BLOCK_BYTES])))
    }
}

/// Block and place in it.
fn place(offset: u64) -> (usize, usize) {
    let offset = usize::try_from(offset).expect("test files fit into memory");
    (offset / BLOCK_BYTES, offset % BLOCK_BYTES)
}

/// Cuts a write at the blocks' borders.
pub fn pieces(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let count = (BLOCK_BYTES - place(at).1).min(bytes.len() - done);
        let piece = &bytes[done..done + count];
        done += count;
        (count > 0).then_some((at, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_borders_is_read_back_and_a_copy_keeps_its_own() {
        let mut content = Content::default();
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        content.write(3000, &bytes);
        assert_eq!((content.len(), content.allocated()), (13_000, 4));
        assert_eq!(content.read(3000, 20_000), bytes);
        assert_eq!(content.read(0, 3000), vec![0; 3000]);
        let copy = content.clone();
        content.write(4000, &[7; 10]);
        assert_eq!(copy.read(3000, 10_000), bytes);
        assert_eq!(content.read(4000, 10), [7; 10]);
    }

    #[test]
    fn what_was_cut_off_is_zero_when_the_file_grows_again() {
        let mut content = Content::default();
        content.write(0, &[1; 9000]);
        content.resize(5000);
        content.resize(9000);
        assert_eq!(content.read(4999, 5000), [&[1][..], &[0; 4000][..]].concat());
        assert_eq!(content.allocated(), 2);
        content.allocate(0, 20_000);
        assert_eq!((content.len(), content.allocated()), (20_000, 5));
    }
}
