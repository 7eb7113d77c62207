//! A driver call that fails, whichever it is: the n-th allocation, copy, launch or module load of an operation,
//! for every n. The ranks concerned get an `Err`, the others come back too, the communicator goes on, and
//! nothing is lost. Only the simulated driver fails on demand.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaSlice, CudaStream};
use warpcomm::{
    Algorithm, AnyBuffer, AnyBufferMut, Blocks, Communicator, DeviceBuffer, ErrorKind, Op, Path, Result, Tag,
    pinned_usage, release_pinned,
};

use super::common::{next, previous, still_works};
use super::copies::expected_path;
use super::simulated::{LIVE, Simulated};
use crate::harness::{Outcome, expect_error};
use crate::oracle::{assert_same, folded, vector, vectors};

/// A case for each scenario and length, and one that is no sweep.
macro_rules! sweeps {
    (also $other:ident; $($name:ident: $scenario:ident, $length:ident;)*) => {
        cases! { $other: 2..=3, mpi; $($name: 2..=3;)* }

        $(fn $name(comm: &Communicator) -> Outcome {
            at_every_call(comm, $scenario, $length)
        })*
    };
}

sweeps! {
    also nobody_has_pinned_memory;
    an_eager_message: send_recv, EAGER;
    a_message_in_rendezvous: send_recv, DIRECT;
    a_lent_message: lent_send_recv, DIRECT;
    sendrecv_of_eager_messages: sendrecv, EAGER;
    sendrecv_in_rendezvous: sendrecv, DIRECT;
    requests_of_eager_messages: requests, EAGER;
    requests_in_rendezvous: requests, DIRECT;
    eager_messages_of_a_scope: scope, EAGER;
    messages_of_a_scope_in_rendezvous: scope, DIRECT;
    bcast_in_a_frame: bcast, FRAME;
    bcast_along_a_tree: bcast, DIRECT;
    gather_in_a_frame: gather, FRAME;
    gather_directly: gather, DIRECT;
    scatter_in_a_frame: scatter, FRAME;
    scatter_directly: scatter, DIRECT;
    allgather_in_a_frame: allgather, FRAME;
    allgather_directly: allgather, DIRECT;
    allgatherv_in_a_frame: allgatherv, FRAME;
    allgatherv_directly: allgatherv, DIRECT;
    gatherv_in_a_frame: gatherv, FRAME;
    gatherv_directly: gatherv, DIRECT;
    scatterv_in_a_frame: scatterv, FRAME;
    scatterv_directly: scatterv, DIRECT;
    alltoall_in_a_frame: alltoall, FRAME;
    alltoall_directly: alltoall, DIRECT;
    alltoall_in_place_directly: alltoall_in_place, DIRECT;
    alltoallv_directly: alltoallv, DIRECT;
    alltoallv_in_place_directly: alltoallv_in_place, DIRECT;
    alltoallw_directly: alltoallw, DIRECT;
    reduce_scatter_block_in_a_frame: reduce_scatter_block, FRAME;
    reduce_scatter_block_directly: reduce_scatter_block, DIRECT;
    reduce_scatter_in_place_directly: reduce_scatter_in_place, DIRECT;
    scan_in_a_frame: scan, FRAME;
    scan_directly: scan, DIRECT;
    exscan_in_a_frame: exscan, FRAME;
    exscan_directly: exscan, DIRECT;
    reduce_in_a_frame: reduce, FRAME;
    reduce_directly: reduce, DIRECT;
    reduce_in_blocks: reduce, BLOCKS;
    allreduce_in_a_frame: allreduce, FRAME;
    allreduce_directly: allreduce, DIRECT;
    allreduce_in_blocks: allreduce, BLOCKS;
    iallreduce_directly: iallreduce, DIRECT;
    allreduce_by_kernels: allreduce, KERNELS;
    reduce_scatter_block_by_kernels: reduce_scatter_block, KERNEL_BLOCKS;
    allreduce_by_a_leader: led_allreduce, LED;
    reduce_by_a_leader: led_reduce, LED;
    iallreduce_by_a_leader: led_iallreduce, LED;
    reduce_scatter_block_by_a_leader: led_reduce_scatter_block, LED;
    reduce_scatter_in_place_by_a_leader: led_reduce_scatter_in_place, LED;
    scan_in_place_by_a_leader: led_scan_in_place, LED;
    iexscan_by_a_leader: led_iexscan, LED;
    a_persistent_bcast_along_a_tree: persistent_bcast, DIRECT;
}

