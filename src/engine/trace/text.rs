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

/// An operation, with what its record does not have itself.
pub(super) struct Shown<'a> {
    pub record: &'a Record,
    /// The words of its steps.
    pub steps: &'a [u64],
    /// The name of its communicator.
    pub communicator: Option<&'a str>,
    /// The rank that it is of, in the world.
    pub rank: usize,
    /// What [`place`] has made of rank and lane.
    pub place: &'a [u8],
}

/// What each event of a rank in a lane has between its category and its times.
pub(super) fn place(rank: usize, lane: u32) -> Vec<u8> {
    let mut text = Vec::new();
    text.extend_from_slice(b"\",\"pid\":");
    add_number(&mut text, rank as u64);
    text.extend_from_slice(b",\"tid\":");
    add_number(&mut text, u64::from(lane));
    text.extend_from_slice(b",\"ts\":");
    text
}

/// Adds an operation with its phases inside it, each event on a line behind a comma.
pub(super) fn add(text: &mut Vec<u8>, times: &Times, shown: &Shown<'_>) {
    let (record, place) = (shown.record, shown.place);
    let ended = &record.ended;
    let at = |since: u64| times.at(ended.start + since.min(ended.duration));
    let (start, end) = (at(0), at(ended.duration));
    let kind = match (record.peer, record.sequence) {
        (Some(_), _) => "message",
        (None, Some(_)) => "collective",
        (None, None) => "operation",
    };
    begin(text, record.operation, kind, place, (start, end));
    add_arguments(text, shown);
    text.extend_from_slice(b"}}");
    let mut steps = shown.steps.iter().map(|&word| Step::unpack(word)).peekable();
    let mut since = steps.peek().map_or(end, |first| at(first.since));
    if since - start >= A_TURN && !shown.steps.is_empty() {
        begin(text, Phase::Start.name(), "phase", place, (start, since));
        text.extend_from_slice(b"}}");
    }
    while let Some(step) = steps.next() {
        let until = steps.peek().map_or(end, |next| at(next.since));
        if step.phase != Phase::Over {
            begin(text, step.phase.name(), "phase", place, (since, until));
            if let Some(awaited) = step.awaited {
                text.extend_from_slice(b"\"awaited\":");
                add_number(text, awaited as u64);
            }
            text.extend_from_slice(b"}}");
        }
        since = until;
    }
}

/// Adds an event up to its arguments. Inlined, so that the length of a kind that is known is known.
#[inline(always)]
fn begin(text: &mut Vec<u8>, name: &str, kind: &str, place: &[u8], (start, end): (u64, u64)) {
    text.extend_from_slice(b",\n{\"ph\":\"X\",\"name\":\"");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\",\"cat\":\"");
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(place);
    add_microseconds(text, start);
    text.extend_from_slice(b",\"dur\":");
    // Steps of a core that is behind may be in no order.
    add_microseconds(text, end.saturating_sub(start));
    text.extend_from_slice(b",\"args\":{");
}

fn add_arguments(text: &mut Vec<u8>, shown: &Shown<'_>) {
    let record = shown.record;
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
        arguments.number("sequence", sequence.number());
    }
    if record.bytes > 0 {
        arguments.number("bytes", record.bytes as u64);
    }
    if let Some(dtype) = record.carried.dtype() {
        arguments.word("dtype", dtype.name());
    }
    if let Some(path) = record.carried.path() {
        arguments.word("path", path);
    }
    match record.ended.outcome {
        None => {}
        Some(Ok(())) => arguments.word("outcome", "ok"),
        Some(Err(kind)) => arguments.quoted("outcome", &format!("{kind:?}")),
    }
    if let Some(communicator) = shown.communicator {
        arguments.quoted("communicator", communicator);
    }
    if record.rank as usize != shown.rank {
        arguments.number("rank", u64::from(record.rank));
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

/// The digits of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// Adds a number in digits.
#[inline]
pub(super) fn add_number(text: &mut Vec<u8>, mut number: u64) {
    let count = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let start = text.len();
    // The most digits that there are: to add a number of bytes that is known is a few instructions.
    text.extend_from_slice(&[b'0'; 20]);
    text.truncate(start + count);
    let mut pairs = text[start..].rchunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if let [first] = pairs.into_remainder() {
        *first = b'0' + number as u8;
    }
}

/// Adds nanoseconds as microseconds with three digits behind the point.
pub(super) fn add_microseconds(text: &mut Vec<u8>, nanoseconds: u64) {
    add_number(text, nanoseconds / 1000);
    let behind = (nanoseconds % 1000) as usize;
    let [tens, ones] = PAIRS[behind % 100];
    text.extend_from_slice(&[b'.', b'0' + (behind / 100) as u8, tens, ones]);
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
        for number in [0, 9, 10, 99, 100, 101, 999, 1000, 65536, u64::MAX - 1, u64::MAX] {
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
