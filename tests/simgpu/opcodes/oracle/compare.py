"""Comparison and selection (PTX ISA, "Comparison and Selection Instructions")."""

from . import floating, integer
from .floats import BF16, F16, F32, F64
from .table import Form, pick

FLOATS = {"f16": F16, "bf16": BF16, "f32": F32, "f64": F64}
ORDERED = {"eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
           "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b}
UNSIGNED = {"lo": ORDERED["lt"], "ls": ORDERED["le"], "hi": ORDERED["gt"], "hs": ORDERED["ge"]}
BOOLEAN = {"and": lambda p, q: p & q, "or": lambda p, q: p | q, "xor": lambda p, q: p ^ q}


def comparisons(type):
    """The comparisons of a type, as functions of bits."""
    if type in FLOATS:
        format = FLOATS[type]
        nan = lambda a, b: format.is_nan(a) or format.is_nan(b)
        made = {}
        for name, function in ORDERED.items():
            compare = lambda a, b, function=function: function(format_value(format, a), format_value(format, b))
            made[name] = lambda a, b, compare=compare: not nan(a, b) and compare(a, b)
            made[name + "u"] = lambda a, b, compare=compare: nan(a, b) or compare(a, b)
        return made | {"num": lambda a, b: not nan(a, b), "nan": nan}
    names = {"b": {k: ORDERED[k] for k in ("eq", "ne")}, "s": ORDERED, "u": ORDERED | UNSIGNED}[type[0]]
    take = lambda x: integer.value(x, type)
    return {k: lambda a, b, f=f: f(take(a), take(b)) for k, f in names.items()}


def format_value(format, bits):
    """A number that orders as the operand does, infinities included."""
    if format.is_infinite(bits):
        return -(2 ** 2000) if format.negative(bits) else 2 ** 2000
    return format.value(bits)


def operands(type, name, count):
    values = floating.pool(FLOATS[type]) if type in FLOATS else integer.pool(integer.WIDTH[type])
    pairs = pick(name, values, values, count=count)
    return pairs + [(values[i], values[i]) for i in (0, 1, -1)] + [(values[0], values[1]), (values[1], values[0])]


def flushes(type):
    return ("", ".ftz") if type in ("f32", "f16") else ("",)


def needs(type):
    return "7.8 sm_90" if "bf16" in type else "6.5 sm_70" if type == "f16" else "6.0 sm_70"


TYPES = ["b16", "b32", "b64", "s16", "s32", "s64", "u16", "u32", "u64", "f16", "bf16", "f32", "f64"]


def setp():
    for type in TYPES:
        width = 16 if type == "bf16" else int(type[1:])
        for compare, function in comparisons(type).items():
            for flag in flushes(type):
                take = FLOATS[type].flush if flag else lambda x: x
                name = f"setp.{compare}{flag}.{type}"
                form = Form(name, ["{.reg .pred p;", f"{name} p, $a0, $a1;", "selp.u32 $d0, 1, 0, p;}"],
                            [width, width], [32], needs(type))
                for a, b in operands(type, name, 16):
                    form.row([a, b], [int(function(take(a), take(b)))])
                yield form
                for boolean, combine in BOOLEAN.items():
                    name = f"setp.{compare}.{boolean}{flag}.{type}"
                    # Both predicates, with the third operand as it is and negated; halves have only one.
                    both = type not in ("f16", "bf16")
                    code = ["{.reg .pred p, q, c;", "setp.ne.u32 c, $a2, 0;",
                            f"{name} {'p|q' if both else 'p'}, $a0, $a1, c;", "selp.u32 $d0, 1, 0, p;",
                            "selp.u32 $d1, 1, 0, q;" if both else "mov.u32 $d1, 0;",
                            f"{name} p, $a0, $a1, !c;", "selp.u32 $d2, 1, 0, p;}"]
                    form = Form(name, code, [width, width, 32], [32] * 3, needs(type))
                    for i, (a, b) in enumerate(operands(type, name, 5)):
                        p, c = int(function(take(a), take(b))), i & 1
                        form.row([a, b, c], [combine(p, c), combine(1 - p, c) * both, combine(p, 1 - c)])
                    yield form


def setp_pairs():
    for type in ("f16", "bf16"):
        for compare, function in comparisons(type).items():
            for flag in flushes(type):
                take = FLOATS[type].flush if flag else lambda x: x
                name = f"setp.{compare}{flag}.{type}x2"
                form = Form(name, ["{.reg .pred p, q;", f"{name} p|q, $a0, $a1;", "selp.u32 $d0, 1, 0, p;",
                                   "selp.u32 $d1, 1, 0, q;}"], [32, 32], [32, 32], needs(type))
                low, high = operands(type, name, 10), operands(type, name + " high", 10)
                for (a, b), (c, d) in zip(low, high):
                    form.row([a | c << 16, b | d << 16],
                             [int(function(take(a), take(b))), int(function(take(c), take(d)))])
                yield form
                for boolean, combine in BOOLEAN.items():
                    name = f"setp.{compare}.{boolean}{flag}.{type}x2"
                    code = ["{.reg .pred p, q, c;", "setp.ne.u32 c, $a2, 0;", f"{name} p|q, $a0, $a1, c;",
                            "selp.u32 $d0, 1, 0, p;", "selp.u32 $d1, 1, 0, q;}"]
                    form = Form(name, code, [32] * 3, [32, 32], needs(type))
                    for (a, b), (c, d) in list(zip(low, high))[:3]:
                        for third in (0, 1):
                            form.row([a | c << 16, b | d << 16, third],
                                     [combine(int(function(take(a), take(b))), third),
                                      combine(int(function(take(c), take(d))), third)])
                    yield form


def set_():
    true = {"u32": 0xFFFFFFFF, "s32": 0xFFFFFFFF, "f32": 0x3F800000, "u16": 0xFFFF, "s16": 0xFFFF, "f16": 0x3C00,
            "bf16": 0x3F80}
    for type in TYPES:
        width = 16 if type == "bf16" else int(type[1:])
        for compare, function in comparisons(type).items():
            for flag in flushes(type):
                take = FLOATS[type].flush if flag else lambda x: x
                kinds = ("u16", "s16", "u32", "s32", type) if "f16" in type else ("u32", "s32", "f32")
                for kind in kinds:
                    name = f"set.{compare}{flag}.{kind}.{type}"
                    out = 32 if "32" in kind else 16
                    form = Form(name, f"{name} $d0, $a0, $a1;", [width, width], [out], needs(type))
                    for a, b in operands(type, name, 4):
                        form.row([a, b], [true[kind] * function(take(a), take(b))])
                    yield form
                    for boolean, combine in BOOLEAN.items():
                        name = f"set.{compare}.{boolean}{flag}.{kind}.{type}"
                        code = ["{.reg .pred c;", "setp.ne.u32 c, $a2, 0;", f"{name} $d0, $a0, $a1, c;}}"]
                        form = Form(name, code, [width, width, 32], [out], needs(type))
                        # Pairs that are less, equal and greater, each with both values of the third operand.
                        a, b = operands(type, name, 1)[0]
                        for x, y in ((a, b), (b, a), (a, a)):
                            for c in (0, 1):
                                form.row([x, y, c], [true[kind] * combine(int(function(take(x), take(y))), c)])
                        yield form
    for type in ("f16", "bf16"):
        for compare, function in comparisons(type).items():
            for flag in flushes(type):
                take = FLOATS[type].flush if flag else lambda x: x
                for kind in (type + "x2", "u32", "s32"):
                    name = f"set.{compare}{flag}.{kind}.{type}x2"
                    form = Form(name, f"{name} $d0, $a0, $a1;", [32, 32], [32], needs(type))
                    yes = true[type] if kind == type + "x2" else 0xFFFF
                    low, high = operands(type, name, 6), operands(type, name + " high", 6)
                    for (a, b), (c, d) in zip(low, high):
                        form.row([a | c << 16, b | d << 16], [yes * function(take(a), take(b))
                                                              | yes * function(take(c), take(d)) << 16])
                    yield form
                    for boolean, combine in BOOLEAN.items():
                        name = f"set.{compare}.{boolean}{flag}.{kind}.{type}x2"
                        code = ["{.reg .pred c;", "setp.ne.u32 c, $a2, 0;", f"{name} $d0, $a0, $a1, c;}}"]
                        form = Form(name, code, [32] * 3, [32], needs(type))
                        for (a, b), (c, d) in list(zip(low, high))[:3]:
                            for third in (0, 1):
                                first = combine(int(function(take(a), take(b))), third)
                                second = combine(int(function(take(c), take(d))), third)
                                form.row([a | c << 16, b | d << 16, third], [yes * first | yes * second << 16])
                        yield form


def selections():
    for type in ("b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64"):
        width = int(type[1:])
        values = floating.pool(FLOATS[type]) if type in FLOATS else integer.pool(width)
        form = Form(f"selp.{type}", ["{.reg .pred p;", "setp.ne.u32 p, $a2, 0;", f"selp.{type} $d0, $a0, $a1, p;}}"],
                    [width, width, 32], [width])
        for a, b, c in pick(f"selp.{type}", values, values[::-1], (0, 1), count=10):
            form.row([a, b, c], [a if c else b])
        yield form
        for condition in ("s32", "f32", "ftz.f32"):
            name = f"slct.ftz.{type}.f32" if condition == "ftz.f32" else f"slct.{type}.{condition}"
            form = Form(name, f"{name} $d0, $a0, $a1, $a2;", [width, width, 32], [width])
            signs = integer.pool(32) if condition == "s32" else F32_SIGNS
            for a, b, c in pick(name, values, values[::-1], signs, count=20):
                if condition == "s32":
                    first = integer.signed(c, 32) >= 0
                else:
                    # -0 is >= 0, and so is a flushed subnormal; a NaN selects the second.
                    c_value = F32.flush(c) if condition == "ftz.f32" else c
                    first = not F32.is_nan(c) and (not F32.negative(c_value) or c_value == F32.sign_bit)
                form.row([a, b, c], [a if first else b])
            yield form


F32_SIGNS = [0, 0x80000000, 1, 0x80000001, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000]


def forms():
    yield from setp()
    yield from setp_pairs()
    yield from set_()
    yield from selections()