/// What fails, and whether the library keeps what such a call makes for later: then only the first of such calls
/// comes again, and the second when that has succeeded.
const CLASSES: &[(&str, bool)] = &[
    ("alloc", false),
    ("copy", false),
    ("launch", false),
    ("record", false),
    ("wait", false),
    ("write", false),
    ("pinned", true),
    ("module", true),
    ("function", true),
    ("stream", true),
    ("event", true),
];

/// More calls of a class than a rank makes in one operation.
const MANY: u64 = 200;

/// How often everything is repeated, at most, to see whether something gets lost.
const PASSES: usize = 3;

const FRAME: usize = 5;
const EAGER: usize = 700;
const DIRECT: usize = 2_500;
const BLOCKS: usize = 9_000;
/// More than the host folds.
const KERNELS: usize = 17_000;
const KERNEL_BLOCKS: usize = KERNELS / 2;
/// The same, of ranks on several nodes.
const LEVELS: usize = 17_001;
/// Kernels of one rank fold them for all, if these share a GPU.
const LED: usize = 2_501;

/// Runs an operation between `arm` and `disarm`, and asserts that its data are right if it succeeds.
type Scenario = fn(&Rank<'_>, usize) -> Result<()>;

struct Rank<'a> {
    comm: &'a Communicator,
    stream: Arc<CudaStream>,
    faults: &'a Simulated,
    /// The calls that are to fail, in the simulated driver's words.
    list: String,
}

const CUDA: &str = "the test's own calls are not to fail";

impl Rank<'_> {
    fn on_device(&self, elements: &[f32]) -> CudaSlice<f32> {
        self.stream.clone_htod(elements).expect(CUDA)
    }

    fn zeros(&self, length: usize) -> CudaSlice<f32> {
        self.stream.alloc_zeros(length).expect(CUDA)
    }

    fn own(&self, length: usize) -> Vec<f32> {
        vector(1, self.comm.rank(), length)
    }

    fn assert_same(&self, buffer: &CudaSlice<f32>, expected: &[f32], what: &str) {
        let found = self.stream.clone_dtoh(buffer).expect(CUDA);
        assert_same(&found, expected, || format!("{what} with {}", self.list));
    }

    /// Runs the operation itself, with calls that fail. Ranks that are threads have one driver, and so have its
    /// faults together; of processes the last has them.
    fn run(&self, operation: impl FnOnce() -> Result<()>) -> Result<()> {
        self.stream.synchronize().expect(CUDA);
        self.comm.barrier()?;
        let (rank, last) = (self.comm.rank(), self.comm.size() - 1);
        if rank == last {
            self.faults.set(&self.list);
        }
        self.comm.barrier()?;
        let outcome = operation();
        self.comm.barrier()?;
        if rank == last {
            self.faults.set("");
        }
        self.comm.barrier()?;
        // What cudarc could not tell in a drop its next call tells: the test's, if nobody asks for it here.
        let _ = self.stream.context().check_err();
        outcome
    }
}

fn send_recv(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own = on.on_device(&on.own(length));
    let mut received = on.zeros(length);
    on.run(|| {
        // Every rank but the last receives before it sends.
        let last = comm.rank() == comm.size() - 1;
        let sent = if last {
            comm.send(&own, next(comm), Tag(0))
        } else {
            Ok(())
        };
        let received = comm.recv(&mut received, previous(comm), Tag(0));
        // The next rank waits, whatever became of the message from the one before.
        let sent = if last {
            sent
        } else {
            comm.send(&own, next(comm), Tag(0))
        };
        received.and(sent)
    })?;
    on.assert_same(&received, &vector::<f32>(1, previous(comm), length), "recv");
    Ok(())
}

fn lent_send_recv(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own = buffer(on, &on.own(length));
    let mut received = buffer(on, &vec![0.0; length]);
    on.run(|| {
        comm.scope(|scope| {
            scope.irecv(&mut received, previous(comm), Tag(0))?;
            scope.isend(&own, next(comm), Tag(0))?;
            Ok(())
        })
    })?;
    on.assert_same(
        &received,
        &vector::<f32>(1, previous(comm), length),
        "a lent message",
    );
    Ok(())
}

