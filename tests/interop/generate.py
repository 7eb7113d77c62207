"""Prints the generated cases: what every operation has in common, spread over types, lengths, forms and places.

    python3 tests/interop/generate.py > tests/interop/generated.jsonl

A case is a line. `ranks` says who takes part: r is warpcomm, p is mpi4py. `place` is where warpcomm's buffers are.
"""

import itertools
import json

LAYOUTS = {2: ["rp", "pr"], 3: ["rpr", "prp"], 4: ["rrpp", "prpr"]}
PLACES = itertools.cycle(["host", "device", "mixed", "pinned"])

INTEGERS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]
FLOATS, COMPLEX = ["f32", "f64"], ["c32", "c64"]
MOVED_ONLY = ["f16", "bf16", "f64loc", "i64loc", "u32loc", "u64loc"]
PAIRS = ["f32loc", "i32loc"]
DTYPES = INTEGERS + FLOATS + COMPLEX + ["bool"] + MOVED_ONLY + PAIRS

# Which types MPI reduces by what.
REDUCTIONS = {
    "sum": INTEGERS + FLOATS + COMPLEX,
    "prod": INTEGERS + FLOATS + COMPLEX,
    "min": INTEGERS + FLOATS,
    "max": INTEGERS + FLOATS,
    "logical_and": INTEGERS + ["bool"],
    "logical_or": INTEGERS + ["bool"],
    "logical_xor": INTEGERS + ["bool"],
    "bit_and": INTEGERS,
    "bit_or": INTEGERS,
    "bit_xor": INTEGERS,
    "min_loc": PAIRS,
    "max_loc": PAIRS,
}

# More than 64 KiB of every type, and not a round number.
MANY = 70_001

SENDS = ["send", "ssend", "rsend", "bsend", "isend", "issend", "irsend", "ibsend"]
SENDS += ["send_init", "ssend_init", "rsend_init"]
RECEIVES = ["recv", "irecv", "irecv_test", "probe", "iprobe", "mprobe", "mprobe_irecv", "improbe", "recv_init"]
# A ready send needs a receive that waits for it.
WAITING = ["irecv", "irecv_test", "recv_init"]


def case(op, ranks, *words, **fields):
    name = " ".join([op, f"np={ranks}", *map(str, words)])
    made = {"name": name, "op": op, "np": ranks, "ranks": LAYOUTS[ranks], **fields, "place": next(PLACES)}
    if fails_on_mpich(made):
        made["except"] = "mpich"
    return made


def fails_on_mpich(made):
    """What MPICH 4.0.2 cannot do, with whatever program."""
    match made["op"], made.get("form"):
        # It fails with "Message truncated".
        case "alltoallw", "nonblocking_in_place":
            return True
        # It follows the address MPI_IN_PLACE, where the root is not the first rank.
        case "reduce", "in_place":
            return made["count"] > 1000 and made["root"] > 0
        # It ends the job where a block reaches into the place of its result, of more than 512 KiB.
        case "reduce_scatter", "in_place" | "nonblocking_in_place":
            return made["counts"][0] > 1000 and made["dtype"] == "f64"
    return False


def messages():
    for dtype in DTYPES:
        fields = {"dtype": dtype, "count": 5, "room": 7, "send": "send", "recv": "recv", "from": 0, "to": 1}
        yield case("message", 2, dtype, **fields)
        fields |= {"count": MANY, "room": MANY, "messages": 1}
        yield case("message", 2, dtype, MANY, **fields)
    types = itertools.cycle(DTYPES)
    for send, recv in itertools.product(SENDS, RECEIVES):
        if "rsend" in send and recv not in WAITING:
            continue
        dtype = next(types)
        fields = {"dtype": dtype, "send": send, "recv": recv, "from": 0, "to": 1}
        yield case("message", 2, dtype, send, recv, count=6, room=6, **fields)
    for mode, count in itertools.product(SENDS, [0, MANY]):
        dtype = next(types)
        fields = {"dtype": dtype, "count": count, "room": count + 1, "send": mode, "recv": "irecv"}
        yield case("message", 2, dtype, mode, count, **fields, **{"from": 0, "to": 1, "messages": 1})
    for mode, count in itertools.product(RECEIVES, [0, MANY]):
        dtype = next(types)
        fields = {"dtype": dtype, "count": count, "room": count + 1, "send": "isend", "recv": mode}
        yield case("message", 2, dtype, mode, count, **fields, **{"from": 0, "to": 1, "any_source": True})


