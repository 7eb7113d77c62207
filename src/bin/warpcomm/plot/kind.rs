//! What a file is: measurements, or the trace of a rank.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// A kind of file that pictures are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Measurements,
    Trace,
}

/// How much of a file tells what it is.
const BEGINNING: u64 = 64 * 1024;

/// Looks into a file.
///
/// # Errors
/// The file, and why it cannot be read or that it is neither.
pub fn kind(path: &Path) -> Result<Kind, String> {
    let shown = path.display();
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    read.map_err(|error| format!("{shown}: {error}"))?;
    of(&String::from_utf8_lossy(&beginning)).map_err(|wrong| format!("{shown}: {wrong}"))
}

fn of(text: &str) -> Result<Kind, String> {
    let text = text.trim_start();
    let line = text.lines().next().unwrap_or_default();
    let has_record = serde_json::from_str(line).is_ok_and(|value: Value| value.get("record").is_some());
    // A first line that is cut off, or damaged, is told of by those who read measurements.
    if has_record || line.starts_with("{\"record\"") {
        return Ok(Kind::Measurements);
    }
    if text.starts_with('[') || (text.starts_with('{') && text.contains("\"traceEvents\"")) {
        return Ok(Kind::Trace);
    }
    Err(match text.is_empty() {
        true => format!("it is empty; {WHENCE}"),
        false => format!("it is neither a file of measurements nor a trace; {WHENCE}"),
    })
}

/// Where files come from that can be read.
const WHENCE: &str =
    "`warpcomm bench --json FILE` writes measurements, a job with WARPCOMM_TRACE=FILE traces";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_how_they_begin() {
        assert_eq!(of("{\"record\":\"run\"}\n"), Ok(Kind::Measurements));
        assert_eq!(of("{\"format\":1,\"record\":\"run\"}\n"), Ok(Kind::Measurements));
        assert_eq!(of("{\"record\":\"ru"), Ok(Kind::Measurements));
        assert_eq!(of("\n[\n{\"ph\":\"M\"}"), Ok(Kind::Trace));
        assert_eq!(
            of("{\"displayTimeUnit\":\"ns\",\n\"traceEvents\":["),
            Ok(Kind::Trace)
        );
        assert!(of("\n").unwrap_err().starts_with("it is empty"));
        assert!(
            of("bytes,seconds\n8,1\n")
                .unwrap_err()
                .starts_with("it is neither")
        );
        assert!(of("{}").unwrap_err().starts_with("it is neither"));
    }
}
