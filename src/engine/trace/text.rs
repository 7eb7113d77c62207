//! What an operation is in the format of Perfetto and chrome://tracing ("Trace Event Format"): JSON, written by hand,
//! because that is most of what a trace costs.

use std::fmt::Write;

use super::recorder::Record;
use super::timeline::Step;
use crate::engine::activity::Phase;
use crate::error::Peer;
use crate::message::{PROC_NULL, Tag};

/// What waits for its turn for less, in nanoseconds, has not waited.
const A_TURN: u64 = 1000;

/// Adds an operation with its phases inside it, each event on a line behind a comma.
pub(super) fn add(text: &mut String, rank: usize, record: &Record, steps: &[u64]) {
    let (start, end) = (record.times.start, record.times.start + record.times.duration);
    let kind = match (record.peer, record.sequence) {
        (Some(_), _) => "message",
        (None, Some(_)) => "collective",
        (None, None) => "operation",
    };
    let place = (rank, record.times.lane);
    begin(text, record.operation, kind, place, (start, end));
    add_arguments(text, rank, record);
    text.push_str("}}");
    let mut steps = steps.iter().map(|&word| Step::unpack(word)).peekable();
    if let Some(first) = steps.peek().filter(|first| first.since >= A_TURN) {
        let waited = (start, (start + first.since).min(end));
        begin(text, Phase::Start.name(), "phase", place, waited);
        text.push_str("}}");
    }
    while let Some(step) = steps.next() {
        if step.phase == Phase::Over {
            continue;
        }
        let since = (start + step.since).min(end);
        let until = steps.peek().map_or(end, |next| (start + next.since).min(end));
        begin(text, step.phase.name(), "phase", place, (since, until));
        if let Some(awaited) = step.awaited {
            text.push_str("\"awaited\":");
            add_number(text, awaited as u64);
        }
        text.push_str("}}");
    }
}

/// Adds an event up to its arguments.
fn begin(text: &mut String, name: &str, kind: &str, (rank, lane): (usize, u32), (start, end): (u64, u64)) {
    text.push_str(",\n{\"ph\":\"X\",\"name\":\"");
    text.push_str(name);
    text.push_str("\",\"cat\":\"");
    text.push_str(kind);
    text.push_str("\",\"pid\":");
    add_number(text, rank as u64);
    text.push_str(",\"tid\":");
    add_number(text, u64::from(lane));
    text.push_str(",\"ts\":");
    add_microseconds(text, start);
    text.push_str(",\"dur\":");
    add_microseconds(text, end - start);
    text.push_str(",\"args\":{");
}

fn add_arguments(text: &mut String, rank: usize, record: &Record) {
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
    match record.times.outcome {
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
    text: &'a mut String,
    is_first: bool,
}

impl Arguments<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        add_number(self.text, number);
    }

    /// A word of ours, in which nothing needs a mark.
    fn word(&mut self, name: &str, word: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(word);
        self.text.push('"');
    }

    /// A text of somebody else's.
    fn quoted(&mut self, name: &str, text: &str) {
        self.name(name);
        add_quoted(self.text, text);
    }
}

/// Adds a text in quotes, with marks where JSON wants them.
pub(super) fn add_quoted(text: &mut String, quoted: &str) {
    text.push('"');
    for character in quoted.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\0'..' ' => {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Adds a number in digits.
pub(super) fn add_number(text: &mut String, mut number: u64) {
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
    text.extend(digits[first..].iter().map(|&digit| char::from(digit)));
}

/// Adds nanoseconds as microseconds with three digits behind the point.
pub(super) fn add_microseconds(text: &mut String, nanoseconds: u64) {
    add_number(text, nanoseconds / 1000);
    let digit = |place: u64| char::from(b'0' + (nanoseconds / place % 10) as u8);
    text.extend(['.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(add: impl FnOnce(&mut String)) -> String {
        let mut text = String::new();
        add(&mut text);
        text
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
