"""The `.approx` forms: the exact value, and the error that the PTX ISA allows around it."""

import struct
from fractions import Fraction

import mpmath

from .floats import BF16, F16, F32, F64
from .floating import CORNERS, NAN, moderate
from .table import Form, pick

mpmath.mp.prec = 300


def exact(number):
    """An inexact expected value, as the f64 nearest to it."""
    bits = struct.unpack("<Q", struct.pack("<d", float(number)))[0]
    return f"~{bits:016x}"


def real(format, bits):
    value = format.value(bits)
    return mpmath.mpf(value.numerator) / value.denominator


class Function:
    """A function with the results that the manual lists for special operands."""

    def __init__(self, evaluate, zero, infinity, minus_infinity, negative=True, range=None):
        self.evaluate, self.zero, self.infinity, self.minus_infinity = evaluate, zero, infinity, minus_infinity
        self.negative, self.range = negative, range

    def apply(self, format, a, flush):
        a = format.flush(a) if flush else a
        if format.is_nan(a):
            return NAN
        if format.is_infinite(a):
            return self.minus_infinity(format) if format.negative(a) else self.infinity(format)
        if not a & ~format.sign_bit:
            return self.zero(format, format.negative(a))
        if format.negative(a) and not self.negative:
            return NAN
        x = real(format, a)
        if self.range and abs(x) > self.range:
            return None
        y = self.evaluate(x)
        largest, smallest = real(format, format.largest), real(format, format.smallest_normal)
        # Near the ends of the range only "within the bound of the exact value or flushed" could be asked.
        if not smallest <= abs(y) <= largest / 2:
            return None
        return exact(y)


def signed(bits):
    return lambda f, negative: bits(f) | (f.sign_bit if negative else 0)


zero, infinity, nan = (lambda f: 0), (lambda f: f.infinity), (lambda f: NAN)
minus_zero, minus_infinity, one = (lambda f: f.sign_bit), (lambda f: f.infinity | f.sign_bit), (lambda f: f.of(1))

FUNCTIONS = {
    "rcp": Function(lambda x: 1 / x, signed(infinity), zero, minus_zero),
    "sqrt": Function(mpmath.sqrt, signed(zero), infinity, nan, negative=False),
    "rsqrt": Function(lambda x: 1 / mpmath.sqrt(x), signed(infinity), zero, nan, negative=False),
    "sin": Function(mpmath.sin, signed(zero), nan, nan, range=mpmath.pi),
    "cos": Function(mpmath.cos, lambda f, negative: one(f), nan, nan, range=mpmath.pi),
    "lg2": Function(lambda x: mpmath.log(x, 2), lambda f, negative: minus_infinity(f), infinity, nan, negative=False),
    "ex2": Function(lambda x: mpmath.mpf(2) ** x, lambda f, negative: one(f), infinity, zero),
    "tanh": Function(mpmath.tanh, signed(zero), one, lambda f: f.of(-1)),
}

# The manual's "maximum ... error" of each form.
BOUNDS = {
    ("rcp", "f32"): "ulp 1 f32", ("sqrt", "f32"): "relative 2^-23", ("rsqrt", "f32"): "relative 2^-22.4",
    ("sin", "f32"): "absolute 2^-20.5", ("cos", "f32"): "absolute 2^-20.5", ("ex2", "f32"): "ulp 2 f32",
    ("tanh", "f32"): "relative 2^-11", ("ex2", "f16"): "relative 2^-9.9", ("ex2", "bf16"): "relative 2^-7",
    ("tanh", "f16"): "absolute 2^-10.987", ("tanh", "bf16"): "relative 2^-8",
}


def spread(format, name):
    """Corners, moderate values, and some spread over the whole range."""
    step = format.largest // 23
    whole = [i * step + 12345 % step for i in range(1, 23)]
    return CORNERS[format] + moderate(format, name, 16) + whole + [w | format.sign_bit for w in whole[8:14]]


def single():
    for name, function in FUNCTIONS.items():
        for flag in ("", ".ftz") if name != "tanh" else ("",):
            if name == "lg2":
                yield from logarithm(flag)
                continue
            full = f"{name}.approx{flag}.f32"
            needs = "7.0 sm_75" if name == "tanh" else "6.0 sm_70"
            form = Form(full, f"{full} $d0, $a0;", [32], [32], needs, bound=BOUNDS[name, "f32"])
            for a in spread(F32, full):
                result = function.apply(F32, a, bool(flag))
                # Subnormal operands of the plain forms of sin, cos and rcp are what .ftz is there to settle.
                if result is not None and not (F32.is_subnormal(a) and not flag and name in ("sin", "rcp")):
                    form.row([a], [result])
            yield form


