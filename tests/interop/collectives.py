"""Collectives: the operations that collectives.rs has under the same names."""

import numpy as np
from mpi4py import MPI

from contents import DTYPES, OPS, Contents, any_bytes, UNTOUCHED


def finish(case, comm, name, *arguments):
    """Calls the blocking or the non-blocking form."""
    if case.get("form", "").startswith("nonblocking"):
        getattr(comm, f"I{name.lower()}")(*arguments).Wait()
    else:
        getattr(comm, name)(*arguments)


def in_place(case):
    return case.get("form", "").endswith("in_place")


def extent(counts, displacements):
    return max((count + start for count, start in zip(counts, displacements) if count), default=0)


def block_of(contents, array, counts, displacements, rank):
    start = displacements[rank] * contents.size
    return array[start : start + counts[rank] * contents.size]


def barrier(case, comm, record):
    finish(case, comm, "Barrier")
    record.text("barrier", "left")


def bcast(case, comm, record):
    contents, count = Contents(case, comm.rank), case["count"]
    is_root = comm.rank == case["root"]
    buffer = contents.full(count) if is_root else contents.untouched(count)
    finish(case, comm, "Bcast", contents.spec(buffer), case["root"])
    if not is_root:
        record.elements("received", contents.dtype, buffer)


def gather(case, comm, record):
    contents, count, root = Contents(case, comm.rank), case["count"], case["root"]
    is_root = comm.rank == root
    send = contents.full(count)
    receive = contents.untouched(count * comm.size) if is_root else None
    recv = contents.spec(receive) if is_root else None
    if in_place(case) and is_root:
        own = count * contents.size
        receive[root * own : (root + 1) * own] = send
        finish(case, comm, "Gather", MPI.IN_PLACE, recv, root)
    else:
        finish(case, comm, "Gather", contents.spec(send), recv, root)
    if is_root:
        record.elements("received", contents.dtype, receive)


def scatter(case, comm, record):
    contents, count, root = Contents(case, comm.rank), case["count"], case["root"]
    is_root = comm.rank == root
    send = contents.full(count * comm.size) if is_root else None
    receive = contents.untouched(count)
    out = contents.spec(send) if is_root else None
    if in_place(case) and is_root:
        finish(case, comm, "Scatter", out, MPI.IN_PLACE, root)
        receive = send
    else:
        finish(case, comm, "Scatter", out, contents.spec(receive), root)
    record.elements("received", contents.dtype, receive)


def gatherv(case, comm, record):
    contents, root = Contents(case, comm.rank), case["root"]
    counts, starts = case["counts"], case["displacements"]
    is_root = comm.rank == root
    send = contents.full(counts[comm.rank])
    receive = contents.untouched(extent(counts, starts)) if is_root else None
    recv = contents.blocks(receive, counts, starts) if is_root else None
    if in_place(case) and is_root:
        block_of(contents, receive, counts, starts, root)[:] = send
        finish(case, comm, "Gatherv", MPI.IN_PLACE, recv, root)
    else:
        finish(case, comm, "Gatherv", contents.spec(send), recv, root)
    if is_root:
        record.elements("received", contents.dtype, receive)


def scatterv(case, comm, record):
    contents, root = Contents(case, comm.rank), case["root"]
    counts, starts = case["counts"], case["displacements"]
    is_root = comm.rank == root
    send = contents.full(extent(counts, starts)) if is_root else None
    receive = contents.untouched(counts[comm.rank])
    out = contents.blocks(send, counts, starts) if is_root else None
    if in_place(case) and is_root:
        finish(case, comm, "Scatterv", out, MPI.IN_PLACE, root)
        receive = send
    else:
        finish(case, comm, "Scatterv", out, contents.spec(receive), root)
    record.elements("received", contents.dtype, receive)


def allgather(case, comm, record):
    contents, count = Contents(case, comm.rank), case["count"]
    send, receive = contents.full(count), contents.untouched(count * comm.size)
    own = count * contents.size
    if in_place(case):
        receive[comm.rank * own : (comm.rank + 1) * own] = send
        finish(case, comm, "Allgather", MPI.IN_PLACE, contents.spec(receive))
    else:
        finish(case, comm, "Allgather", contents.spec(send), contents.spec(receive))
    record.elements("received", contents.dtype, receive)


