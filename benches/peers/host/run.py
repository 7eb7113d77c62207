"""Measures operations on host buffers through C MPI and through mpi4py, as `warpcomm bench` does, into one file.

    target/venv/bin/python benches/peers/host/run.py --warpcomm target/release/warpcomm -n 2 --sizes 8:1M \\
        --json peers.json allreduce latency

`ci/setup.sh --tests` makes that Python. The file is of docs/measurements.md: `warpcomm plot` and `warpcomm diff` read it
beside others. It has a run of C MPI, one of mpi4py and one of `warpcomm bench compare`, which measures warpcomm, MPI as the
library calls it, staging and NCCL; what is not there is said, and is no failure. The ranks are started as `warpcomm run`
starts them, so that binding and waiting are the same for all.
"""

import argparse
import datetime
import difflib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]

FORMAT = 1

# Their lengths are those of blocks, of which a buffer has one for each rank.
BLOCKS = {"scatter", "gather", "allgather", "alltoall"}
REDUCTIONS = {"reduce", "allreduce", "reduce_scatter_block", "scan"}
POINT_TO_POINT = ["latency", "bandwidth", "bibandwidth", "message_rate"]
OPERATIONS = POINT_TO_POINT + ["barrier", "bcast", "scatter", "gather", "allgather", "alltoall"] + sorted(REDUCTIONS)
# Types of elements, and how many bytes these have.
DTYPES = {"f32": 4, "f64": 8, "u8": 1}


def dtype_of(operation, wanted):
    """That of the elements of an operation, the usual one where nobody says which."""
    return wanted or ("f32" if operation in REDUCTIONS else "u8")


