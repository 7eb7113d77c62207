//! The standard output of this command, of which some read only the first lines.

use std::io::{ErrorKind, Write};

/// Prints a text. Nothing is wrong where who reads it has seen enough, as `head` has.
///
/// # Errors
///
/// When it cannot be written for another reason.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), String> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_ref()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to the standard output: {error}"))
        }
        _ => Ok(()),
    }
}
