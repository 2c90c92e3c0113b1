//! What a trace shows about acknowledgements: whether each comes after the sync of the event it stands for.
//!
//! For every PUBACK: the PUBLISH with its packet id was read; after that all frames of the commit with the event which
//! that message raised were written to a generation's `db`; after the last of those writes an `fdatasync` or `fsync` of
//! the same file began; and it returned, without error, before the first byte of the PUBACK was handed to the kernel.
//!
//! Events are told apart by their sequence numbers, which stand in the frames' headers (layout in `src/store/mod.rs`):
//! every message of the run raises one event, in the order of the messages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::trace::Call;

/// First bytes of a stored frame.
const MAGIC: [u8; 4] = [0xd7, 0x54, 0x9b, 0x47];

/// Bytes before a stored frame's body.
const HEADER_BYTES: usize = 56;

/// What a trace shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// PUBLISHes read.
    pub published: usize,
    /// PUBACKs sent.
    pub acknowledged: usize,
    /// Syncs that at least one PUBACK needed.
    pub syncs: usize,
    /// PUBACKs that break the rule, and why.
    pub faults: Vec<String>,
}

/// A packet that passed through a socket.
#[derive(Debug)]
struct Packet {
    connection: String,
    id: u16,
    /// The line in which a received one was complete, or a sent one began.
    at: usize,
}

/// A frame of events that was written.
#[derive(Debug)]
struct Frame {
    file: String,
    began: usize,
    ended: usize,
    commit: u64,
    part: u16,
    parts: u16,
    first: u64,
    last: u64,
}

/// Checks a trace. Sockets to `broker` (as strace writes its address) are the source; the first message's event has the
/// number `first_event`.
pub fn check(calls: &[Call], broker: &str, first_event: u64) -> Shown {
    let peer = format!("->{broker}]");
    let is_source = |call: &Call| call.file.starts_with("TCP:") && call.file.ends_with(&peer);
    let received = |call: &&Call| is_source(call) && ["read", "readv", "recvfrom", "recvmsg"].contains(&&*call.name);
    let sent = |call: &&Call| is_source(call) && ["write", "writev", "sendto", "sendmsg"].contains(&&*call.name);
    let mut reads: Vec<&Call> = calls.iter().filter(received).collect();
    reads.sort_by_key(|call| call.ended);
    let published = packets(reads.into_iter().map(|call| (call, call.ended)), |first, body| {
        (first >> 4 == 3 && first & 0b110 == 0b010)
            .then(|| {
                let topic = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
                Some(u16::from_be_bytes([*body.get(topic + 2)?, *body.get(topic + 3)?]))
            })
            .flatten()
    });
    let acknowledged = packets(calls.iter().filter(sent).map(|call| (call, call.began)), |first, body| {
        (first >> 4 == 4 && body.len() == 2).then(|| u16::from_be_bytes([body[0], body[1]]))
    });
    let frames: Vec<Frame> = calls.iter().filter(|call| is_store(&call.file)).flat_map(frames).collect();
    let is_sync = |call: &&Call| ["fsync", "fdatasync"].contains(&&*call.name) && is_store(&call.file);
    let syncs: Vec<&Call> = calls.iter().filter(is_sync).filter(|call| call.result == Some(0)).collect();

    let mut shown = Shown { published: published.len(), acknowledged: acknowledged.len(), ..Shown::default() };
    let mut needed = BTreeSet::new();
    let mut open: HashMap<(String, u16), (u64, usize)> = HashMap::new();
    let mut arriving = published.into_iter().zip(first_event..).peekable();
    for puback in acknowledged {
        while let Some((publish, event)) = arriving.next_if(|(publish, _)| publish.at < puback.at) {
            open.insert((publish.connection, publish.id), (event, publish.at));
        }
        let fault = match open.remove(&(puback.connection.clone(), puback.id)) {
            None => Some("no PUBLISH with its packet id was read before".to_owned()),
            Some((event, read)) => match covering_sync(&frames, &syncs, event, read, puback.at) {
                Ok(sync) => {
                    needed.insert(sync);
                    None
                }
                Err(fault) => Some(format!("event {event}, read in line {}: {fault}", read + 1)),
            },
        };
        if let Some(fault) = fault {
            shown.faults.push(format!("PUBACK {} in line {}: {fault}", puback.id, puback.at + 1));
        }
    }
    shown.syncs = needed.len();
    shown
}

