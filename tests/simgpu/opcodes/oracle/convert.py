"""Conversions (PTX ISA, "cvt" and "cvt.pack").

A NaN becomes zero as an integer, except from f64 or to 64 bits, where it becomes the number whose only set
bit is the top one.
"""

from fractions import Fraction
from math import floor

from . import floating, integer
from .floats import BF16, F16, F32, F64, TF32
from .floating import NAN
from .integer import SIGNED, UNSIGNED, WIDTH, clamp, limits, value
from .table import Form, pick

FLOATS = {"f16": F16, "bf16": BF16, "f32": F32, "f64": F64}
ROUNDINGS = ("rn", "rz", "rm", "rp")


def register(type):
    """Operands of 8 bits travel in registers of 32."""
    return FLOATS[type].bits if type in FLOATS else 32 if WIDTH[type] == 8 else WIDTH[type]


def form(name, source, target, needs="6.0 sm_70"):
    return Form(name, f"{name} $d0, $a0;", [register(source)], [register(target)], needs)


def between_integers():
    types = [*SIGNED, *UNSIGNED]
    for source in types:
        for target in types:
            contained = limits(target)[0] <= limits(source)[0] and limits(source)[1] <= limits(target)[1]
            for saturate in ("",) if contained else ("", ".sat"):
                name = f"cvt{saturate}.{target}.{source}"
                made = form(name, source, target)
                for a in integer.pool(register(source))[:: 1 if saturate else 2]:
                    exact = value(a, source)
                    made.row([a], [clamp(exact, target) if saturate else value(exact, target)])
                yield made


def integers_beside(float):
    """The integer types that convert to and from a float type."""
    return [t for t in [*SIGNED, *UNSIGNED] if WIDTH[t] > 8 or float != "bf16"]


def near_integers(format):
    """Values where roundings to an integer differ, and the ends of the integer types."""
    made = []
    for number in (0.5, 1.5, 2.5, 0.75, 1.25, 100.5, 126.5, 127.5, 128, 255.5, 256.5, 32767.5, 65535.5):
        for sign in (1, -1):
            made.append(format.of(sign * Fraction(number)))
    for exponent in (7, 8, 15, 16, 31, 32, 63, 64):
        edge = format.of(1 << exponent)
        for bits in (edge, edge - 1, edge + 1):
            if not format.is_infinite(bits) and not format.is_nan(bits) and bits < format.infinity:
                made += [bits, bits | format.sign_bit]
    return list(dict.fromkeys(made))


def to_integer(number, rounding):
    whole = floor(number)
    rest = number - whole
    return {"rzi": whole + (number < 0 and rest > 0), "rmi": whole, "rpi": whole + (rest > 0),
            "rni": whole + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole & 1))}[rounding]


def float_to_integer():
    for source, format in FLOATS.items():
        for target in integers_beside(source):
            for rounding in ("rni", "rzi", "rmi", "rpi"):
                for flag in ("", ".ftz") if source == "f32" else ("",):
                    for saturate in ("", ".sat") if source != "bf16" else ("",):
                        name = f"cvt.{rounding}{flag}{saturate}.{target}.{source}"
                        needs = "7.8 sm_90" if source == "bf16" else "6.0 sm_70"
                        made = form(name, source, target, needs)
                        values = near_integers(format) + floating.CORNERS[format]
                        count = len(values) if source in ("f32", "f64") and not saturate and not flag else 30
                        for (a,) in pick(name, values, count=count):
                            result = integer_of(format, a, source, target, rounding, bool(flag))
                            if result is not None:
                                made.row([a], [result])
                        yield made


def integer_of(format, a, source, target, rounding, flush):
    a = format.flush(a) if flush else a
    if format.is_nan(a):
        if WIDTH[target] < 32:
            # Said for the type's own width only, and these travel in wider registers.
            return 0 if source != "f64" else None
        top = source == "f64" or WIDTH[target] == 64
        return 1 << (WIDTH[target] - 1) if top else 0
    if format.is_infinite(a):
        return limits(target)[0 if format.negative(a) else 1]
    return clamp(to_integer(format.value(a), rounding), target)


