//! That the bytes of an operation go the way that a row is about.

use crate::Failure;
use crate::carried::carried;

/// Runs an operation once more, and tells what carried its bytes, which is nothing where a rank has no part in it.
///
/// # Errors
/// Where they went another way than the one that was expected, or the operation fails.
pub fn carried_by(
    expected: Option<&str>,
    operation: impl FnOnce() -> Result<(), Failure>,
) -> Result<String, Failure> {
    let path = carried(operation)?.unwrap_or_default();
    match expected {
        Some(expected) if expected != path => {
            Err(format!("the bytes went by {path:?}, and not by {expected:?}").into())
        }
        _ => Ok(path),
    }
}
