//! What the right results are, computed without the library: test values that every rank can make for
//! every other rank, and naive folds in the canonical order.

mod fold;
mod memo;
mod sample;

use bytemuck::NoUninit;
use warpcomm::{Dtype, Element};

pub use fold::{Fold, folded, mpi_has};
pub use memo::once;
pub use sample::{Sample, mixed, sample};

/// Passes the list of all element types, with their [`Dtype`], to a macro.
macro_rules! elements {
    ($then:ident! { $($argument:tt)* }) => {
        $then! {
            { $($argument)* }
            I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64,
            F16: half::f16, Bf16: half::bf16, F32: f32, F64: f64,
            C32: warpcomm::Complex<f32>, C64: warpcomm::Complex<f64>,
            Bool: bool,
            F32Loc: warpcomm::Located<f32, u32>, F64Loc: warpcomm::Located<f64, u64>,
            I32Loc: warpcomm::Located<i32, u32>, I64Loc: warpcomm::Located<i64, u64>,
            U32Loc: warpcomm::Located<u32, u32>, U64Loc: warpcomm::Located<u64, u64>,
        }
    };
}

/// Calls a generic function for every element type: `for_every_element!(check(comm)?)` calls
/// `check::<T>(comm)?` for each `T`.
macro_rules! for_every_element {
    ($function:ident($($argument:expr),*)?) => {
        elements!(call_for_each! { $function, ($($argument),*) })
    };
}

macro_rules! call_for_each {
    ({ $function:ident, $arguments:tt } $($variant:ident: $type:ty,)*) => {
        $(call_for_one!($function, $type, $arguments);)*
    };
}

macro_rules! call_for_one {
    ($function:ident, $type:ty, ($($argument:expr),*)) => {
        $function::<$type>($($argument),*)?;
    };
}

/// Evaluates an expression with the element type of a [`Dtype`] bound to a name.
macro_rules! with_element {
    ($dtype:expr, $name:ident => $body:expr) => {
        elements!(match_dtype! { $dtype, $name, $body })
    };
}

macro_rules! match_dtype {
    ({ $dtype:expr, $name:ident, $body:expr } $($variant:ident: $type:ty,)*) => {
        match $dtype {
            $(warpcomm::Dtype::$variant => {
                type $name = $type;
                $body
            })*
            other => unreachable!("the list of test values lacks {other}"),
        }
    };
}

macro_rules! list_dtypes {
    ({} $($variant:ident: $type:ty,)*) => {
        &[$(Dtype::$variant),*]
    };
}
/// Every element type that the tests know.
pub const DTYPES: &[Dtype] = elements!(list_dtypes! {});

/// What the elements of device buffers must be.
#[cfg(feature = "cuda")]
pub trait Placeable:
    warpcomm::cudarc::driver::DeviceRepr + warpcomm::cudarc::driver::ValidAsZeroBits
{
}
#[cfg(feature = "cuda")]
impl<T: warpcomm::cudarc::driver::DeviceRepr + warpcomm::cudarc::driver::ValidAsZeroBits> Placeable for T {}

/// What the elements of device buffers must be: anything, where there are none.
#[cfg(not(feature = "cuda"))]
pub trait Placeable {}
#[cfg(not(feature = "cuda"))]
impl<T> Placeable for T {}

/// An element type with test values and the right results of its reductions.
pub trait Value: Element + NoUninit + Sample + Fold + Placeable {}

impl<T: Element + NoUninit + Sample + Fold + Placeable> Value for T {}

/// The test values of `rank`; another `salt` gives other ones.
pub fn vector<T: Value>(salt: u64, rank: usize, length: usize) -> Vec<T> {
    (0..length).map(|index| sample(salt, rank, index)).collect()
}

/// As [`vector`], of values whose reductions come out the same in whatever order.
pub fn tame_vector<T: Value>(salt: u64, rank: usize, length: usize) -> Vec<T> {
    let random = |index: usize| mixed(salt ^ mixed(rank as u64 ^ mixed(index as u64)));
    (0..length).map(|index| T::tame(random(index))).collect()
}

/// The test values of all ranks, one behind the other.
pub fn vectors<T: Value>(salt: u64, ranks: usize, length: usize) -> Vec<T> {
    (0..ranks).flat_map(|rank| vector(salt, rank, length)).collect()
}

/// A value that test values are compared against where nothing may have been written.
pub fn untouched<T: Value>(length: usize) -> Vec<T> {
    let untouched = once("untouched", 1, length, || vector::<T>(0xDEAD, 99, length));
    untouched.to_vec()
}

/// Asserts that two slices have the same bits, NaN and signs of zero included.
#[track_caller]
pub fn assert_same<T: Value>(actual: &[T], expected: &[T], what: impl FnOnce() -> String) {
    assert_eq!(actual.len(), expected.len(), "{}: lengths", what());
    if bytes(actual) == bytes(expected) {
        return;
    }
    let differs = |index: &usize| bytes(&actual[*index..][..1]) != bytes(&expected[*index..][..1]);
    let wrong: Vec<usize> = (0..actual.len()).filter(differs).collect();
    let first = wrong[0];
    panic!(
        "{}: {} of {} elements of type {} differ, the first is element {first}: {:?} {:02X?} instead of {:?} {:02X?}",
        what(),
        wrong.len(),
        actual.len(),
        T::DTYPE,
        actual[first],
        bytes(&actual[first..][..1]),
        expected[first],
        bytes(&expected[first..][..1]),
    );
}

/// The bytes of test values.
pub fn bytes<T: Value>(values: &[T]) -> &[u8] {
    bytemuck::cast_slice(values)
}
