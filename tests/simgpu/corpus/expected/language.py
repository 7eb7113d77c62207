"""language.cu"""

import numpy as np

from .case import case, random, read, scalar, update, write


def wrap(x):
    return (x + 2**31) % 2**32 - 2**31


def mix(a, b, c):
    return wrap(a * 31 + (b ^ c))


def truncated(a, b):
    q = abs(a) // abs(b)
    return -q if (a < 0) != (b < 0) else q


def collatz(x):
    steps = 0
    if x < 0:
        return -1
    while x != 1:
        if steps > 60:
            return -steps
        x = 3 * x + 1 if x & 1 else truncated(x, 2)
        steps += 1
    return steps


def integers(x, y):
    s = lambda v: v - 2**32 if v >> 31 else v
    both = y << 32 | x
    return [
        x * y >> 32, s(x) * s(y) >> 32, 32 - x.bit_length(), int(f"{x:032b}"[::-1], 2), (x & -x).bit_length(),
        (both << 7 >> 32), sum((both >> 8 * k & 255) << 8 * i for i, k in enumerate((0, 4, 1, 5))),
        abs(s(x) - s(y)) + 9, s(x) >> (y & 31), x // (y | 1), bin(both).count("1"), (x * y * x % 2**128) >> 40,
    ]


def cases():
    r = random(3)
    i4 = lambda values: np.array([wrap(int(v)) for v in values], "i4")

    values = r.integers(0, 100, 24).astype("i4")
    primes, weights, offsets = [2, 3, 5, 7, 11, 13, 17, 19], [0.5, 0.25, 0.125], [100, 200, 300, 400]
    out = [primes[v & 7] * weights[v % 3] + offsets[i & 3] for i, v in enumerate(values)]
    yield case("language", "constants", [read(values), write(np.array(out))], 24)
    yield case("language", "device_variable", [read(values), write(np.full(24, values.sum(), "u4"))], 24)

    values = r.integers(-1000, 1000, 32).astype("i4")
    out = []
    for v in values:
        x = int(v)
        for i in range(3):
            x = mix(x, i, int(values[i]))
        s = x & 15
        out.append(x + 2 * s * 2 + 3 * s * 3 + s)
    yield case("language", "calls", [read(values), write(i4(out))], 32)

    values = np.array([0, 1, 2, 3, 5, 8, 10, 7], "i4")
    yield case("language", "recursion", [read(values), write(np.array([0, 1, 1, 2, 5, 21, 55, 13], "i4"))], 8)
    values = r.integers(-100, 100, 33).astype("i4")
    out = [(2 * v, v * v, -v)[i % 3] for i, v in enumerate(map(int, values))]
    yield case("language", "pointers", [read(values), write(i4(out))], 33)
    out = [v * v if v & 1 else 3 * v for v in map(int, values)]
    yield case("language", "virtuals", [read(values), write(i4(out))], 33)
    values = r.integers(-1000, 1000, (20, 8)).astype("i4")
    yield case("language", "sorted", [read(values), write(np.sort(values, 1))], 20)

    values = r.integers(0, 10000, 64).astype("i4")
    way = {0: lambda x: x + 1, 1: lambda x: x * x, 2: lambda x: x ^ 0x55, 3: lambda x: mix(x, 1, 2), 4: lambda x: 7 - x,
           5: lambda x: 7, 6: lambda x: x // 3, 7: lambda x: x << 3, 8: lambda x: 1000}
    yield case("language", "table", [read(values), write(i4(way[v % 9](v) for v in map(int, values)))], 64)

    a = np.array([7, -7, 2**62, -(2**63), 123456789012345, -5, 2**32, 10**18, -(10**18), 1], "i8")
    b = np.array([2, 2, -3, 7, 1000003, -1, 2**33 + 1, 3, 2**40, 2**63 - 1], "i8")
    out = []
    for x, y in zip(map(int, a), map(int, b)):
        q = truncated(x, y)
        u, v = x % 2**64, y % 2**64
        out += [q, x - q * y, u // v, u % v]
    out = np.array([v % 2**64 for v in out], "u8").view("i8")
    yield case("language", "quotients", [read(a), read(b), write(out)], 10)

    a = np.concatenate([r.integers(0, 2**32, 12, dtype="u4"), np.array([0, 1, 2**31, 2**32 - 1], "u4")])
    b = np.concatenate([r.integers(0, 2**32, 12, dtype="u4"), np.array([0, 2**32 - 1, 2**31, 2**32 - 1], "u4")])
    out = [v % 2**32 for x, y in zip(map(int, a), map(int, b)) for v in integers(x, y)]
    yield case("language", "integers", [read(a), read(b), write(np.array(out, "u4"))], 16)

    # The padding after the last two members is not copied by every compiler.
    particle = np.dtype({"names": ["x", "y", "z", "w", "mass", "kind", "charge"],
                         "formats": ["f4", "f4", "f4", "f4", "f8", "i1", "i2"],
                         "offsets": [0, 4, 8, 12, 16, 24, 26], "itemsize": 32})
    before = np.zeros(9, particle)
    for name in particle.names:
        before[name] = r.integers(-100, 100, 9)
    shift = np.zeros(1, particle)
    shift["x"], shift["mass"], shift["kind"] = 1.5, 0.25, 3
    after = before.copy()
    after["x"] += 1.5
    after["w"] *= 2
    after["mass"] += 0.25
    after["kind"] = (before["kind"] + np.int8(3)).astype("i1")
    after["charge"] = -before["charge"]
    raw = lambda array: np.frombuffer(array.tobytes(), "u1")
    known = [f"{b:02x}" if i % 32 < 25 or i % 32 in (26, 27) else "-" for i, b in enumerate(raw(after))]
    blank = " ".join(["a5"] * 288)
    value = "argument struct8 " + " ".join(f"{b:02x}" for b in raw(shift))
    yield case("language", "structs", [f"argument buffer u8 {' '.join(f'{b:02x}' for b in raw(before))}",
                                       f"argument buffer u8 {blank} -> {' '.join(known)}", value], 9)

    z, y, x = np.meshgrid(range(5), range(7), range(11), indexing="ij")
    out = (x + 100 * y + 10000 * z).astype("u4")
    yield case("language", "dimensions", [write(out), scalar(11), scalar(7), scalar(5)], (4, 4, 2), (3, 2, 3))

    values = np.concatenate([np.arange(1, 60), [97, 871, 6171, -4, -1]]).astype("i4")
    yield case("language", "divergence", [read(values), write(i4(collatz(int(v)) for v in values))], 64)

    v = r.integers(-9, 9, (16, 4)).astype("f4")
    out = np.stack([v[:, 3], v[:, 2] + 1, v[:, 1] - 1, v[:, 0] * 2], 1)
    b = r.integers(0, 256, (16, 4)).astype("u1")
    shorts = np.stack([b[:, 0].astype("u2") + b[:, 1], b[:, 2].astype("u2") * b[:, 3]], 1)
    yield case("language", "vectors", [read(v), write(out), read(b), write(shorts)], 16)

    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 100.99, 255.0, 3.0000000001, -7.9, 1e-30, 12345.678, 0.1])
    down = values.astype("f4")
    down = np.where(down.astype("f8") > values, np.nextafter(down, np.float32(-np.inf)), down).astype("f4")
    whole = np.trunc(values).astype("i4")
    # A negative number as an unsigned char wraps: its int is cut.
    yield case("language", "conversions", [read(values), write(np.rint(values).astype("i4")),
                                           write(np.trunc(values).astype("i8")), write(down),
                                           write(whole.astype("u1"))], 12)
