//! Messages that fail, get lost or come late, at every place where one can.

use std::ops::RangeInclusive;
use std::time::Duration;

use warpcomm::{
    AnyBuffer, AnyBufferMut, Blocks, Communicator, Config, ErrorKind, Fault, FaultAction, Op, Result, Tag,
};

use super::common::{next, previous};
use crate::harness::Outcome;
use crate::oracle::{assert_same, folded, vector, vectors};

cases! {
    a_failed_message_of_a_collective: 1..=1, threads;
    a_failed_message_of_an_allreduce_among_many_ranks: 1..=1, threads;
    a_failed_message_of_an_allgatherv_among_many_ranks: 1..=1, threads;
    a_failed_message_of_a_duplicate_among_many_ranks: 1..=1, threads;
    a_failed_message_of_a_gatherv_among_many_ranks: 1..=1, threads;
    a_failed_message_of_a_scatterv_among_many_ranks: 1..=1, threads;
    a_failed_message_of_an_alltoallv_among_many_ranks: 1..=1, threads;
    a_failed_message_between_two_ranks: 1..=1, threads;
    a_lost_message_of_a_collective: 1..=1, threads;
    a_lost_message_between_two_ranks: 1..=1, threads;
    a_delayed_message_of_a_collective: 1..=1, threads;
    a_delayed_message_between_two_ranks: 1..=1, threads;
    a_reordered_message_of_a_collective: 1..=1, threads;
    a_reordered_message_between_two_ranks: 1..=1, threads;
}

/// Runs on every rank, and asserts that its data are right if it succeeds.
type Scenario = fn(&Rank<'_>) -> Result<()>;

/// A rank of a scenario.
struct Rank<'a> {
    comm: &'a Communicator,
    /// Whether messages may be lost. MPI does not lose any, and a later message may be taken for a lost one.
    loses: bool,
}

impl Rank<'_> {
    #[track_caller]
    fn assert_same(&self, actual: &[u32], expected: &[u32], what: &str) {
        if !self.loses {
            assert_same(actual, expected, || what.to_owned());
        }
    }
}

/// More messages than a rank sends in any scenario.
const MANY: u64 = 60;

const SHORT: usize = 5;
const LONG: usize = 1500;
const IN_BLOCKS: usize = 10_000;

fn bcast(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let mut buffer: Vec<u32> = if comm.rank() == 1 {
        vector(1, 1, length)
    } else {
        vec![0; length]
    };
    comm.bcast(&mut buffer, 1)?;
    on.assert_same(&buffer, &vector(1, 1, length), "bcast");
    Ok(())
}

fn reduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let of_ranks: Vec<Vec<u32>> = (0..comm.size()).map(|rank| vector(1, rank, length)).collect();
    let mut buffer = vec![0; length];
    comm.reduce(&of_ranks[comm.rank()], &mut buffer, Op::Sum, 0)?;
    if comm.rank() == 0 {
        on.assert_same(&buffer, &folded(Op::Sum, &of_ranks).unwrap_or_default(), "reduce");
    }
    Ok(())
}

fn allreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let of_ranks: Vec<Vec<u32>> = (0..comm.size()).map(|rank| vector(1, rank, length)).collect();
    let mut buffer = vec![0; length];
    comm.allreduce(&of_ranks[comm.rank()], &mut buffer, Op::Sum)?;
    on.assert_same(
        &buffer,
        &folded(Op::Sum, &of_ranks).unwrap_or_default(),
        "allreduce",
    );
    Ok(())
}

fn iallreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let request = comm.iallreduce(vector::<u32>(1, comm.rank(), length), vec![0u32; length], Op::Sum);
    let ((_, result), _) = request.wait()?;
    on.assert_same(&result, &sum(comm.size(), length), "iallreduce");
    Ok(())
}

