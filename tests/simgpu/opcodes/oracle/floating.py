"""Floating-point arithmetic, correctly rounded (PTX ISA, "Floating Point" and "Half Precision" instructions).

Single-precision arithmetic returns an unspecified NaN, and which payload double precision passes on is not
said for two NaNs: results of arithmetic are `nan`. What is an exact zero's sign follows IEEE 754.
"""

from fractions import Fraction

from .floats import BF16, F16, F32, F64, square_root
from .table import Form, bits_of, pick

ROUNDINGS = ("rn", "rz", "rm", "rp")
NAN = "nan"

CORNERS = {
    F32: [0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000, 0x00800001, 0x3F800000,
          0xBF800000, 0x3F800001, 0x3F7FFFFF, 0x40490FDB, 0x40200000, 0xC0200000, 0x3EAAAAAB, 0x34000000,
          0x33800000, 0xB3800001, 0x4B000001, 0x4B800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F000000, 0x7F800000,
          0xFF800000, 0x7FC00000, 0x7FC12345, 0xFF812345],
    F64: [0, 1 << 63, 1, (1 << 63) + 1, 0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x8010000000000000,
          0x3FF0000000000000, 0xBFF0000000000000, 0x3FF0000000000001, 0x3FEFFFFFFFFFFFFF, 0x400921FB54442D18,
          0x3FD5555555555555, 0x3CB0000000000000, 0x3CA0000000000000, 0xBCA0000000000001, 0x4330000000000001,
          0x4340000000000001, 0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x7FE0000000000000, 0x7FF0000000000000,
          0xFFF0000000000000, 0x7FF8000000000000, 0x7FF8000000012345, 0xFFF0000000012345],
    F16: [0, 0x8000, 1, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x3C01, 0x3BFF, 0x4248, 0x4100,
          0x3555, 0x1400, 0x1000, 0x9001, 0x6401, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7E55, 0xFD01],
    BF16: [0, 0x8000, 1, 0x8001, 0x007F, 0x0080, 0x8080, 0x3F80, 0xBF80, 0x3F81, 0x3F7F, 0x4049, 0x4020, 0x3EAB,
           0x3C00, 0x3B80, 0xBB81, 0x4301, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0x7FD5, 0xFF81],
}


def moderate(format, name, count):
    """Random values whose exponents are near each other, so that sums and products round."""
    made = []
    for bits in bits_of(f"{format.name} {name}", 80, count):
        exponent = format.bias + (bits >> 64) % 9 - 4
        fraction = bits & (format.smallest_normal - 1)
        made.append((bits >> 63 & 1) * format.sign_bit | exponent << format.fraction_bits | fraction)
    return made


def pool(format, name="pool"):
    return CORNERS[format] + moderate(format, name, 10)


class Mode:
    """The modifiers of an arithmetic instruction."""

    def __init__(self, format, rounding="rn", flush=False, saturate=False, relu=False):
        self.format, self.rounding, self.flush, self.saturate, self.relu = format, rounding, flush, saturate, relu

    def take(self, bits):
        return self.format.flush(bits) if self.flush else bits

    def give(self, bits):
        """Applies the modifiers to a rounded result, which may be NAN."""
        format = self.format
        if bits == NAN:
            # .sat turns a NaN into +0; .relu makes it canonical.
            return 0 if self.saturate else format.canonical_nan if self.relu else NAN
        if self.flush:
            bits = format.flush(bits)
        if self.relu and format.negative(bits):
            return 0
        if self.saturate:
            one = format.of(1)
            if format.negative(bits):
                return 0
            return min(bits, one)
        return bits

    def unclear(self, exact):
        """Whether the manual leaves open what comes out: just below the smallest normal when flushing."""
        return self.flush and self.format.tiny(exact)


def add(mode, a, b):
    return fused(mode, a, mode.format.of(1), b)


def fused(mode, a, b, c):
    """a * b + c, rounded once; None where the manual leaves the result open."""
    f = mode.format
    a, b, c = map(mode.take, (a, b, c))
    if any(map(f.is_nan, (a, b, c))):
        return mode.give(NAN)
    negative = f.negative(a) != f.negative(b)
    if f.is_infinite(a) or f.is_infinite(b):
        zero = not (a & ~f.sign_bit) or not (b & ~f.sign_bit)
        if zero or (f.is_infinite(c) and f.negative(c) != negative):
            return mode.give(NAN)
        return mode.give(f.infinity | (f.sign_bit if negative else 0))
    if f.is_infinite(c):
        return mode.give(c)
    product, addend = f.value(a) * f.value(b), f.value(c)
    exact = product + addend
    if mode.unclear(exact):
        return None
    if product == 0 and addend == 0:
        minus = negative and f.negative(c) or (negative != f.negative(c) and mode.rounding == "rm")
    else:
        minus = mode.rounding == "rm"
    if exact == 0 and minus and mode.saturate:
        return None
    return mode.give(f.round(exact, mode.rounding, zero_negative=minus))


def multiply(mode, a, b):
    f = mode.format
    negative = f.negative(mode.take(a)) != f.negative(mode.take(b))
    # A zero of the product's sign leaves the product as it is.
    return fused(mode, a, b, f.sign_bit if negative else 0)


