"""atomics.cu"""

import numpy as np

from .case import case, random, read, scalar, update, write


def cases():
    r = random(2)
    values = r.integers(0, 256, 500).astype("u1")
    before = np.arange(16, dtype="u4")
    after = before + np.bincount(values & 15, minlength=16).astype("u4")
    yield case("atomics", "histogram", [read(values), update(before, after), scalar(500)], 64, 3)

    values = r.integers(-(2**31), 2**31, 128).astype("i4")
    unsigned = values.view("u4")
    fold = np.bitwise_and.reduce, np.bitwise_or.reduce, np.bitwise_xor.reduce
    before = np.array([5, 5, 7, 7, 2**31 - 1, 9, -1, 1, 3, 30, 5], "i4")
    after = np.array([
        int(before[0]) + int(values.sum(dtype="i8")), int(before[1]) - int(values.sum(dtype="i8")),
        min(7, values.min()), max(7, values.max()), min(2**31 - 1, unsigned.min()), max(9, unsigned.max()),
        fold[0](values | 0xFF), 1 | fold[1](values & 0xFF00), 3 ^ fold[2](values),
        (30 + 128) % 37, (5 - 128) % 37,
    ]).astype("i8").astype("u4").view("i4")
    yield case("atomics", "each_kind", [read(values), update(before, after)], 64, 2)

    values = r.integers(0, 2**64, 40, dtype="u8")
    before = np.array([1, 2**63, 3, 4, 5, 2**64 - 1, 6, 7], "u8")
    signed = values.view("i8")
    after = np.array([
        1 + values.sum(), min(before[1], values.min()), max(before[2], values.max()),
        np.int64(min(4, signed.min())).view("u8"), np.int64(max(5, signed.max())).view("u8"),
        fold[0](values | np.uint64(0xFFFF)), np.uint64(6) | fold[1](values & np.uint64(0xFF00)),
        np.uint64(7) ^ fold[2](values),
    ], "u8")
    yield case("atomics", "each_kind_64", [read(values), update(before, after)], 40)

    values = (r.integers(-50, 50, 96) / 2).astype("f4")
    yield case("atomics", "floats", [read(values), update(np.array([1.5], "f4"), 1.5 + values.sum(keepdims=True)),
                                     update(np.array([2.0]), 2 + values.astype("f8").sum(keepdims=True) / 4)], 96)

    seen = np.ones(128, "u4")
    # One thread's value stays in the cell: whose is not known, so its place is left out.
    before = np.array([0, 0xFFFFFFFF], "u4")
    text = update(np.zeros(128, "u4"), seen)
    left, right = text.split(" -> ")
    right = " ".join(right.split()[:64] + ["-"] * 64)
    cell = f"argument buffer u32 {before[0]:08x} {before[1]:08x} -> 00000040 -"
    yield case("atomics", "old_values", [cell, f"{left} -> {right}"], 64)

    values = r.integers(1, 100, 33).astype("u4") | 1
    product = 1
    for v in values:
        product = product * int(v) & 0xFFFFFFFF
    total = values.sum(dtype="u8")
    yield case("atomics", "swaps", [
        read(values), update(np.array([1], "u4"), np.array([product], "u4")),
        update(np.array([0.5]).view("u8"), np.array([0.5 + float(total)]).view("u8")),
        update(np.array([65000, 11], "u2"), np.array([(65000 + int(total)) & 0xFFFF, 11], "u2")),
    ], 33)

    values = r.integers(-9, 9, 7).astype("i4")
    yield case("atomics", "last_block", [
        read(values), write(values * 3), update(np.zeros(1, "u4"), np.zeros(1, "u4")),
        write((values * 3).sum(keepdims=True).astype("i4")),
    ], 32, 7)
    yield case("atomics", "scopes", [update(np.zeros(4, "i4"), np.array([48, 96, 7, 47], "i4"))], 48)