def allgatherv(case, comm, record):
    contents = Contents(case, comm.rank)
    counts, starts = case["counts"], case["displacements"]
    send, receive = contents.full(counts[comm.rank]), contents.untouched(extent(counts, starts))
    blocks = contents.blocks(receive, counts, starts)
    if in_place(case):
        block_of(contents, receive, counts, starts, comm.rank)[:] = send
        finish(case, comm, "Allgatherv", MPI.IN_PLACE, blocks)
    else:
        finish(case, comm, "Allgatherv", contents.spec(send), blocks)
    record.elements("received", contents.dtype, receive)


def alltoall(case, comm, record):
    contents, count = Contents(case, comm.rank), case["count"] * comm.size
    send, receive = contents.full(count), contents.untouched(count)
    if in_place(case):
        receive = send
        finish(case, comm, "Alltoall", MPI.IN_PLACE, contents.spec(receive))
    else:
        finish(case, comm, "Alltoall", contents.spec(send), contents.spec(receive))
    record.elements("received", contents.dtype, receive)


def starts_of(counts, gap):
    """Where blocks start that have `gap` elements before each of them."""
    return [sum(counts[:rank]) + gap * (rank + 1) for rank in range(len(counts))]


def alltoallv(case, comm, record):
    contents, matrix = Contents(case, comm.rank), case["matrix"]
    out_counts, back_counts = matrix[comm.rank], [row[comm.rank] for row in matrix]
    out_starts, back_starts = starts_of(out_counts, 1), starts_of(back_counts, 2)
    send = contents.full(sum(out_counts) + comm.size)
    receive = contents.untouched(sum(back_counts) + 2 * comm.size)
    if in_place(case):
        receive = send
        finish(case, comm, "Alltoallv", MPI.IN_PLACE, contents.blocks(receive, out_counts, out_starts))
    else:
        send_blocks = contents.blocks(send, out_counts, out_starts)
        finish(case, comm, "Alltoallv", send_blocks, contents.blocks(receive, back_counts, back_starts))
    record.elements("received", contents.dtype, receive)


