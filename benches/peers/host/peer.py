"""Operations on host buffers through mpi4py, with NumPy's arrays as buffers: what `warpcomm bench` is held against.

    peer.py THREAD_LEVEL WARM_UP SECONDS SAMPLES CHECK SIZES OPERATION:DTYPE...

run.py starts it. peer.c measures the same in the same way, under the same names, and says how.
"""

import json
import math
import sys
import time

import mpi4py
import numpy as np

mpi4py.rc.thread_level = sys.argv[1]

from mpi4py import MPI  # noqa: E402

WINDOW = 64
WINDOW_BYTES = 64 << 20
PAGE = 4096
SAMPLE_SECONDS = 1e-3
ESTIMATES = 3
LEAST_SAMPLES = 3

DTYPES = {"f32": np.float32, "f64": np.float64, "u8": np.uint8}

comm = MPI.COMM_WORLD
rank, ranks = comm.rank, comm.size
pairs = ranks // 2


def given_by(source, at):
    """What a rank gives: small numbers, so that sums are exact in every type."""
    return (at * 31 + at // 251 + source * 101) % 13


def sum_of_first(number, at):
    return sum(given_by(source, at) for source in range(number))


# Messages: functions that do an operation so many times. `slots` are buffers for the messages of a
# window, of which `into` is the first.


def latency(out, into, slots, repeats):
    for _ in range(repeats if rank < 2 else 0):
        if rank == 0:
            comm.Send(out, 1)
            comm.Recv(into, 1)
        else:
            comm.Recv(into, 0)
            comm.Send(out, 0)


def windows(out, slots, repeats, source, dest):
    answer = np.zeros(1, np.uint8)
    for _ in range(repeats if rank in (source, dest) else 0):
        if rank == source:
            MPI.Request.Waitall([comm.Isend(out, dest) for _ in slots])
            comm.Recv(answer, dest, 1)
        else:
            MPI.Request.Waitall([comm.Irecv(slot, source) for slot in slots])
            comm.Send(answer, source, 1)


def bandwidth(out, into, slots, repeats):
    windows(out, slots, repeats, 0, 1)


def message_rate(out, into, slots, repeats):
    source = rank % pairs
    if rank < 2 * pairs:
        windows(out, slots, repeats, source, source + pairs)


def bibandwidth(out, into, slots, repeats):
    for _ in range(repeats if rank < 2 else 0):
        requests = [comm.Irecv(slot, 1 - rank) for slot in slots]
        requests += [comm.Isend(out, 1 - rank) for _ in slots]
        MPI.Request.Waitall(requests)


# Collectives, of root 0.


def barrier(out, into, slots, repeats):
    for _ in range(repeats):
        comm.Barrier()


def bcast(out, into, slots, repeats):
    buffer = out if rank == 0 else into
    for _ in range(repeats):
        comm.Bcast(buffer)


def scatter(out, into, slots, repeats):
    out = out if rank == 0 else None
    for _ in range(repeats):
        comm.Scatter(out, into)


def gather(out, into, slots, repeats):
    into = into if rank == 0 else None
    for _ in range(repeats):
        comm.Gather(out, into)


def allgather(out, into, slots, repeats):
    for _ in range(repeats):
        comm.Allgather(out, into)


def alltoall(out, into, slots, repeats):
    for _ in range(repeats):
        comm.Alltoall(out, into)


def reduce(out, into, slots, repeats):
    into = into if rank == 0 else None
    for _ in range(repeats):
        comm.Reduce(out, into)


def allreduce(out, into, slots, repeats):
    for _ in range(repeats):
        comm.Allreduce(out, into)


def reduce_scatter_block(out, into, slots, repeats):
    for _ in range(repeats):
        comm.Reduce_scatter_block(out, into)


def scan(out, into, slots, repeats):
    for _ in range(repeats):
        comm.Scan(out, into)


OPERATIONS = (latency, bandwidth, bibandwidth, message_rate, barrier, bcast, scatter, gather, allgather, alltoall)
OPERATIONS += (reduce, allreduce, reduce_scatter_block, scan)
OPERATIONS = {operation.__name__: operation for operation in OPERATIONS}


def shape(operation, count):
    """How many elements this rank gives, and which it gets in each buffer."""
    at = np.arange(count)
    own = at + rank * count
    nothing = np.empty(0)
    is_root, is_of_two = rank == 0, rank < 2
    match operation:
        case "latency":
            return count * is_of_two, given_by(1 - rank, at) if is_of_two else nothing
        case "bandwidth":
            return count * is_root, given_by(0, at) if rank == 1 else nothing
        case "bibandwidth":
            return count * is_of_two, given_by(1 - rank, at) if is_of_two else nothing
        case "message_rate":
            is_receiver = pairs <= rank < 2 * pairs
            return count * (rank < pairs), given_by(rank - pairs, at) if is_receiver else nothing
        case "barrier":
            return 0, nothing
        case "bcast":
            return count * is_root, nothing if is_root else given_by(0, at)
        case "scatter":
            return count * ranks * is_root, given_by(0, own)
        case "gather":
            blocks = [given_by(source, at) for source in range(ranks)]
            return count, np.concatenate(blocks) if is_root else nothing
        case "allgather":
            return count, np.concatenate([given_by(source, at) for source in range(ranks)])
        case "alltoall":
            return count * ranks, np.concatenate([given_by(source, own) for source in range(ranks)])
        case "reduce":
            return count, sum_of_first(ranks, at) if is_root else nothing
        case "allreduce":
            return count, sum_of_first(ranks, at)
        case "reduce_scatter_block":
            return count * ranks, sum_of_first(ranks, own)
        case "scan":
            return count, sum_of_first(rank + 1, at)


def pages(elements, number, dtype):
    """Buffers that begin at a page."""
    length = elements * dtype.itemsize
    stride = -(-length // PAGE) * PAGE
    memory = np.empty(number * stride + PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    starts = (first + buffer * stride for buffer in range(number))
    return [memory[start : start + length].view(dtype) for start in starts]


def sample(run, repeats):
    """The seconds of what is run once, on the slowest rank: the same number on all ranks."""
    comm.Barrier()
    start = time.perf_counter()
    run(repeats)
    own = (time.perf_counter() - start) / repeats
    return max(comm.allreduce(own, MPI.MAX), 1e-9)


def measure(operation, dtype, size, effort):
    """Prints a row."""
    warm_up, most_seconds, most_samples, is_checked = effort
    element = np.dtype(DTYPES[dtype])
    # Whole elements, and as many for each rank where blocks are equal: at least so many bytes.
    blocks = ranks if operation == "reduce_scatter_block" else 1
    count = -(-size // (element.itemsize * blocks))
    size = count * blocks * element.itemsize
    window = 1
    if operation in ("bandwidth", "bibandwidth", "message_rate"):
        window = min(max(WINDOW_BYTES // max(size, 1), 1), WINDOW)
    operations = 2 if operation == "latency" else window
    given, got = shape(operation, count)
    got = got.astype(element)
    [out] = pages(given, 1, element)
    slots = pages(len(got), window, element)

    def run(repeats):
        OPERATIONS[operation](out, slots[0], slots, repeats)

    def fresh(repeats):
        """Runs it so many times on buffers that no operation has seen."""
        out[:] = given_by(rank, np.arange(given))
        for slot in slots:
            # No result: NaN, and as a byte more than sums of few ranks.
            slot.view(np.uint8)[:] = 0xFF
        run(repeats)

    def check():
        for slot in slots:
            if (wrong := np.flatnonzero(slot != got)).size:
                raise ValueError(f"{operation} of {count} {dtype}: element {wrong[0]} is not what it should be")

    fresh(1)
    if is_checked:
        check()
    run(min(int(most_seconds / sample(run, 1)), max(warm_up - 2, 0)))
    repeats, enough = 1, math.inf
    while repeats < enough:
        once = min(sample(run, repeats) for _ in range(ESTIMATES))
        enough = math.ceil(SAMPLE_SECONDS / once)
        repeats = max(min(enough, 16 * repeats), repeats)
    samples = max(min(int(most_seconds / (once * repeats)), most_samples), LEAST_SAMPLES)
    seconds = [sample(run, repeats) / operations for _ in range(samples)]
    if is_checked:
        # What the samples no longer brought would be there from the operations before them.
        fresh(repeats)
        check()
    tell(
        row={
            "operation": operation,
            "dtype": dtype,
            "bytes": size,
            "checked": is_checked,
            "repeats": repeats,
            "samples": seconds,
        }
    )


def tell(**line):
    if rank == 0:
        print(json.dumps(line), flush=True)


def main():
    warm_up, most_seconds, most_samples, is_checked, sizes, *series = sys.argv[2:]
    effort = int(warm_up), float(most_seconds), int(most_samples), is_checked == "1"
    nodes = comm.allreduce(int(comm.Split_type(MPI.COMM_TYPE_SHARED).rank == 0))
    levels = {MPI.THREAD_SINGLE: "single", MPI.THREAD_FUNNELED: "funneled", MPI.THREAD_SERIALIZED: "serialized"}
    tell(
        job={
            "mpi": MPI.Get_library_version().strip("\0").splitlines()[0],
            "thread_level": levels.get(MPI.Query_thread(), "multiple"),
            "nodes": nodes,
        }
    )
    for operation, dtype in (word.split(":") for word in series):
        for size in ["0"] if operation == "barrier" else sizes.split(","):
            measure(operation, dtype, int(size), effort)


try:
    main()
except BaseException as error:
    print(f"peer: rank {rank}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    # The other ranks may wait for this one.
    comm.Abort(1)