fn sendrecv(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own = on.on_device(&on.own(length));
    let mut received = on.zeros(length);
    on.run(|| {
        comm.sendrecv(&own, next(comm), Tag(0), &mut received, previous(comm), Tag(0))
            .map(drop)
    })?;
    on.assert_same(&received, &vector::<f32>(1, previous(comm), length), "sendrecv");
    Ok(())
}

fn requests(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let (own, incoming) = (on.on_device(&on.own(length)), on.zeros(length));
    let mut received = None;
    on.run(|| {
        let receive = comm.irecv(incoming, previous(comm), Tag(0));
        let sent = comm.isend(own, next(comm), Tag(0)).wait();
        match receive.wait() {
            Ok((buffer, _)) => received = Some(buffer),
            Err(failed) => {
                let (error, buffer) = failed.into_parts();
                assert!(buffer.is_some(), "{}: the buffer is lost", on.list);
                return Err(error);
            }
        }
        Ok(sent.map(drop)?)
    })?;
    if let Some(received) = received {
        on.assert_same(&received, &vector::<f32>(1, previous(comm), length), "irecv");
    }
    Ok(())
}

fn scope(on: &Rank<'_>, length: usize) -> Result<()> {
    let comm = on.comm;
    let own = on.on_device(&on.own(2 * length));
    let mut received = on.zeros(2 * length);
    on.run(|| {
        let (mut front, mut back) = received.split_at_mut(length);
        let (own_front, own_back) = (own.slice(..length), own.slice(length..));
        comm.scope(|scope| {
            scope.irecv(&mut front, previous(comm), Tag(0))?;
            scope.irecv(&mut back, previous(comm), Tag(0))?;
            scope.isend(&own_front, next(comm), Tag(0))?;
            scope.isend(&own_back, next(comm), Tag(0))?;
            Ok(())
        })
    })?;
    on.assert_same(
        &received,
        &vector::<f32>(1, previous(comm), 2 * length),
        "a scope",
    );
    Ok(())
}

fn bcast(on: &Rank<'_>, length: usize) -> Result<()> {
    let mut buffer = on.on_device(&on.own(length));
    on.run(|| on.comm.bcast(&mut buffer, 1))?;
    on.assert_same(&buffer, &vector::<f32>(1, 1, length), "bcast");
    Ok(())
}

fn gather(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let own = on.on_device(&on.own(length));
    let mut all = on.zeros(size * length);
    on.run(|| on.comm.gather(&own, &mut all, 0))?;
    if on.comm.rank() == 0 {
        on.assert_same(&all, &vectors::<f32>(1, size, length), "gather");
    }
    Ok(())
}

fn scatter(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let all = on.on_device(&vectors::<f32>(1, size, length));
    let mut own = on.zeros(length);
    on.run(|| on.comm.scatter(&all, &mut own, size - 1))?;
    on.assert_same(&own, &on.own(length), "scatter");
    Ok(())
}

fn allgather(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let own = on.on_device(&on.own(length));
    let mut all = on.zeros(size * length);
    on.run(|| on.comm.allgather(&own, &mut all))?;
    on.assert_same(&all, &vectors::<f32>(1, size, length), "allgather");
    Ok(())
}

fn allgatherv(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let blocks = Blocks::packed((0..size).map(|rank| length + rank).collect::<Vec<_>>());
    let own = on.on_device(&on.own(blocks.count(on.comm.rank())));
    let mut all = on.zeros(blocks.total());
    on.run(|| on.comm.allgatherv(&own, &mut all, &blocks))?;
    let expected: Vec<f32> = (0..size)
        .flat_map(|rank| vector::<f32>(1, rank, length + rank))
        .collect();
    on.assert_same(&all, &expected, "allgatherv");
    Ok(())
}

fn reduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let own = on.on_device(&on.own(length));
    let mut result = on.zeros(length);
    on.run(|| on.comm.reduce(&own, &mut result, Op::Sum, size - 1))?;
    if on.comm.rank() == size - 1 {
        on.assert_same(&result, &sum(size, length), "reduce");
    }
    Ok(())
}

fn allreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let mut buffer = on.on_device(&on.own(length));
    on.run(|| on.comm.allreduce_in_place(&mut buffer, Op::Sum))?;
    on.assert_same(&buffer, &sum(on.comm.size(), length), "allreduce");
    Ok(())
}

