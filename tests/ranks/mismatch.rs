//! Ranks that disagree about a collective: `Mismatch` on every rank, naming the odd one, and the communicator
//! stays usable.

use std::borrow::Borrow;

use warpcomm::{Blocks, Dtype, ErrorKind, Op, Result};

use super::alltoallw::blank;
use super::common::still_works;
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::Value;
use crate::placed::{Communicator, Part, alltoallw, alltoallw_in_place};

cases! {
    counts: 2..=5;
    allreducelength: 2..=5;
    bcastlength: 2..=5;
    types: 2..=5;
    reductions: 2..=5;
    roots: 2..=5;
    operations: 2..=5;
    blocks: 2..=5;
    counts_between_two_ranks: 2..=5;
    types_between_two_ranks: 2..=5;
    communicators_to_be_made: 2..=4;
    two_odd_ranks: 5..=7;
    in_a_row_without_a_pause: 2..=4;
}

/// A collective on about `n` elements of each rank, other than that of most ranks where the flag is set.
type Call = fn(&Communicator, bool, usize) -> Result<()>;

const COUNTS: &[Call] = &[
    |comm, odd, n| comm.bcast(&mut vec![0f32; n + usize::from(odd)], 0),
    |comm, odd, n| {
        let n = n + usize::from(odd);
        comm.gather(&vec![0f32; n], &mut vec![0.0; (n + 1) * comm.size()], 0)
    },
    |comm, odd, n| {
        let n = n + usize::from(odd);
        let all = vec![0f32; if comm.rank() == 0 { n * comm.size() } else { 0 }];
        comm.scatter(&all, &mut vec![0.0; n], 0)
    },
    |comm, odd, n| {
        let n = n + usize::from(odd);
        comm.allgather(&vec![0f32; n], &mut vec![0.0; n * comm.size()])
    },
    |comm, odd, n| comm.allgather_in_place(&mut vec![0f32; (n + usize::from(odd)) * comm.size()]),
    |comm, odd, n| {
        let n = n + usize::from(odd);
        comm.reduce(&vec![0f32; n], &mut vec![0.0; n], Op::Sum, 0)
    },
    |comm, odd, n| comm.reduce_in_place(&mut vec![0f32; n - usize::from(odd)], Op::Sum, 0),
    |comm, odd, n| {
        let n = n - usize::from(odd);
        comm.allreduce(&vec![0f32; n], &mut vec![0.0; n], Op::Sum)
    },
    // MPI libraries return success and wrong data here.
    |comm, odd, n| {
        let n = if odd { 2 * n } else { n };
        comm.allreduce_in_place(&mut vec![0f32; n], Op::Sum)
    },
    |comm, odd, n| {
        let all = (n + usize::from(odd)) * comm.size();
        comm.alltoall(&vec![0f32; all], &mut vec![0.0; all])
    },
    |comm, odd, n| comm.alltoall_in_place(&mut vec![0f32; (n + usize::from(odd)) * comm.size()]),
    |comm, odd, n| {
        let n = n + usize::from(odd);
        comm.reduce_scatter_block(&vec![0f32; n * comm.size()], &mut vec![0.0; n], Op::Sum)
    },
    |comm, odd, n| {
        let n = n - usize::from(odd);
        comm.scan(&vec![0f32; n], &mut vec![0.0; n], Op::Sum)
    },
    |comm, odd, n| comm.exscan_in_place(&mut vec![0f32; n + usize::from(odd)], Op::Sum),
    // Nothing against something, and short against long.
    |comm, odd, n| comm.allreduce_in_place(&mut vec![0f32; if odd { 0 } else { n }], Op::Sum),
    |comm, odd, n| comm.bcast(&mut vec![0f32; if odd { 1000 * n } else { 0 }], 0),
];

