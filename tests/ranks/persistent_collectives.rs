//! Persistent collectives: made once, and started again and again.

use std::thread;
use std::time::Duration;

use warpcomm::{
    AnyOwnedBuffer, AnyOwnedBufferMut, AnyPersistent, Blocks, Communicator, ErrorKind, Op, Persistent, Tag,
    start_all, wait_all,
};

use super::common::{LARGE_BYTES, still_works};
use super::nonblocking_collectives::{LENGTHS, TAGS, odd_one, own, sum};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::{assert_same, folded, vector, vectors};

cases! {
    mpich_p_allred: 1..=5;
    mpich_p_bcast: 1..=5;
    mpich_p_barrier: 1..=4;
    mpich_p_alltoallw: 1..=4;
    mpich_p_allgather: 1..=5;
    mpich_p_allgatherv: 1..=5;
    mpich_p_gather: 1..=5;
    mpich_p_gatherv: 1..=5;
    mpich_p_scatter: 1..=5;
    mpich_p_scatterv: 1..=5;
    mpich_p_alltoall: 1..=5;
    mpich_p_alltoallv: 1..=5;
    mpich_p_red: 1..=5;
    mpich_p_redscat: 1..=5;
    mpich_p_redscat_block: 1..=5;
    mpich_p_scan: 1..=5;
    mpich_p_exscan: 1..=5;
    mpich_p_order: 2..=4;
    of_every_kind_at_once: 1..=4;
    more_than_there_are_tags: 2..=2, threads;
    misuse: 1..=2;
    a_failed_one_can_be_started_again: 2..=3;
    a_dropped_one_goes_on: 2..=3;
    made_in_another_order: 2..=3;
}

/// Waits until a persistent request is over, without a call that could drive it.
pub fn over_by_itself<B: Send + 'static>(request: &Persistent<B>) {
    while request.buffer().is_err() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// What the test `coll/p_allred` of MPICH is about: a persistent allreduce is started again and again, with other
/// values each time.
fn mpich_p_allred(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mut apart = comm.allreduce_init(vec![0u32; length], vec![0u32; length], Op::Sum);
        let mut in_place = comm.allreduce_in_place_init(vec![0u32; length], Op::Sum);
        for salt in 0..10 {
            apart.buffer_mut()?.0 = own(comm, salt, length);
            *in_place.buffer_mut()? = own(comm, salt, length);
            apart.start()?;
            in_place.start()?;
            in_place.wait()?;
            apart.wait()?;
            assert_eq!(apart.buffer()?.1, sum(comm, salt, length));
            assert_eq!(*in_place.buffer()?, sum(comm, salt, length));
        }
        assert_eq!(apart.into_buffer()?, (own(comm, 9, length), sum(comm, 9, length)));
    }
    Ok(())
}

/// What the test `coll/p_bcast` of MPICH is about: a persistent bcast from each root, and blocking ones between.
fn mpich_p_bcast(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mut requests: Vec<_> = (0..comm.size())
            .map(|root| comm.bcast_init(vec![0u32; length], root))
            .collect();
        for salt in 0..5 {
            for request in &mut requests {
                *request.buffer_mut()? = own(comm, salt, length);
            }
            start_all(&mut requests)?;
            let mut other = own(comm, 99, 5);
            comm.bcast(&mut other, 0)?;
            assert_eq!(other, vector::<u32>(99, 0, 5));
            wait_all(&requests)?;
            for (root, request) in requests.iter_mut().enumerate() {
                request.wait()?;
                assert_eq!(*request.buffer()?, vector::<u32>(salt, root, length));
            }
        }
    }
    Ok(())
}

/// What the test `coll/p_barrier` of MPICH is about.
fn mpich_p_barrier(comm: &Communicator) -> Outcome {
    let mut barrier = comm.barrier_init();
    for round in 0..100u32 {
        // The last rank has not started it: nobody's is over.
        if comm.rank() == comm.size() - 1 {
            for other in 0..comm.size() - 1 {
                comm.recv(&mut [0u32], other, Tag(0))?;
            }
            barrier.start()?;
        } else {
            barrier.start()?;
            assert!(barrier.test()?.is_none());
            comm.send(&[round], comm.size() - 1, Tag(0))?;
        }
        barrier.wait()?;
    }
    Ok(())
}