fn persistent_allreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own = vector::<u32>(1, comm.rank(), length);
    let mut request = comm.allreduce_in_place_init(own, Op::Sum);
    request.start()?;
    request.wait()?;
    on.assert_same(
        request.buffer()?,
        &sum(comm.size(), length),
        "a persistent allreduce",
    );
    Ok(())
}

fn allgather(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let mut all = vec![0u32; length * comm.size()];
    comm.allgather(&vector::<u32>(1, comm.rank(), length), &mut all)?;
    on.assert_same(&all, &vectors(1, comm.size(), length), "allgather");
    Ok(())
}

fn gather(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let mut all = vec![0u32; length * comm.size()];
    comm.gather(&vector::<u32>(1, comm.rank(), length), &mut all, 1)?;
    if comm.rank() == 1 {
        on.assert_same(&all, &vectors(1, comm.size(), length), "gather");
    }
    Ok(())
}

fn scatter(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let all: Vec<u32> = if comm.rank() == 0 {
        vectors(1, comm.size(), length)
    } else {
        Vec::new()
    };
    let mut own = vec![0u32; length];
    comm.scatter(&all, &mut own, 0)?;
    on.assert_same(&own, &vector(1, comm.rank(), length), "scatter");
    Ok(())
}

fn allgatherv(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let blocks = Blocks::packed((0..comm.size()).map(|rank| length * rank).collect::<Vec<_>>());
    let mut all = vec![0u32; blocks.total()];
    comm.allgatherv(
        &vector::<u32>(1, comm.rank(), blocks.count(comm.rank())),
        &mut all,
        &blocks,
    )?;
    for rank in 0..comm.size() {
        on.assert_same(
            &all[blocks.range(rank)],
            &vector(1, rank, blocks.count(rank)),
            "allgatherv",
        );
    }
    Ok(())
}

fn uneven(comm: &Communicator, length: usize) -> Blocks {
    Blocks::packed((0..comm.size()).map(|rank| length * rank).collect::<Vec<_>>())
}

fn gatherv(on: &Rank<'_>, length: usize) -> Result<()> {
    let (comm, blocks) = (on.comm, uneven(on.comm, length));
    let mut all = vec![0u32; blocks.total()];
    let own: Vec<u32> = vector(1, comm.rank(), blocks.count(comm.rank()));
    comm.gatherv(&own, &mut all, &blocks, 1)?;
    for rank in (0..comm.size()).filter(|_| comm.rank() == 1) {
        on.assert_same(
            &all[blocks.range(rank)],
            &vector(1, rank, blocks.count(rank)),
            "gatherv",
        );
    }
    Ok(())
}

fn scatterv(on: &Rank<'_>, length: usize) -> Result<()> {
    let (comm, blocks) = (on.comm, uneven(on.comm, length));
    let all: Vec<u32> = vector(1, 0, blocks.total());
    let mut own = vec![0u32; blocks.count(comm.rank())];
    comm.scatterv(&all, &blocks, &mut own, 0)?;
    on.assert_same(&own, &all[blocks.range(comm.rank())], "scatterv");
    Ok(())
}

/// What the ranks have, each as many elements as its block.
fn of_all(blocks: &Blocks) -> Vec<u32> {
    (0..blocks.len())
        .flat_map(|rank| vector(1, rank, blocks.count(rank)))
        .collect()
}

fn alltoall(on: &Rank<'_>, length: usize) -> Result<()> {
    let (comm, size) = (on.comm, on.comm.size());
    let mut all: Vec<u32> = vector::<u32>(1, comm.rank(), length).repeat(size);
    comm.alltoall_in_place(&mut all)?;
    on.assert_same(&all, &vectors(1, size, length), "alltoall");
    Ok(())
}

fn alltoallv(on: &Rank<'_>, length: usize) -> Result<()> {
    let (comm, blocks) = (on.comm, uneven(on.comm, length));
    let own: Vec<u32> = vector(1, comm.rank(), blocks.count(comm.rank()));
    let same = Blocks::new(vec![own.len(); comm.size()], vec![0; comm.size()]);
    let mut all = vec![0u32; blocks.total()];
    comm.alltoallv(&own, &same, &mut all, &blocks)?;
    on.assert_same(&all, &of_all(&blocks), "alltoallv");
    Ok(())
}