/// The line in which the sync began that covers an event read in line `read` and acknowledged in line `acknowledged`.
fn covering_sync(
    frames: &[Frame],
    syncs: &[&Call],
    event: u64,
    read: usize,
    acknowledged: usize,
) -> Result<usize, &'static str> {
    let holds = |frame: &&Frame| (frame.first..=frame.last).contains(&event) && frame.began > read;
    let Some(own) = frames.iter().find(holds) else { return Err("it was not written") };
    let mut parts = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.commit == own.commit && frame.file == own.file) {
        parts.entry(frame.part).or_insert(frame.ended);
    }
    if parts.len() != usize::from(own.parts) {
        return Err("a part of its commit was not written");
    }
    let written = parts.into_values().max().unwrap_or(own.ended);
    let mut after = syncs.iter().filter(|sync| sync.file == own.file && sync.began > written);
    if !syncs.iter().any(|sync| sync.file == own.file && sync.began > written) {
        return Err("its file was not synced after the write");
    }
    after.find(|sync| sync.ended < acknowledged).map(|sync| sync.began).ok_or("the sync had not returned")
}

/// A generation's database, under its temporary name or its own.
fn is_store(file: &str) -> bool {
    file.ends_with("/db") && (file.contains("/queue/gen-") || file.contains("/queue/tmp-gen-"))
}

/// Packets of all connections, each with its id if `id` finds one worth having. The line that counts for a call is
/// that with which it comes; a packet that takes several calls has that of the one which brought its decisive byte: the
/// last one of what is received, the first one of what is sent.
fn packets<'a>(calls: impl Iterator<Item = (&'a Call, usize)>, id: impl Fn(u8, &[u8]) -> Option<u16>) -> Vec<Packet> {
    let mut found = Vec::new();
    let mut streams: HashMap<&str, (Vec<u8>, usize)> = HashMap::new();
    for (call, line) in calls {
        let Some(count) = call.result.and_then(|result| usize::try_from(result).ok()) else { continue };
        let is_sent = line == call.began && call.name.starts_with(['w', 's']);
        let (stream, first_line) = streams.entry(&call.file).or_default();
        if stream.is_empty() {
            *first_line = line;
        }
        stream.extend_from_slice(&call.bytes[..count.min(call.bytes.len())]);
        while let Some((first, body, length)) = split(stream) {
            if let Some(id) = id(first, body) {
                let at = if is_sent { *first_line } else { line };
                found.push(Packet { connection: call.file.clone(), id, at });
            }
            stream.drain(..length);
            *first_line = line;
        }
    }
    found
}

/// The first whole packet: its first byte, its body, and its length (MQTT 3.1.1, section 2.2).
fn split(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let mut length = 0;
    for at in 1..=4 {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 127) << (7 * (at - 1));
        if byte & 128 == 0 {
            return Some((bytes[0], bytes.get(at + 1..at + 1 + length)?, at + 1 + length));
        }
    }
    None
}

