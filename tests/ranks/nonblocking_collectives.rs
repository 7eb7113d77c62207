//! Collectives that go on while their caller does something else: by requests and in scopes.
//!
//! That they compute the same as the blocking ones is seen in the cases of each collective, which call all forms.

use std::future::IntoFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use warpcomm::{
    AnyOwnedBuffer, AnyOwnedBufferMut, AnyRequest, Blocks, Communicator, Config, Error, ErrorKind, Op,
    Request, Tag, wait_all, wait_any, wait_some,
};

use super::common::{LARGE_BYTES, next, previous, still_works};
use super::futures::block_on;
use super::persistent_collectives::over_by_itself;
use crate::harness::{Failure, Outcome, expect_error, expect_text};
use crate::oracle::{assert_same, folded, vector, vectors};

cases! {
    mpich_nonblocking: 1..=5;
    they_go_on_while_nobody_calls: 1..=4;
    they_go_on_while_a_message_is_waited_for: 2..=4;
    a_thousand_barriers: 1..=4;
    waited_for_in_any_order: 1..=4;
    among_blocking_ones_and_messages: 2..=4;
    more_than_there_are_tags: 2..=2, threads;
    a_chain_of_bcasts: 2..=4;
    awaited_as_futures: 1..=4;
    dropped_requests_go_on: 2..=3;
    another_order_is_a_mismatch: 2..=3;
    blocking_on_some_ranks: 2..=4;
    bad_arguments_arrive_at_wait_with_the_buffers: 1..=3;
    while_another_thread_is_in_one: 2..=2;
    they_are_not_cancelled: 2..=2;
    of_a_scope: 1..=4;
    a_scope_that_fails_completes_them: 2..=3;
    a_scope_that_panics_completes_them: 2..=3;
    a_deadline_gives_the_buffers_back: 2..=2, threads;
    a_deadline_leaks_what_is_on_its_way: 1..=1, threads;
    a_lost_peer_ends_them: 1..=1, threads;
}

const MEBIBYTE: usize = (1 << 20) / size_of::<u32>();

/// Short enough for a frame, and longer.
pub const LENGTHS: [usize; 3] = [3, 1500, LARGE_BYTES];

pub fn sum(comm: &Communicator, salt: u64, length: usize) -> Vec<u32> {
    let of_ranks: Vec<Vec<u32>> = (0..comm.size()).map(|rank| vector(salt, rank, length)).collect();
    folded(Op::Sum, &of_ranks).unwrap_or_default()
}

pub fn own(comm: &Communicator, salt: u64, length: usize) -> Vec<u32> {
    vector(salt, comm.rank(), length)
}