fn alltoallw(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own: Vec<u32> = vector(1, comm.rank(), length);
    let mut all = vec![vec![0u32; length]; comm.size()];
    let send: Vec<AnyBuffer<'_>> = (0..comm.size()).map(|_| AnyBuffer::new(&own)).collect();
    let mut recv: Vec<AnyBufferMut<'_>> = all.iter_mut().map(AnyBufferMut::new).collect();
    comm.alltoallw(&send, &mut recv)?;
    drop(recv);
    on.assert_same(&all.concat(), &vectors(1, comm.size(), length), "alltoallw");
    Ok(())
}

/// The sum of what ranks have.
fn sum(ranks: usize, length: usize) -> Vec<u32> {
    let of_ranks: Vec<Vec<u32>> = (0..ranks).map(|rank| vector(1, rank, length)).collect();
    folded(Op::Sum, &of_ranks).unwrap_or_default()
}

fn reduce_scatter_block(on: &Rank<'_>, length: usize) -> Result<()> {
    let (comm, size) = (on.comm, on.comm.size());
    let mut block = vec![0u32; length];
    comm.reduce_scatter_block(&vector::<u32>(1, comm.rank(), size * length), &mut block, Op::Sum)?;
    let sums = sum(size, size * length);
    on.assert_same(
        &block,
        &sums[comm.rank() * length..][..length],
        "reduce_scatter_block",
    );
    Ok(())
}

fn reduce_scatter(on: &Rank<'_>, length: usize) -> Result<()> {
    let (comm, blocks) = (on.comm, uneven(on.comm, length));
    let mut block = vec![0u32; blocks.count(comm.rank())];
    let own: Vec<u32> = vector(1, comm.rank(), blocks.total());
    comm.reduce_scatter(&own, &blocks, &mut block, Op::Sum)?;
    let sums = sum(comm.size(), blocks.total());
    on.assert_same(&block, &sums[blocks.range(comm.rank())], "reduce_scatter");
    Ok(())
}

fn scan(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let mut buffer: Vec<u32> = vector(1, comm.rank(), length);
    comm.scan_in_place(&mut buffer, Op::Sum)?;
    on.assert_same(&buffer, &sum(comm.rank() + 1, length), "scan");
    Ok(())
}

fn exscan(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let mut buffer = vec![0u32; length];
    comm.exscan(&vector::<u32>(1, comm.rank(), length), &mut buffer, Op::Sum)?;
    if comm.rank() > 0 {
        on.assert_same(&buffer, &sum(comm.rank(), length), "exscan");
    }
    Ok(())
}