def algorithm_factor(operation, ranks):
    """By what the bytes of a row are multiplied for the longest buffer of a rank; src/bin/shared/operation.rs has it too."""
    return {"bibandwidth": 2, "message_rate": ranks // 2, **dict.fromkeys(BLOCKS, ranks)}.get(operation, 1)


def bus_factor(operation, ranks):
    """By what the bandwidth that the caller sees is multiplied for that of the busiest link."""
    others = (ranks - 1) / ranks
    if operation == "allreduce":
        return 2 * others
    return others if operation in BLOCKS | {"reduce_scatter_block"} else 1


def messages(operation, ranks):
    """How many messages are on their way while one is; `None` where nobody asks."""
    return {"bandwidth": 1, "bibandwidth": 2, "message_rate": ranks // 2}.get(operation)


def quantile(ordered, part):
    """By linear interpolation between the two nearest, as src/bin/shared/statistics.rs has it."""
    position = part * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summary(samples):
    ordered = sorted(samples)
    return {
        "minimum": ordered[0],
        "median": quantile(ordered, 0.5),
        "p99": quantile(ordered, 0.99),
        "maximum": ordered[-1],
    }


def output(*command):
    """What a command prints, if it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit():
    """The commit that is measured, with a mark if files have changed since."""
    head = output("git", "-C", REPOSITORY, "rev-parse", "HEAD")
    changed = head and output("git", "-C", REPOSITORY, "status", "--porcelain")
    return f"{head} and changes" if changed else head


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    return {
        "host": platform.node(),
        "processor": model[1] if model else "unknown",
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": list(os.getloadavg()),
    }


def launcher_name(program):
    """`Open MPI 4.1.4`: as src/bin/warpcomm/launcher.rs reads it."""
    text = output(program, "--version") or ""
    for pattern, name in ((r"\((?:Open MPI|OpenRTE)\) (\S+)", "Open MPI"), (r"Version:\s*(\S+)", "MPICH")):
        if found := re.search(pattern, text):
            return f"{name} {found[1]}"
    return text.splitlines()[0] if text else program


def sizes(text):
    """Reads lengths and ranges of them as src/bin/warpcomm/bench/sizes.rs does: `8:1M`, `8:1M:4`, `8,64K`."""

    def number(word):
        found = re.fullmatch(r"(\d+)([KMG]?)", word)
        if not found:
            raise argparse.ArgumentTypeError(f"{word!r} is no length; write 8, 64K or 1M")
        return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]]

    lengths = set()
    for item in text.split(","):
        first, *rest = map(number, item.split(":"))
        last, factor = (rest + [first, 2][len(rest) :])[:2]
        if len(rest) > 2 or rest and not (0 < first <= last and factor > 1):
            raise argparse.ArgumentTypeError(f"{item!r} is neither SIZE nor FIRST:LAST nor FIRST:LAST:FACTOR")
        while first <= last:
            lengths.add(first)
            first = first * factor if first else 1
    return sorted(lengths)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("operations", nargs="*", metavar="OPERATION", help=f"of: {' '.join(OPERATIONS)} [default: all]")
    parser.add_argument("-n", "--ranks", type=int, default=2, help="how many ranks [default: %(default)s]")
    parser.add_argument("--sizes", type=sizes, default="8:4M", help="8:4M, or 8,64,4K [default: %(default)s]")
    parser.add_argument("--dtype", choices=DTYPES, help="[default: f32 for reductions, else u8]")
    parser.add_argument("--by", choices=["c", "mpi4py", "warpcomm"], action="append", help="only these")
    parser.add_argument("--json", type=pathlib.Path, required=True, metavar="FILE", help="where the measurements go")
    parser.add_argument("--warm-up", type=int, default=10, help="operations before the samples [default: %(default)s]")
    parser.add_argument("--seconds", type=float, default=0.25, help="about how long a size takes [default: %(default)s]")
    parser.add_argument("--samples", type=int, default=200, help="the most of a size [default: %(default)s]")
    parser.add_argument("--no-check", action="store_true", help="compare no elements with what they should be")
    levels = "the thread level that MPI is asked for [default: single by C, multiple by mpi4py]"
    parser.add_argument("--thread-level", choices=["single", "multiple"], help=levels)
    parser.add_argument("--mpicc", default=os.environ.get("MPICC", "mpicc"), help="[default: MPICC, else mpicc]")
    parser.add_argument("--warpcomm", default="warpcomm", metavar="PATH", help="the command [default: on PATH]")
    arguments = parser.parse_args()
    arguments.operations = arguments.operations or OPERATIONS
    for operation in arguments.operations:
        if operation not in OPERATIONS:
            near = difflib.get_close_matches(operation, OPERATIONS, 1, 0)
            parser.error(f"there is no operation {operation!r}; did you mean {near[0]!r}?")
    for dtype in {dtype_of(operation, arguments.dtype) for operation in arguments.operations if operation != "barrier"}:
        if odd := [size for size in arguments.sizes if size % DTYPES[dtype]]:
            parser.error(f"{odd[0]} bytes are no whole number of elements of type {dtype}, which have {DTYPES[dtype]}")
    fewest = 2 if set(arguments.operations) & set(POINT_TO_POINT) else 1
    if arguments.ranks < fewest:
        parser.error(f"{fewest} ranks are needed, and {arguments.ranks} were given")
    return arguments


class Peer:
    """A program of MPI that measures: how it is started, and what it is called."""

    def __init__(self, by, thread_level, program, command):
        self.by = by
        # For which it asks MPI where nobody says another.
        self.thread_level = thread_level
        # Who measures, with its version.
        self.program = program
        self.command = command


def compiled(mpicc):
    """The C program, compiled."""
    name = pathlib.Path(mpicc).name
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).absolute()
    program = target / "peers" / name / "peer"
    program.parent.mkdir(parents=True, exist_ok=True)
    source = HERE / "peer.c"
    # MPICH's header makes GCC warn of what is right.
    subprocess.run([mpicc, "-std=c11", "-O3", "-w", "-o", program, source, "-lm"], check=True)
    return program


def launcher_of(warpcomm, ranks, program):
    """The words with which `warpcomm run` starts so many ranks of a program."""
    line = output(warpcomm, "run", "-n", str(ranks), "--dry-run", program)
    if line is None:
        sys.exit(f"`{warpcomm} run` does not work; build it with `cargo build --release --features cli`, or say --warpcomm")
    words = shlex.split(line)
    return words[: words.index(str(program))]


def c_peer(mpicc, program):
    compiler = (output(mpicc, "--version") or "unknown compiler").splitlines()[0]
    return Peer("c", "single", f"C, {compiler}", [program])


def mpi4py_variables(program):
    """What mpi4py needs in its environment to run on the MPI library of a program."""
    pattern = r"(libmpi\.so\.40|libmpi\.so\.12|libmpich\.so\.12) => (\S+)"
    name, library = re.search(pattern, output("ldd", program)).groups()
    # mpi4py knows two libraries by their names, of which Debian's MPICH has another.
    known = "libmpi.so.12" if name == "libmpich.so.12" else name
    libraries = program.parent / "mpi4py"
    libraries.mkdir(exist_ok=True)
    link = libraries / known
    link.unlink(missing_ok=True)
    link.symlink_to(library)
    path = ":".join(filter(None, [str(libraries), os.environ.get("LD_LIBRARY_PATH")]))
    interface = "openmpi" if known == "libmpi.so.40" else "mpich"
    return [f"MPI4PY_MPIABI={interface}", f"LD_LIBRARY_PATH={path}"]


def mpi4py_peer(program):
    """The program of mpi4py, on the MPI library of the C program; `None` where there is no mpi4py."""
    if not importlib.util.find_spec("mpi4py") or not importlib.util.find_spec("numpy"):
        return None
    version = importlib.metadata.version("mpi4py")
    command = ["env", *mpi4py_variables(program), sys.executable, "-B", HERE / "peer.py"]
    return Peer("mpi4py", "multiple", f"mpi4py {version}", command)


class File:
    """Where the records go, each as soon as it is there."""

    def __init__(self, path):
        self.file = open(path, "w", buffering=1)

    def write(self, record, **fields):
        self.file.write(json.dumps({"record": record, **fields}) + "\n")

    def take_over(self, path):
        """Another program's records."""
        self.file.write(path.read_text())


def row(measured, by, ranks):
    """What src/bin/shared/record.rs has in a row."""
    operation, samples = measured["operation"], measured["samples"]
    seconds = summary(samples)
    bandwidth = measured["bytes"] * algorithm_factor(operation, ranks) / seconds["median"] or None
    at_once = messages(operation, ranks)
    return {
        "operation": operation,
        "by": by,
        "place": "host",
        "path": None,
        "dtype": measured["dtype"],
        "op": "sum" if operation in REDUCTIONS else None,
        "ranks": ranks,
        "bytes": measured["bytes"],
        "algorithm": None,
        "carried": None,
        "checked": measured["checked"],
        "repeats": measured["repeats"],
        "seconds": seconds,
        "samples": samples,
        "algorithm_bandwidth": bandwidth,
        "bus_bandwidth": bandwidth and bandwidth * bus_factor(operation, ranks),
        "message_rate": at_once and at_once / seconds["median"],
        "overlap": None,
    }


def run_of(peer, launcher, arguments, job):
    """What src/bin/shared/record.rs has in a run."""
    return {
        "format": FORMAT,
        "program": peer.program,
        "commit": commit(),
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "machine": arguments.machine,
        "job": {
            "mpi": job["mpi"],
            "thread_level": job["thread_level"],
            "launcher": launcher_name(launcher[0]),
            "arguments": launcher[1:],
        },
        "ranks": arguments.ranks,
        "nodes": job["nodes"],
        "gpus": [],
        "simulated": False,
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith("WARPCOMM_")},
    }


def measure(peer, launcher, arguments, file):
    """Runs the job of a peer, and writes its records as they come; whether it has measured everything."""
    series = [f"{operation}:{dtype_of(operation, arguments.dtype)}" for operation in arguments.operations]
    thread_level = arguments.thread_level or peer.thread_level
    effort = [thread_level, arguments.warm_up, arguments.seconds, arguments.samples, int(not arguments.no_check)]
    words = [*launcher, *peer.command, *effort, ",".join(map(str, arguments.sizes)), *series]
    reason, latest = None, None
    job = subprocess.Popen(["env", *map(str, words)], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    try:
        for line in job.stdout:
            # Others than rank 0's: of MPI or of the launcher.
            if not line.startswith('{"'):
                print(line, end="")
                continue
            told = json.loads(line)
            if "job" in told:
                file.write("run", **run_of(peer, launcher, arguments, told["job"]))
            else:
                measured = row(told["row"], peer.by, arguments.ranks)
                # Two sizes may be as many equal blocks.
                is_new = (measured["operation"], measured["bytes"]) != latest
                latest = measured["operation"], measured["bytes"]
                if is_new:
                    file.write("row", **measured)
                    show(measured)
        if job.wait() != 0:
            reason = f"the job ended with status {job.returncode}"
    except KeyboardInterrupt:
        job.wait()
        reason = "interrupted"
    file.write("end", complete=reason is None, reason=reason)
    if reason:
        print(f"{peer.by}: {reason}", file=sys.stderr)
    return reason is None


def compare(arguments, file):
    """Lets `warpcomm bench compare` measure the same, where the command has it."""
    command = [arguments.warpcomm, "bench", "compare"]
    if output(*command, "--help") is None:
        print("warpcomm: it has no `bench compare`")
        return True
    with tempfile.TemporaryDirectory() as directory:
        own = pathlib.Path(directory, "compared.json")
        command += [*arguments.operations, "-n", arguments.ranks, "--sizes", ",".join(map(str, arguments.sizes))]
        command += ["--warm-up", arguments.warm_up, "--seconds", arguments.seconds, "--samples", arguments.samples]
        command += ["--dtype", arguments.dtype] if arguments.dtype else []
        command += ["--no-check"] if arguments.no_check else []
        done = subprocess.run([*map(str, command), "--json", own], stdin=subprocess.DEVNULL)
        if own.exists():
            file.take_over(own)
    return done.returncode == 0


def show(measured):
    seconds = measured["seconds"]
    name = f"{measured['operation']} {measured['dtype']}"
    print(
        f"{measured['by']:<8} {name:<24} {measured['bytes']:>10} B  minimum {1e6 * seconds['minimum']:>10.3f} us"
        f"  median {1e6 * seconds['median']:>10.3f} us",
        flush=True,
    )


def main():
    arguments = parse()
    program = compiled(arguments.mpicc)
    launcher = launcher_of(arguments.warpcomm, arguments.ranks, program)
    # Before the ranks make the machine busy.
    arguments.machine = machine()
    wanted = arguments.by or ["c", "mpi4py", "warpcomm"]
    file = File(arguments.json)
    is_complete = True
    if "c" in wanted:
        is_complete &= measure(c_peer(arguments.mpicc, program), launcher, arguments, file)
    if "mpi4py" in wanted:
        if peer := mpi4py_peer(program):
            is_complete &= measure(peer, launcher, arguments, file)
        else:
            print("mpi4py is not there: `ci/setup.sh --tests` installs it")
    if "warpcomm" in wanted:
        is_complete &= compare(arguments, file)
    sys.exit(not is_complete)


if __name__ == "__main__":
    main()