/// What the tests `coll/nonblocking`, `nonblocking2` and `nonblocking3` of MPICH are about: each collective, all of
/// them at the same time, with others that are in the same state meanwhile.
fn mpich_nonblocking(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for length in LENGTHS {
        let root = length % size;
        let blocks = Blocks::packed(vec![length; size]);
        let all = || vec![0u32; size * length];
        let mine = || own(comm, 1, length);
        let for_all = || vectors::<u32>(1, size, length);
        let barrier = comm.ibarrier();
        let bcast = comm.ibcast(if rank == root { mine() } else { vec![0; length] }, root);
        let gather = comm.igather(mine(), all(), root);
        let gatherv = comm.igatherv(mine(), all(), &blocks, root);
        let scatter = comm.iscatter(for_all(), vec![0u32; length], root);
        let scatterv = comm.iscatterv(for_all(), &blocks, vec![0u32; length], root);
        let allgather = comm.iallgather(mine(), all());
        let allgatherv = comm.iallgatherv(mine(), all(), &blocks);
        let alltoall = comm.ialltoall(mine().repeat(size), all());
        let alltoallv = comm.ialltoallv(mine().repeat(size), &blocks, all(), &blocks);
        let send = (0..size).map(|_| AnyOwnedBuffer::new(mine())).collect();
        let recv = (0..size)
            .map(|_| AnyOwnedBufferMut::new(vec![0u32; length]))
            .collect();
        let alltoallw = comm.ialltoallw(send, recv);
        let reduce = comm.ireduce(mine(), vec![0u32; length], Op::Sum, root);
        let allreduce = comm.iallreduce(mine(), vec![0u32; length], Op::Sum);
        let reduce_scatter = comm.ireduce_scatter(for_all(), &blocks, vec![0u32; length], Op::Max);
        let reduce_scatter_block = comm.ireduce_scatter_block(for_all(), vec![0u32; length], Op::Max);
        let scan = comm.iscan(mine(), vec![0u32; length], Op::Sum);
        let exscan = comm.iexscan_in_place(mine(), Op::Sum);
        // The last one first.
        let sums = |ranks: usize| {
            let of_ranks: Vec<Vec<u32>> = (0..ranks).map(|rank| vector(1, rank, length)).collect();
            folded(Op::Sum, &of_ranks)
        };
        assert_eq!(
            exscan.wait()?.0,
            if rank == 0 {
                mine()
            } else {
                sums(rank).unwrap_or_default()
            }
        );
        assert_eq!(Some(scan.wait()?.0.1), sums(rank + 1));
        let part = vector::<u32>(1, rank, length);
        assert_eq!(reduce_scatter_block.wait()?.0.1, part);
        assert_eq!(reduce_scatter.wait()?.0.1, part);
        assert_eq!(Some(allreduce.wait()?.0.1), sums(size));
        let reduced = reduce.wait()?.0.1;
        assert!(rank != root || Some(reduced) == sums(size));
        let ((_, received), _) = alltoallw.wait()?;
        for (other, received) in received.into_iter().enumerate() {
            let received = received.into_inner::<Vec<u32>>().expect("what was given");
            assert_eq!(received, vector::<u32>(1, other, length));
        }
        assert_eq!(alltoallv.wait()?.0.1, for_all());
        assert_eq!(alltoall.wait()?.0.1, for_all());
        assert_eq!(allgatherv.wait()?.0.1, for_all());
        assert_eq!(allgather.wait()?.0.1, for_all());
        assert_eq!(scatterv.wait()?.0.1, part);
        assert_eq!(scatter.wait()?.0.1, part);
        for gathered in [gatherv.wait()?.0.1, gather.wait()?.0.1] {
            assert_eq!(gathered, if rank == root { for_all() } else { all() });
        }
        assert_eq!(bcast.wait()?.0, vector::<u32>(1, root, length));
        barrier.wait()?;
    }
    Ok(())
}

fn they_go_on_while_nobody_calls(comm: &Communicator) -> Outcome {
    for length in [3, MEBIBYTE] {
        let mut request = comm.allreduce_init(own(comm, 0, length), vec![0u32; length], Op::Sum);
        for salt in 1..4 {
            request.buffer_mut()?.0 = own(comm, salt, length);
            request.start()?;
            over_by_itself(&request);
            assert_eq!(request.buffer()?.1, sum(comm, salt, length));
            request.wait()?;
        }
    }
    Ok(())
}

fn they_go_on_while_a_message_is_waited_for(comm: &Communicator) -> Outcome {
    for length in [3, MEBIBYTE] {
        let request = comm.iallreduce_in_place(own(comm, 1, length), Op::Sum);
        // Every other rank sends only when it has the sum, of which this rank has a part.
        let sum = sum(comm, 1, length);
        if comm.rank() == 0 {
            for other in 1..comm.size() {
                comm.recv(&mut [0u8], other, Tag(0))?;
            }
            assert_eq!(request.wait()?.0, sum);
        } else {
            assert_eq!(request.wait()?.0, sum);
            comm.send(&[1u8], 0, Tag(0))?;
        }
    }
    Ok(())
}

fn a_thousand_barriers(comm: &Communicator) -> Outcome {
    let requests: Vec<Request<()>> = (0..1000).map(|_| comm.ibarrier()).collect();
    wait_all(&requests)?;
    for request in requests.into_iter().rev() {
        request.wait()?;
    }
    // A rank that has not come holds up those behind as well as those before it.
    let first = comm.ibarrier();
    if comm.rank() == comm.size() - 1 {
        first.wait()?;
        comm.barrier()?;
    } else {
        let second = comm.ibarrier();
        second.wait()?;
        first.wait()?;
    }
    Ok(())
}