def integer_to_float():
    for target, format in FLOATS.items():
        for source in integers_beside(target):
            for rounding in ROUNDINGS:
                flags = ["", ".sat"] if target != "bf16" else [""]
                # Flushing changes no result: an integer is never subnormal.
                flags += [".ftz", ".ftz.sat"] if target == "f32" else []
                for flag in flags:
                    saturate = "sat" in flag
                    name = f"cvt.{rounding}{flag}.{target}.{source}"
                    made = form(name, source, target, "7.8 sm_90" if target == "bf16" else "6.0 sm_70")
                    numbers = integer.pool(register(source))[:: 4 if flag else 1]
                    ties = [(1 << format.fraction_bits + 1) + 1, (1 << format.fraction_bits + 1) + 3,
                            (1 << format.fraction_bits + 2) + 2, (1 << format.fraction_bits + 2) + 6]
                    numbers += [t for t in ties if t < 1 << register(source)]
                    for a in numbers:
                        exact = Fraction(value(a, source))
                        if saturate:
                            exact = max(Fraction(0), min(Fraction(1), exact))
                        made.row([a], [format.round(exact, rounding)])
                    yield made


def convert(source, target, a, rounding, flush=False, saturate=False, relu=False):
    """A float as another, or None where the manual leaves it open."""
    if flush and source is F32:
        a = F32.flush(a)
    if source.is_nan(a):
        return 0 if saturate else target.canonical_nan if relu else NAN
    minus = source.negative(a)
    if source.is_infinite(a):
        bits = target.infinity | (target.sign_bit if minus else 0)
    elif not a & ~source.sign_bit:
        bits = target.sign_bit if minus else 0
    else:
        exact = source.value(a)
        if flush and target is F32 and target.tiny(exact):
            return None
        bits = target.round(exact, rounding)
    if flush and target is F32:
        bits = target.flush(bits)
    if relu and target.negative(bits):
        return 0
    if saturate:
        # What -0 saturates to is not said.
        if bits == target.sign_bit:
            return None
        return 0 if target.negative(bits) else min(bits, target.of(1))
    return bits


def halfway(wide, narrow, name):
    """Values of one format around the middle between two of a narrower one."""
    made = list(floating.pool(wide, name))
    shift = wide.fraction_bits - narrow.fraction_bits
    if shift <= 0:
        return made
    for base in (narrow.of(1), narrow.of(1) + 1, narrow.of(3), narrow.smallest_normal, narrow.largest,
                 narrow.smallest_normal + 5):
        exact = narrow.value(base)
        step = Fraction(2) ** (base >> narrow.fraction_bits) * narrow.quantum / 2
        for number in (exact + step / 2, exact + step, exact - step, exact + step * Fraction(3, 2)):
            made += [wide.round(number, "rn"), wide.round(-number, "rn")]
    # Subnormals of the narrow format, and what is below half of the smallest.
    for units in (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1, Fraction(3, 2), Fraction(5, 2), 7):
        made += [wide.round(narrow.quantum * units, "rn"), wide.round(-narrow.quantum * units, "rn")]
    return made


def between_floats():
    pairs = [("f16", "f32"), ("f16", "f64"), ("f32", "f64")]
    for narrow, wide in pairs:
        n, w = FLOATS[narrow], FLOATS[wide]
        flags = ("", ".ftz") if "f32" in (narrow, wide) else ("",)
        for flag in flags:
            for saturate in ("", ".sat"):
                name = f"cvt{flag}{saturate}.{wide}.{narrow}"
                made = form(name, narrow, wide)
                for a in floating.pool(n):
                    result = convert(n, w, a, "rn", bool(flag), bool(saturate))
                    if result is not None:
                        made.row([a], [result])
                yield made
                for rounding in ROUNDINGS:
                    name = f"cvt.{rounding}{flag}{saturate}.{narrow}.{wide}"
                    made = form(name, wide, narrow)
                    for a in halfway(w, n, name)[:: 2 if saturate else 1]:
                        result = convert(w, n, a, rounding, bool(flag), bool(saturate))
                        if result is not None:
                            made.row([a], [result])
                    yield made


def same_type():
    for type in ("f16", "f32", "f64"):
        format = FLOATS[type]
        for flag in ("", ".ftz") if type == "f32" else ("",):
            for saturate in ("", ".sat"):
                if flag or saturate:
                    name = f"cvt{flag}{saturate}.{type}.{type}"
                    made = form(name, type, type)
                    for a in floating.pool(format):
                        result = convert(format, format, a, "rn", bool(flag), bool(saturate))
                        if result is not None:
                            made.row([a], [result])
                    yield made
                for rounding in ("rni", "rzi", "rmi", "rpi"):
                    name = f"cvt.{rounding}{flag}{saturate}.{type}.{type}"
                    made = form(name, type, type)
                    for a in near_integers(format) + floating.pool(format):
                        result = whole(format, a, rounding, bool(flag), bool(saturate))
                        if result is not None:
                            made.row([a], [result])
                    yield made


