//! What the cases of several modules share.

use std::borrow::Borrow;

use warpcomm::{Blocks, Communicator, Dtype};

use crate::harness::{Place, is_plain, place};
use crate::oracle::{Value, mixed};

/// The most bytes that ride in the frame of a collective.
pub const FRAME_BYTES: usize = 256;

/// The most bytes that travel in an envelope, unless a job sets another limit.
pub const EAGER_BYTES: usize = 4000;

/// More bytes than any message that is treated as small: rendezvous, and reductions in blocks.
pub const LARGE_BYTES: usize = 20_000;

/// More bytes of elements on GPUs than the host folds.
pub const KERNEL_BYTES: usize = 66_000;

/// Numbers of elements around which something changes, for `ranks` ranks.
pub fn lengths(ranks: usize, element_bytes: usize) -> Vec<usize> {
    let mut lengths = vec![
        0,
        1,
        ranks - 1,
        ranks,
        ranks + 1,
        37,
        1000,
        FRAME_BYTES / element_bytes,
        FRAME_BYTES / element_bytes + 1,
        EAGER_BYTES / element_bytes,
        EAGER_BYTES / element_bytes + 1,
    ];
    lengths.sort_unstable();
    lengths.dedup();
    thinned(lengths, ranks, element_bytes)
}

/// Copies to and from GPUs take time, and simulated GPUs much of it: with buffers elsewhere than in the cases' own
/// memory and more than one rank, two of three lengths are left out, others for each size of elements and number of
/// ranks. All are taken by jobs with the cases' own buffers.
pub fn thinned(lengths: Vec<usize>, ranks: usize, element_bytes: usize) -> Vec<usize> {
    let is_thin = place() != Place::Host && ranks > 1;
    let phase = element_bytes.trailing_zeros() as usize + ranks;
    let keeps = |index: usize| !is_thin || (index + phase).is_multiple_of(3);
    let kept = lengths.into_iter().enumerate().filter(|(index, _)| keeps(*index));
    kept.map(|(_, length)| length).collect()
}

/// The same, without what differs little, for operations with many variants.
pub fn few_lengths(ranks: usize, element_bytes: usize) -> Vec<usize> {
    vec![
        0,
        1,
        ranks + 1,
        FRAME_BYTES / element_bytes + 1,
        EAGER_BYTES / element_bytes + 1,
    ]
}

/// Layouts of blocks of about `length` elements for `ranks` ranks.
pub fn layouts(ranks: usize, length: usize) -> Vec<Blocks> {
    let uneven: Vec<usize> = (0..ranks)
        .map(|rank| mixed(rank as u64) as usize % (2 * length + 1))
        .collect();
    let one_has_all: Vec<usize> = (0..ranks)
        .map(|rank| if rank == ranks / 2 { length } else { 0 })
        .collect();
    // From the last rank to the first, with a gap behind each block.
    let mut displacements = vec![0; ranks];
    let mut end = 1;
    for rank in (0..ranks).rev() {
        displacements[rank] = end;
        end += uneven[rank] + rank % 3;
    }
    vec![
        Blocks::even(length, ranks),
        Blocks::packed(uneven.clone()),
        Blocks::packed(one_has_all),
        Blocks::new(uneven, displacements),
    ]
}

/// One element more than the blocks need.
pub fn needed(blocks: &Blocks) -> usize {
    (0..blocks.len())
        .map(|rank| blocks.range(rank).end)
        .max()
        .unwrap_or(0)
        + 1
}

/// What a probe tells of a message of so many elements: on plain communicators the bytes, since nobody says of what.
pub fn told<T: Value>(length: usize) -> (u64, Dtype) {
    match is_plain() {
        true => ((length * size_of::<T>()) as u64, Dtype::U8),
        false => (length as u64, T::DTYPE),
    }
}

/// The rank behind this one, in a ring.
pub fn next(comm: &Communicator) -> usize {
    (comm.rank() + 1) % comm.size()
}

/// The rank before this one, in a ring.
pub fn previous(comm: &Communicator) -> usize {
    (comm.rank() + comm.size() - 1) % comm.size()
}

/// All ranks but this one.
pub fn others(comm: &Communicator) -> impl DoubleEndedIterator<Item = usize> + use<> {
    let rank = comm.rank();
    (0..comm.size()).filter(move |other| *other != rank)
}

/// Checks that collectives and messages still work.
pub fn still_works(comm: &impl Borrow<Communicator>) -> crate::harness::Outcome {
    use warpcomm::{Op, Tag};

    let comm: &Communicator = comm.borrow();

    let mut sum = [0u64; 2];
    comm.allreduce(&[comm.rank() as u64, 1], &mut sum, Op::Sum)?;
    let ranks = comm.size() as u64;
    assert_eq!(sum, [ranks * (ranks - 1) / 2, ranks], "allreduce after an error");
    for length in [1, 2000] {
        let mut received = vec![0; length];
        let sent = vec![comm.rank() as u32; length];
        comm.sendrecv(&sent, next(comm), Tag(77), &mut received, previous(comm), Tag(77))?;
        assert_eq!(
            received,
            vec![previous(comm) as u32; length],
            "sendrecv after an error"
        );
    }
    Ok(())
}