fn waited_for_in_any_order(comm: &Communicator) -> Outcome {
    const REQUESTS: usize = 60;
    let length = |number: usize| LENGTHS[number % 3] / (1 + number % 5);
    let request = |number: usize| {
        let buffer = own(comm, number as u64, length(number));
        match number % 2 {
            0 => comm.iallreduce_in_place(buffer, Op::Sum),
            _ => comm.ibcast(buffer, number % comm.size()),
        }
    };
    let check = |number: usize, buffer: Vec<u32>| {
        let expected = match number % 2 {
            0 => sum(comm, number as u64, length(number)),
            _ => vector(number as u64, number % comm.size(), length(number)),
        };
        assert_same(&buffer, &expected, || format!("request {number}"));
    };
    // Ranks wait in different ways, each for all.
    let mut requests: Vec<(usize, Request<Vec<u32>>)> =
        (0..REQUESTS).map(|number| (number, request(number))).collect();
    while !requests.is_empty() {
        let handles: Vec<&dyn AnyRequest> = requests
            .iter()
            .map(|(_, request)| request as &dyn AnyRequest)
            .collect();
        let mut over = match comm.rank() % 3 {
            0 => wait_some(&handles)?,
            1 => wait_any(&handles)?.into_iter().collect(),
            _ => vec![requests.len() * 2 / 3],
        };
        over.sort_unstable();
        for index in over.into_iter().rev() {
            let (number, request) = requests.remove(index);
            check(number, request.wait()?.0);
        }
    }
    Ok(())
}

fn among_blocking_ones_and_messages(comm: &Communicator) -> Outcome {
    for round in 0..30u64 {
        let length = LENGTHS[round as usize % 3];
        let incoming = comm.irecv(vec![0u32; length], previous(comm), Tag(1));
        let first = comm.iallreduce_in_place(own(comm, round, length), Op::Sum);
        let mut gathered = vec![0u32; comm.size()];
        comm.allgather(&[comm.rank() as u32], &mut gathered)?;
        let second = comm.ibcast(own(comm, round, length), round as usize % comm.size());
        comm.send(&own(comm, 77, length), next(comm), Tag(1))?;
        let mut scanned = vec![0u32; length];
        comm.scan(&own(comm, round, length), &mut scanned, Op::Max)?;
        let other = comm.duplicate()?;
        let third = other.iallreduce_in_place(own(comm, round, length), Op::Sum);
        comm.barrier()?;
        assert_eq!(third.wait()?.0, sum(comm, round, length));
        assert_eq!(
            second.wait()?.0,
            vector::<u32>(round, round as usize % comm.size(), length)
        );
        assert_eq!(first.wait()?.0, sum(comm, round, length));
        assert_eq!(incoming.wait()?.0, vector::<u32>(77, previous(comm), length));
        assert!(
            gathered
                .iter()
                .enumerate()
                .all(|(rank, value)| rank == *value as usize)
        );
    }
    Ok(())
}

/// The numbers of tags that a communicator has for its collectives.
pub const TAGS: usize = 1 << 14;

fn more_than_there_are_tags(comm: &Communicator) -> Outcome {
    // Rank 1 has started them all before rank 0 starts any: the last must not take the data of the first.
    if comm.rank() == 0 {
        comm.recv(&mut [0u8], 1, Tag(0))?;
    }
    let first = comm.ibcast(own(comm, 1, LARGE_BYTES), 0);
    let between: Vec<Request<()>> = (1..TAGS).map(|_| comm.ibarrier()).collect();
    let last = comm.ibcast(own(comm, 2, LARGE_BYTES), 0);
    if comm.rank() == 1 {
        comm.send(&[1u8], 0, Tag(0))?;
    }
    // A blocking one waits for its turn as well.
    comm.barrier()?;
    assert_eq!(last.wait()?.0, vector::<u32>(2, 0, LARGE_BYTES));
    assert_eq!(first.wait()?.0, vector::<u32>(1, 0, LARGE_BYTES));
    between
        .into_iter()
        .try_for_each(|request| request.wait().map(drop))?;
    still_works(comm)
}

fn a_chain_of_bcasts(comm: &Communicator) -> Outcome {
    // Each rank hands on what it has received, in one collective after the other, while others are behind.
    for length in LENGTHS {
        let mut buffer = own(comm, 1, length);
        for root in 0..comm.size() {
            let ahead = comm.ibcast(vec![root as u32; length], root);
            buffer = comm.ibcast(buffer, root).wait()?.0;
            assert_eq!(ahead.wait()?.0, vec![root as u32; length]);
        }
        assert_eq!(buffer, vector::<u32>(1, 0, length));
    }
    Ok(())
}

