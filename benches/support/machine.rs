//! What the machine says: its load, and this process's memory, writes and processor time.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Whether `cargo bench` runs this, and not `cargo test --benches`, which only asks whether it builds and starts.
pub fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The first number on the command line.
pub fn argument(default: usize) -> usize {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default)
}

/// Prints what the figures below it depend on.
pub fn announce(bench: &str) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{bench}: load {} on {cores} cores", load());
}

/// Runnable processes, averaged over 1, 5 and 15 minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// A new directory on the disk to be measured: `TIDEGATE_BENCH_DIR`, else in `target`.
pub fn directory() -> tempfile::TempDir {
    let parent = std::env::var_os("TIDEGATE_BENCH_DIR").map_or(env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    tempfile::Builder::new().prefix("bench-").tempdir_in(parent).unwrap()
}

/// Memory in use, bytes (`VmRSS`).
pub fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most memory in use since [`forget_peak`], bytes (`VmHWM`).
pub fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// Lets [`peak_bytes`] begin anew.
pub fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn status_bytes(key: &str) -> u64 {
    field("/proc/self/status", key) * 1024
}

/// Bytes this process has sent towards the disk (`write_bytes`); stays 0 on a file system in memory.
pub fn written_bytes() -> u64 {
    // "cancelled_write_bytes" ends in the same words.
    field("/proc/self/io", "\nwrite_bytes:")
}

fn field(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let (_, value) = text.split_once(key).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of all threads of this process.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