fn typed<T: Value + Default>(comm: &Communicator, n: usize, call: usize) -> Result<()> {
    let mut own = vec![T::default(); n];
    let mut all = vec![T::default(); n * comm.size()];
    let blocks = Blocks::packed(vec![n; comm.size()]);
    match call {
        0 => comm.bcast(&mut own, 0),
        1 => comm.gather(&own, &mut all, 0),
        2 => comm.scatter(if comm.rank() == 0 { &all[..] } else { &[] }, &mut own, 0),
        3 => comm.allgather(&own, &mut all),
        4 => comm.reduce(&own, &mut all, Op::Sum, 0),
        5 => comm.allreduce(&own, &mut all, Op::Sum),
        6 => comm.gatherv(&own, &mut all, &blocks, 0),
        7 => comm.scatterv(&all, &blocks, &mut own, 0),
        8 => comm.alltoall(&all.clone(), &mut all),
        9 => comm.alltoallv(&all.clone(), &blocks, &mut all, &blocks),
        10 => comm.alltoallv_in_place(&mut all, &blocks),
        11 => comm.reduce_scatter_block(&all, &mut own, Op::Sum),
        12 => comm.reduce_scatter(&all, &blocks, &mut own, Op::Sum),
        13 => comm.scan(&own, &mut all, Op::Sum),
        14 => comm.exscan(&own, &mut all, Op::Sum),
        _ => comm.allgatherv(&own, &mut all, &blocks),
    }
}

macro_rules! typed_calls {
    ($($call:literal)*) => {
        &[$(|comm, odd, n| match odd {
            // Of the same size, so that nothing but the type tells.
            true => typed::<u32>(comm, n, $call),
            false => typed::<f32>(comm, n, $call),
        }),*]
    };
}

const TYPES: &[Call] = typed_calls!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

const REDUCTIONS: &[Call] = &[
    |comm, odd, n| comm.allreduce_in_place(&mut vec![0u8; n], if odd { Op::Max } else { Op::Sum }),
    |comm, odd, n| {
        let op = if odd { Op::Prod } else { Op::Min };
        comm.allreduce(&vec![0f64; n], &mut vec![0.0; n], op)
    },
    |comm, odd, n| comm.reduce_in_place(&mut vec![0i64; n], if odd { Op::BitAnd } else { Op::BitOr }, 0),
    |comm, odd, n| comm.scan_in_place(&mut vec![0i64; n], if odd { Op::BitAnd } else { Op::BitOr }),
    |comm, odd, n| comm.exscan_in_place(&mut vec![0i64; n], if odd { Op::Min } else { Op::Max }),
    |comm, odd, n| {
        let op = if odd { Op::Prod } else { Op::Min };
        comm.reduce_scatter_block_in_place(&mut vec![0f64; n * comm.size()], op)
    },
    |comm, odd, n| {
        let op = if odd { Op::Prod } else { Op::Min };
        let blocks = Blocks::even(n, comm.size());
        comm.reduce_scatter_in_place(&mut vec![0f64; n], &blocks, op)
    },
];

const ROOTS: &[Call] = &[
    |comm, odd, n| comm.bcast(&mut vec![0u16; n], usize::from(odd)),
    |comm, odd, n| comm.gather(&vec![0u16; n], &mut vec![0; n * comm.size()], usize::from(odd)),
    |comm, odd, n| {
        let root = usize::from(odd);
        let all = vec![0u16; if comm.rank() == root { n * comm.size() } else { 0 }];
        comm.scatter(&all, &mut vec![0; n], root)
    },
    |comm, odd, n| comm.reduce(&vec![0u16; n], &mut vec![0; n], Op::Sum, usize::from(odd)),
    |comm, odd, n| comm.reduce_in_place(&mut vec![0u16; n], Op::Max, usize::from(!odd)),
    |comm, odd, n| {
        let blocks = Blocks::packed(vec![n; comm.size()]);
        comm.gatherv(
            &vec![0u16; n],
            &mut vec![0; n * comm.size()],
            &blocks,
            usize::from(odd),
        )
    },
    |comm, odd, n| {
        let blocks = Blocks::packed(vec![n; comm.size()]);
        comm.scatterv(
            &vec![0u16; n * comm.size()],
            &blocks,
            &mut vec![0; n],
            usize::from(odd),
        )
    },
];