fn awaited_as_futures(comm: &Communicator) -> Outcome {
    for length in [3, 1500, MEBIBYTE] {
        let outcome = block_on(async {
            let bcast = comm.ibcast(own(comm, 1, length), 0);
            let (reduced, _) = comm.iallreduce_in_place(own(comm, 2, length), Op::Sum).await?;
            comm.ibarrier().await?;
            let (received, _) = bcast.await?;
            Ok::<_, Error>((reduced, received))
        });
        let (reduced, received) = outcome.0?;
        assert_eq!(reduced, sum(comm, 2, length));
        assert_eq!(received, vector::<u32>(1, 0, length));
    }
    let (outcome, _) = block_on(comm.ibcast(vec![1u8], comm.size()).into_future());
    let (error, buffer) = outcome.unwrap_err().into_parts();
    assert_eq!(
        (error.kind(), buffer),
        (ErrorKind::InvalidArgument, Some(vec![1]))
    );
    still_works(comm)
}

fn dropped_requests_go_on(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        if comm.rank() == 0 {
            // The library keeps the buffers, and memory that is used again would be seen.
            drop(comm.iallgather(own(comm, 1, length), vec![0u32; comm.size() * length]));
            drop(comm.ibcast(own(comm, 1, length), 0));
            std::mem::forget(comm.iallreduce_in_place(own(comm, 1, length), Op::Sum));
            let mut others: Vec<Vec<u32>> = (0..20).map(|_| vec![7; length]).collect();
            others.iter_mut().for_each(|other| other.fill(8));
            comm.barrier()?;
            assert!(others.iter().flatten().all(|element| *element == 8));
        } else {
            let mut all = vec![0u32; comm.size() * length];
            comm.allgather(&own(comm, 1, length), &mut all)?;
            assert_eq!(all, vectors::<u32>(1, comm.size(), length));
            let mut received = vec![0u32; length];
            comm.bcast(&mut received, 0)?;
            assert_eq!(received, vector::<u32>(1, 0, length));
            let mut reduced = own(comm, 1, length);
            comm.allreduce_in_place(&mut reduced, Op::Sum)?;
            assert_eq!(reduced, sum(comm, 1, length));
            comm.barrier()?;
        }
    }
    still_works(comm)
}

/// Who is named where rank 0 differs: of two ranks each is as odd as the other.
pub fn odd_one(comm: &Communicator) -> &'static str {
    match comm.size() {
        2 => "rank 1 called",
        _ => "rank 0 called",
    }
}

fn another_order_is_a_mismatch(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let sums = || comm.iallreduce_in_place(own(comm, 1, length), Op::Sum);
        let sent = || comm.ibcast(own(comm, 1, length), 0);
        let (first, second) = match comm.rank() {
            0 => (sums(), sent()),
            _ => (sent(), sums()),
        };
        // What comes behind is in order again.
        let third = comm.iallreduce_in_place(own(comm, 2, length), Op::Sum);
        for request in [second, first] {
            let (error, buffer) = request.wait().unwrap_err().into_parts();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
            expect_text(&error, &[odd_one(comm), "allreduce", "bcast"]);
            assert_eq!(buffer, Some(own(comm, 1, length)));
        }
        assert_eq!(third.wait()?.0, sum(comm, 2, length));
    }
    still_works(comm)
}

fn blocking_on_some_ranks(comm: &Communicator) -> Outcome {
    for round in 0..20 {
        let length = LENGTHS[round % 3];
        let mut buffer = own(comm, round as u64, length);
        match (round + comm.rank()) % 3 {
            0 => comm.allreduce_in_place(&mut buffer, Op::Sum)?,
            1 => buffer = comm.iallreduce_in_place(buffer, Op::Sum).wait()?.0,
            _ => comm.scope(|scope| scope.iallreduce_in_place(&mut buffer, Op::Sum).map(drop))?,
        }
        assert_eq!(buffer, sum(comm, round as u64, length));
    }
    Ok(())
}