def alltoallw(case, comm, record):
    matrix, types = case["matrix"], case["types"]
    # What two ranks send each other in place must have one type.
    between = lambda one, other: types[(one + other) % len(types)]
    mine, others = comm.rank, range(comm.size)
    count_to = lambda sender, receiver: matrix[sender][receiver]
    # Starts are bytes, and each type's elements start at multiples of its size.
    def lay_out(counts):
        starts, at = [], 0
        for other in others:
            starts.append(at)
            at += 16 * (-(-counts[other] * DTYPES[between(mine, other)][0] // 16))
        return starts, at

    out_counts = [count_to(mine, other) for other in others]
    back_counts = [count_to(other, mine) for other in others]
    (out_starts, out_size), (back_starts, back_size) = lay_out(out_counts), lay_out(back_counts)
    mpi_types = [DTYPES[between(mine, other)][1] for other in others]
    send, receive = np.zeros(out_size, np.uint8), np.zeros(back_size, np.uint8)

    def part(array, starts, counts, other):
        size = DTYPES[between(mine, other)][0]
        return array[starts[other] : starts[other] + counts[other] * size]

    for other in others:
        dtype = between(mine, other)
        part(send, out_starts, out_counts, other)[:] = any_bytes(dtype, mine, other, out_counts[other])
        part(receive, back_starts, back_counts, other)[:] = any_bytes(
            dtype, mine, UNTOUCHED + other, back_counts[other]
        )
    if in_place(case):
        receive, back_starts = send, out_starts
        finish(case, comm, "Alltoallw", MPI.IN_PLACE, [receive, (back_counts, back_starts), mpi_types])
    else:
        finish(
            case,
            comm,
            "Alltoallw",
            [send, (out_counts, out_starts), mpi_types],
            [receive, (back_counts, back_starts), mpi_types],
        )
    for other in others:
        record.elements(f"from {other}", between(mine, other), part(receive, back_starts, back_counts, other))


def reduce(case, comm, record):
    contents, count, root = Contents(case, comm.rank), case["count"], case["root"]
    is_root, op = comm.rank == root, OPS[case["reduce"]]
    send = contents.full(count)
    receive = contents.untouched(count) if is_root else None
    if in_place(case) and is_root:
        receive = send
        finish(case, comm, "Reduce", MPI.IN_PLACE, contents.spec(receive), op, root)
    else:
        recv = contents.spec(receive) if is_root else None
        finish(case, comm, "Reduce", contents.spec(send), recv, op, root)
    if is_root:
        record.elements("result", contents.dtype, receive)


def folded(name):
    """A reduction that leaves every rank as many elements as it gives."""

    def run(case, comm, record):
        contents, count = Contents(case, comm.rank), case["count"]
        send, receive = contents.full(count), contents.untouched(count)
        op = OPS[case["reduce"]]
        if in_place(case):
            receive = send
            finish(case, comm, name, MPI.IN_PLACE, contents.spec(receive), op)
        else:
            finish(case, comm, name, contents.spec(send), contents.spec(receive), op)
        # What the first rank gets of an exscan is undefined.
        if name != "Exscan" or comm.rank > 0:
            record.elements("result", contents.dtype, receive)

    return run


def reduce_scatter_block(case, comm, record):
    contents, count = Contents(case, comm.rank), case["count"]
    send, receive = contents.full(count * comm.size), contents.untouched(count)
    op = OPS[case["reduce"]]
    if in_place(case):
        finish(case, comm, "Reduce_scatter_block", MPI.IN_PLACE, contents.spec(send), op)
        receive = send[: count * contents.size]
    else:
        finish(case, comm, "Reduce_scatter_block", contents.spec(send), contents.spec(receive), op)
    record.elements("result", contents.dtype, receive)


def reduce_scatter(case, comm, record):
    contents, counts = Contents(case, comm.rank), case["counts"]
    send, receive = contents.full(sum(counts)), contents.untouched(counts[comm.rank])
    op = OPS[case["reduce"]]
    if in_place(case):
        finish(case, comm, "Reduce_scatter", MPI.IN_PLACE, contents.spec(send), counts, op)
        receive = send[: counts[comm.rank] * contents.size]
    else:
        finish(case, comm, "Reduce_scatter", contents.spec(send), contents.spec(receive), counts, op)
    record.elements("result", contents.dtype, receive)


def at_once(case, comm, record):
    """Several non-blocking collectives under way together, with a message between two ranks among them."""
    contents, count = Contents(case, comm.rank), case["count"]
    op = OPS[case["reduce"]]
    sums, everybody = contents.untouched(count), contents.untouched(count * comm.size)
    told = contents.full(count, 2) if comm.rank == 0 else contents.untouched(count)
    send = [contents.full(count, buffer) for buffer in range(2)]
    requests = [
        comm.Iallreduce(contents.spec(send[0]), contents.spec(sums), op),
        comm.Iallgather(contents.spec(send[1]), contents.spec(everybody)),
        comm.Ibcast(contents.spec(told), 0),
        comm.Ibarrier(),
    ]
    right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    passed = contents.untouched(count)
    comm.Sendrecv(contents.spec(send[1]), right, 1, contents.spec(passed), left, 1)
    MPI.Request.Waitall(requests)
    for what, buffer in (("sums", sums), ("everybody", everybody), ("told", told), ("passed", passed)):
        record.elements(what, contents.dtype, buffer)


OPERATIONS = {
    function.__name__: function
    for function in (
        barrier,
        bcast,
        gather,
        scatter,
        gatherv,
        scatterv,
        allgather,
        allgatherv,
        alltoall,
        alltoallv,
        alltoallw,
        reduce,
        reduce_scatter_block,
        reduce_scatter,
        at_once,
    )
}
OPERATIONS |= {name.lower(): folded(name) for name in ("Allreduce", "Scan", "Exscan")}
