"""Measures the pool of another library: the same calls as benches/pool/cases.rs has.

    peer.py NAME WORKERS PLAN MEASURED

compare.py starts it, of mpi4py as `python -m mpi4py.futures peer.py`, on one rank more than there are workers.
"""

import contextlib
import functools
import json
import math
import platform
import sys
import time

import tasks

FIRST_TASKS = 16
ESTIMATES = 2


@contextlib.contextmanager
def multiprocessing(workers):
    from multiprocessing import Pool

    with Pool(workers) as pool:
        yield pool.map, []


@contextlib.contextmanager
def mpi4py(workers):
    import mpi4py
    from mpi4py import MPI
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(workers) as executor:

        def call(function, given, chunksize):
            return list(executor.map(function, given, chunksize=chunksize))

        yield call, [f"mpi4py {mpi4py.__version__}", MPI.Get_library_version().splitlines()[0].strip("\0 ")]


@contextlib.contextmanager
def ipyparallel(workers):
    import ipyparallel

    # Logs of others than rows and errors.
    with ipyparallel.Cluster(n=workers, log_level=30) as client:
        client.wait_for_engines(workers)
        view = client.load_balanced_view()

        def call(function, given, chunksize):
            results = view.map_sync(function, given, chunksize=chunksize)
            # The client keeps them otherwise.
            client.purge_local_results("all")
            return results

        yield call, [f"ipyparallel {ipyparallel.__version__}"]


POOLS = {pool.__name__: pool for pool in (multiprocessing, mpi4py, ipyparallel)}


def chunks(workers):
    """How tasks are bundled, by the names of rows."""
    return {
        "1": lambda count: 1,
        # What multiprocessing does by itself.
        "quarter": lambda count: math.ceil(count / (4 * workers)),
        # The fewest messages.
        "share": lambda count: math.ceil(count / workers),
    }


def timed(call, function, given, chunksize):
    """The seconds of a call, whose results are the tasks."""
    start = time.perf_counter()
    results = call(function, given, chunksize)
    seconds = time.perf_counter() - start
    if list(results) != list(given):
        raise ValueError(f"a result of {len(given)} tasks is not what it should be")
    return seconds


def row(call, case, size, chunk, make, most_tasks, plan):
    """Finds how many tasks take long enough, which warms up too, and measures."""
    name, size_of_chunk = chunk
    run = functools.partial(timed, call, tasks.same)
    count = min(FIRST_TASKS, most_tasks)
    while True:
        # The first call of a pool is slow.
        seconds = min(run(make(count), size_of_chunk(count)) for _ in range(ESTIMATES))
        if seconds >= plan["seconds"] or count == most_tasks:
            break
        enough = int(1.2 * count * plan["seconds"] / seconds)
        count = min(max(2 * count, min(enough, 16 * count)), most_tasks)
    samples = [run(make(count), size_of_chunk(count)) for _ in range(plan["samples"])]
    return {"case": case, "bytes": size, "chunk": name, "tasks": count, "seconds": samples}


def numbers(count):
    # ipyparallel would send a range as its two ends.
    return list(range(count))


def measure(call, workers, plan):
    for chunk in chunks(workers).items():
        yield row(call, "empty", 0, chunk, numbers, plan["most_tasks"], plan)
    for size in plan["payloads"]:
        content = bytearray(at % 251 for at in range(size))
        most_tasks = min(plan["most_tasks"], plan["most_bytes"] // size)

        def payloads(count):
            # Of one object many times pickle would send one.
            return [bytes(content) for _ in range(count)]

        for chunk in chunks(workers).items():
            yield row(call, "payload", size, chunk, payloads, most_tasks, plan)
    for name, size_of_chunk in chunks(workers).items():
        count = len(plan["delays"])
        seconds = timed(call, tasks.delay, plan["delays"], size_of_chunk(count))
        yield {"case": "uneven", "bytes": 0, "chunk": name, "tasks": count, "seconds": [seconds]}


def main():
    name, workers, plan, measured = sys.argv[1:]
    with open(plan) as file:
        plan = json.load(file)
    with POOLS[name](int(workers)) as (call, versions):
        versions = [f"Python {platform.python_version()}", *versions]
        rows = list(measure(call, int(workers), plan))
    with open(measured, "w") as file:
        json.dump({"versions": versions, "rows": rows}, file)


if __name__ == "__main__":
    main()