fn bad_arguments_arrive_at_wait_with_the_buffers(comm: &Communicator) -> Outcome {
    let kind = match comm.rank() {
        0 => ErrorKind::InvalidArgument,
        _ => ErrorKind::PeerFailed,
    };
    for length in LENGTHS {
        let bad = usize::from(comm.rank() == 0);
        let first = comm.ibcast(own(comm, 1, length), if bad == 1 { comm.size() } else { 0 });
        let second = comm.iallreduce(own(comm, 1, length), vec![7u32; length - bad], Op::Sum);
        let blocks = Blocks::packed(vec![length; comm.size() + bad]);
        let third = comm.iallgatherv(own(comm, 1, length), vec![7u32; length * comm.size()], &blocks);
        let fourth = comm.iallreduce_in_place(own(comm, 1, length), if bad == 1 { Op::Avg } else { Op::Sum });
        let fifth = comm.iallreduce_in_place(own(comm, 1, length), Op::Sum);
        let (error, buffer) = first.wait().unwrap_err().into_parts();
        assert_eq!(
            (error.kind(), buffer),
            (kind, Some(own(comm, 1, length))),
            "{error}"
        );
        expect_text(&error, &["ibcast", &format!("on rank {}", comm.rank())]);
        let (error, buffers) = second.wait().unwrap_err().into_parts();
        assert_eq!(
            (error.kind(), buffers),
            (kind, Some((own(comm, 1, length), vec![7; length - bad]))),
            "{error}"
        );
        let (error, buffers) = third.wait().unwrap_err().into_parts();
        assert_eq!((error.kind(), buffers.is_some()), (kind, true), "{error}");
        let (error, buffer) = fourth.wait().unwrap_err().into_parts();
        let unsupported = if bad == 1 { ErrorKind::Unsupported } else { kind };
        assert_eq!(
            (error.kind(), buffer),
            (unsupported, Some(own(comm, 1, length))),
            "{error}"
        );
        assert_eq!(fifth.wait()?.0, sum(comm, 1, length));
    }
    still_works(comm)
}

fn while_another_thread_is_in_one(comm: &Communicator) -> Outcome {
    if comm.rank() == 1 {
        let mut is_refused = [false];
        while !is_refused[0] {
            comm.recv(&mut is_refused, 0, Tag(0))?;
            match is_refused[0] {
                true => comm.barrier()?,
                false => comm.allreduce_in_place(&mut [5u8], Op::Sum)?,
            }
        }
        return still_works(comm);
    }
    thread::scope(|scope| {
        let barrier = scope.spawn(|| {
            // Whoever starts a request at that moment sends this thread away.
            while let Err(error) = comm.barrier() {
                expect_text(&error, &["barrier on rank 0", "another thread"]);
            }
        });
        let error = loop {
            let request = comm.iallreduce(vec![5u8], vec![6u8], Op::Sum);
            // What was started waits for rank 1, which waits for this.
            let is_refused = request.is_done();
            comm.send(&[is_refused], 1, Tag(0))?;
            match request.wait() {
                Err(error) => break error,
                Ok(_) => assert!(!is_refused),
            }
        };
        let (error, buffers) = error.into_parts();
        assert_eq!(
            (error.kind(), buffers),
            (ErrorKind::InvalidArgument, Some((vec![5], vec![6])))
        );
        expect_text(&error, &["iallreduce on rank 0", "another thread"]);
        barrier
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<(), Failure>(())
    })?;
    still_works(comm)
}

fn they_are_not_cancelled(comm: &Communicator) -> Outcome {
    let request = comm.iallreduce_in_place(own(comm, 1, 3), Op::Sum);
    if comm.rank() == 0 {
        expect_error(request.cancel(), ErrorKind::Unsupported);
    }
    assert_eq!(request.wait()?.0, sum(comm, 1, 3));
    Ok(())
}

fn of_a_scope(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mine = own(comm, 1, length);
        let (mut all, mut reduced, mut sent) =
            (vec![0u32; length * comm.size()], vec![0u32; length], mine.clone());
        comm.scope(|scope| {
            // Two that read the same buffer, one that is waited for, and one that is not.
            let gathered = scope.iallgather(&mine, &mut all)?;
            scope.iallreduce(&mine, &mut reduced, Op::Sum)?;
            scope.ibcast(&mut sent, 0)?;
            let ((_, all), _) = gathered.wait()?;
            assert_eq!(*all, vectors::<u32>(1, comm.size(), length));
            comm.barrier()?;
            all.fill(5);
            Ok(())
        })?;
        assert_eq!(reduced, sum(comm, 1, length));
        assert_eq!(sent, vector::<u32>(1, 0, length));
        assert_eq!(all, vec![5; length * comm.size()]);
    }
    // The error of one that nobody waited for.
    let mut buffer = [0u8];
    let outcome = comm.scope(|scope| scope.ibcast(&mut buffer, comm.size()).map(drop));
    expect_error(outcome, ErrorKind::InvalidArgument);
    still_works(comm)
}

fn a_scope_that_fails_completes_them(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mut buffer = own(comm, 1, length);
        let outcome = comm.scope(|scope| {
            scope.iallreduce_in_place(&mut buffer, Op::Sum)?;
            match comm.rank() {
                // Others are only about to come.
                0 => comm.send(&[0u8], comm.size(), Tag(0)),
                _ => Ok(()),
            }
        });
        match comm.rank() {
            0 => drop(expect_error(outcome, ErrorKind::InvalidArgument)),
            _ => outcome?,
        }
        assert_eq!(buffer, sum(comm, 1, length));
    }
    still_works(comm)
}