/// For ranks of which the last is on a node with others.
#[cfg(feature = "mpi")]
pub fn an_allreduce_in_levels(comm: &Communicator) -> Outcome {
    // Loads the driver.
    comm.device()?;
    at_every_call(comm, allreduce, LEVELS)
}

fn iallreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let (own, result) = (on.on_device(&on.own(length)), on.zeros(length));
    let mut results = None;
    on.run(|| {
        let outcome = on.comm.iallreduce(own, result, Op::Sum).wait();
        let (buffers, _) = outcome.map_err(|failed| {
            let (error, buffers) = failed.into_parts();
            assert!(buffers.is_some(), "{}: the buffers are lost", on.list);
            error
        })?;
        results = Some(buffers.1);
        Ok(())
    })?;
    if let Some(result) = results {
        on.assert_same(&result, &sum(on.comm.size(), length), "iallreduce");
    }
    Ok(())
}

fn buffer(on: &Rank<'_>, elements: &[f32]) -> DeviceBuffer<f32> {
    DeviceBuffer::from_slice(&on.stream, elements).expect(CUDA)
}

fn led_allreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let (own, mut result) = (buffer(on, &on.own(length)), buffer(on, &vec![0.0; length]));
    on.run(|| on.comm.allreduce(&own, &mut result, Op::Sum))?;
    on.assert_same(&result, &sum(on.comm.size(), length), "allreduce");
    Ok(())
}

fn led_reduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let root = on.comm.size() - 1;
    let mut buffer = buffer(on, &on.own(length));
    on.run(|| on.comm.reduce_in_place(&mut buffer, Op::Sum, root))?;
    let expected = match on.comm.rank() == root {
        true => sum(on.comm.size(), length),
        false => on.own(length),
    };
    on.assert_same(&buffer, &expected, "reduce");
    Ok(())
}

fn led_iallreduce(on: &Rank<'_>, length: usize) -> Result<()> {
    let own = buffer(on, &on.own(length));
    let mut result = None;
    on.run(|| {
        let outcome = on.comm.iallreduce_in_place(own, Op::Sum).wait();
        let (buffer, _) = outcome.map_err(|failed| {
            let (error, buffer) = failed.into_parts();
            assert!(buffer.is_some(), "{}: the buffer is lost", on.list);
            error
        })?;
        result = Some(buffer);
        Ok(())
    })?;
    if let Some(result) = result {
        on.assert_same(&result, &sum(on.comm.size(), length), "iallreduce");
    }
    Ok(())
}

fn led_reduce_scatter_block(on: &Rank<'_>, length: usize) -> Result<()> {
    let (rank, size) = (on.comm.rank(), on.comm.size());
    let own = buffer(on, &on.own(size * length));
    let mut result = buffer(on, &vec![0.0; length]);
    on.run(|| on.comm.reduce_scatter_block(&own, &mut result, Op::Sum))?;
    let expected = &sum(size, size * length)[rank * length..][..length];
    on.assert_same(&result, expected, "reduce_scatter_block");
    Ok(())
}

fn led_reduce_scatter_in_place(on: &Rank<'_>, length: usize) -> Result<()> {
    let blocks = Blocks::even(on.comm.size() * length + 1, on.comm.size());
    let mut buffer = buffer(on, &on.own(blocks.total()));
    on.run(|| on.comm.reduce_scatter_in_place(&mut buffer, &blocks, Op::Sum))?;
    let mut expected = on.own(blocks.total());
    let range = blocks.range(on.comm.rank());
    expected[..range.len()].copy_from_slice(&sum(on.comm.size(), blocks.total())[range]);
    on.assert_same(&buffer, &expected, "reduce_scatter");
    Ok(())
}

fn led_scan_in_place(on: &Rank<'_>, length: usize) -> Result<()> {
    let mut buffer = buffer(on, &on.own(length));
    on.run(|| on.comm.scan_in_place(&mut buffer, Op::Sum))?;
    on.assert_same(&buffer, &sum(on.comm.rank() + 1, length), "scan");
    Ok(())
}

