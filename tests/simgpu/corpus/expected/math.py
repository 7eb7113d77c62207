"""math.cu, with and without fast functions."""

import mpmath as mp
import numpy as np

from .case import case, near, random, read, write

mp.mp.prec = 400

# Kernel, function of x and y, ulps of the programming guide.
SINGLE = [
    ("expf_", lambda x, y: mp.exp(x), 2), ("exp2f_", lambda x, y: mp.mpf(2) ** x, 2), ("logf_", lambda x, y: mp.log(y), 1),
    ("sinf_", lambda x, y: mp.sin(x), 2), ("cosf_", lambda x, y: mp.cos(x), 2), ("powf_", lambda x, y: mp.power(y, x), 4),
    ("rsqrtf_", lambda x, y: 1 / mp.sqrt(y), 2), ("tanhf_", lambda x, y: mp.tanh(x), 2),
    ("log2f_", lambda x, y: mp.log(y, 2), 1), ("log1pf_", lambda x, y: mp.log1p(y), 1),
    ("expm1f_", lambda x, y: mp.expm1(x), 1), ("tanf_", lambda x, y: mp.tan(x), 4),
    ("atan2f_", lambda x, y: mp.atan2(x, y), 3), ("asinf_", lambda x, y: mp.asin(x / 16), 2),
    ("erff_", lambda x, y: mp.erf(x), 2), ("cbrtf_", lambda x, y: mp.cbrt(x) if x >= 0 else -mp.cbrt(-x), 1),
    ("hypotf_", lambda x, y: mp.hypot(x, y), 3),
    ("sinf_large", lambda x, y: mp.sin(mp.mpf(float(np.float32(float(x)) * np.float32(1e7)))), 2),
]
DOUBLE = [
    ("exp_", lambda x, y: mp.exp(x), 1), ("log_", lambda x, y: mp.log(y), 1), ("sin_", lambda x, y: mp.sin(x), 2),
    ("cos_", lambda x, y: mp.cos(x), 2), ("pow_", lambda x, y: mp.power(y, x), 2), ("tanh_", lambda x, y: mp.tanh(x), 2),
    ("erf_", lambda x, y: mp.erf(x), 2), ("cbrt_", lambda x, y: mp.cbrt(x) if x >= 0 else -mp.cbrt(-x), 1),
    ("atan2_", lambda x, y: mp.atan2(x, y), 2), ("rsqrt_", lambda x, y: 1 / mp.sqrt(y), 1),
    ("cos_large", lambda x, y: mp.cos(mp.mpf(float(x) * 1e11)), 2),
]
# Operands between -3 and 3, other between 0.01 and 3, so that the guide's bounds for these are simple.
FAST = [
    ("expf_", lambda x, y: mp.exp(x), "ulp 6"), ("exp2f_", lambda x, y: mp.mpf(2) ** x, "ulp 2.5"),
    ("logf_", lambda x, y: mp.log(y), "absolute 2^-19"), ("sinf_", lambda x, y: mp.sin(x), "absolute 2^-20.5"),
    ("cosf_", lambda x, y: mp.cos(x), "absolute 2^-20.5"), ("powf_", lambda x, y: mp.power(y, x), "relative 2^-17"),
    ("sqrtf_", lambda x, y: mp.sqrt(y), "relative 2^-22"), ("rsqrtf_", lambda x, y: 1 / mp.sqrt(y), "relative 2^-22"),
    ("divf_", lambda x, y: x / y, "ulp 2.5"),
]


def operands(dtype, span, seed):
    r = random(seed)
    x = np.concatenate([r.uniform(-span, span, 29), [1e-5, -0.5, 1]]).astype(dtype)
    y = np.concatenate([r.uniform(0.01, span, 29), [1e-3, 1, 2]]).astype(dtype)
    return x, y


def cases():
    for table, dtype in ((SINGLE, "f4"), (DOUBLE, "f8")):
        x, y = operands(dtype, 12, 6)
        for name, function, ulps in table:
            values = [function(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(x, y)]
            # The large arguments' expected values are exact only to their own rounding.
            yield case("math", name, [read(x), read(y), near(values, dtype, f"ulp {ulps + 0.5}")], 32)
    x, y = operands("f4", 12, 6)
    lgamma = [mp.loggamma(mp.mpf(float(b))) for b in y]
    # Near its zeros at 1 and 2 only the absolute error is bounded.
    yield case("math", "lgammaf_", [read(x), read(y), near(lgamma, "f4", "absolute 2^-18")], 32)
    four = x * np.float32(4)
    away = np.trunc(np.abs(four) + np.float32(0.5)) * np.sign(four)
    whole = away + np.trunc(x) + np.floor(x) + np.ceil(x) + np.rint(x)
    yield case("math", "roundf_", [read(x), read(y), write(whole.astype("f4"))], 32)
    yield case("math", "fmodf_", [read(x), read(y), write(np.fmod(y, x))], 32)
    yield case("math", "sqrtf_", [read(x), read(y), write(np.sqrt(y))], 32)
    yield case("math", "divf_", [read(x), read(y), write(x / y)], 32)
    x, y = operands("f8", 12, 6)
    yield case("math", "sqrt_", [read(x), read(y), write(np.sqrt(y))], 32)
    yield case("math", "div_", [read(x), read(y), write(x / y)], 32)
    x, y = operands("f4", 3, 7)
    for name, function, bound in FAST:
        values = [function(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(x, y)]
        yield case("math_fast", name, [read(x), read(y), near(values, "f4", bound)], 32)
