//! Reads what `strace` writes: system calls with their bytes, and where in the order of things each began and ended.
//!
//! Form: `strace -f -yy -xx`. A line is `<thread> <name>(<arguments>) = <result>`; a call during which another thread
//! did something takes two, `... <unfinished ...>` and `<... <name> resumed>...`. strace writes a call's beginning when
//! it sees it begin and its end when it sees it end, so the numbers of the lines are the order. Texts are `"\x2f..."`;
//! a file descriptor is followed by what it is, `12<\x2f...>` or `9<TCP:[127.0.0.1:40000->127.0.0.1:1883]>`.

use std::collections::HashMap;

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// What its first file descriptor is: a path, or `TCP:[from->to]`.
    pub file: String,
    /// All bytes that it took or gave.
    pub bytes: Vec<u8>,
    /// What it returned; `None` when it had not returned at the end of the trace.
    pub result: Option<i64>,
    /// The line in which it began.
    pub began: usize,
    /// The line in which it ended.
    pub ended: usize,
}

/// All calls in the order in which they began.
///
/// # Errors
/// What line it does not understand.
pub fn parse(text: &str) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let bad = |what: &str| format!("line {}: {what}: {}", number + 1, line.chars().take(200).collect::<String>());
        let (thread, rest) = line.split_once(' ').ok_or_else(|| bad("no thread"))?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (number, start.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, end) = resumed.split_once(" resumed>").ok_or_else(|| bad("nothing resumed"))?;
            let (began, start) = unfinished.remove(thread).ok_or_else(|| bad("resumes what has not begun"))?;
            calls.push(call(&(start + end), began, number).ok_or_else(|| bad("no call"))?);
        } else {
            calls.push(call(rest, number, number).ok_or_else(|| bad("no call"))?);
        }
    }
    for (began, start) in unfinished.into_values() {
        let call = call(&start, began, usize::MAX).ok_or_else(|| format!("line {}: no call: {start}", began + 1))?;
        calls.push(call);
    }
    calls.sort_by_key(|call| call.began);
    Ok(calls)
}

fn call(text: &str, began: usize, ended: usize) -> Option<Call> {
    let (name, arguments) = text.split_once('(')?;
    // No text holds a quote or an equals sign, being all hexadecimal; but a decoded error has a bracket.
    let result = match ended {
        usize::MAX => None,
        _ => arguments.rsplit_once(" = ").and_then(|(_, result)| {
            let digits = result.split(|c: char| !c.is_ascii_digit() && c != '-').next()?;
            digits.parse().ok()
        }),
    };
    let file = match arguments.split_once('<') {
        Some((fd, rest)) if !fd.is_empty() && fd.bytes().all(|byte| byte.is_ascii_digit()) => label(rest)?,
        _ => String::new(),
    };
    let mut bytes = Vec::new();
    for quoted in arguments.split('"').skip(1).step_by(2) {
        bytes.extend(unescape(quoted)?);
    }
    Some(Call { name: name.to_owned(), file, bytes, result, began, ended })
}

/// The text up to the `>` that closes it, not the one of an arrow.
fn label(text: &str) -> Option<String> {
    let end = text.char_indices().find(|&(at, c)| c == '>' && !text[..at].ends_with('-'))?.0;
    let text = &text[..end];
    if text.starts_with("\\x") { String::from_utf8(unescape(text)?).ok() } else { Some(text.to_owned()) }
}

/// `\x2f\x74` as bytes.
fn unescape(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    text.as_bytes()
        .chunks(4)
        .map(|digits| {
            let digits = std::str::from_utf8(digits).ok()?.strip_prefix("\\x")?;
            u8::from_str_radix(digits, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_whole_and_in_pieces_with_bytes_files_and_results() {
        let text = r#"10 pwrite64(12<\x2f\x61>, "\x01\xff", 2, 0) = 2
10 fdatasync(13<\x2f\x61> <unfinished ...>
11 writev(9<TCP:[1.1.1.1:5->2.2.2.2:6]>, [{iov_base="\x61\x62", iov_len=2}, {iov_base="\x63", iov_len=1}], 2) = 3
11 recvfrom(9<TCP:[1.1.1.1:5->2.2.2.2:6]>, 0x7f, 10, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
10 <... fdatasync resumed>)  = 0
11 recvfrom(9<TCP:[1.1.1.1:5->2.2.2.2:6]>,  <unfinished ...>
10 +++ exited with 0 +++
"#;
        let calls = parse(text).unwrap();
        let call = |name: &str, file: &str, bytes: &[u8], result, began, ended| Call {
            name: name.to_owned(),
            file: file.to_owned(),
            bytes: bytes.to_vec(),
            result,
            began,
            ended,
        };
        let tcp = "TCP:[1.1.1.1:5->2.2.2.2:6]";
        assert_eq!(
            calls,
            [
                call("pwrite64", "/a", &[1, 255], Some(2), 0, 0),
                call("fdatasync", "/a", &[], Some(0), 1, 4),
                call("writev", tcp, b"abc", Some(3), 2, 2),
                call("recvfrom", tcp, &[], Some(-1), 3, 3),
                call("recvfrom", tcp, &[], None, 5, usize::MAX),
            ]
        );
    }

    #[test]
    fn what_is_no_trace_is_said_to_be_none() {
        assert!(parse("10 <... fdatasync resumed>) = 0\n").unwrap_err().contains("has not begun"));
        assert!(parse("10 write(1</a>, \"plain\", 5) = 5\n").unwrap_err().contains("no call"));
        assert!(parse("nonsense\n").is_err());
    }
}