def divide(mode, a, b):
    f = mode.format
    a, b = mode.take(a), mode.take(b)
    sign = (a ^ b) & f.sign_bit
    magnitude = ~f.sign_bit
    if f.is_nan(a) or f.is_nan(b) or (f.is_infinite(a) and f.is_infinite(b)) or not (a & magnitude or b & magnitude):
        return mode.give(NAN)
    if f.is_infinite(a) or not b & magnitude:
        return mode.give(f.infinity | sign)
    if f.is_infinite(b) or not a & magnitude:
        return mode.give(sign)
    exact = f.value(a) / f.value(b)
    return None if mode.unclear(exact) else mode.give(f.round(exact, mode.rounding))


def root(mode, a):
    f = mode.format
    a = mode.take(a)
    if not a & ~f.sign_bit:
        return a
    if f.is_nan(a) or f.negative(a):
        return NAN
    return a if f.is_infinite(a) else square_root(f.value(a), mode.rounding, f)


def extreme(format, a, b, pick_largest, flush=False, nan=False, xorsign=False):
    """min and max: a NaN loses unless .NaN is given, and -0 is below +0."""
    sign = 0
    if xorsign:
        sign = (a ^ b) & format.sign_bit
        a, b = a & ~format.sign_bit, b & ~format.sign_bit
    if flush:
        a, b = format.flush(a), format.flush(b)
    nans = format.is_nan(a) + format.is_nan(b)
    if nans == 2 or (nans and nan):
        return format.canonical_nan
    if nans:
        return (b if format.is_nan(a) else a) | sign
    order = lambda x: -(x & ~format.sign_bit) - 1 if format.negative(x) else x
    return (max if pick_largest else min)(a, b, key=order) | sign


def table(name, format, arity, function, needs, count=40):
    """A form of `arity` operands of one format."""
    width = format.bits
    arguments = ", ".join(f"$a{i}" for i in range(arity))
    form = Form(name, f"{name} $d0, {arguments};", [width] * arity, [width], needs)
    pools = [pool(format, f"{name} {i}") for i in range(arity)]
    tuples = pick(name, *pools, count=count)
    # Exact cancellation, and a product whose addend is its opposite.
    one = format.of(1)
    minus = format.sign_bit
    tuples += [(one, one | minus, 0)[:arity], (one | minus, one, 0)[:arity], (one, one, one | minus)[:arity],
               (minus, minus, minus)[:arity], (minus, 0, minus)[:arity]]
    for operands in tuples:
        result = function(*operands)
        if result is not None:
            form.row(list(operands), [result])
    return form


def packed(name, format, arity, function, needs):
    """The same for two values in one register."""
    arguments = ", ".join(f"$a{i}" for i in range(arity))
    form = Form(name, f"{name} $d0, {arguments};", [32] * arity, [32], needs)
    pools = [pool(format, f"{name} {i}") for i in range(2 * arity)]
    for operands in pick(name, *pools, count=40):
        low, high = function(*operands[:arity]), function(*operands[arity:])
        if low is None or high is None or low == NAN or high == NAN:
            continue
        form.row([a | b << 16 for a, b in zip(operands[:arity], operands[arity:])], [low | high << 16])
    return form


def subtract(mode, a, b):
    f = mode.format
    return add(mode, a, b if f.is_nan(b) else b ^ f.sign_bit)


def single_and_double():
    for format in (F32, F64):
        t = format.name
        flags = [(z, s) for z in (False, True) for s in (False, True)] if format is F32 else [(False, False)]
        for z, s in flags:
            end = ".ftz" * z + ".sat" * s + "." + t
            for rounding in ROUNDINGS:
                mode = Mode(format, rounding, z, s)
                for name, arity, function in (("add", 2, add), ("sub", 2, subtract), ("mul", 2, multiply),
                                              ("fma", 3, fused), ("mad", 3, fused)):
                    apply = lambda *operands: function(mode, *operands)
                    yield table(f"{name}.{rounding}{end}", format, arity, apply, "6.0 sm_70")
                    if rounding == "rn" and name in ("add", "sub", "mul"):
                        yield table(f"{name}{end}", format, arity, apply, "6.0 sm_70")
                if not s:
                    yield table(f"div.{rounding}{end}", format, 2, lambda a, b: divide(mode, a, b), "6.0 sm_70")
                    yield table(f"rcp.{rounding}{end}", format, 1,
                                lambda a: divide(mode, format.of(1), a), "6.0 sm_70")
                    yield table(f"sqrt.{rounding}{end}", format, 1, lambda a: root(mode, a), "6.0 sm_70")


