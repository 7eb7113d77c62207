"""Measures warpcomm's pool beside those of mpi4py, multiprocessing and ipyparallel, on the same tasks, in one run.

    target/venv/bin/python benches/peers/pool/compare.py --warpcomm target/release/warpcomm --json pools.json

`ci/setup.sh --tests` makes that Python, and --install adds ipyparallel to it. The programs take turns; each turn starts
all of them anew, another one first. The ranks of warpcomm and of mpi4py are started as `warpcomm run` starts them. Whoever
is not there, or fails, is said at the end and in the file.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "host"))

import run  # noqa: E402

FORMAT = 1
OURS = ["warpcomm", "warpcomm threads"]
PEERS = ["multiprocessing", "mpi4py", "ipyparallel"]
# How warpcomm bundles tasks where nobody says how.
OWN_CHUNK = "measured"
# What is aimed at: so many times the empty tasks a second of the best peer, and so much of list scheduling's makespan.
EMPTY_RATIO, MAKESPAN_RATIO = 20, 1.05


def parse():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="[default: 1 2]")
    parser.add_argument("--by", choices=OURS + PEERS, action="append", help="only these")
    parser.add_argument("--turns", type=int, default=5, help="how often each is started [default: %(default)s]")
    parser.add_argument("--quick", action="store_true", help="roughly, in a fifth of the time")
    parser.add_argument("--install", action="store_true", help="install peers that are missing into this Python")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where everything goes")
    parser.add_argument("--warpcomm", default="warpcomm", metavar="PATH", help="the command [default: on PATH]")
    arguments = parser.parse_args()
    if min(arguments.workers) < 1 or arguments.turns < 1:
        parser.error("there must be a worker and a turn")
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"{arguments.json} is in no directory that exists")
    return arguments


def plan(is_quick):
    """What benches/pool/plan.rs describes."""
    uneven, longest = random.Random(7), 0.01 if is_quick else 0.1
    return {
        "seconds": 0.05 if is_quick else 0.3,
        "samples": 1 if is_quick else 3,
        "most_tasks": 1 << 20,
        "most_bytes": 64 << 20,
        "payloads": [1 << 10, 1 << 20],
        "delays": [uneven.uniform(longest / 100, longest) for _ in range(64)],
    }


def list_makespan(delays, workers):
    """When the last task ends where whoever is free takes the next one, in no time."""
    free = [0.0] * workers
    for delay in delays:
        free[free.index(min(free))] += delay
    return max(free)


def built():
    """The bench, as cargo builds it."""
    command = ["cargo", "bench", "--bench", "pool", "--no-run", "--message-format", "json"]
    done = subprocess.run(command, cwd=run.REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, done.stdout.splitlines())
    found = [message["executable"] for message in messages if message.get("target", {}).get("name") == "pool"]
    return pathlib.Path(found[-1])


def missing(by, is_installed):
    """Why a peer is not there; `None` where it is."""
    if by in OURS or importlib.util.find_spec(by):
        return None
    if is_installed:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", by]
        done = subprocess.run(pip)
        importlib.invalidate_caches()
        return None if importlib.util.find_spec(by) else f"pip ended with status {done.returncode}"
    return "it is not installed; ci/setup.sh --tests installs mpi4py, and --install whatever is missing"


def command_of(by, workers, files, program, warpcomm):
    """The words that start who measures."""
    launcher = ["env", *run.launcher_of(warpcomm, workers + 1, program)]
    python = [sys.executable, "-B"]
    peer = [HERE / "peer.py", by, workers, *files]
    own = [program, "--workers", workers, "--plan", files[0], "--measured", files[1], "--part"]
    match by:
        case "warpcomm":
            return [*launcher, *own, "rank"]
        case "warpcomm threads":
            return [*own, "threads"]
        case "mpi4py":
            return [*launcher, "env", *run.mpi4py_variables(program), *python, "-m", "mpi4py.futures", *peer]
    return [*python, *peer]


def measure(by, workers, plan, program, warpcomm):
    """What a program measures; or why it does not."""
    with tempfile.TemporaryDirectory() as directory:
        files = [pathlib.Path(directory, name) for name in ("plan", "measured")]
        files[0].write_text(json.dumps(plan))
        # Workers import the tasks; and no profile of the user's changes what is measured.
        environment = os.environ | {"PYTHONPATH": str(HERE), "IPYTHONDIR": directory}
        words = list(map(str, command_of(by, workers, files, program, warpcomm)))
        done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            return None, f"it ended with status {done.returncode}"
        return json.loads(files[1].read_text()), None


def rows_of(turns):
    """One row for each kind of calls, of what the turns have measured: `turns` has by, workers and rows of each."""
    rows = {}
    for by, workers, measured in turns:
        for row in measured:
            key = by, workers, row["case"], row["bytes"], row["chunk"]
            rows.setdefault(key, []).append({"tasks": row["tasks"], "seconds": row["seconds"]})
    names = ("by", "workers", "case", "bytes", "chunk")
    for key, calls in rows.items():
        medians = [statistics.median(call["seconds"]) for call in calls]
        rates = [call["tasks"] / seconds for call, seconds in zip(calls, medians)]
        middle = {"median_seconds": statistics.median(medians), "tasks_per_second": statistics.median(rates)}
        yield dict(zip(names, key)) | middle | {"turns": calls}


def best(rows):
    return max(rows, key=lambda row: row["tasks_per_second"], default=None)


def comparisons(rows, makespans):
    """Ours against the best peer, of each kind of calls: one task at a time, and bundled: ours as it does by itself, and
    of the others whatever is best."""
    kinds = sorted({(row["workers"], row["case"], row["bytes"]) for row in rows})
    for workers, case, size in kinds:
        here = [row for row in rows if (row["workers"], row["case"], row["bytes"]) == (workers, case, size)]
        for bundled in (False, True):
            chunk = OWN_CHUNK if bundled else "1"
            own = best(row for row in here if (row["by"], row["chunk"]) == ("warpcomm", chunk))
            peer = best(row for row in here if row["by"] in PEERS and (bundled or row["chunk"] == "1"))
            found = {"workers": workers, "case": case, "bytes": size, "bundled": bundled}
            found["best_peer"] = peer and f"{peer['by']}, chunk {peer['chunk']}"
            found["ratio"] = own and peer and own["tasks_per_second"] / peer["tasks_per_second"]
            if case == "uneven":
                found["of_list_makespan"] = own and own["median_seconds"] / makespans[str(workers)]
            yield found


def figure(row, makespans):
    """What is shown of a row."""
    if row["case"] == "uneven":
        seconds = row["median_seconds"]
        return f"{1e3 * seconds:.1f} ms, {seconds / makespans[str(row['workers'])]:.3f} of list scheduling's"
    rate = row["tasks_per_second"]
    through = f", {rate * row['bytes'] / 1e6:.1f} MB/s in and as many out" if row["bytes"] else ""
    return f"{rate:.0f} tasks/s{through}"


def name_of(row):
    size = {0: "", 1 << 10: " 1 KiB", 1 << 20: " 1 MiB"}.get(row["bytes"], f" {row['bytes']} B")
    return f"{row['case']}{size}, {row['workers']} workers"


def show(document):
    rows, makespans = document["rows"], document["list_makespans"]
    rows = sorted(rows, key=lambda row: (row["workers"], row["case"], row["bytes"], row["chunk"] != "1"))
    print()
    for row in rows:
        print(f"{name_of(row):<28} {row['by']:<17} chunk {row['chunk']:<9} {figure(row, makespans)}")
    print("\nwarpcomm's processes against the best peer; bundled is as warpcomm does by itself, and as suits the peer best")
    for found in document["comparisons"]:
        way = "bundled" if found["bundled"] else "one task at a time"
        text = f"{name_of(found):<28} {way:<18}"
        if found["ratio"]:
            text += f" {found['ratio']:.2f} times {found['best_peer']}"
        if found["case"] == "empty" and found["ratio"]:
            text += f"; goal {EMPTY_RATIO}: {'reached' if found['ratio'] >= EMPTY_RATIO else 'missed'}"
        if found.get("of_list_makespan"):
            part = found["of_list_makespan"]
            goal = "reached" if part <= MAKESPAN_RATIO else "missed"
            text += f"; makespan {part:.3f} of list scheduling's; goal {MAKESPAN_RATIO}: {goal}"
        print(text)
    for by, reason in document["missing"].items():
        print(f"{by} is not among them: {reason}")


def main():
    arguments = parse()
    tasks = plan(arguments.quick)
    programs = arguments.by or OURS + PEERS
    absent = {by: reason for by in programs if (reason := missing(by, arguments.install))}
    program = built()
    document = {
        "format": FORMAT,
        "commit": run.commit(),
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        # Before the programs make it busy.
        "machine": run.machine(),
        "versions": {},
        "launchers": {},
        "plan": tasks,
        "list_makespans": {str(workers): list_makespan(tasks["delays"], workers) for workers in arguments.workers},
    }
    turns = []
    for workers in arguments.workers:
        launcher = run.launcher_of(arguments.warpcomm, workers + 1, program)
        document["launchers"][str(workers)] = [run.launcher_name(launcher[0]), *launcher[1:]]
        for turn in range(arguments.turns):
            first = turn % len(programs)
            for by in programs[first:] + programs[:first]:
                if by in absent:
                    continue
                print(f"{workers} workers, turn {turn + 1} of {arguments.turns}: {by}", file=sys.stderr, flush=True)
                measured, reason = measure(by, workers, tasks, program, arguments.warpcomm)
                if reason:
                    absent[by] = reason
                    continue
                document["versions"][by] = measured["versions"]
                turns.append((by, workers, measured["rows"]))
    document["missing"] = absent
    document["rows"] = list(rows_of(turns))
    document["comparisons"] = list(comparisons(document["rows"], document["list_makespans"]))
    show(document)
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    sys.exit(bool(absent))


if __name__ == "__main__":
    main()
