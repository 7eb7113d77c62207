//! Memory for bytes whose number somebody else has told.

use crate::error::{Error, ErrorKind, Result};

/// Memory for so many bytes, which nobody has touched yet, or an error that says for what there is none.
pub(crate) fn reserved(bytes: usize, what: &str) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    reserve(&mut memory, bytes, what)?;
    Ok(memory)
}

/// The same, behind what there is.
pub(crate) fn reserve(memory: &mut Vec<u8>, bytes: usize, what: &str) -> Result<()> {
    memory.try_reserve_exact(bytes).map_err(|error| {
        let message = format!("no memory for {what} of {bytes} bytes");
        Error::new(ErrorKind::Device, message).with_source(error)
    })
}
