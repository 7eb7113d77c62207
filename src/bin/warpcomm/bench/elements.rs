//! Which types elements can have, and which reduction operations take them. The command does not link the library, which
//! has the same tables; `tests/command/bench.rs` compares them.

/// What a type is, which decides which reduction operations take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Integer,
    Float,
    Complex,
    Bool,
    Located,
}

use Class::{Bool, Complex, Float, Integer, Located};

/// The name of each type, its size in bytes and its class.
pub const DTYPES: [(&str, u64, Class); 21] = [
    ("i8", 1, Integer),
    ("i16", 2, Integer),
    ("i32", 4, Integer),
    ("i64", 8, Integer),
    ("u8", 1, Integer),
    ("u16", 2, Integer),
    ("u32", 4, Integer),
    ("u64", 8, Integer),
    ("f16", 2, Float),
    ("bf16", 2, Float),
    ("f32", 4, Float),
    ("f64", 8, Float),
    ("c32", 8, Complex),
    ("c64", 16, Complex),
    ("bool", 1, Bool),
    ("f32loc", 8, Located),
    ("f64loc", 16, Located),
    ("i32loc", 8, Located),
    ("i64loc", 16, Located),
    ("u32loc", 8, Located),
    ("u64loc", 16, Located),
];

/// The name of each reduction operation, and the classes that it takes.
pub const OPS: [(&str, &[Class]); 13] = [
    ("sum", &[Integer, Float, Complex]),
    ("prod", &[Integer, Float, Complex]),
    ("min", &[Integer, Float, Bool]),
    ("max", &[Integer, Float, Bool]),
    ("logical_and", &[Integer, Float, Bool]),
    ("logical_or", &[Integer, Float, Bool]),
    ("logical_xor", &[Integer, Float, Bool]),
    ("bit_and", &[Integer, Bool]),
    ("bit_or", &[Integer, Bool]),
    ("bit_xor", &[Integer, Bool]),
    ("min_loc", &[Located]),
    ("max_loc", &[Located]),
    ("avg", &[Float, Complex]),
];

/// The size of an element in bytes.
pub fn size(dtype: &str) -> u64 {
    let found = DTYPES.iter().find(|(name, ..)| *name == dtype);
    found.map_or(1, |(_, size, _)| *size)
}

/// Whether a reduction operation takes elements of a type.
pub fn takes(op: &str, dtype: &str) -> bool {
    let class = DTYPES
        .iter()
        .find(|(name, ..)| *name == dtype)
        .map(|(.., class)| class);
    let classes = OPS
        .iter()
        .find(|(name, _)| *name == op)
        .map(|(_, classes)| classes);
    classes
        .zip(class)
        .is_some_and(|(classes, class)| classes.contains(class))
}

/// The reduction operations that take elements of a type.
pub fn ops_of(dtype: &str) -> Vec<&'static str> {
    let names = OPS.iter().map(|(name, _)| *name);
    names.filter(|name| takes(name, dtype)).collect()
}