const OPERATIONS: &[Call] = &[
    |comm, odd, n| match odd {
        true => comm.barrier(),
        false => comm.bcast(&mut vec![0u8; n], 0),
    },
    |comm, odd, n| match odd {
        true => comm.allgather_in_place(&mut vec![0f32; n * comm.size()]),
        false => comm.allreduce_in_place(&mut vec![0f32; n], Op::Sum),
    },
    |comm, odd, n| match odd {
        true => comm.gather(&vec![0f32; n], &mut vec![0f32; n * comm.size()], 0),
        false => comm.reduce(&vec![0f32; n], &mut vec![0f32; n], Op::Sum, 0),
    },
    |comm, odd, n| match odd {
        true => comm.reduce_in_place(&mut vec![0f32; n], Op::Sum, 0),
        false => comm.allreduce_in_place(&mut vec![0f32; n], Op::Sum),
    },
    |comm, odd, n| match odd {
        true => comm.duplicate().map(drop),
        false => plain(comm).allreduce_in_place(&mut vec![0f32; n], Op::Sum),
    },
    |comm, odd, n| match odd {
        true => plain(comm).bcast(&mut vec![0f32; n], 0),
        false => comm.split(Some(0), 0).map(drop),
    },
    |comm, odd, n| match odd {
        true => comm.allgatherv_in_place(
            &mut vec![0f32; n * comm.size()],
            &Blocks::packed(vec![n; comm.size()]),
        ),
        false => comm.barrier(),
    },
    |comm, odd, n| match odd {
        true => comm.scan_in_place(&mut vec![0f32; n], Op::Sum),
        false => comm.exscan_in_place(&mut vec![0f32; n], Op::Sum),
    },
    |comm, odd, n| {
        let blocks = Blocks::packed(vec![n; comm.size()]);
        let mut all = vec![0f32; n * comm.size()];
        match odd {
            true => comm.alltoallv_in_place(&mut all, &blocks),
            false => comm.reduce_scatter_in_place(&mut all, &blocks, Op::Sum),
        }
    },
    |comm, odd, n| {
        let mut all = vec![0f32; n * comm.size()];
        match odd {
            true => comm.alltoall_in_place(&mut all),
            false => comm.reduce_scatter_block_in_place(&mut all, Op::Sum),
        }
    },
];

/// For collectives that are compared with what has no persistent form.
fn plain(comm: &impl Borrow<warpcomm::Communicator>) -> &warpcomm::Communicator {
    comm.borrow()
}

fn disagree(comm: &Communicator, calls: &[Call]) -> Outcome {
    for length in [2, 1500, 9000] {
        for odd in [0, comm.size() - 1] {
            for (position, call) in calls.iter().enumerate() {
                println!("call {position}, rank {odd} is odd, {length} elements");
                let error = expect_error(call(comm, comm.rank() == odd, length), ErrorKind::Mismatch);
                // Of two ranks each is as odd as the other.
                if comm.size() > 2 {
                    expect_text(&error, &[&format!("rank {odd} ")]);
                }
            }
            still_works(comm)?;
        }
    }
    Ok(())
}

fn counts(comm: &Communicator) -> Outcome {
    disagree(comm, COUNTS)
}

/// What the test `errors/coll/allreducelength` of MPICH is about: the last rank has another number of elements, by far.
fn allreducelength(comm: &Communicator) -> Outcome {
    for (most, last) in [(10, 1000), (1000, 10), (20_000, 30_000), (10, 0)] {
        let length = if comm.rank() + 1 == comm.size() {
            last
        } else {
            most
        };
        let mut sum = vec![-1i32; length];
        let error = expect_error(
            comm.allreduce(&vec![1; length], &mut sum, Op::Sum),
            ErrorKind::Mismatch,
        );
        lengths_are_named(comm, &error, "allreduce", most, last);
        assert_eq!(sum, vec![-1; length]);
    }
    still_works(comm)
}

