"""Whether `warpcomm bench` and the same loops in C measure the same on this machine, in one run.

    agree.py --warpcomm target/release/warpcomm [--launches 9] [--sizes 8,1M]

The latency, the bandwidth and allreduce of two ranks on host buffers, in jobs that take turns: a job may settle in other
caches than the one before. The C program asks MPI for the thread level that warpcomm asks for, whose locks are no matter
of method. For each length the median over the jobs is compared. MPI as `warpcomm bench` calls it (`mpi`) has to be within
10% of C or 100 ns, either way. warpcomm's own messages and allreduce are shown beside it, with what they may take longer.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import run

OPERATIONS = ["latency", "bandwidth", "allreduce"]
EFFORT = ["--warm-up", "10", "--seconds", "0.1", "--samples", "50"]
PART, SECONDS = 0.1, 100e-9


def allowance(by, bytes, seconds):
    """How much more or less than the C program's something may take, in seconds."""
    if by == "mpi":
        return max(PART * seconds, SECONDS)
    # An envelope, and above 4,000 bytes an answer to it.
    return max(PART * seconds, SECONDS if bytes <= 256 else 200e-9 if bytes <= 4000 else 1e-6)


def measured(path):
    """The MPI library of a file, and the median of each row."""
    with open(path) as file:
        records = [json.loads(line) for line in file]
    [library] = {library_of(record["job"]["mpi"]) for record in records if record["record"] == "run"}
    rows = (record for record in records if record["record"] == "row")
    return library, {(row["operation"], row["bytes"], row["by"]): row["seconds"]["median"] for row in rows}


def library_of(version):
    """Of what a library says of itself, what the C program tells."""
    return " ".join(re.split(r'[\n"\\]', version)[0].split())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--warpcomm", default="warpcomm", metavar="PATH", help="the command [default: on PATH]")
    parser.add_argument("--launches", type=int, default=9, help="jobs of each [default: %(default)s]")
    parser.add_argument("--sizes", default="8,256,4000,64K,1M", help="lengths in bytes [default: %(default)s]")
    arguments = parser.parse_args()
    found, libraries = {}, set()
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory, "rows.json")
        peer = [sys.executable, "-B", run.HERE / "run.py", "--warpcomm", arguments.warpcomm, "--by", "c"]
        peer += ["--thread-level", "multiple"]
        own = [arguments.warpcomm, "bench", "--place", "host", "--baseline", "mpi"]
        for launch in range(arguments.launches):
            print(f"{launch + 1} of {arguments.launches} jobs of each", file=sys.stderr)
            for command in (peer, own):
                words = [*command, *OPERATIONS, "--sizes", arguments.sizes, *EFFORT, "--json", file]
                subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
                library, medians = measured(file)
                libraries.add(library)
                for key, seconds in medians.items():
                    found.setdefault(key, []).append(seconds)
            if len(libraries) > 1:
                sys.exit(f"the programs run on different MPI libraries: {', '.join(sorted(libraries))}")
    disagreeing = 0
    print(f"{'':<10} {'bytes':>8} {'':<9} {'C us':>10} {'us':>10} {'ratio':>6}")
    for (operation, size, by), times in sorted(found.items()):
        if by == "c":
            continue
        theirs, ours = (statistics.median(times) for times in (found[operation, size, "c"], times))
        difference = abs(ours - theirs) if by == "mpi" else ours - theirs
        agrees = difference <= allowance(by, size, theirs)
        verdict = "" if agrees else "  more than allowed"
        disagreeing += by == "mpi" and not agrees
        figures = f"{theirs * 1e6:>10.3f} {ours * 1e6:>10.3f} {ours / theirs:>6.2f}"
        print(f"{operation:<10} {size:>8} {by:<9} {figures}{verdict}")
    if disagreeing:
        allowed = f"{PART:.0%} and {SECONDS * 1e9:.0f} ns"
        sys.exit(f"{disagreeing} medians of MPI differ from the C program's by more than {allowed}")
    print("MPI as `warpcomm bench` calls it takes as long as the C program")


if __name__ == "__main__":
    main()