fn led_iexscan(on: &Rank<'_>, length: usize) -> Result<()> {
    let (own, result) = (buffer(on, &on.own(length)), buffer(on, &vec![0.0; length]));
    let mut results = None;
    on.run(|| {
        let outcome = on.comm.iexscan(own, result, Op::Sum).wait();
        let (buffers, _) = outcome.map_err(|failed| {
            let (error, buffers) = failed.into_parts();
            assert!(buffers.is_some(), "{}: the buffers are lost", on.list);
            error
        })?;
        results = Some(buffers.1);
        Ok(())
    })?;
    if let Some(result) = results {
        let expected = match on.comm.rank() {
            0 => vec![0.0; length],
            rank => sum(rank, length),
        };
        on.assert_same(&result, &expected, "iexscan");
    }
    Ok(())
}

fn persistent_bcast(on: &Rank<'_>, length: usize) -> Result<()> {
    let mut request = on.comm.bcast_init(on.on_device(&on.own(length)), 1);
    on.run(|| {
        request.start()?;
        let outcome = request.wait().map(drop);
        assert!(request.buffer().is_ok(), "{}: the buffer is lost", on.list);
        outcome
    })?;
    on.assert_same(
        request.buffer()?,
        &vector::<f32>(1, 1, length),
        "a persistent bcast",
    );
    Ok(())
}

/// Blocks of different lengths, one for each rank.
fn uneven(size: usize, length: usize) -> Blocks {
    Blocks::packed((0..size).map(|rank| length + rank).collect::<Vec<_>>())
}

/// What the ranks have, each as many elements as its block.
fn of_all(blocks: &Blocks) -> Vec<f32> {
    (0..blocks.len())
        .flat_map(|rank| vector::<f32>(1, rank, blocks.count(rank)))
        .collect()
}

fn gatherv(on: &Rank<'_>, length: usize) -> Result<()> {
    let blocks = uneven(on.comm.size(), length);
    let own = on.on_device(&on.own(blocks.count(on.comm.rank())));
    let mut all = on.zeros(blocks.total());
    on.run(|| on.comm.gatherv(&own, &mut all, &blocks, 0))?;
    if on.comm.rank() == 0 {
        on.assert_same(&all, &of_all(&blocks), "gatherv");
    }
    Ok(())
}

fn scatterv(on: &Rank<'_>, length: usize) -> Result<()> {
    let (size, blocks) = (on.comm.size(), uneven(on.comm.size(), length));
    let all = on.on_device(&of_all(&blocks));
    let mut own = on.zeros(blocks.count(on.comm.rank()));
    on.run(|| on.comm.scatterv(&all, &blocks, &mut own, size - 1))?;
    on.assert_same(&own, &on.own(blocks.count(on.comm.rank())), "scatterv");
    Ok(())
}

fn alltoall(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let own = on.on_device(&on.own(length).repeat(size));
    let mut all = on.zeros(size * length);
    on.run(|| on.comm.alltoall(&own, &mut all))?;
    on.assert_same(&all, &vectors::<f32>(1, size, length), "alltoall");
    Ok(())
}

fn alltoall_in_place(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let mut all = on.on_device(&on.own(length).repeat(size));
    on.run(|| on.comm.alltoall_in_place(&mut all))?;
    on.assert_same(&all, &vectors::<f32>(1, size, length), "alltoall in place");
    Ok(())
}

fn alltoallv(on: &Rank<'_>, length: usize) -> Result<()> {
    let (size, blocks) = (on.comm.size(), uneven(on.comm.size(), length));
    let count = blocks.count(on.comm.rank());
    let own = on.on_device(&on.own(count));
    let mut all = on.zeros(blocks.total());
    let same = Blocks::new(vec![count; size], vec![0; size]);
    on.run(|| on.comm.alltoallv(&own, &same, &mut all, &blocks))?;
    on.assert_same(&all, &of_all(&blocks), "alltoallv");
    Ok(())
}

fn alltoallv_in_place(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let mut all = on.on_device(&on.own(length).repeat(size));
    let blocks = Blocks::packed(vec![length; size]);
    on.run(|| on.comm.alltoallv_in_place(&mut all, &blocks))?;
    on.assert_same(&all, &vectors::<f32>(1, size, length), "alltoallv in place");
    Ok(())
}