const COLLECTIVES: &[(&str, Scenario)] = &[
    ("barrier", |on| on.comm.barrier()),
    ("bcast in a frame", |on| bcast(on, SHORT)),
    ("bcast along a tree", |on| bcast(on, LONG)),
    ("bcast in blocks", |on| bcast(on, 70_000)),
    ("gather in a frame", |on| gather(on, SHORT)),
    ("gather", |on| gather(on, LONG)),
    ("scatter in a frame", |on| scatter(on, SHORT)),
    ("scatter", |on| scatter(on, LONG)),
    ("allgather in a frame", |on| allgather(on, SHORT)),
    ("allgather", |on| allgather(on, LONG)),
    ("allgatherv in a frame", |on| allgatherv(on, SHORT)),
    ("allgatherv", |on| allgatherv(on, LONG)),
    ("gatherv in a frame", |on| gatherv(on, SHORT)),
    ("gatherv", |on| gatherv(on, LONG)),
    ("scatterv in a frame", |on| scatterv(on, SHORT)),
    ("scatterv", |on| scatterv(on, LONG)),
    ("alltoall in a frame", |on| alltoall(on, SHORT)),
    ("alltoall", |on| alltoall(on, LONG)),
    ("alltoallv", |on| alltoallv(on, LONG)),
    ("alltoallw", |on| alltoallw(on, LONG)),
    ("reduce_scatter_block in a frame", |on| {
        reduce_scatter_block(on, SHORT)
    }),
    ("reduce_scatter_block", |on| reduce_scatter_block(on, LONG)),
    ("reduce_scatter", |on| reduce_scatter(on, LONG)),
    ("scan in a frame", |on| scan(on, SHORT)),
    ("scan", |on| scan(on, LONG)),
    ("exscan in a frame", |on| exscan(on, SHORT)),
    ("exscan", |on| exscan(on, LONG)),
    ("reduce in a frame", |on| reduce(on, SHORT)),
    ("reduce", |on| reduce(on, LONG)),
    ("reduce in blocks", |on| reduce(on, IN_BLOCKS)),
    ("allreduce in a frame", |on| allreduce(on, SHORT)),
    ("allreduce", |on| allreduce(on, LONG)),
    ("allreduce in blocks", |on| allreduce(on, IN_BLOCKS)),
    ("iallreduce", |on| iallreduce(on, LONG)),
    ("a persistent allreduce in blocks", |on| {
        persistent_allreduce(on, IN_BLOCKS)
    }),
    ("duplicate", |on| on.comm.duplicate().map(drop)),
    ("split", |on| {
        on.comm.split(Some(on.comm.rank() as u32 % 2), 0).map(drop)
    }),
];

fn from_first_to_last(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let last = comm.size() - 1;
    if comm.rank() == 0 {
        return comm.send(&vector::<u32>(1, 0, length), last, Tag(0));
    }
    if comm.rank() == last {
        let mut received = vec![0u32; length];
        comm.recv(&mut received, 0, Tag(0))?;
        on.assert_same(&received, &vector(1, 0, length), "recv");
    }
    Ok(())
}

fn around_the_ring(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let mut received = vec![0u32; length];
    let own: Vec<u32> = vector(1, comm.rank(), length);
    comm.sendrecv(&own, next(comm), Tag(0), &mut received, previous(comm), Tag(0))?;
    on.assert_same(&received, &vector(1, previous(comm), length), "sendrecv");
    Ok(())
}

fn in_a_scope(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own: Vec<Vec<u32>> = (0..3).map(|salt| vector(salt, comm.rank(), length)).collect();
    let mut received = vec![vec![0u32; length]; 3];
    comm.scope(|scope| {
        for (buffer, tag) in received.iter_mut().zip(0..) {
            scope.irecv(buffer, previous(comm), Tag(tag))?;
        }
        for (buffer, tag) in own.iter().zip(0..) {
            scope.isend(buffer, next(comm), Tag(tag))?;
        }
        Ok(())
    })?;
    for (buffer, salt) in received.iter().zip(0..) {
        on.assert_same(buffer, &vector(salt, previous(comm), length), "scope");
    }
    Ok(())
}

const MESSAGES: &[(&str, Scenario)] = &[
    ("a short message", |on| from_first_to_last(on, SHORT)),
    ("a long message", |on| from_first_to_last(on, LONG)),
    ("short messages in a ring", |on| around_the_ring(on, SHORT)),
    ("long messages in a ring", |on| around_the_ring(on, LONG)),
    ("short messages of a scope", |on| in_a_scope(on, SHORT)),
    ("long messages of a scope", |on| in_a_scope(on, LONG)),
];

/// What came of a scenario on each rank, and of two collectives behind it.
fn outcomes(
    config: &Config,
    ranks: usize,
    scenario: Scenario,
    loses: bool,
) -> Result<Vec<(Result<()>, Result<()>)>> {
    Communicator::threads_with(config, ranks, |comm| {
        let on = Rank { comm: &comm, loses };
        let outcome = scenario(&on);
        // Both whatever became of the first, as on the other ranks.
        let (short, long) = (allreduce(&on, SHORT), allreduce(&on, LONG));
        (outcome, short.and(long))
    })
}

