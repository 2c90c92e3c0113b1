//! Lines that belong together: telegrams and blocks that a port's lines were cut from.
//!
//! Owns putting them together again, as the framing will that is proposed for them. Pure.

use super::Heard;
use super::guess::Kind;

/// Lines of a telegram or block looked at; beyond it is no such thing.
const LINES_MAX: usize = 512;

/// A port's lines as they are to be understood, and what they are if that is sure.
pub(super) fn of_lines(lines: &[Heard]) -> (Vec<Heard>, Option<Kind>) {
    let count = |fits: fn(&[u8]) -> bool| lines.iter().filter(|line| fits(&line.payload)).count();
    if count(is_obis) >= 3 && count(|line| line.starts_with(b"/")) >= 1 {
        let telegrams = between(lines, |line| line.starts_with(b"/"), |line| line.starts_with(b"!"));
        return (telegrams, Some(Kind::P1));
    }
    if count(is_ve_direct) >= 3 && count(|line| line.starts_with(b"Checksum\t")) >= 1 {
        let blocks = between(lines, is_ve_direct, |line| line.starts_with(b"Checksum\t"));
        return (blocks, Some(Kind::VeDirect));
    }
    (lines.to_vec(), None)
}

/// The lines from one that begins to one that ends, without the latter.
fn between(lines: &[Heard], begins: fn(&[u8]) -> bool, ends: fn(&[u8]) -> bool) -> Vec<Heard> {
    let mut blocks = Vec::new();
    let mut block: Option<(Vec<u8>, usize)> = None;
    // What stands before the first end may have no beginning.
    let mut whole = lines.first().is_some_and(|line| line.payload.starts_with(b"/"));
    for line in lines {
        if ends(&line.payload) {
            if let Some((payload, _)) = block.take().filter(|_| whole) {
                blocks.push(Heard { topic: None, payload });
            }
            whole = true;
        } else if let Some((payload, count)) = block.as_mut() {
            *count += 1;
            if *count <= LINES_MAX {
                payload.extend_from_slice(b"\r\n");
                payload.extend_from_slice(&line.payload);
            }
        } else if begins(&line.payload) {
            block = Some((line.payload.clone(), 1));
        }
    }
    blocks
}

/// `1-0:1.8.1(..`
pub(super) fn is_obis(line: &[u8]) -> bool {
    let Some(at) = line.iter().position(|byte| *byte == b'(') else { return false };
    let code = &line[..at];
    let parts = code.split(|byte| matches!(byte, b'-' | b':' | b'.')).collect::<Vec<_>>();
    parts.len() >= 3
        && code.len() <= 24
        && code.contains(&b'.')
        && parts.iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
}

/// `PID<TAB>0xA053`
pub(super) fn is_ve_direct(line: &[u8]) -> bool {
    line.iter().position(|byte| *byte == b'\t').is_some_and(|at| {
        (1..=9).contains(&at) && line[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#')
    })
}

/// `$WIMWV,214.8,R,10.2,N,A*1F`
pub(super) fn is_nmea(line: &[u8]) -> bool {
    let Some((body, sum)) = line.len().checked_sub(3).map(|at| line.split_at(at)) else { return false };
    matches!(body.first(), Some(b'$' | b'!'))
        && body.contains(&b',')
        && sum[0] == b'*'
        && sum[1..].iter().all(u8::is_ascii_hexdigit)
}
