"""half.cu; NumPy's float16 operations round once, bfloat16 is rounded here."""

import numpy as np

from .case import case, random, read, scalar, write


def brain(values):
    """To bfloat16, to nearest even; the bits."""
    bits = np.asarray(values, "f4").view("u4").astype("u8")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("u2")


def widen(bits):
    return (bits.astype("u4") << 16).view("f4")


def cases():
    r = random(5)
    a = (r.integers(-2000, 2000, 16) / 128).astype("f2")
    b = (r.integers(-2000, 2000, 16) / 64).astype("f2")
    b[3], a[4], b[5] = a[3], 1e-5, 3e-6
    wide = lambda x: x.astype("f8")
    # f64 holds products and sums of these exactly, so that rounding it is rounding once.
    fused = (wide(a) * wide(b) + wide(a)).astype("f2")
    out = np.stack([a + b, a - b, a * b, fused, -a, abs(b)], 1).astype("f2")
    yield case("half", "half_arithmetic", [read(a), read(b), write(out)], 16)
    x, y = a.reshape(8, 2), b.reshape(8, 2)
    out = np.stack([x + y, x * y, (wide(x) * wide(y) + wide(y)).astype("f2"), x[:, ::-1]], 1).astype("f2")
    yield case("half", "half_pairs", [read(a), read(b), write(out)], 8)
    c = a.copy()
    c[6] = np.nan
    unordered = np.isnan(c) | np.isnan(b)
    out = ((c == b) | (c < b) << 1 | ((c >= b) | unordered) << 2 | np.isnan(c) << 3 | (c > b) << 4
           | (c == b) << 5).astype("u4")
    yield case("half", "half_comparisons", [read(c), read(b), write(out)], 16)

    values = np.concatenate([r.standard_normal(12) * 100, [65519, 1e-7, 6e-8, 0.1]]).astype("f4")
    h = values.astype("f2")
    toward = h.astype("f4")
    down = np.where(abs(toward) > abs(values), np.nextafter(h, np.float16(0)), h).astype("f2")
    yield case("half", "half_conversions", [read(values), write(h), write(down.astype("f4")),
                                            write(np.rint(h.astype("f8")).astype("i4"))], 16)
    a = r.integers(-8, 8, 100).astype("f2")
    b = r.integers(-8, 8, 100).astype("f2")
    out = np.full(32, (wide(a) * wide(b)).sum(), "f4")
    yield case("half", "half_dot", [read(a), read(b), write(out), scalar(50)], 32)
    a = r.integers(0, 2**15, 64).astype("u2")
    yield case("half", "half_shuffle", [read(a), write(a.reshape(32, 2)[np.arange(32) ^ 5].copy())], 32)

    values = np.concatenate([r.standard_normal(14), [3.3e38, 1.00390625]]).astype("f4")
    cut = ((values.view("u4") >> 16) << 16).astype("u4").view("f4")
    yield case("half", "brain_conversions", [read(values), write(brain(values)), write(cut)], 16)
    a, b = brain(r.standard_normal(16)), brain(r.standard_normal(16))
    yield case("half", "brain_dot", [read(a), read(b), write(widen(a) * widen(b))], 16)
    fused = (widen(a).astype("f8") * widen(b) + widen(a)).astype("f8")
    out = np.stack([exact_brain(fused), brain(np.maximum(widen(a), widen(b))), a ^ np.uint16(0x8000)], 1)
    yield case("half", "brain_arithmetic", [read(a), read(b), write(out)], 16)
    a = (r.integers(-200, 200, 16) / 16).astype("f2")
    b = (r.integers(-200, 200, 16) / 16).astype("f2")
    fused = np.maximum((wide(a) * wide(b) + wide(a)).astype("f2"), np.float16(0))
    out = np.stack([np.minimum(a, b), np.maximum(a, b), fused + np.float16(0)], 1)
    yield case("half", "half_extremes", [read(a), read(b), write(out)], 16)


def exact_brain(values):
    """From f64, to nearest even, once."""
    out = []
    for value in values:
        low = brain([np.float32(value)])[0]
        candidates = [int(low) - 1, int(low), int(low) + 1]
        best = min(candidates, key=lambda c: (abs(float(widen(np.array([c], "u2"))[0]) - value), c & 1))
        out.append(best)
    return np.array(out, "u2")
