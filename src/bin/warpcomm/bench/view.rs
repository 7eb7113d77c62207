//! What is printed of what is measured.

use crate::record::{Key, LeftOut, Row, Run};

/// Who makes lines of records.
pub trait View {
    /// Says with what is measured.
    fn begin(&mut self, run: &Run);
    /// The lines for a row, at once.
    fn row(&mut self, row: &Row) -> Vec<String>;
    /// The lines for what cannot be measured.
    fn left_out(&mut self, left_out: &LeftOut) -> Vec<String>;
    /// The lines at the end, also of a run that ends early.
    fn end(&mut self) -> Vec<String>;
    /// Whether nothing is printed before the end.
    fn is_late(&self) -> bool;
}

/// What an operation works on: `allreduce, f32, sum`.
pub fn elements(operation: &str, dtype: &str, op: Option<&str>) -> String {
    let words = [Some(operation), Some(dtype), op];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The elements of a row.
pub fn elements_of(key: &Key) -> String {
    elements(&key.operation, &key.dtype, key.op.as_deref())
}

/// A time in microseconds.
pub fn microseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e6)
}

/// What stands beside times that say nothing.
pub const SIMULATED: &str = "SIMULATED GPUs: these times mean nothing";

/// How many times as fast: `1.25x`.
pub fn times_as_fast(factor: f64) -> String {
    match factor {
        ..0.1 => format!("{factor:.3}x"),
        0.1..10.0 => format!("{factor:.2}x"),
        _ => format!("{factor:.1}x"),
    }
}