/// What the test `errors/coll/bcastlength` of MPICH is about: the root, the first rank and the last, has more elements
/// than the others have room for, or fewer.
fn bcastlength(comm: &Communicator) -> Outcome {
    for (most, odd) in [(10, 11), (2, 5000), (9000, 2)] {
        let last = comm.size() - 1;
        for root in [0, last] {
            let length = if comm.rank() == last { odd } else { most };
            let mut buffer = vec![comm.rank() as i32; length];
            let error = expect_error(comm.bcast(&mut buffer, root), ErrorKind::Mismatch);
            lengths_are_named(comm, &error, "bcast", most, odd);
            assert_eq!(buffer, vec![comm.rank() as i32; length]);
        }
    }
    still_works(comm)
}

/// Checks that an error names the operation, the last rank and both numbers of elements.
fn lengths_are_named(
    comm: &Communicator,
    error: &warpcomm::Error,
    operation: &str,
    most: usize,
    last: usize,
) {
    let odd = format!("rank {}", comm.size() - 1);
    expect_text(error, &[operation, &odd, &most.to_string(), &last.to_string()]);
}

fn types(comm: &Communicator) -> Outcome {
    disagree(comm, TYPES)
}

fn reductions(comm: &Communicator) -> Outcome {
    disagree(comm, REDUCTIONS)
}

fn roots(comm: &Communicator) -> Outcome {
    disagree(comm, ROOTS)
}

fn operations(comm: &Communicator) -> Outcome {
    disagree(comm, OPERATIONS)
}

fn blocks(comm: &Communicator) -> Outcome {
    // The odd rank expects of rank 0 one element more or less than rank 0 sends.
    for length in [2, 1500, 9000] {
        for odd in [1, comm.size() - 1] {
            for more in [true, false] {
                let mut counts = vec![length; comm.size()];
                if comm.rank() == odd {
                    counts[0] = if more { length + 1 } else { length - 1 };
                }
                let blocks = Blocks::packed(counts);
                let mut all = vec![5u32; length * comm.size() + 1];
                let outcome = comm.allgatherv(&vec![1u32; length], &mut all, &blocks);
                let error = expect_error(outcome, ErrorKind::Mismatch);
                expect_text(&error, &["allgatherv", "rank"]);
            }
        }
        // The last rank sends another number of elements than its own block has.
        let more = usize::from(comm.rank() == comm.size() - 1);
        let mut all = vec![5u32; length * comm.size()];
        let blocks = Blocks::packed(vec![length; comm.size()]);
        expect_error(
            comm.allgatherv(&vec![1u32; length + more], &mut all, &blocks),
            ErrorKind::Mismatch,
        );
    }
    still_works(comm)
}

/// A call with such blocks and about so many elements of each rank.
type Uneven = fn(&Communicator, Blocks, usize) -> Result<()>;

/// Calls in which one rank sends another more or less than that one expects, and all others are as they should be.
const PAIRS: &[Uneven] = &[
    // What a root expects.
    |comm, blocks, n| {
        let mut all = vec![5u32; (n + 1) * comm.size()];
        comm.gatherv(&vec![1u32; n], &mut all, &blocks, 1)
    },
    // What a root sends.
    |comm, blocks, n| {
        let all = vec![1u32; (n + 1) * comm.size()];
        comm.scatterv(&all, &blocks, &mut vec![5; n], 1)
    },
    // What one expects, and what one sends.
    |comm, blocks, n| {
        let (own, mut all) = (vec![1u32; n * comm.size()], vec![5; (n + 1) * comm.size()]);
        let usual = Blocks::packed(vec![n; comm.size()]);
        comm.alltoallv(&own, &usual, &mut all, &blocks)
    },
    |comm, blocks, n| {
        let (own, mut all) = (vec![1u32; (n + 1) * comm.size()], vec![5; n * comm.size()]);
        let usual = Blocks::packed(vec![n; comm.size()]);
        comm.alltoallv(&own, &blocks, &mut all, &usual)
    },
    |comm, blocks, n| comm.alltoallv_in_place(&mut vec![5u32; (n + 1) * comm.size()], &blocks),
    |comm, blocks, n| {
        let own = vec![1u32; (n + 1) * comm.size()];
        comm.reduce_scatter(&own, &blocks, &mut vec![5; n + 1], Op::Sum)
    },
    |comm, blocks, n| {
        let mut all = vec![1u32; (n + 1) * comm.size()];
        comm.reduce_scatter_in_place(&mut all, &blocks, Op::Sum)
    },
];

