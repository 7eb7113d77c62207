//! What MPI's return codes say, as errors.

use std::os::raw::{c_char, c_int};

use mpi::ffi;

use crate::error::{Error, ErrorKind, Result};

/// An error code of the MPI library.
#[derive(Debug, thiserror::Error)]
#[error("{call} returned {code} (class {class}): {text}")]
struct MpiError {
    call: &'static str,
    code: c_int,
    class: c_int,
    text: String,
}

/// Turns the return code of the MPI function `call` into a result.
#[inline]
pub(super) fn check(code: c_int, call: &'static str) -> Result<()> {
    if code == ffi::MPI_SUCCESS as c_int {
        return Ok(());
    }
    Err(failed(code, call))
}

#[cold]
fn failed(code: c_int, call: &'static str) -> Error {
    let mut class: c_int = code;
    // SAFETY: writes the class of any code into our variable.
    unsafe { ffi::MPI_Error_class(code, &mut class) };
    let text = text(code);
    // The classes for failed processes are extensions without a common number; their texts name them.
    let class_text = text_of_class(class);
    let lost = class_text.contains("proc") && (class_text.contains("fail") || class_text.contains("abort"));
    let kind = if lost { ErrorKind::PeerLost } else { ErrorKind::Mpi };
    let message = format!("{call} failed: {text}");
    Error::new(kind, message).with_source(MpiError {
        call,
        code,
        class,
        text,
    })
}

fn text_of_class(class: c_int) -> String {
    text(class).to_lowercase()
}

fn text(code: c_int) -> String {
    let mut bytes = [0u8; ffi::MPI_MAX_ERROR_STRING as usize + 1];
    let mut length: c_int = 0;
    // SAFETY: MPI writes at most MPI_MAX_ERROR_STRING bytes.
    let result = unsafe { ffi::MPI_Error_string(code, bytes.as_mut_ptr().cast::<c_char>(), &mut length) };
    if result != ffi::MPI_SUCCESS as c_int {
        return format!("error {code}");
    }
    let length = usize::try_from(length).unwrap_or(0).min(bytes.len());
    String::from_utf8_lossy(&bytes[..length])
        .trim_end_matches('\0')
        .to_owned()
}