def whole(format, a, rounding, flush, saturate):
    if flush:
        a = format.flush(a)
    if format.is_nan(a) or format.is_infinite(a) or not a & ~format.sign_bit:
        return convert(format, format, a, "rn", flush, saturate)
    number = to_integer(format.value(a), rounding)
    bits = format.round(Fraction(number), "rn", zero_negative=format.negative(a))
    return convert(format, format, bits, "rn", flush, saturate)


def brain_floats():
    for relu in ("", ".relu"):
        for rounding in ("rn", "rz"):
            for target, needs in (("bf16", "7.0 sm_80"), ("f16", "7.0 sm_80")):
                format = FLOATS[target]
                name = f"cvt.{rounding}{relu}.{target}.f32"
                apply = lambda a: convert(F32, format, a, rounding, relu=bool(relu))
                if target == "bf16" or relu:
                    made = form(name, "f32", target, needs)
                    for a in halfway(F32, format, name):
                        made.row([a], [apply(a)])
                    yield made
                name = f"cvt.{rounding}{relu}.{target}x2.f32"
                made = Form(name, f"{name} $d0, $a0, $a1;", [32, 32], [32], needs)
                values = [a for a in halfway(F32, format, name) if relu or not F32.is_nan(a)]
                for a, b in pick(name, values, values[::-1], count=40):
                    # The first operand becomes the upper half.
                    made.row([a, b], [apply(a) << 16 | apply(b)])
                yield made
    name = "cvt.f32.bf16"
    made = form(name, "bf16", "f32", "7.8 sm_90")
    for a in floating.pool(BF16):
        made.row([a], [convert(BF16, F32, a, "rn")])
    yield made
    for name, source in (("cvt.rn.bf16.f64", "f64"), ("cvt.rn.bf16.f16", "f16"), ("cvt.f64.bf16", "bf16"),
                         ("cvt.rn.f16.bf16", "bf16")):
        target = name.split(".")[-2]
        made = form(name, source, target, "7.8 sm_90")
        for a in halfway(FLOATS[source], FLOATS[target], name):
            made.row([a], [convert(FLOATS[source], FLOATS[target], a, "rn")])
        yield made
    for rounding, needs in (("rna", "7.0 sm_80"), ("rn", "7.8 sm_90"), ("rz", "7.8 sm_90")):
        name = f"cvt.{rounding}.tf32.f32"
        made = Form(name, [f"{name} $d0, $a0;", "and.b32 $d0, $d0, 0xffffe000;"], [32], [32], needs)
        for a in halfway(F32, TF32, name):
            # Of a NaN, and of a value beyond the range, the manual says little.
            if not F32.is_nan(a) and not F32.is_infinite(a) and F32.value(a & 0x7FFFFFFF) <= TF32.value(TF32.largest):
                made.row([a], [convert(F32, TF32, a, rounding) << 13])
        yield made


def packs():
    for target in ("s16", "u16"):
        name = f"cvt.pack.sat.{target}.s32"
        made = Form(name, f"{name} $d0, $a0, $a1;", [32, 32], [32], "6.5 sm_72")
        for a, b in pick(name, integer.pool(32), integer.pool(32), count=30):
            high, low = (clamp(value(x, "s32"), target) & 0xFFFF for x in (a, b))
            made.row([a, b], [high << 16 | low])
        yield made
    for target in ("s8", "u8"):
        name = f"cvt.pack.sat.{target}.s32.b32"
        made = Form(name, f"{name} $d0, $a0, $a1, $a2;", [32] * 3, [32], "6.5 sm_72")
        for a, b, c in pick(name, integer.pool(32), integer.pool(32), integer.pool(32), count=30):
            high, low = (clamp(value(x, "s32"), target) & 0xFF for x in (a, b))
            made.row([a, b, c], [c << 16 | high << 8 | low])
        yield made


def forms():
    yield from between_integers()
    yield from float_to_integer()
    yield from integer_to_float()
    yield from between_floats()
    yield from same_type()
    yield from brain_floats()
    yield from packs()
