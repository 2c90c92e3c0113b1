//! A generation's file: frames are found in it, unpacked and read. An even first byte leaves the checksums as they
//! are; an odd one makes them right, as a file is that somebody wrote on purpose.

#![no_main]

use std::cell::RefCell;
use std::fs::File;

use libfuzzer_sys::fuzz_target;
use tidegate::store::fuzzing;
use tidegate_fuzz::watched;

thread_local! {
    /// One file in memory for all inputs.
    static FILE: RefCell<File> = RefCell::new(memory());
}

fn memory() -> File {
    rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory").into()
}

fuzz_target!(|input: &[u8]| watched(|| {
    let [how, bytes @ ..] = input else { return };
    let mut bytes = bytes.to_vec();
    if how & 1 == 1 {
        fuzzing::mend(&mut bytes);
    }
    FILE.with_borrow_mut(|file| fuzzing::generation(file, &bytes));
}));