def forms(op, *names):
    """The forms of a collective, each with some numbers of ranks and lengths."""
    for at, (ranks, form) in enumerate(itertools.product([2, 3, 4], names)):
        yield ranks, form, [5, 0, MANY // ranks][(at + at // 3) % 3]


FORMS = ["blocking", "nonblocking", "in_place", "nonblocking_in_place"]


def movements():
    types = itertools.cycle(DTYPES)
    for op in ("bcast", "gather", "scatter", "allgather", "alltoall"):
        rooted = op in ("bcast", "gather", "scatter")
        roots = itertools.cycle(range(4))
        for ranks, form, count in forms(op, *FORMS[: 2 if op == "bcast" else 4]):
            dtype, root = next(types), next(roots) % ranks
            fields = {"dtype": dtype, "count": count, "form": form} | ({"root": root} if rooted else {})
            words = [dtype, count, form] + ([f"root={root}"] if rooted else [])
            yield case(op, ranks, *words, **fields)
        for dtype in DTYPES:
            fields = {"dtype": dtype, "count": 3, "form": "blocking"} | ({"root": 1} if rooted else {})
            yield case(op, 3, dtype, **fields)


def uneven():
    types = itertools.cycle(DTYPES)
    for op in ("gatherv", "scatterv", "allgatherv"):
        for ranks, form, many in forms(op, *FORMS):
            dtype = next(types)
            counts = [(3 * rank + 1) % 4 + (many if rank == 1 else 0) for rank in range(ranks)]
            # Blocks in the opposite order, with a gap of two elements between them.
            starts = [sum(counts[rank + 1 :]) + 2 * (ranks - 1 - rank) for rank in range(ranks)]
            fields = {"dtype": dtype, "counts": counts, "displacements": starts, "form": form}
            if op != "allgatherv":
                fields["root"] = ranks - 1
            yield case(op, ranks, dtype, form, **fields)
    for ranks, form, many in forms("alltoallv", *FORMS):
        dtype = next(types)
        cell = lambda one, other: (one * other + one + other) % 4 + (many // 2 if one + other == 1 else 0)
        matrix = [[cell(one, other) for other in range(ranks)] for one in range(ranks)]
        if not form.endswith("in_place"):
            # What two ranks send each other differs.
            matrix = [[count + (one > other) for other, count in enumerate(row)] for one, row in enumerate(matrix)]
        yield case("alltoallv", ranks, dtype, form, dtype=dtype, matrix=matrix, form=form)
        kinds = ["f64", "u8", "c32", "bool", "i16"]
        yield case("alltoallw", ranks, form, matrix=matrix, types=kinds, form=form)


def reductions():
    for op, dtypes in REDUCTIONS.items():
        for dtype in dtypes:
            yield case("allreduce", 3, dtype, op, dtype=dtype, reduce=op, count=9, form="blocking")
    pairs = itertools.cycle((op, dtype) for op, dtypes in REDUCTIONS.items() for dtype in dtypes[::3])
    for op in ("reduce", "allreduce", "reduce_scatter_block", "reduce_scatter", "scan", "exscan"):
        for ranks, form, count in forms(op, *FORMS):
            reduction, dtype = next(pairs)
            fields = {"dtype": dtype, "reduce": reduction, "form": form}
            if op == "reduce_scatter":
                fields["counts"] = [count + rank % 2 for rank in range(ranks)]
            else:
                fields["count"] = count
            if op == "reduce":
                fields["root"] = count % ranks
            yield case(op, ranks, dtype, reduction, count, form, **fields)


def main():
    barriers = [case("barrier", ranks, form, form=form) for ranks in LAYOUTS for form in FORMS[:2]]
    for each in itertools.chain(barriers, messages(), movements(), uneven(), reductions()):
        print(json.dumps(each))


main()