/// Frames with events in what a call wrote.
fn frames(call: &Call) -> Vec<Frame> {
    let written = usize::try_from(call.result.unwrap_or(0)).unwrap_or(0).min(call.bytes.len());
    let bytes = &call.bytes[..written];
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let short = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let heads = bytes.windows(MAGIC.len()).enumerate().filter(|(at, window)| {
        // Version 1, and a whole frame in this chunk: those of these tests are small.
        *window == MAGIC && bytes.len() >= at + HEADER_BYTES && bytes[at + 4] == 1 && short(at + 34) == 1
    });
    heads
        .map(|(at, _)| {
            let has_events = bytes[at + 6] & 1 != 0;
            let (first, span) = (long(at + 16), u64::from(short(at + 14)));
            Frame {
                // It may get its lasting name between the write and the sync.
                file: call.file.replace("/queue/tmp-gen-", "/queue/gen-"),
                began: call.began,
                ended: call.ended,
                commit: long(at + 24),
                part: short(at + 36),
                parts: short(at + 38),
                // A frame of a commit that has no events counts for the commit only.
                first: if has_events { first } else { u64::MAX },
                last: if has_events { first + span } else { 0 },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::parse;

    const SOCKET: &str = "9<TCP:[127.0.0.1:40000->127.0.0.1:1883]>";
    const DB: &str = "/s/queue/gen-00000001.0/db";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn publish(id: u8) -> String {
        let bytes = [0x32, 6, 0, 1, b't', 0, id, b'1'];
        format!("1 recvfrom({SOCKET}, \"{}\", 8192, 0, NULL, NULL) = 8", hex(&bytes))
    }

    fn puback(id: u8) -> String {
        format!("1 sendto({SOCKET}, \"{}\", 4, MSG_NOSIGNAL, NULL, 0) = 4", hex(&[0x40, 2, 0, id]))
    }

    fn written(path: &str, event: u8, commit: u8, part: u8, parts: u8) -> String {
        let mut frame = [0; HEADER_BYTES];
        frame[..4].copy_from_slice(&MAGIC);
        (frame[4], frame[6], frame[16], frame[24]) = (1, 1, event, commit);
        (frame[34], frame[36], frame[38]) = (1, part, parts);
        let bytes = [&[0; 3][..], &frame].concat();
        format!("2 pwrite64(5<{}>, \"{}\", 59, 0) = 59", hex(path.as_bytes()), hex(&bytes))
    }

    fn synced(path: &str) -> String {
        format!("2 fdatasync(6<{}>) = 0", hex(path.as_bytes()))
    }

    fn faults(lines: &[String]) -> Vec<String> {
        check(&parse(&(lines.join("\n") + "\n")).unwrap(), "127.0.0.1:1883", 2).faults
    }

    #[test]
    fn a_good_trace_has_no_faults() {
        assert_eq!(faults(&[publish(7), written(DB, 2, 1, 0, 1), synced(DB), puback(7)]), Vec::<String>::new());
        let tmp = "/s/queue/tmp-gen-00000001.0/db";
        assert!(faults(&[publish(7), written(tmp, 2, 1, 0, 1), synced(DB), puback(7)]).is_empty());
        let two = [publish(7), publish(8), written(DB, 2, 1, 0, 2), written(DB, 3, 1, 1, 2), synced(DB)];
        assert!(faults(&[&two[..], &[puback(7), puback(8)]].concat()).is_empty());
    }

    #[test]
    fn every_bad_order_is_a_fault() {
        let write = || written(DB, 2, 1, 0, 1);
        let other = "/s/queue/gen-00000002.0/db";
        let failed = synced(DB).replace("= 0", "= -1 EIO (Input/output error)");
        let begun = format!("2 fdatasync(6<{}> <unfinished ...>", hex(DB.as_bytes()));
        let returned = "2 <... fdatasync resumed>) = 0".to_owned();
        let flushed = synced(DB).replace("fdatasync", "sync_file_range");
        for (what, lines, word) in [
            ("never written", vec![publish(7), synced(DB), puback(7)], "not written"),
            ("another event written", vec![publish(7), written(DB, 3, 1, 0, 1), synced(DB), puback(7)], "not written"),
            ("written before it was read", vec![write(), publish(7), synced(DB), puback(7)], "not written"),
            (
                "written to another file",
                vec![publish(7), written("/s/lock", 2, 1, 0, 1), synced(DB), puback(7)],
                "not written",
            ),
            ("never synced", vec![publish(7), write(), puback(7)], "not synced"),
            ("flushed only", vec![publish(7), write(), flushed, puback(7)], "not synced"),
            ("synced before the write", vec![publish(7), synced(DB), write(), puback(7)], "not synced"),
            ("another file synced", vec![publish(7), write(), synced(other), puback(7)], "not synced"),
            ("the sync failed", vec![publish(7), write(), failed, puback(7)], "not synced"),
            ("synced after it", vec![publish(7), write(), puback(7), synced(DB)], "had not returned"),
            (
                "before the sync returned",
                vec![publish(7), write(), begun.clone(), puback(7), returned.clone()],
                "had not returned",
            ),
            (
                "a write in the middle of the sync",
                vec![publish(7), begun, write().replace("2 p", "3 p"), returned, puback(7)],
                "not synced",
            ),
            (
                "half of the commit",
                vec![publish(7), written(DB, 2, 1, 0, 2), synced(DB), puback(7)],
                "a part of its commit",
            ),
            ("never received", vec![publish(7), write(), synced(DB), puback(8)], "no PUBLISH"),
            ("acknowledged twice", vec![publish(7), write(), synced(DB), puback(7), puback(7)], "no PUBLISH"),
        ] {
            let faults = faults(&lines);
            assert!(faults.len() == 1 && faults[0].contains(word), "{what}: {faults:?}");
        }
    }
}
