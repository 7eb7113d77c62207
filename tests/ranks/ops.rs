//! The reduction operations on values whose results are known without computing: what the tests `op/land` to
//! `op/maxloc` of the MPICH test suite are about, in cases of our own that have their names.

use half::{bf16, f16};
use warpcomm::{Located, Op};

use crate::harness::Outcome;
use crate::oracle::{Value, assert_same, untouched};
use crate::placed::Communicator;

cases! {
    land: 1..=7;
    lor: 1..=7;
    lxor: 1..=7;
    band: 1..=7;
    bor: 1..=7;
    bxor: 1..=7;
    minloc: 1..=7;
    maxloc: 1..=7;
}

/// An element type that has the small numbers.
pub trait Small: Value {
    /// This number: of `i8` the bits, and `bool` is true of all but 0.
    fn small(number: u8) -> Self;
}

macro_rules! small {
    ($($type:ty: $of:expr;)*) => {$(
        impl Small for $type {
            fn small(number: u8) -> $type {
                let of: fn(u8) -> $type = $of;
                of(number)
            }
        }
    )*};
}
small! {
    i8: |number| number as i8;
    i16: i16::from;
    i32: i32::from;
    i64: i64::from;
    u8: |number| number;
    u16: u16::from;
    u32: u32::from;
    u64: u64::from;
    f16: |number| f16::from_f32(number.into());
    bf16: |number| bf16::from_f32(number.into());
    f32: f32::from;
    f64: f64::from;
    bool: |number| number != 0;
}

/// Calls a function for each type of a list, as `for_every_element!` does for all.
macro_rules! for_each_of {
    ([$($type:ty)*] $function:ident $arguments:tt?) => {
        $($function::<$type> $arguments?;)*
    };
}
pub(super) use for_each_of;

/// Reduces what each rank has by each operation that there is, and compares it with the result of the ranks 0 to
/// n - 1.
fn reduced<T: Value>(
    comm: &Communicator,
    op: Op,
    of_rank: impl Fn(usize) -> Vec<T>,
    of_first: impl Fn(usize) -> Vec<T>,
) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let (own, all) = (of_rank(rank), of_first(size));
    let before = untouched::<T>(own.len());
    let check = |operation: &str, found: &[T], expected: &[T]| {
        assert_same(found, expected, || format!("{operation} by {op}"));
    };

    let mut result = before.clone();
    comm.allreduce(&own, &mut result, op)?;
    check("allreduce", &result, &all);

    let root = size - 1;
    let mut result = before.clone();
    comm.reduce(&own, &mut result, op, root)?;
    check("reduce", &result, if rank == root { &all } else { &before });

    let mut result = before;
    comm.scan(&own, &mut result, op)?;
    check("scan", &result, &of_first(rank + 1));
    Ok(())
}

/// A number on rank 0, and one on all others.
type Pattern = [u8; 2];

fn on(rank: usize, patterns: &[Pattern]) -> Vec<u8> {
    patterns
        .iter()
        .map(|[first, other]| if rank == 0 { *first } else { *other })
        .collect()
}

fn small<T: Small>(numbers: impl IntoIterator<Item = u8>) -> Vec<T> {
    numbers.into_iter().map(T::small).collect()
}

/// True everywhere; nowhere; on all but rank 0; on rank 0 only. Truth is any number but 0.
const TRUTHS: [Pattern; 5] = [[1, 1], [0, 0], [0, 1], [1, 0], [4, 2]];

/// Which of [`TRUTHS`] are true of so many ranks.
type Truths = fn(usize) -> [bool; 5];

fn logical(comm: &Communicator, op: Op, truths: Truths) -> Outcome {
    for_each_of!([i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64 bool] truth(comm, op, truths)?);
    Ok(())
}

fn truth<T: Small>(comm: &Communicator, op: Op, truths: Truths) -> Outcome {
    let result = |ranks| small(truths(ranks).map(u8::from));
    reduced::<T>(comm, op, |rank| small(on(rank, &TRUTHS)), result)
}

fn land(comm: &Communicator) -> Outcome {
    let all = |ranks| [true, false, false, ranks == 1, true];
    logical(comm, Op::LogicalAnd, all)?;
    truth::<bool>(comm, Op::BitAnd, all)
}