/// Runs a scenario with a fault in the first message of a rank, the second, and so on, until it does not
/// meet the fault any more.
fn at_every_message(
    scenarios: &[(&str, Scenario)],
    config: &Config,
    ranks: usize,
    action: FaultAction,
    check: impl Fn(&str, usize, Vec<(Result<()>, Result<()>)>),
) -> Outcome {
    for (name, scenario) in scenarios {
        for faulty in 0..ranks {
            for message in 1..=MANY {
                assert!(
                    message < MANY,
                    "{name}: every message of rank {faulty} ends in an error"
                );
                let name = format!("{name}, message {message} of rank {faulty}");
                println!("{name}");
                let fault = Fault::new(action, message, Some(faulty));
                let outcomes = outcomes(
                    &config.clone().fault(fault),
                    ranks,
                    *scenario,
                    action == FaultAction::Drop,
                )?;
                if outcomes.iter().all(|(outcome, _)| outcome.is_ok()) {
                    break;
                }
                check(&name, faulty, outcomes);
            }
        }
    }
    Ok(())
}

fn a_failed_message_of_a_collective(_: &Communicator) -> Outcome {
    // Nobody needs the deadline: it only ends a test that fails.
    let config = Config::default().timeout(Duration::from_secs(20));
    at_every_message(
        COLLECTIVES,
        &config,
        3,
        FaultAction::Fail,
        |name, faulty, outcomes| {
            for (rank, (outcome, after)) in outcomes.into_iter().enumerate() {
                match outcome {
                    Ok(()) => assert_ne!(rank, faulty, "{name}: the rank itself is told"),
                    Err(error) if rank == faulty => {
                        assert_eq!(error.kind(), ErrorKind::Mpi, "{name}: {error}")
                    }
                    Err(error) => assert_eq!(
                        error.kind(),
                        ErrorKind::PeerFailed,
                        "{name}: rank {rank}: {error}"
                    ),
                }
                assert!(after.is_ok(), "{name}: rank {rank} afterwards: {after:?}");
            }
        },
    )
}

