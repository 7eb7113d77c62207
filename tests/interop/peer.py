"""A rank that is mpi4py: takes part in the cases of a job, as rank.rs does for warpcomm."""

import faulthandler
import json
import os
import sys

import mpi4py

mpi4py.rc.thread_level = "serialized"

from mpi4py import MPI  # noqa: E402

import collectives  # noqa: E402
import communicators  # noqa: E402
import messages  # noqa: E402


class Record:
    """What a rank did and got, a line for each, in a file of its own."""

    def __init__(self, path):
        self.file = open(path, "w", buffering=1)
        self.case = ""

    def line(self, **fields):
        self.file.write(json.dumps({"case": self.case, **fields}) + "\n")

    def start(self, case):
        self.case = case
        self.line(event="started")

    def elements(self, what, dtype, array):
        self.line(event="elements", what=what, dtype=dtype, hex=array.tobytes().hex())

    def text(self, what, text):
        self.line(event="text", what=what, text=text)


def run(case, world, record):
    """Runs one case on a communicator of its own."""
    match case.get("on", "duplicate"):
        case "world":
            comm = world
        case "reversed":
            comm = world.Split(0, -world.rank)
        case _:
            comm = world.Dup()
    operation = case["op"]
    for module in (messages, collectives, communicators):
        if operation in module.OPERATIONS:
            module.OPERATIONS[operation](case, comm, record)
            break
    else:
        raise ValueError(f"no operation {operation}")
    if comm != world:
        comm.Free()


def main():
    job, deadline = os.environ["WARPCOMM_TEST_INTEROP_JOB"], float(os.environ["WARPCOMM_TEST_DEADLINE"])
    with open(os.path.join(job, "job.json")) as file:
        cases = json.load(file)["cases"]
    world = MPI.COMM_WORLD
    record = Record(os.path.join(job, f"record-{world.rank}"))
    MPI.Attach_buffer(bytearray(1 << 21))
    control = world.Dup()
    for case in cases:
        faulthandler.dump_traceback_later(deadline, exit=True)
        record.start(case["name"])
        try:
            run(case, world, record)
            record.line(event="done")
        except Exception as error:
            # The other ranks may wait for this one: nothing after it can be relied on.
            record.line(event="failed", text=f"{type(error).__name__}: {error}")
            raise
        control.Barrier()
    faulthandler.cancel_dump_traceback_later()
    control.Free()
    MPI.Detach_buffer()
    record.line(event="ended")


try:
    main()
except BaseException:
    import traceback

    traceback.print_exc()
    sys.stderr.flush()
    # Without MPI_Finalize, which would wait for the others.
    os._exit(1)