fn alltoallw(on: &Rank<'_>, length: usize) -> Result<()> {
    let size = on.comm.size();
    let own = on.on_device(&on.own(length));
    let mut all: Vec<CudaSlice<f32>> = (0..size).map(|_| on.zeros(length)).collect();
    on.run(|| {
        let send: Vec<AnyBuffer<'_>> = (0..size).map(|_| AnyBuffer::new(&own)).collect();
        let mut recv: Vec<AnyBufferMut<'_>> = all.iter_mut().map(AnyBufferMut::new).collect();
        on.comm.alltoallw(&send, &mut recv)
    })?;
    for (rank, received) in all.iter().enumerate() {
        on.assert_same(received, &vector::<f32>(1, rank, length), "alltoallw");
    }
    Ok(())
}

fn reduce_scatter_block(on: &Rank<'_>, length: usize) -> Result<()> {
    let (rank, size) = (on.comm.rank(), on.comm.size());
    let own = on.on_device(&on.own(size * length));
    let mut block = on.zeros(length);
    on.run(|| on.comm.reduce_scatter_block(&own, &mut block, Op::Sum))?;
    let sums = sum(size, size * length);
    on.assert_same(&block, &sums[rank * length..][..length], "reduce_scatter_block");
    Ok(())
}

fn reduce_scatter_in_place(on: &Rank<'_>, length: usize) -> Result<()> {
    let blocks = uneven(on.comm.size(), length);
    let own = on.own(blocks.total());
    let mut buffer = on.on_device(&own);
    on.run(|| on.comm.reduce_scatter_in_place(&mut buffer, &blocks, Op::Sum))?;
    let range = blocks.range(on.comm.rank());
    let mut expected = own;
    expected[..range.len()].copy_from_slice(&sum(on.comm.size(), blocks.total())[range]);
    on.assert_same(&buffer, &expected, "reduce_scatter in place");
    Ok(())
}

fn scan(on: &Rank<'_>, length: usize) -> Result<()> {
    let mut buffer = on.on_device(&on.own(length));
    on.run(|| on.comm.scan_in_place(&mut buffer, Op::Sum))?;
    on.assert_same(&buffer, &sum(on.comm.rank() + 1, length), "scan");
    Ok(())
}

fn exscan(on: &Rank<'_>, length: usize) -> Result<()> {
    let own = on.on_device(&on.own(length));
    let mut result = on.zeros(length);
    on.run(|| on.comm.exscan(&own, &mut result, Op::Sum))?;
    let expected = match on.comm.rank() {
        0 => vec![0.0; length],
        rank => sum(rank, length),
    };
    on.assert_same(&result, &expected, "exscan");
    Ok(())
}

fn sum(ranks: usize, length: usize) -> Vec<f32> {
    let of_ranks: Vec<Vec<f32>> = (0..ranks).map(|rank| vector(1, rank, length)).collect();
    folded(Op::Sum, &of_ranks).unwrap_or_default()
}

fn nobody_has_pinned_memory(comm: &Communicator) -> Outcome {
    // Several pieces, so that both sides fail in the middle. Ranks of one process would need none for them.
    const BYTES: usize = 3 << 20;
    let faults = Simulated::load()?;
    let stream = comm.device()?.new_stream()?;
    let mut buffer = stream.alloc_zeros::<u8>(BYTES)?;
    let message = |buffer: &mut CudaSlice<u8>| match comm.rank() {
        0 => comm.send(&*buffer, comm.size() - 1, Tag(0)),
        rank if rank == comm.size() - 1 => comm.recv(buffer, 0, Tag(0)).map(drop),
        _ => Ok(()),
    };
    // Finds out which path there is.
    message(&mut buffer)?;
    stream.synchronize()?;
    comm.barrier()?;
    // What is kept of earlier messages would do.
    release_pinned();
    let every_call: Vec<String> = (1..MANY).map(|call| format!("pinned:{call}=2")).collect();
    faults.set(&every_call.join(","));
    comm.barrier()?;
    let outcome = message(&mut buffer);
    comm.barrier()?;
    faults.set("");
    comm.barrier()?;
    match comm.rank() {
        // It was locked before, or is not needed.
        _ if expected_path(comm) != Path::Staged => outcome?,
        0 => drop(expect_error(outcome, ErrorKind::Device)),
        // The sender's mark comes even where no memory is needed for it.
        rank if rank == comm.size() - 1 => drop(expect_error(outcome, ErrorKind::PeerFailed)),
        _ => outcome?,
    }
    still_works(comm)
}