def logarithm(flag):
    """An absolute bound inside (0.5, 2), a relative one outside: one form, twice."""
    for inside, bound in ((True, "absolute 2^-22"), (False, "relative 2^-22")):
        full = f"lg2.approx{flag}.f32"
        form = Form(full + ("" if inside else " (outside 0.5 to 2)"), f"{full} $d0, $a0;", [32], [32], bound=bound)
        for a in spread(F32, full) + [0x3F000001, 0x3FFFFFFF, 0x3F800010]:
            result = FUNCTIONS["lg2"].apply(F32, a, bool(flag))
            finite = not F32.is_nan(a) and not F32.is_infinite(a)
            if result is not None and (finite and 0.5 < F32.value(a) < 2) == inside:
                form.row([a], [result])
        yield form


def narrow():
    for name, format, flag, needs in (("ex2", F16, "", "7.0 sm_75"), ("ex2", BF16, ".ftz", "7.8 sm_90"),
                                      ("tanh", F16, "", "7.0 sm_75"), ("tanh", BF16, "", "7.8 sm_90")):
        full = f"{name}.approx{flag}.{format.name}"
        bound = BOUNDS[name, format.name]
        form = Form(full, f"{full} $d0, $a0;", [16], [16], needs, bound=bound)
        for a in spread(format, full):
            result = FUNCTIONS[name].apply(format, a, bool(flag))
            if result is not None:
                form.row([a], [result])
        yield form
        full += "x2"
        halves = ["{.reg .b16 l, h;", "mov.b32 {l, h}, $d2;", "mov.b16 $d0, l;", "mov.b16 $d1, h;}"]
        form = Form(full, [f"{full} $d2, $a0;", *halves], [32], [16, 16, 32], needs, bound=bound)
        for low, high in pick(full, spread(format, full), spread(format, full)[::-1], count=60):
            results = [FUNCTIONS[name].apply(format, a, bool(flag)) for a in (low, high)]
            if None not in results:
                form.row([low | high << 16], [*results, "-"])
        yield form


def quotients():
    for name, bound in (("div.approx", "ulp 2 f32"), ("div.full", "ulp 2 f32")):
        for flag in ("", ".ftz"):
            full = f"{name}{flag}.f32"
            form = Form(full, f"{full} $d0, $a0, $a1;", [32, 32], [32], bound=bound)
            values = moderate(F32, full, 30) + spread(F32, full)
            for a, b in pick(full, values, values[7:] + values[:7], count=90):
                finite = not any(F32.is_nan(x) or F32.is_infinite(x) or not x & 0x7FFFFFFF for x in (a, b))
                if not finite or any(F32.is_subnormal(x) for x in (a, b)):
                    continue
                y = real(F32, a) / real(F32, b)
                if abs(F32.value(b)) <= Fraction(2) ** 126 and 2.0 ** -120 < abs(y) < 2.0 ** 120:
                    form.row([a, b], [exact(y)])
            yield form


def double():
    """Computed from the upper word of the operand; the lower word of the result is zero."""
    for name in ("rcp", "rsqrt"):
        full = f"{name}.approx.ftz.f64"
        form = Form(full, f"{full} $d0, $a0;", [64], [64], bound="relative 2^-18")
        for a in spread(F64, full):
            result = FUNCTIONS[name].apply(F64, a, True)
            # The upper word of some NaNs is an infinity's.
            if result is not None and (result != NAN or a >> 32 & 0xFFFFF):
                form.row([a], [result])
        yield form
    form = Form("rsqrt.approx.f64", "rsqrt.approx.f64 $d0, $a0;", [64], [64], bound="relative 2^-50")
    for a in spread(F64, "rsqrt.approx.f64"):
        result = FUNCTIONS["rsqrt"].apply(F64, a, False)
        if result is not None:
            form.row([a], [result])
    yield form


def forms():
    yield from single()
    yield from narrow()
    yield from quotients()
    yield from double()