fn counts_between_two_ranks(comm: &Communicator) -> Outcome {
    // Rank 1 has another count than the rest for rank 0, or the last for its own.
    for length in [2, 50, 9000] {
        for (position, call) in PAIRS.iter().enumerate() {
            for more in [true, false] {
                println!("call {position}, {length} elements, {more}");
                let mut counts = vec![length; comm.size()];
                if comm.rank() == 1 {
                    counts[0] = if more { length + 1 } else { length - 1 };
                }
                let error = expect_error(call(comm, Blocks::packed(counts), length), ErrorKind::Mismatch);
                expect_text(&error, &["rank 0", "rank 1", &format!(" {length} ")]);
            }
        }
        still_works(comm)?;
    }
    Ok(())
}

fn types_between_two_ranks(comm: &Communicator) -> Outcome {
    for length in [1, 2000] {
        let plan = |from: usize, to: usize, dtype: Dtype| match (from, to) {
            (0, 1) => dtype,
            _ => Dtype::F64,
        };
        let parts = |dtypes: Vec<Dtype>, length: usize| -> Vec<Box<dyn Part>> {
            dtypes.into_iter().map(|dtype| blank(dtype, length)).collect()
        };
        let send = |dtype| (0..comm.size()).map(|to| plan(comm.rank(), to, dtype)).collect();
        let receive = |dtype| {
            (0..comm.size())
                .map(|from| plan(from, comm.rank(), dtype))
                .collect()
        };
        let (sent, mut received) = (
            parts(send(Dtype::U32), length),
            parts(receive(Dtype::F32), length),
        );
        let error = expect_error(alltoallw(comm, &sent, &mut received), ErrorKind::Mismatch);
        expect_text(&error, &["rank 0 sends", "u32", "rank 1 expects", "f32"]);
        let more = length + usize::from(comm.rank() == 1);
        let (sent, mut received) = (parts(send(Dtype::U32), length), parts(receive(Dtype::U32), more));
        let error = expect_error(alltoallw(comm, &sent, &mut received), ErrorKind::Mismatch);
        expect_text(&error, &["rank 1 expects"]);
        let dtype = if comm.rank() == 1 { Dtype::I16 } else { Dtype::U16 };
        let error = expect_error(
            alltoallw_in_place(comm, &mut parts(vec![dtype; comm.size()], length)),
            ErrorKind::Mismatch,
        );
        expect_text(&error, &["i16", "u16"]);
    }
    still_works(comm)
}

fn communicators_to_be_made(comm: &Communicator) -> Outcome {
    for odd in [0, comm.size() - 1] {
        let outcome = match comm.rank() == odd {
            true => comm.duplicate().map(drop),
            false => comm.split(Some(0), 0).map(drop),
        };
        expect_error(outcome, ErrorKind::Mismatch);
        still_works(&comm.duplicate()?)?;
        still_works(comm)?;
    }
    Ok(())
}

fn two_odd_ranks(comm: &Communicator) -> Outcome {
    let length = match comm.rank() {
        1 => 4,
        3 => 5,
        _ => 8,
    };
    let error = expect_error(
        comm.allreduce_in_place(&mut vec![1i8; length], Op::Sum),
        ErrorKind::Mismatch,
    );
    expect_text(&error, &["rank 1 ", "rank 3 ", "4 i8", "5 i8", "8 i8"]);
    still_works(comm)
}

fn in_a_row_without_a_pause(comm: &Communicator) -> Outcome {
    for round in 0..200 {
        let odd = round % (comm.size() + 1);
        let mut buffer = vec![1u64; 3 + usize::from(odd == comm.rank())];
        let outcome = comm.allreduce_in_place(&mut buffer, Op::Sum);
        match odd == comm.size() {
            true => outcome?,
            false => drop(expect_error(outcome, ErrorKind::Mismatch)),
        }
    }
    still_works(comm)
}
