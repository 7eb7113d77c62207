"""Communicators: the operations that communicators.rs has under the same names."""

from mpi4py import MPI

from contents import Contents


def split(case, comm, record):
    """Parts by color, in the order of keys; a rank without a color gets none."""
    contents, color = Contents(case, comm.rank), case["colors"][comm.rank]
    part = comm.Split(MPI.UNDEFINED if color is None else color, case["keys"][comm.rank])
    if part == MPI.COMM_NULL:
        record.text("part", "none")
        return
    record.text("part", f"rank {part.rank} of {part.size}")
    everybody = contents.untouched(part.size * case["count"])
    part.Allgather(contents.spec(contents.full(case["count"])), contents.spec(everybody))
    record.elements("everybody", contents.dtype, everybody)
    part.Free()


def duplicates(case, comm, record):
    """Messages of a communicator and of its duplicate never meet."""
    contents, count = Contents(case, comm.rank), case["count"]
    other = comm.Dup()
    if comm.rank == case["from"]:
        comm.Send(contents.spec(contents.full(count, 0)), case["to"], 1)
        other.Send(contents.spec(contents.full(count, 1)), case["to"], 1)
    if comm.rank == case["to"]:
        for each in (other, comm):
            buffer = contents.untouched(count)
            each.Recv(contents.spec(buffer), case["from"], MPI.ANY_TAG)
            record.elements("received", contents.dtype, buffer)
    other.Free()


def native_parts(case, comm, record):
    """Each program's ranks go on among themselves; those of warpcomm on a native communicator."""
    contents, count = Contents(case, comm.rank), case["count"]
    part = comm.Split(case["colors"][comm.rank], 0)
    record.text("part", f"rank {part.rank} of {part.size}")
    everybody = contents.untouched(part.size * count)
    part.Allgather(contents.spec(contents.full(count)), contents.spec(everybody))
    record.elements("everybody", contents.dtype, everybody)
    right, left = (part.rank + 1) % part.size, (part.rank - 1) % part.size
    passed = contents.untouched(count)
    part.Sendrecv(contents.spec(contents.full(count, 1)), right, 1, contents.spec(passed), left, 1)
    record.elements("passed", contents.dtype, passed)
    part.Free()
    comm.Barrier()


def bindings(case, comm, record):
    """A duplicate that warpcomm's ranks make for other bindings, and one that they make from these."""
    contents, count = Contents(case, comm.rank), case["count"]
    theirs = comm.Dup()
    ours = theirs.Dup()
    everybody = contents.untouched(comm.size * count)
    theirs.Allgather(contents.spec(contents.full(count)), contents.spec(everybody))
    record.elements("through the bindings", contents.dtype, everybody)
    everybody = contents.untouched(comm.size * count)
    ours.Allgather(contents.spec(contents.full(count, 1)), contents.spec(everybody))
    record.elements("through ours", contents.dtype, everybody)
    ours.Free()
    theirs.Free()


OPERATIONS = {function.__name__: function for function in (split, duplicates, native_parts, bindings)}
