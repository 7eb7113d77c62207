//! What an operation is in the format of Perfetto and chrome://tracing ("Trace Event Format"): JSON, written by hand,
//! because that is most of what a trace costs.

use std::io::Write;

use super::clock::Times;
use super::recorder::Record;
use super::timeline::Step;
use crate::engine::activity::Phase;
use crate::error::Peer;
use crate::message::{PROC_NULL, Tag};

/// What waits for its turn for less, in nanoseconds, has not waited.
const A_TURN: u64 = 1000;

/// Adds an operation with its phases inside it, each event on a line behind a comma.
pub(super) fn add(text: &mut Vec<u8>, rank: usize, times: &Times, (record, steps): (&Record, &[u64])) {
    let ended = &record.ended;
    let at = |since: u64| times.at(ended.start + since.min(ended.duration));
    let (start, end) = (at(0), at(ended.duration));
    let kind = match (record.peer, record.sequence) {
        (Some(_), _) => "message",
        (None, Some(_)) => "collective",
        (None, None) => "operation",
    };
    let place = (rank, ended.lane);
    begin(text, record.operation, kind, place, (start, end));
    add_arguments(text, rank, record);
    text.extend_from_slice(b"}}");
    let mut steps = steps.iter().map(|&word| Step::unpack(word)).peekable();
    let turn = steps.peek().map(|first| at(first.since));
    if let Some(turn) = turn.filter(|turn| turn - start >= A_TURN) {
        begin(text, Phase::Start.name(), "phase", place, (start, turn));
        text.extend_from_slice(b"}}");
    }
    while let Some(step) = steps.next() {
        if step.phase == Phase::Over {
            continue;
        }
        let until = steps.peek().map_or(end, |next| at(next.since));
        begin(text, step.phase.name(), "phase", place, (at(step.since), until));
        if let Some(awaited) = step.awaited {
            text.extend_from_slice(b"\"awaited\":");
            add_number(text, awaited as u64);
        }
        text.extend_from_slice(b"}}");
    }
}

/// Adds an event up to its arguments.
fn begin(text: &mut Vec<u8>, name: &str, kind: &str, (rank, lane): (usize, u32), (start, end): (u64, u64)) {
    text.extend_from_slice(b",\n{\"ph\":\"X\",\"name\":\"");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\",\"cat\":\"");
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(b"\",\"pid\":");
    add_number(text, rank as u64);
    text.extend_from_slice(b",\"tid\":");
    add_number(text, u64::from(lane));
    text.extend_from_slice(b",\"ts\":");
    add_microseconds(text, start);
    text.extend_from_slice(b",\"dur\":");
    add_microseconds(text, end - start);
    text.extend_from_slice(b",\"args\":{");
}

fn add_arguments(text: &mut Vec<u8>, rank: usize, record: &Record) {
    let mut arguments = Arguments { text, is_first: true };
    match record.peer {
        Some(Peer::From(PROC_NULL)) => arguments.word("source", "nobody"),
        Some(Peer::To(PROC_NULL)) => arguments.word("dest", "nobody"),
        Some(Peer::From(peer)) => arguments.number("source", peer as u64),
        Some(Peer::FromAny) => arguments.word("source", "any"),
        Some(Peer::To(peer)) => arguments.number("dest", peer as u64),
        None => {}
    }
    match record.tag {
        Some(Tag::ANY) => arguments.word("tag", "any"),
        Some(Tag(tag)) => match u64::try_from(tag) {
            Ok(tag) => arguments.number("tag", tag),
            // Of an operation that was refused.
            Err(_) => arguments.quoted("tag", &tag.to_string()),
        },
        None => {}
    }
    if let Some(sequence) = record.sequence {
        arguments.number("sequence", sequence);
    }
    if record.bytes > 0 {
        arguments.number("bytes", record.bytes as u64);
    }
    if let Some(dtype) = record.dtype {
        arguments.word("dtype", dtype);
    }
    if let Some(path) = record.path {
        arguments.word("path", path);
    }
    match record.ended.outcome {
        None => {}
        Some(Ok(())) => arguments.word("outcome", "ok"),
        Some(Err(kind)) => arguments.quoted("outcome", &format!("{kind:?}")),
    }
    if let Some(communicator) = &record.communicator {
        arguments.quoted("communicator", communicator);
    }
    if record.rank != rank {
        arguments.number("rank", record.rank as u64);
    }
}

/// The arguments of an event.
struct Arguments<'a> {
    text: &'a mut Vec<u8>,
    is_first: bool,
}

impl Arguments<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        add_number(self.text, number);
    }

    /// A word of ours, in which nothing needs a mark.
    fn word(&mut self, name: &str, word: &str) {
        self.name(name);
        self.text.push(b'"');
        self.text.extend_from_slice(word.as_bytes());
        self.text.push(b'"');
    }

    /// A text of somebody else's.
    fn quoted(&mut self, name: &str, text: &str) {
        self.name(name);
        add_quoted(self.text, text);
    }
}

/// Adds a text in quotes, with marks where JSON wants them.
pub(super) fn add_quoted(text: &mut Vec<u8>, quoted: &str) {
    text.push(b'"');
    for byte in quoted.bytes() {
        match byte {
            b'"' => text.extend_from_slice(b"\\\""),
            b'\\' => text.extend_from_slice(b"\\\\"),
            0..b' ' => {
                // Writing to memory does not fail.
                let _ = write!(text, "\\u{byte:04x}");
            }
            other => text.push(other),
        }
    }
    text.push(b'"');
}

/// Adds a number in digits.
pub(super) fn add_number(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[first..]);
}

/// Adds nanoseconds as microseconds with three digits behind the point.
pub(super) fn add_microseconds(text: &mut Vec<u8>, nanoseconds: u64) {
    add_number(text, nanoseconds / 1000);
    let digit = |place: u64| b'0' + (nanoseconds / place % 10) as u8;
    text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(add: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        add(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 65536, u64::MAX] {
            assert_eq!(made(|text| add_number(text, number)), number.to_string());
        }
        for (nanoseconds, text) in [
            (0, "0.000"),
            (7, "0.007"),
            (1_020, "1.020"),
            (86_399_000_000_123, "86399000000.123"),
        ] {
            assert_eq!(made(|made| add_microseconds(made, nanoseconds)), text);
        }
    }

    #[test]
    fn a_text_of_any_characters() {
        let any = "a\"b\\c\n\u{0}\u{1f} \u{7f}äß中𝄞/";
        let quoted = made(|text| add_quoted(text, any));
        assert!(quoted.is_ascii() || quoted.chars().all(|character| character >= ' '));
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), any);
    }
}
