//! How cases report failures and expect errors.

use std::panic::Location;

use warpcomm::{Error, ErrorKind};

/// Why a case failed on a rank, and where.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Failure {
        Failure(format!("{error:?}, at {}", Location::caller()))
    }
}

/// The error of an operation that must fail with `kind`.
#[track_caller]
pub fn expect_error<T, E: Into<Error>>(result: Result<T, E>, kind: ErrorKind) -> Error {
    match result {
        Ok(_) => panic!("Ok where {kind:?} was expected"),
        Err(error) => {
            let error = error.into();
            assert_eq!(error.kind(), kind, "{error}");
            error
        }
    }
}

/// Asserts that the text of an error contains each of `parts`.
#[track_caller]
pub fn expect_text(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