fn among_many_ranks(
    name: &str,
    scenario: Scenario,
    faulty: &[usize],
    messages: RangeInclusive<u64>,
) -> Outcome {
    let config = Config::default().timeout(Duration::from_secs(20));
    let ranks = 66;
    let mut told = 0;
    for &faulty in faulty {
        for message in messages.clone() {
            println!("{name}, message {message} of rank {faulty}");
            let fault = Fault::new(FaultAction::Fail, message, Some(faulty));
            let outcomes = outcomes(&config.clone().fault(fault), ranks, scenario, false)?;
            for (rank, (outcome, after)) in outcomes.into_iter().enumerate() {
                let kind = if rank == faulty {
                    ErrorKind::Mpi
                } else {
                    ErrorKind::PeerFailed
                };
                // Merged frames are sent again in silence, and later messages belong to what comes after.
                for error in [outcome, after].into_iter().filter_map(Result::err) {
                    let what = format!("{name}, message {message} of rank {faulty}: rank {rank}: {error}");
                    assert_eq!(error.kind(), kind, "{what}");
                    assert!(!error.to_string().contains("poisoned"), "{what}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 0, "none of the faults was met");
    Ok(())
}

fn a_failed_message_of_an_allreduce_among_many_ranks(_: &Communicator) -> Outcome {
    among_many_ranks("allreduce", |on| allreduce(on, SHORT), &[0, 1, 65], 1..=4)
}

fn a_failed_message_of_an_allgatherv_among_many_ranks(_: &Communicator) -> Outcome {
    among_many_ranks("allgatherv", |on| allgatherv(on, SHORT), &[0, 1, 65], 1..=4)
}

/// The message that tells a count, behind the two frames of a rank.
const COUNTS: RangeInclusive<u64> = 3..=3;

fn a_failed_message_of_a_gatherv_among_many_ranks(_: &Communicator) -> Outcome {
    among_many_ranks("gatherv", |on| gatherv(on, SHORT), &[2], COUNTS)
}

fn a_failed_message_of_a_scatterv_among_many_ranks(_: &Communicator) -> Outcome {
    among_many_ranks("scatterv", |on| scatterv(on, SHORT), &[2], COUNTS)
}

fn a_failed_message_of_an_alltoallv_among_many_ranks(_: &Communicator) -> Outcome {
    among_many_ranks("alltoallv", |on| alltoallv(on, SHORT), &[2], COUNTS)
}

fn a_failed_message_of_a_duplicate_among_many_ranks(_: &Communicator) -> Outcome {
    among_many_ranks(
        "duplicate",
        |on| on.comm.duplicate().map(drop),
        &[0, 1, 65],
        1..=4,
    )
}

fn a_failed_message_between_two_ranks(_: &Communicator) -> Outcome {
    // A message that never left is one that its receiver waits for.
    let config = Config::default().timeout(Duration::from_millis(200));
    at_every_message(
        MESSAGES,
        &config,
        3,
        FaultAction::Fail,
        |name, faulty, outcomes| {
            for (rank, (outcome, _)) in outcomes.into_iter().enumerate() {
                if let Err(error) = outcome {
                    let kinds = [ErrorKind::Mpi, ErrorKind::PeerFailed, ErrorKind::Timeout];
                    assert!(kinds.contains(&error.kind()), "{name}: rank {rank}: {error}");
                    assert!(
                        rank == faulty || error.kind() != ErrorKind::Mpi,
                        "{name}: rank {rank}: {error}"
                    );
                }
            }
        },
    )
}

fn lost(scenarios: &[(&str, Scenario)]) -> Outcome {
    let config = Config::default().timeout(Duration::from_millis(60));
    at_every_message(scenarios, &config, 2, FaultAction::Drop, |name, _, outcomes| {
        // Somebody missed it, in whatever way; what matters is that nobody hangs.
        assert!(outcomes.iter().any(|(outcome, _)| outcome.is_err()), "{name}");
    })
}

fn a_lost_message_of_a_collective(_: &Communicator) -> Outcome {
    lost(COLLECTIVES)
}

fn a_lost_message_between_two_ranks(_: &Communicator) -> Outcome {
    lost(MESSAGES)
}

fn late(action: FaultAction, scenarios: &[(&str, Scenario)]) -> Outcome {
    for (name, scenario) in scenarios {
        for faulty in 0..3 {
            for message in 1..=8 {
                println!("{name}, message {message} of rank {faulty}");
                let fault = Fault::new(action, message, Some(faulty));
                for (rank, (outcome, after)) in
                    outcomes(&Config::default().fault(fault), 3, *scenario, false)?
                        .into_iter()
                        .enumerate()
                {
                    let what = format!("{name}, message {message} of rank {faulty}: rank {rank}");
                    assert!(outcome.is_ok() && after.is_ok(), "{what}: {outcome:?}, {after:?}");
                }
            }
        }
    }
    Ok(())
}

fn a_delayed_message_of_a_collective(_: &Communicator) -> Outcome {
    late(FaultAction::Delay, COLLECTIVES)
}

fn a_delayed_message_between_two_ranks(_: &Communicator) -> Outcome {
    late(FaultAction::Delay, MESSAGES)
}

fn a_reordered_message_of_a_collective(_: &Communicator) -> Outcome {
    late(FaultAction::Reorder, COLLECTIVES)
}

fn a_reordered_message_between_two_ranks(_: &Communicator) -> Outcome {
    late(FaultAction::Reorder, MESSAGES)
}