fn lor(comm: &Communicator) -> Outcome {
    let any = |ranks| [true, false, ranks > 1, true, true];
    logical(comm, Op::LogicalOr, any)?;
    truth::<bool>(comm, Op::BitOr, any)
}

fn lxor(comm: &Communicator) -> Outcome {
    let odd = |ranks| [ranks % 2 == 1, false, ranks % 2 == 0, true, ranks % 2 == 1];
    logical(comm, Op::LogicalXor, odd)?;
    truth::<bool>(comm, Op::BitXor, odd)
}

/// All bits everywhere; none; and two halves of them that have none in common.
const BITS: [Pattern; 4] = [[0xFF, 0xFF], [0, 0], [0xC3, 0x3C], [0x0F, 0xFF]];

/// What becomes of [`BITS`] on so many ranks.
type Bits = fn(usize) -> [u8; 4];

fn bitwise(comm: &Communicator, op: Op, bits: Bits) -> Outcome {
    for_each_of!([i8 i16 i32 i64 u8 u16 u32 u64] bits_of(comm, op, bits)?);
    Ok(())
}

fn bits_of<T: Small>(comm: &Communicator, op: Op, bits: Bits) -> Outcome {
    reduced::<T>(
        comm,
        op,
        |rank| small(on(rank, &BITS)),
        |ranks| small(bits(ranks)),
    )
}

fn band(comm: &Communicator) -> Outcome {
    bitwise(comm, Op::BitAnd, |ranks| match ranks {
        1 => [0xFF, 0, 0xC3, 0x0F],
        _ => [0xFF, 0, 0, 0x0F],
    })
}

fn bor(comm: &Communicator) -> Outcome {
    bitwise(comm, Op::BitOr, |ranks| match ranks {
        1 => [0xFF, 0, 0xC3, 0x0F],
        _ => [0xFF, 0, 0xFF, 0xFF],
    })
}

fn bxor(comm: &Communicator) -> Outcome {
    bitwise(comm, Op::BitXor, |ranks| match ranks % 2 {
        1 => [0xFF, 0, 0xC3, 0x0F],
        _ => [0, 0, 0xFF, 0xF0],
    })
}

/// Calls a function for every type of a value and an index.
macro_rules! for_every_located {
    ($function:ident($comm:expr)?) => {
        $function::<f32, u32>($comm)?;
        $function::<f64, u64>($comm)?;
        $function::<i32, u32>($comm)?;
        $function::<i64, u64>($comm)?;
        $function::<u32, u32>($comm)?;
        $function::<u64, u64>($comm)?;
    };
}

/// Pairs of a value and an index.
fn located<V: From<u8>, I: From<u8>>(pairs: [[usize; 2]; 4]) -> Vec<Located<V, I>> {
    let number = |number: usize| u8::try_from(number).expect("there are few ranks");
    let pair = |[value, index]: [usize; 2]| Located::new(number(value).into(), number(index).into());
    pairs.map(pair).into()
}

fn minloc(comm: &Communicator) -> Outcome {
    fn lowest<V: From<u8>, I: From<u8>>(comm: &Communicator) -> Outcome
    where
        Located<V, I>: Value,
    {
        // Equal values; an order that the ranks have, and the opposite; equal values whose index falls.
        let own = |rank| located::<V, I>([[1, rank], [rank, rank], [10 - rank, rank], [5, 20 - rank]]);
        reduced(comm, Op::MinLoc, own, |ranks| {
            let last = ranks - 1;
            located([[1, 0], [0, 0], [10 - last, last], [5, 20 - last]])
        })
    }
    for_every_located!(lowest(comm)?);
    Ok(())
}

fn maxloc(comm: &Communicator) -> Outcome {
    fn highest<V: From<u8>, I: From<u8>>(comm: &Communicator) -> Outcome
    where
        Located<V, I>: Value,
    {
        let own = |rank| located::<V, I>([[1, rank], [rank, rank], [10 - rank, rank], [5, 20 - rank]]);
        reduced(comm, Op::MaxLoc, own, |ranks| {
            let last = ranks - 1;
            located([[1, 0], [last, last], [10, 0], [5, 20 - last]])
        })
    }
    for_every_located!(highest(comm)?);
    Ok(())
}