/// Runs a scenario with a fault in the first call of each class, the second, and so on, until the fault is not met
/// any more.
fn at_every_call(comm: &Communicator, scenario: Scenario, length: usize) -> Outcome {
    let faults = Simulated::load()?;
    let stream = comm.device()?.new_stream()?;
    // Ranks that are threads would share a GPU, and one kernel would fold everything.
    let otherwise = match length {
        LED => None,
        BLOCKS => Some(Algorithm::Blocks),
        LEVELS => Some(Algorithm::Levels),
        _ => Some(Algorithm::Direct),
    };
    let comm = match otherwise {
        None => comm.clone(),
        Some(algorithm) => comm
            .with_algorithm("allreduce", algorithm)?
            .with_algorithm("reduce", algorithm)?,
    };
    let comm = &comm;
    let on = |list| Rank {
        comm,
        stream: Arc::clone(&stream),
        faults: &faults,
        list,
    };
    // Ranks find out which paths there are between them, and take the next best where a call fails.
    one_round(&on(String::new()), scenario, length)?;
    let mut live: Vec<[u64; LIVE.len()]> = Vec::new();
    let has_always_grown = |live: &[[u64; LIVE.len()]], number: usize| {
        live.windows(2).all(|pair| pair[0][number] < pair[1][number])
    };
    let mut met = 0;
    // Buffers of the library are kept with an event each, so that it takes longer until there are enough.
    let passes = PASSES + usize::from(length == LED);
    for _ in 0..passes {
        for &(class, is_kept) in CLASSES {
            let mut call = 1;
            loop {
                assert!(call < MANY, "every {class} fails");
                let list = format!("{class}:{call}=2");
                println!("{list}");
                if !one_round(&on(list), scenario, length)? {
                    break;
                }
                met += 1;
                call = if is_kept { 2 } else { call + 1 };
            }
        }
        comm.barrier()?;
        live.push(faults.live());
        let mut is_suspicious = (0..LIVE.len()).any(|number| has_always_grown(&live, number));
        comm.allreduce_in_place(&mut is_suspicious, Op::LogicalOr)?;
        if !is_suspicious {
            break;
        }
    }
    assert!(met > 0, "no call has failed");
    for (number, what) in LIVE.iter().enumerate() {
        let counts: Vec<u64> = live.iter().map(|counts| counts[number]).collect();
        assert!(
            !has_always_grown(&live, number),
            "{what} get lost, in {passes} passes there are {counts:?}"
        );
    }
    Ok(())
}

/// Runs a scenario with a fault; says whether the fault was met.
fn one_round(on: &Rank<'_>, scenario: Scenario, length: usize) -> Result<bool, crate::harness::Failure> {
    let comm = on.comm;
    let before = on.faults.fired();
    comm.barrier()?;
    let outcome = scenario(on, length);
    // Whether somebody met it, and what it did to whom.
    let code = match &outcome {
        Ok(()) => 0u8,
        Err(error) if error.kind() == ErrorKind::Device => 1,
        Err(error) if error.kind() == ErrorKind::PeerFailed => 2,
        Err(error) => panic!("{}: {error}", on.list),
    };
    let own = [code, u8::from(on.faults.fired() > before)];
    let mut all = vec![0u8; 2 * comm.size()];
    comm.allgather(&own, &mut all)?;
    let met = all.chunks(2).any(|rank| rank[1] == 1);
    let failed = all.chunks(2).any(|rank| rank[0] != 0);
    let told = all.chunks(2).any(|rank| rank[0] == 1);
    assert!(met || !failed, "{}: {outcome:?} without a fault", on.list);
    assert!(
        !failed || told,
        "{}: nobody gets the error of the driver",
        on.list
    );
    let class = on.list.split(':').next().unwrap_or("");
    // What orders streams can wait instead, and what cudarc does in a drop it tells later.
    let may_be_survived = ["record", "wait", "write", "event"].contains(&class);
    assert!(!met || failed || may_be_survived, "{}: nobody is told", on.list);
    still_works(comm)?;
    on.stream.synchronize()?;
    comm.barrier()?;
    let usage = pinned_usage();
    assert_eq!(usage.slabs_in_use, 0, "{}: {usage:?}", on.list);
    comm.barrier()?;
    Ok(met)
}
