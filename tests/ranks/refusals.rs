//! Collectives in which one rank's own arguments are bad: it gets `InvalidArgument`, all others `PeerFailed`,
//! and the communicator stays usable.

use warpcomm::{Blocks, ErrorKind, Op, Result};

use super::common::still_works;
use crate::harness::{Outcome, expect_error, expect_text};
use crate::placed::Communicator;

cases! {
    bad_arguments_on_one_rank: 1..=5;
    bad_arguments_of_long_buffers_on_one_rank: 2..=4;
    an_unsupported_reduction_on_one_rank: 2..=3;
    in_a_row_without_a_pause: 2..=4;
}

/// A collective on `n` elements of each rank, whose arguments are bad where the flag is set.
type Call = fn(&Communicator, bool, usize) -> Result<()>;

/// Calls that any rank can get wrong.
const ANYWHERE: &[(&str, Call)] = &[
    ("bcast", |comm, bad, n| {
        comm.bcast(&mut vec![0i32; n], if bad { comm.size() } else { 0 })
    }),
    ("gather", |comm, bad, n| {
        let root = if bad { usize::MAX } else { 0 };
        comm.gather(&vec![0i32; n], &mut vec![0; n * comm.size()], root)
    }),
    ("scatter", |comm, bad, n| {
        let all = vec![0i32; if comm.rank() == 0 { n * comm.size() } else { 0 }];
        comm.scatter(&all, &mut vec![0; n], if bad { comm.size() } else { 0 })
    }),
    ("allgather", |comm, bad, n| {
        comm.allgather(&vec![0i32; n], &mut vec![0; n * comm.size() - usize::from(bad)])
    }),
    ("allgather", |comm, bad, n| match bad {
        true => comm.allgather(&vec![0i32; n], &mut []),
        false => comm.allgather(&vec![0i32; n], &mut vec![0; n * comm.size()]),
    }),
    ("allgatherv", |comm, bad, n| {
        // One block too many.
        let blocks = Blocks::packed(vec![n; comm.size() + usize::from(bad)]);
        comm.allgatherv(&vec![0i32; n], &mut vec![0; n * (comm.size() + 1)], &blocks)
    }),
    ("allgatherv", |comm, bad, n| {
        // A block that ends behind the buffer.
        let blocks = Blocks::packed(vec![n; comm.size()]);
        comm.allgatherv(
            &vec![0i32; n],
            &mut vec![0; n * comm.size() - usize::from(bad)],
            &blocks,
        )
    }),
    ("allgatherv_in_place", |comm, bad, n| {
        let blocks = Blocks::packed(vec![n; comm.size()]);
        comm.allgatherv_in_place(&mut vec![0i32; n * comm.size() - usize::from(bad)], &blocks)
    }),
    ("reduce", |comm, bad, n| {
        let root = comm.size() * usize::from(bad);
        comm.reduce(&vec![0i32; n], &mut vec![0; n], Op::Sum, root)
    }),
    ("reduce_in_place", |comm, bad, n| {
        comm.reduce_in_place(&mut vec![0i32; n], Op::Sum, comm.size() * usize::from(bad))
    }),
    ("allreduce", |comm, bad, n| {
        comm.allreduce(&vec![0i32; n], &mut vec![0; n - usize::from(bad)], Op::Sum)
    }),
    ("allreduce", |comm, bad, n| match bad {
        true => comm.allreduce(&vec![0i32; n], &mut [], Op::Max),
        false => comm.allreduce(&vec![0i32; n], &mut vec![0; n], Op::Max),
    }),
];

/// Calls that need two ranks to get wrong.
const WITH_TWO_RANKS: &[(&str, Call)] = &[
    ("allgather_in_place", |comm, bad, n| {
        // No multiple of the number of ranks.
        comm.allgather_in_place(&mut vec![0i32; n * comm.size() + usize::from(bad)])
    }),
    ("allgatherv", |comm, bad, n| {
        let mut displacements: Vec<usize> = (0..comm.size()).map(|rank| rank * n).collect();
        if bad {
            // The second block starts in the first.
            displacements[1] -= 1;
        }
        let blocks = Blocks::new(vec![n; comm.size()], displacements);
        comm.allgatherv(&vec![0i32; n], &mut vec![0; n * comm.size()], &blocks)
    }),
    ("allgatherv_in_place", |comm, bad, n| {
        let displacements = (0..comm.size())
            .map(|rank| if bad { 0 } else { rank * n })
            .collect::<Vec<_>>();
        let blocks = Blocks::new(vec![n; comm.size()], displacements);
        comm.allgatherv_in_place(&mut vec![0i32; n * comm.size()], &blocks)
    }),
];