/// What the test `coll/p_alltoallw` of MPICH is about; other buffers are taken for each start.
fn mpich_p_alltoallw(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for length in [1, 2000] {
        let empty = (0..size).map(|_| AnyOwnedBuffer::new(Vec::<u8>::new()));
        let mut request = comm.alltoallw_init(empty.collect(), Vec::new());
        for salt in 0..5 {
            let send = (0..size).map(|_| AnyOwnedBuffer::new(own(comm, salt, length)));
            let recv = (0..size).map(|_| AnyOwnedBufferMut::new(vec![0u32; length]));
            *request.buffer_mut()? = (send.collect(), recv.collect());
            request.start()?;
            request.wait()?;
            for (rank, received) in std::mem::take(&mut request.buffer_mut()?.1)
                .into_iter()
                .enumerate()
            {
                let received = received.into_inner::<Vec<u32>>().expect("what was given");
                assert_eq!(received, vector::<u32>(salt, rank, length));
            }
        }
    }
    Ok(())
}

/// Starts a collective three times with other elements, and compares what it receives with what is expected then.
fn three_times(
    mut request: Persistent<(Vec<u32>, Vec<u32>)>,
    sent: impl Fn(u64) -> Vec<u32>,
    expected: impl Fn(u64) -> Vec<u32>,
) -> Outcome {
    for salt in 1..4 {
        let (send, recv) = request.buffer_mut()?;
        *send = sent(salt);
        recv.fill(0);
        request.start()?;
        request.wait()?;
        assert_same(&request.buffer()?.1, &expected(salt), || format!("start {salt}"));
    }
    Ok(())
}

/// In frames, and in messages of their own.
const SHORT_AND_LONG: [usize; 2] = [3, 5001];

/// Zeros on ranks that receive nothing.
fn on(is_receiver: bool, expected: Vec<u32>) -> Vec<u32> {
    match is_receiver {
        true => expected,
        false => vec![0; expected.len()],
    }
}

/// A block for each rank, each a little longer than the one before.
fn growing(comm: &Communicator, length: usize) -> Blocks {
    Blocks::packed((0..comm.size()).map(|rank| length + rank).collect::<Vec<_>>())
}

/// The blocks of all ranks, one behind the other.
fn gathered(salt: u64, blocks: &Blocks) -> Vec<u32> {
    (0..blocks.len())
        .flat_map(|rank| vector(salt, rank, blocks.count(rank)))
        .collect()
}

/// The sum over the first ranks.
fn sum_of(ranks: usize, salt: u64, length: usize) -> Vec<u32> {
    let of_ranks: Vec<Vec<u32>> = (0..ranks).map(|rank| vector(salt, rank, length)).collect();
    folded(Op::Sum, &of_ranks).unwrap_or_default()
}

/// What the test `coll/p_allgather` of MPICH is about.
fn mpich_p_allgather(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for length in SHORT_AND_LONG {
        let request = comm.allgather_init(vec![0; length], vec![0; size * length]);
        three_times(
            request,
            |salt| own(comm, salt, length),
            |salt| vectors(salt, size, length),
        )?;
    }
    Ok(())
}

/// What the test `coll/p_allgatherv` of MPICH is about.
fn mpich_p_allgatherv(comm: &Communicator) -> Outcome {
    for length in SHORT_AND_LONG {
        let blocks = growing(comm, length);
        let count = blocks.count(comm.rank());
        let request = comm.allgatherv_init(vec![0; count], vec![0; blocks.total()], &blocks);
        three_times(
            request,
            |salt| own(comm, salt, count),
            |salt| gathered(salt, &blocks),
        )?;
    }
    Ok(())
}