fn a_scope_that_panics_completes_them(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let mut buffer = own(comm, 1, length);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            comm.scope(|scope| {
                scope.iallreduce_in_place(&mut buffer, Op::Sum)?;
                match comm.rank() {
                    0 => panic!("on purpose"),
                    _ => Ok(()),
                }
            })
        }));
        assert_eq!(outcome.is_err(), comm.rank() == 0);
        assert_eq!(buffer, sum(comm, 1, length));
    }
    still_works(comm)
}

fn a_deadline_gives_the_buffers_back(comm: &Communicator) -> Outcome {
    let impatient = comm.duplicate()?.with_timeout(Some(Duration::from_millis(30)));
    if comm.rank() == 0 {
        // Rank 1 never comes, so that nothing but frames was sent.
        let first = impatient.iallreduce(vec![1u32; LARGE_BYTES], vec![2u32; LARGE_BYTES], Op::Sum);
        let second = impatient.ibcast(vec![3u32; LARGE_BYTES], 1);
        let (error, buffers) = first.wait().unwrap_err().into_parts();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(buffers, Some((vec![1; LARGE_BYTES], vec![2; LARGE_BYTES])));
        let (error, buffer) = second.wait().unwrap_err().into_parts();
        assert_eq!(
            (error.kind(), buffer),
            (ErrorKind::Timeout, Some(vec![3; LARGE_BYTES])),
            "{error}"
        );
        let (error, buffer) = impatient.ibcast(vec![4u8], 0).wait().unwrap_err().into_parts();
        assert_eq!(
            (error.kind(), buffer),
            (ErrorKind::Timeout, Some(vec![4])),
            "{error}"
        );
        let mut persistent = impatient.bcast_init(vec![5u8], 0);
        expect_error(persistent.start(), ErrorKind::Timeout);
        assert_eq!(persistent.into_buffer()?, [5]);
    }
    still_works(comm)
}

/// Runs two ranks of which the first never comes, without an agreement before the data.
fn a_deadline_leaks_what_is_on_its_way(_: &Communicator) -> Outcome {
    let config = Config::default().check(false).timeout(Duration::from_millis(30));
    let outcomes = Communicator::threads_with(&config, 2, |comm| {
        if comm.rank() == 0 {
            return Ok(());
        }
        // What is only sent, and what is only received.
        let sent = comm.ibcast(vec![1u32; LARGE_BYTES], 1);
        let received = comm.ibcast(vec![2u32; LARGE_BYTES], 0);
        let gathered = comm.igather(vec![3u32; LARGE_BYTES], Vec::<u32>::new(), 0);
        for request in [sent, received] {
            let (error, buffer) = request.wait().unwrap_err().into_parts();
            assert_eq!((error.kind(), buffer), (ErrorKind::Timeout, None), "{error}");
        }
        let (error, buffers) = gathered.wait().unwrap_err().into_parts();
        assert_eq!((error.kind(), buffers), (ErrorKind::Timeout, None), "{error}");
        Ok::<(), Failure>(())
    })?;
    outcomes.into_iter().collect()
}

fn a_lost_peer_ends_them(_: &Communicator) -> Outcome {
    let seen = Mutex::new(Vec::new());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Communicator::threads(3, |comm| {
            if comm.rank() == 1 {
                panic!("on purpose");
            }
            let request = comm.iallreduce(vec![1u32; LARGE_BYTES], vec![2u32; LARGE_BYTES], Op::Sum);
            let mut persistent = comm.bcast_init(vec![3u32; LARGE_BYTES], 1);
            let started = persistent.start().map_err(|error| error.kind());
            let (error, buffers) = request.wait().unwrap_err().into_parts();
            let waited = started.and_then(|()| persistent.wait().map(drop).map_err(|error| error.kind()));
            let mut buffer = [0u8; 5];
            let lent = comm.scope(|scope| scope.ibcast(&mut buffer, 0).map(drop));
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((error.kind(), waited, lent.map_err(|error| error.kind())));
            drop((buffers, persistent));
        })
    }));
    assert!(panicked.is_err(), "the panic goes on");
    let lost = ErrorKind::PeerLost;
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(seen, [(lost, Err(lost), Err(lost)); 2]);
    Ok(())
}
