//! What is in a rank's file of a trace.

use std::fs;
use std::path::Path;

use crate::Failure;

/// Checks that a file has so many sends and as many receives, and that nothing was left out; then empties it, because
/// a rank that is a thread keeps it open.
pub fn check(file: &Path, messages: usize) -> Result<(), Failure> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    for operation in ["send", "recv"] {
        let count = text.matches(&format!("\"name\":\"{operation}\"")).count();
        if count != messages {
            return Err(format!("{name} has {operation} {count} times, but there were {messages}").into());
        }
    }
    if text.contains("\"name\":\"left out\"") {
        return Err(format!("{name} says that operations were left out").into());
    }
    Ok(fs::write(file, "")?)
}