def extremes():
    for name, largest in (("min", False), ("max", True)):
        for z in (False, True):
            for nan in (False, True):
                for xorsign in (False, True):
                    end = ".ftz" * z + ".NaN" * nan + ".xorsign.abs" * xorsign
                    needs = "7.2 sm_86" if xorsign else "7.0 sm_80" if nan else "6.0 sm_70"

                    def apply(format, a, b):
                        result = extreme(format, a, b, largest, z, nan, xorsign)
                        # What the sign of one NaN does to the other operand is not said.
                        some = format.is_nan(a) or format.is_nan(b)
                        return None if xorsign and some else result

                    yield table(f"{name}{end}.f32", F32, 2, lambda a, b: apply(F32, a, b), needs)
                    half = "7.2 sm_86" if xorsign else "7.0 sm_80"
                    yield table(f"{name}{end}.f16", F16, 2, lambda a, b: apply(F16, a, b), half)
                    yield packed(f"{name}{end}.f16x2", F16, 2, lambda a, b: apply(F16, a, b), half)
                    if not z:
                        yield table(f"{name}{end}.bf16", BF16, 2, lambda a, b: apply(BF16, a, b), half)
                        yield packed(f"{name}{end}.bf16x2", BF16, 2, lambda a, b: apply(BF16, a, b), half)

        def double(a, b):
            if not (a | b) & ~F64.sign_bit or (F64.is_nan(a) and F64.is_nan(b)):
                return None if not (a | b) & ~F64.sign_bit else NAN
            return extreme(F64, a, b, largest)

        yield table(f"{name}.f64", F64, 2, double, "6.0 sm_70")


def signs():
    for format, flags, needs in ((F32, ("", ".ftz"), "6.0 sm_70"), (F64, ("",), "6.0 sm_70"),
                                 (F16, ("", ".ftz"), "6.5 sm_70"), (BF16, ("",), "7.0 sm_80")):
        for flag in flags:
            take = format.flush if flag else lambda a: a
            absolute = lambda a: NAN if format.is_nan(a) else take(a) & ~format.sign_bit
            negated = lambda a: NAN if format.is_nan(a) else take(a) ^ format.sign_bit
            for name, function in (("abs", absolute), ("neg", negated)):
                yield table(f"{name}{flag}.{format.name}", format, 1, function, needs)
                if format.bits == 16:
                    yield packed(f"{name}{flag}.{format.name}x2", format, 1, function, needs)
    for format in (F32, F64):
        t, rest = format.name, format.sign_bit - 1
        yield table(f"copysign.{t}", format, 2,
                    lambda a, b: None if format.is_nan(b) else a & format.sign_bit | b & rest, "6.0 sm_70")
        normal = lambda a: not (format.is_nan(a) or format.is_infinite(a) or format.is_subnormal(a) or not a & rest)
        tests = {"finite": lambda a: not format.is_nan(a) and not format.is_infinite(a),
                 "infinite": format.is_infinite, "number": lambda a: not format.is_nan(a),
                 "notanumber": format.is_nan, "normal": normal, "subnormal": format.is_subnormal}
        for name, test in tests.items():
            form = Form(f"testp.{name}.{t}", ["{.reg .pred p;", f"testp.{name}.{t} p, $a0;",
                                              "selp.u32 $d0, 1, 0, p;}"], [format.bits], [32])
            for a in pool(format):
                form.row([a], [int(test(a))])
            yield form


def halves():
    for z in (False, True):
        for s in (False, True):
            mode = Mode(F16, flush=z, saturate=s)
            for name, arity, function in (("add", 2, add), ("sub", 2, subtract), ("mul", 2, multiply)):
                apply = lambda *operands: function(mode, *operands)
                for rounding in ("", ".rn"):
                    end = rounding + ".ftz" * z + ".sat" * s
                    yield table(f"{name}{end}.f16", F16, arity, apply, "6.0 sm_70")
                    yield packed(f"{name}{end}.f16x2", F16, arity, apply, "6.0 sm_70")
            apply = lambda a, b, c: fused(mode, a, b, c)
            end = ".ftz" * z + ".sat" * s
            yield table(f"fma.rn{end}.f16", F16, 3, apply, "6.0 sm_70")
            yield packed(f"fma.rn{end}.f16x2", F16, 3, apply, "6.0 sm_70")
        relu = Mode(F16, flush=z, relu=True)
        apply = lambda a, b, c: fused(relu, a, b, c)
        yield table(f"fma.rn{'.ftz' * z}.relu.f16", F16, 3, apply, "7.0 sm_80")
        yield packed(f"fma.rn{'.ftz' * z}.relu.f16x2", F16, 3, apply, "7.0 sm_80")
    mode = Mode(BF16)
    for name, function in (("add", add), ("sub", subtract), ("mul", multiply)):
        apply = lambda a, b: function(mode, a, b)
        for rounding in ("", ".rn"):
            yield table(f"{name}{rounding}.bf16", BF16, 2, apply, "7.8 sm_90")
            yield packed(f"{name}{rounding}.bf16x2", BF16, 2, apply, "7.8 sm_90")
    for relu in (False, True):
        mode = Mode(BF16, relu=relu)
        apply = lambda a, b, c: fused(mode, a, b, c)
        yield table(f"fma.rn{'.relu' * relu}.bf16", BF16, 3, apply, "7.0 sm_80")
        yield packed(f"fma.rn{'.relu' * relu}.bf16x2", BF16, 3, apply, "7.0 sm_80")


def forms():
    yield from single_and_double()
    yield from extremes()
    yield from signs()
    yield from halves()