/// Calls that only the root, rank 0, can get wrong.
const AT_THE_ROOT: &[(&str, Call)] = &[
    ("gather", |comm, bad, n| {
        comm.gather(
            &vec![0i32; n],
            &mut vec![0; n * comm.size() - usize::from(bad)],
            0,
        )
    }),
    ("scatter", |comm, bad, n| {
        comm.scatter(
            &vec![0i32; n * comm.size() - usize::from(bad)],
            &mut vec![0; n],
            0,
        )
    }),
    ("scatter", |comm, bad, n| {
        comm.scatter(
            &vec![0i32; n * comm.size() + usize::from(bad)],
            &mut vec![0; n],
            0,
        )
    }),
    ("reduce", |comm, bad, n| {
        let room = if comm.rank() == 0 { n - usize::from(bad) } else { 0 };
        comm.reduce(&vec![0i32; n], &mut vec![0; room], Op::Sum, 0)
    }),
];

/// Calls that only the root, rank 0, can get wrong, and only if there are other ranks.
const AT_THE_ROOT_OF_TWO: &[(&str, Call)] = &[
    ("gather_in_place", |comm, bad, n| {
        let blocks = if comm.rank() == 0 { comm.size() } else { 1 };
        comm.gather_in_place(&mut vec![0i32; n * blocks + usize::from(bad)], 0)
    }),
    ("scatter_in_place", |comm, bad, n| {
        let blocks = if comm.rank() == 0 { comm.size() } else { 1 };
        comm.scatter_in_place(&mut vec![0i32; n * blocks + usize::from(bad)], 0)
    }),
];

fn refused(comm: &Communicator, calls: &[(&str, Call)], bad: usize, length: usize) -> Outcome {
    for (position, (operation, call)) in calls.iter().enumerate() {
        println!("{operation}, call {position}, rank {bad} is bad, {length} elements");
        let outcome = call(comm, comm.rank() == bad, length);
        if comm.rank() == bad {
            let name = operation.trim_end_matches("_in_place");
            expect_text(
                &expect_error(outcome, ErrorKind::InvalidArgument),
                &[name, &format!("on rank {bad}")],
            );
        } else {
            let error = expect_error(outcome, ErrorKind::PeerFailed);
            expect_text(&error, &[&format!("rank {bad} failed")]);
        }
        // The same call with good arguments.
        call(comm, false, length)?;
    }
    Ok(())
}

fn with_length(comm: &Communicator, length: usize) -> Outcome {
    for bad in [0, comm.size() - 1] {
        refused(comm, ANYWHERE, bad, length)?;
        if comm.size() > 1 {
            refused(comm, WITH_TWO_RANKS, bad, length)?;
        }
    }
    refused(comm, AT_THE_ROOT, 0, length)?;
    if comm.size() > 1 {
        refused(comm, AT_THE_ROOT_OF_TWO, 0, length)?;
    }
    still_works(comm)
}

fn bad_arguments_on_one_rank(comm: &Communicator) -> Outcome {
    with_length(comm, 2)
}

fn bad_arguments_of_long_buffers_on_one_rank(comm: &Communicator) -> Outcome {
    with_length(comm, 1500)?;
    with_length(comm, 9000)
}

fn an_unsupported_reduction_on_one_rank(comm: &Communicator) -> Outcome {
    for length in [1, 5000] {
        let op = if comm.rank() == 1 { Op::Avg } else { Op::Sum };
        let outcome = comm.allreduce(&vec![1u32; length], &mut vec![0; length], op);
        match comm.rank() {
            1 => expect_error(outcome, ErrorKind::Unsupported),
            _ => expect_error(outcome, ErrorKind::PeerFailed),
        };
        let outcome = comm.reduce_in_place(&mut vec![1u32; length], op, 0);
        match comm.rank() {
            1 => expect_error(outcome, ErrorKind::Unsupported),
            _ => expect_error(outcome, ErrorKind::PeerFailed),
        };
    }
    still_works(comm)
}

fn in_a_row_without_a_pause(comm: &Communicator) -> Outcome {
    // Errors must not put the ranks out of step, whoever is early.
    for round in 0..200 {
        let bad = round % (comm.size() + 1);
        let outcome = comm.allreduce(
            &[1u64; 3],
            &mut [0; 3][usize::from(bad == comm.rank())..],
            Op::Sum,
        );
        match (bad == comm.size(), bad == comm.rank()) {
            (true, _) => outcome?,
            (false, true) => drop(expect_error(outcome, ErrorKind::InvalidArgument)),
            (false, false) => drop(expect_error(outcome, ErrorKind::PeerFailed)),
        }
    }
    still_works(comm)
}
