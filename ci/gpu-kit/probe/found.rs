//! What was found out, or why not.

use serde::Serialize;

use crate::Failure;

#[derive(Serialize)]
#[serde(untagged)]
pub enum Found<T> {
    Is(T),
    Not { error: String },
}

impl<T> Found<T> {
    pub fn new(outcome: Result<T, Failure>) -> Self {
        match outcome {
            Ok(value) => Found::Is(value),
            Err(error) => Found::Not {
                error: error.to_string(),
            },
        }
    }

    /// In words: the value's, or the reason why there is none.
    pub fn words(&self, of: impl FnOnce(&T) -> String) -> String {
        match self {
            Found::Is(value) => of(value),
            Found::Not { error } => format!("not there: {error}"),
        }
    }
}
