//! What all targets share: limits on what one input may cost, and how an input is cut into messages.
//!
//! An input that takes longer than [`CPU_MAX`] or holds more than [`BYTES_MAX`] of memory is a finding, as a panic is.
//! Processor time, not the clock's: other programs on the machine must not make findings.

pub mod decoding;
pub mod sources;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Most processor time for one input; inputs are a few KiB, and a gateway has other sources to serve meanwhile.
pub const CPU_MAX: Duration = Duration::from_secs(1);

/// Most memory that handling one input may hold at a time, bytes.
pub const BYTES_MAX: usize = 64 << 20;

/// Longest input that is taken; `tests/fuzz/run` lets libFuzzer make none that are longer.
pub const INPUT_BYTES_MAX: usize = 8 << 10;

/// Counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn held(more: usize) {
    let held = HELD.fetch_add(more, Relaxed) + more;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: the system's allocator does everything; here is only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        held(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        held(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Handles one input and looks what it cost.
pub fn watched(handle: impl FnOnce()) {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let start = cpu();
    handle();
    let took = cpu().saturating_sub(start);
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(took <= CPU_MAX, "one input took {took:?} of processor time");
    assert!(peak <= BYTES_MAX, "one input took {peak} bytes of memory");
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Between two messages of an input. No text has it, and hardly a binary message.
pub const BETWEEN: [u8; 2] = [0xf5, 0xf8];

/// Between a message's topic and its payload.
pub const AFTER_TOPIC: [u8; 2] = [0xf5, 0xf7];

/// The parts between the marks.
pub fn split<'a>(bytes: &'a [u8], mark: &'a [u8; 2]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        match bytes.windows(2).position(|pair| pair == mark) {
            Some(at) => {
                rest = Some(&bytes[at + 2..]);
                Some(&bytes[..at])
            }
            None => {
                rest = None;
                Some(bytes)
            }
        }
    })
}