/// What the test `coll/p_gather` of MPICH is about.
fn mpich_p_gather(comm: &Communicator) -> Outcome {
    let (size, root) = (comm.size(), comm.size() - 1);
    for length in SHORT_AND_LONG {
        let request = comm.gather_init(vec![0; length], vec![0; size * length], root);
        let expected = |salt| on(comm.rank() == root, vectors(salt, size, length));
        three_times(request, |salt| own(comm, salt, length), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_gatherv` of MPICH is about.
fn mpich_p_gatherv(comm: &Communicator) -> Outcome {
    let root = comm.size() - 1;
    for length in SHORT_AND_LONG {
        let blocks = growing(comm, length);
        let count = blocks.count(comm.rank());
        let request = comm.gatherv_init(vec![0; count], vec![0; blocks.total()], &blocks, root);
        let expected = |salt| on(comm.rank() == root, gathered(salt, &blocks));
        three_times(request, |salt| own(comm, salt, count), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_scatter` of MPICH is about.
fn mpich_p_scatter(comm: &Communicator) -> Outcome {
    let (size, root) = (comm.size(), comm.size() - 1);
    for length in SHORT_AND_LONG {
        let request = comm.scatter_init(vec![0; size * length], vec![0; length], root);
        // Only what the root gives is sent.
        let sent = |salt| match comm.rank() == root {
            true => vectors(salt, size, length),
            false => vec![9; size * length],
        };
        three_times(request, sent, |salt| own(comm, salt, length))?;
    }
    Ok(())
}

/// What the test `coll/p_scatterv` of MPICH is about.
fn mpich_p_scatterv(comm: &Communicator) -> Outcome {
    let root = comm.size() - 1;
    for length in SHORT_AND_LONG {
        let blocks = growing(comm, length);
        let count = blocks.count(comm.rank());
        let request = comm.scatterv_init(vec![0; blocks.total()], &blocks, vec![0; count], root);
        let sent = |salt| match comm.rank() == root {
            true => gathered(salt, &blocks),
            false => vec![9; blocks.total()],
        };
        three_times(request, sent, |salt| own(comm, salt, count))?;
    }
    Ok(())
}

/// What the test `coll/p_alltoall` of MPICH is about.
fn mpich_p_alltoall(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for length in SHORT_AND_LONG {
        let request = comm.alltoall_init(vec![0; size * length], vec![0; size * length]);
        let block = |salt, from: usize, to: usize| vector::<u32>(salt, from * size + to, length);
        let sent = |salt| (0..size).flat_map(|other| block(salt, rank, other)).collect();
        let expected = |salt| (0..size).flat_map(|other| block(salt, other, rank)).collect();
        three_times(request, sent, expected)?;
    }
    Ok(())
}

/// What the test `coll/p_alltoallv` of MPICH is about.
fn mpich_p_alltoallv(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for length in SHORT_AND_LONG {
        let count = |from: usize, to: usize| length + 2 * from + to;
        let send = Blocks::packed((0..size).map(|other| count(rank, other)).collect::<Vec<_>>());
        let recv = Blocks::packed((0..size).map(|other| count(other, rank)).collect::<Vec<_>>());
        let request = comm.alltoallv_init(vec![0; send.total()], &send, vec![0; recv.total()], &recv);
        let block = |salt, from: usize, to: usize| vector::<u32>(salt, from * size + to, count(from, to));
        let sent = |salt| (0..size).flat_map(|other| block(salt, rank, other)).collect();
        let expected = |salt| (0..size).flat_map(|other| block(salt, other, rank)).collect();
        three_times(request, sent, expected)?;
    }
    Ok(())
}

/// What the test `coll/p_red` of MPICH is about.
fn mpich_p_red(comm: &Communicator) -> Outcome {
    let root = comm.size() - 1;
    for length in SHORT_AND_LONG {
        let request = comm.reduce_init(vec![0; length], vec![0; length], Op::Sum, root);
        let expected = |salt| on(comm.rank() == root, sum(comm, salt, length));
        three_times(request, |salt| own(comm, salt, length), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_redscat` of MPICH is about.
fn mpich_p_redscat(comm: &Communicator) -> Outcome {
    for length in SHORT_AND_LONG {
        let blocks = growing(comm, length);
        let (total, range) = (blocks.total(), blocks.range(comm.rank()));
        let request = comm.reduce_scatter_init(vec![0; total], &blocks, vec![0; range.len()], Op::Sum);
        let expected = |salt| sum(comm, salt, total)[range.clone()].to_vec();
        three_times(request, |salt| own(comm, salt, total), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_redscat_block` of MPICH is about.
fn mpich_p_redscat_block(comm: &Communicator) -> Outcome {
    for length in SHORT_AND_LONG {
        let (total, start) = (comm.size() * length, comm.rank() * length);
        let request = comm.reduce_scatter_block_init(vec![0; total], vec![0; length], Op::Sum);
        let expected = |salt| sum(comm, salt, total)[start..start + length].to_vec();
        three_times(request, |salt| own(comm, salt, total), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_scan` of MPICH is about.
fn mpich_p_scan(comm: &Communicator) -> Outcome {
    for length in SHORT_AND_LONG {
        let request = comm.scan_init(vec![0; length], vec![0; length], Op::Sum);
        let expected = |salt| sum_of(comm.rank() + 1, salt, length);
        three_times(request, |salt| own(comm, salt, length), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_exscan` of MPICH is about.
fn mpich_p_exscan(comm: &Communicator) -> Outcome {
    for length in SHORT_AND_LONG {
        let request = comm.exscan_init(vec![0; length], vec![0; length], Op::Sum);
        let expected = |salt| match comm.rank() {
            0 => vec![0; length],
            rank => sum_of(rank, salt, length),
        };
        three_times(request, |salt| own(comm, salt, length), expected)?;
    }
    Ok(())
}

/// What the test `coll/p_order` of MPICH is about: ranks start what they have made in different orders, while others
/// are under way.
fn mpich_p_order(comm: &Communicator) -> Outcome {
    const REQUESTS: usize = 12;
    let length = |number: usize| LENGTHS[number % 3];
    let mut requests: Vec<_> = (0..REQUESTS)
        .map(|number| comm.allreduce_in_place_init(vec![0u32; length(number)], Op::Sum))
        .collect();
    for round in 0..5 {
        for (number, request) in requests.iter_mut().enumerate() {
            *request.buffer_mut()? = own(comm, (round * REQUESTS + number) as u64, length(number));
        }
        for step in 0..REQUESTS {
            // Some ranks go up, some down, each from another place.
            let number = match comm.rank() % 2 {
                0 => (step + comm.rank() + round) % REQUESTS,
                _ => (2 * REQUESTS - 1 - step + comm.rank() - round) % REQUESTS,
            };
            requests[number].start()?;
            if step == REQUESTS / 2 {
                comm.barrier()?;
            }
        }
        for (number, request) in requests.iter_mut().enumerate() {
            request.wait()?;
            let sum = sum(comm, (round * REQUESTS + number) as u64, length(number));
            assert_same(request.buffer()?, &sum, || format!("request {number}"));
        }
    }
    Ok(())
}

fn of_every_kind_at_once(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for length in [2, 1500] {
        let blocks = Blocks::packed(vec![length; size]);
        let all = || vec![0u32; size * length];
        let mine = || own(comm, 1, length);
        let for_all = || vectors::<u32>(1, size, length);
        let part = || vec![0u32; length];
        let mut pairs = [
            comm.gather_init(mine(), all(), 0),
            comm.gatherv_init(mine(), all(), &blocks, 0),
            comm.allgather_init(mine(), all()),
            comm.allgatherv_init(mine(), all(), &blocks),
            comm.alltoall_init(mine().repeat(size), all()),
            comm.alltoallv_init(mine().repeat(size), &blocks, all(), &blocks),
            comm.scatter_init(for_all(), part(), 0),
            comm.scatterv_init(for_all(), &blocks, part(), 0),
            comm.reduce_scatter_init(for_all(), &blocks, part(), Op::Max),
            comm.reduce_scatter_block_init(for_all(), part(), Op::Max),
            comm.reduce_init(mine(), part(), Op::Min, 0),
            comm.scan_init(mine(), part(), Op::Min),
            comm.exscan_init(mine(), part(), Op::Min),
        ];
        let mut barrier = comm.barrier_init();
        let mut expected: Vec<Vec<u32>> = Vec::new();
        for round in 0..3 {
            let mut every: Vec<&mut dyn AnyPersistent> = pairs.iter_mut().map(|pair| pair as _).collect();
            every.push(&mut barrier);
            if rank % 2 == 1 {
                every.reverse();
            }
            start_all(&mut every)?;
            drop(every);
            barrier.wait()?;
            let mut received = Vec::new();
            for request in &mut pairs {
                request.wait()?;
                received.push(std::mem::take(&mut request.buffer_mut()?.1));
                let length = received.last().map_or(0, Vec::len);
                request.buffer_mut()?.1 = vec![0; length];
            }
            if round == 0 {
                assert_eq!(received[2..6], vec![for_all(); 4]);
                assert_eq!(received[6..10], vec![mine(); 4]);
                assert_eq!(received[0], if rank == 0 { for_all() } else { all() });
                expected = received;
            } else {
                assert_eq!(received, expected, "round {round}");
            }
        }
    }
    Ok(())
}

fn more_than_there_are_tags(comm: &Communicator) -> Outcome {
    let mut first = comm.bcast_init(own(comm, 1, LARGE_BYTES), 0);
    (1..TAGS).for_each(|_| drop(comm.barrier_init()));
    let mut last = comm.bcast_init(own(comm, 2, LARGE_BYTES), 0);
    for _ in 0..3 {
        if comm.rank() == 0 {
            comm.recv(&mut [0u8], 1, Tag(0))?;
        }
        first.start()?;
        last.start()?;
        if comm.rank() == 1 {
            comm.send(&[1u8], 0, Tag(0))?;
        }
        last.wait()?;
        first.wait()?;
        assert_eq!(*last.buffer()?, vector::<u32>(2, 0, LARGE_BYTES));
        assert_eq!(*first.buffer()?, vector::<u32>(1, 0, LARGE_BYTES));
    }
    still_works(comm)
}

fn misuse(comm: &Communicator) -> Outcome {
    let mut request = comm.allreduce_in_place_init(own(comm, 1, 3), Op::Sum);
    let error = expect_error(request.wait(), ErrorKind::InvalidArgument);
    expect_text(&error, &["persistent allreduce_in_place", "not started"]);
    if comm.rank() == 1 {
        comm.recv(&mut [0u8], 0, Tag(0))?;
    }
    request.start()?;
    if comm.size() > 1 && comm.rank() == 0 {
        // Rank 1 waits for the message.
        let error = expect_error(request.start(), ErrorKind::InvalidArgument);
        expect_text(&error, &["under way"]);
        let error = expect_error(request.buffer(), ErrorKind::InvalidArgument);
        expect_text(&error, &["in use"]);
        comm.send(&[1u8], 1, Tag(0))?;
    }
    request.wait()?;
    assert_eq!(request.into_buffer()?, sum(comm, 1, 3));
    // Started again without a wait: the first is over.
    let mut request = comm.allreduce_in_place_init(own(comm, 1, 3), Op::Sum);
    request.start()?;
    over_by_itself(&request);
    request.start()?;
    request.wait()?;
    let twice = sum(comm, 1, 3)
        .iter()
        .map(|value| value.wrapping_mul(comm.size() as u32))
        .collect::<Vec<_>>();
    assert_eq!(request.into_buffer()?, twice);
    still_works(comm)
}

fn a_failed_one_can_be_started_again(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mut request = comm.allreduce_init(own(comm, 1, length), vec![0u32; length], Op::Sum);
        for round in 0..4 {
            // A rank has another number of elements; a rank has not enough room.
            let (short, narrow) = (round == 1 && comm.rank() == 0, round == 2 && comm.rank() == 1);
            let buffers = request.buffer_mut()?;
            buffers.0 = own(comm, 1, length - usize::from(short));
            buffers.1 = vec![0; length - usize::from(narrow)];
            request.start()?;
            match (round, narrow) {
                (1, _) => drop(expect_error(request.wait(), ErrorKind::Mismatch)),
                (2, true) => drop(expect_error(request.wait(), ErrorKind::InvalidArgument)),
                (2, false) => drop(expect_error(request.wait(), ErrorKind::PeerFailed)),
                _ => {
                    request.wait()?;
                    assert_eq!(request.buffer()?.1, sum(comm, 1, length));
                }
            }
        }
    }
    still_works(comm)
}

fn a_dropped_one_goes_on(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mut request = comm.allreduce_in_place_init(own(comm, 1, length), Op::Sum);
        request.start()?;
        if comm.rank() == 0 {
            drop(request);
            let mut others: Vec<Vec<u32>> = (0..20).map(|_| vec![7; length]).collect();
            others.iter_mut().for_each(|other| other.fill(8));
            comm.barrier()?;
            assert!(others.iter().flatten().all(|element| *element == 8));
        } else {
            request.wait()?;
            assert_eq!(*request.buffer()?, sum(comm, 1, length));
            comm.barrier()?;
        }
        // One that was never started.
        drop(comm.bcast_init(vec![0u8], 0));
    }
    still_works(comm)
}

fn made_in_another_order(comm: &Communicator) -> Outcome {
    let sums = || comm.allreduce_in_place_init(own(comm, 1, 3), Op::Sum);
    let sent = || comm.bcast_init(own(comm, 1, 3), 0);
    let mut requests = match comm.rank() {
        0 => [sums(), sent()],
        _ => [sent(), sums()],
    };
    start_all(&mut requests)?;
    for request in &mut requests {
        let error = expect_error(request.wait(), ErrorKind::Mismatch);
        expect_text(&error, &[odd_one(comm), "allreduce", "bcast", "persistent"]);
        assert_eq!(*request.buffer()?, own(comm, 1, 3));
    }
    still_works(comm)
}
