"""reduce.cu"""

import numpy as np

from .case import case, random, read, scalar, update, write


def cases():
    r = random(1)
    for name, dtype in (("sum_i32", "i4"), ("sum_f32", "f4"), ("sum_f64", "f8"), ("max_i64", "i8")):
        for n, blocks, threads in ((1, 1, 32), (300, 2, 128), (77, 1, 256), (512, 3, 64)):
            # Whole numbers, so that the order of a sum does not matter.
            values = r.integers(-1000, 1000, n).astype(dtype)
            out = []
            for b in range(blocks):
                mine = [values[i] for start in range(b * threads, n, blocks * threads)
                        for i in range(start, min(start + threads, n))]
                low = np.iinfo("i8").min
                out.append(max(mine, default=low) if name == "max_i64" else sum(mine))
            yield case("reduce", name, [read(values), write(np.array(out, dtype)), scalar(n)], threads, blocks,
                       name=f"reduce {name} of {n}")
    values = r.integers(0, 2**32, 200, dtype="u4")
    out = np.array([values[b * 64:(b + 1) * 64].sum(dtype="u4") for b in range(4)], "u4")
    yield case("reduce", "sum_dynamic", [read(values), write(out), scalar(200)], 64, 4, shared=256)
    values = r.integers(-50, 50, 128).astype("i4")
    out = np.concatenate([np.cumsum(values), np.zeros(0)]).astype("i4")
    yield case("reduce", "scan", [read(values), write(out), scalar(128)], 128)
    values = np.arange(32) * 0.25
    yield case("reduce", "butterfly", [read(values), write(np.full(32, values.sum()))], 32)

    values = r.integers(-10, 10, 64).astype("i4")
    before = np.full(64, -99, "i4")
    after = before.copy()
    ballots = []
    for w in range(2):
        lanes = values[32 * w:32 * w + 32]
        passing = lanes[lanes > 2]
        after[32 * w:32 * w + passing.size] = passing
        ballots.append(sum(int(v > 2) << i for i, v in enumerate(lanes)))
    yield case("reduce", "compact", [read(values), update(before, after), write(np.array(ballots, "u4")), scalar(2)], 64)

    values = np.concatenate([r.integers(1, 90, 32), r.integers(-5, 500, 32)]).astype("i4")
    values[40] = 77
    warps = values.reshape(2, 32)
    bits = np.repeat((warps > 0).all(1) | (warps > 100).any(1) << 1, 32)
    out = bits | int((values < 1000).all()) << 2 | int((values == 77).any()) << 3 | int((values & 1).sum()) << 4
    yield case("reduce", "votes", [read(values), write(out.astype("i4"))], 64)

    for same in (True, False):
        values = np.array([(5 if same else i // 16) << 32 | i % 7 for i in range(32)], "u8")
        high = values >> np.uint64(32)
        any_ = [sum(int(a == b) << i for i, b in enumerate(values)) for a in values]
        every = 0xFFFFFFFF if len(set(high)) == 1 else 0
        out = np.array([a ^ every ^ int(same) for a in any_], "u4")
        yield case("reduce", "matches", [read(values), write(out)], 32, name=f"reduce matches, same {same}")

    values = r.integers(0, 2**32, 32, dtype="u4")
    out = values.sum(dtype="u4") ^ values.max() ^ np.bitwise_xor.reduce(values) ^ values.view("i4").min().view("u4")
    yield case("reduce", "warp_instructions", [read(values), write(np.full(32, out, "u4"))], 32)

    values = r.integers(-100, 100, 32).astype("i4")
    out = values.copy()
    # The odd lanes meet at distances 16 to 2: all of them.
    out[1::2] = values[1::2].sum()
    yield case("reduce", "odd_lanes", [read(values), write(out)], 32)

    values = r.standard_normal((19, 23)).astype("f4")
    yield case("reduce", "transpose", [read(values), write(values.T.copy()), scalar(23), scalar(19)], (16, 16), (2, 2))
    a, b = (r.integers(-8, 8, (16, 16)).astype("f4") for _ in range(2))
    yield case("reduce", "product", [read(a), read(b), write(a @ b), scalar(16)], (8, 8), (2, 2))
