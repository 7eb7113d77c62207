"""Integer arithmetic (PTX ISA, "Integer Arithmetic Instructions" and "Extended-Precision")."""

from .table import Form, bits_of, pick

SIGNED = {"s8": 8, "s16": 16, "s32": 32, "s64": 64}
UNSIGNED = {"u8": 8, "u16": 16, "u32": 32, "u64": 64}
WIDTH = SIGNED | UNSIGNED | {"b8": 8, "b16": 16, "b32": 32, "b64": 64}
TYPES = [t for t in SIGNED | UNSIGNED if WIDTH[t] > 8]


def signed(bits, width):
    bits &= (1 << width) - 1
    return bits - (1 << width) if bits >> (width - 1) else bits


def value(bits, type):
    return signed(bits, WIDTH[type]) if type in SIGNED else bits & ((1 << WIDTH[type]) - 1)


def limits(type):
    width = WIDTH[type]
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if type in SIGNED else (0, (1 << width) - 1)


def clamp(number, type):
    low, high = limits(type)
    return max(low, min(high, number))


def pool(width):
    top = 1 << (width - 1)
    corners = [0, 1, 2, 3, 7, width - 1, width, top - 1, top, top + 1, 2 * top - 1, 2 * top - 2,
               (1 << width // 2) - 1, 1 << width // 2, 0x5A5A5A5A5A5A5A5A & (2 * top - 1)]
    return corners + bits_of(f"integers {width}", width, 9)


def unary(name, type, function, out=None, needs="6.0 sm_70"):
    width = WIDTH[type]
    form = Form(name, f"{name} $d0, $a0;", [width], [out or width], needs)
    for a in pool(width):
        form.row([a], [function(value(a, type))])
    return form


def binary(name, type, function, out=None, needs="6.0 sm_70", keep=lambda a, b: True):
    width = WIDTH[type]
    form = Form(name, f"{name} $d0, $a0, $a1;", [width, width], [out or width], needs)
    for a, b in pick(name, pool(width), pool(width), count=36) + [(x, x) for x in pool(width)[:4]]:
        if keep(value(a, type), value(b, type)):
            form.row([a, b], [function(value(a, type), value(b, type))])
    return form


def ternary(name, type, function, out=None, needs="6.0 sm_70"):
    width = WIDTH[type]
    out = out or width
    form = Form(name, f"{name} $d0, $a0, $a1, $a2;", [width, width, out], [out], needs)
    wide = {16: {32: "32"}, 32: {64: "64"}}.get(width, {}).get(out)
    third = type[0] + (wide or str(width))
    for a, b, c in pick(name, pool(width), pool(width), pool(out), count=36):
        form.row([a, b, c], [function(value(a, type), value(b, type), value(c, third))])
    return form


def quotient(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def arithmetic():
    for type in TYPES:
        width = WIDTH[type]
        divides = lambda a, b, low=limits(type)[0]: b != 0 and not (low < 0 and a == low and b == -1)
        yield binary(f"add.{type}", type, lambda a, b: a + b)
        yield binary(f"sub.{type}", type, lambda a, b: a - b)
        yield binary(f"mul.lo.{type}", type, lambda a, b: a * b)
        yield binary(f"mul.hi.{type}", type, lambda a, b: a * b >> width)
        yield ternary(f"mad.lo.{type}", type, lambda a, b, c: a * b + c)
        yield ternary(f"mad.hi.{type}", type, lambda a, b, c: (a * b >> width) + c)
        if width < 64:
            yield binary(f"mul.wide.{type}", type, lambda a, b: a * b, 2 * width)
            yield ternary(f"mad.wide.{type}", type, lambda a, b, c: a * b + c, 2 * width)
        yield ternary(f"sad.{type}", type, lambda a, b, c: c + abs(a - b))
        yield binary(f"div.{type}", type, quotient, keep=divides)
        yield binary(f"rem.{type}", type, lambda a, b: a - quotient(a, b) * b, keep=divides)
        yield binary(f"min.{type}", type, min)
        yield binary(f"max.{type}", type, max)
        if type in SIGNED:
            yield unary(f"abs.{type}", type, abs)
            yield unary(f"neg.{type}", type, lambda a: -a)
    yield binary("add.sat.s32", "s32", lambda a, b: clamp(a + b, "s32"))
    yield binary("sub.sat.s32", "s32", lambda a, b: clamp(a - b, "s32"))
    yield ternary("mad.hi.sat.s32", "s32", lambda a, b, c: clamp((a * b >> 32) + c, "s32"))
    yield from halves()
    yield from narrow_multiplies()


def halves():
    """Two 16-bit integers in one register, and clamping at zero."""
    for type in ("u16", "s16"):
        for name, function in (("add", lambda a, b: a + b), ("min", min), ("max", max)):
            for relu in ("", ".relu") if name != "add" and type == "s16" else ("",):
                yield pair(f"{name}{relu}.{type}x2", type, function, bool(relu))
    for name, function in (("min", min), ("max", max)):
        yield binary(f"{name}.relu.s32", "s32", lambda a, b: max(0, function(a, b)), needs="8.0 sm_90")


def pair(name, type, function, relu):
    form = Form(name, f"{name} $d0, $a0, $a1;", [32, 32], [32], "8.0 sm_90")
    half = pool(16)
    for a, b, c, d in pick(name, half, half, half, half, count=24):
        apply = lambda x, y: function(value(x, type), value(y, type))
        low, high = apply(a, c), apply(b, d)
        if relu:
            low, high = max(low, 0), max(high, 0)
        form.row([a | b << 16, c | d << 16], [low & 0xFFFF | (high & 0xFFFF) << 16])
    return form


def narrow_multiplies():
    cut = {"s32": lambda a: signed(a, 24), "u32": lambda a: a & 0xFFFFFF}
    for type, narrow in cut.items():
        product = lambda a, b: narrow(a) * narrow(b)
        yield binary(f"mul24.lo.{type}", type, product)
        yield binary(f"mul24.hi.{type}", type, lambda a, b: product(a, b) >> 16)
        yield ternary(f"mad24.lo.{type}", type, lambda a, b, c: product(a, b) + c)
        yield ternary(f"mad24.hi.{type}", type, lambda a, b, c: (product(a, b) >> 16) + c)
    product = lambda a, b: cut["s32"](a) * cut["s32"](b)
    yield ternary("mad24.hi.sat.s32", "s32",
                  lambda a, b, c: clamp(signed(product(a, b) >> 16, 32) + c, "s32"))


def dot_products():
    def bytes_of(bits, type, size):
        return [value(bits >> i, type) for i in range(0, 32, size)]

    for left in ("u32", "s32"):
        for right in ("u32", "s32"):
            name = f"dp4a.{left}.{right}"
            form = Form(name, f"{name} $d0, $a0, $a1, $a2;", [32] * 3, [32])
            halves = {which: Form(f"dp2a.{which}.{left}.{right}",
                                  f"dp2a.{which}.{left}.{right} $d0, $a0, $a1, $a2;", [32] * 3, [32])
                      for which in ("lo", "hi")}
            for a, b, c in pick(name, pool(32), pool(32), pool(32), count=24):
                ones = bytes_of(a, left[0] + "8", 8)
                others = bytes_of(b, right[0] + "8", 8)
                form.row([a, b, c], [c + sum(x * y for x, y in zip(ones, others))])
                twos = bytes_of(a, left[0] + "16", 16)
                for which, part in (("lo", others[:2]), ("hi", others[2:])):
                    halves[which].row([a, b, c], [c + sum(x * y for x, y in zip(twos, part))])
            yield form
            yield from halves.values()


def carries():
    """Each form between an instruction that sets the carry and one that reads it."""
    for type in ("u32", "s32", "u64", "s64"):
        width = WIDTH[type]
        mask = (1 << width) - 1
        numbers = pool(width)

        def chain(name, operation, borrow, reads, writes, operands):
            set_it = f"sub.cc.{type} $d1, 0, $a{operands};" if borrow else f"add.cc.{type} $d1, $a{operands}, -1;"
            read_it = f"subc.{type} $d1, 0, 0;" if borrow else f"addc.{type} $d1, 0, 0;"
            arguments = ", ".join(f"$a{i}" for i in range(operands))
            code = [set_it] if reads else []
            code += [f"{name} $d0, {arguments};"]
            code += [read_it] if writes else [f"mov.b{width} $d1, 0;"]
            form = Form(name, code, [width] * (operands + 1), [width, width])
            for *values, carry in pick(name, *[numbers] * operands, (0, 1), count=24):
                exact = operation(*values) + (-carry if borrow else carry) * reads
                out = (-(exact < 0) if borrow else exact >> width) if writes else 0
                form.row([*values, carry], [exact & mask, out & mask])
            return form

        low = lambda a, b, c: (a * b & mask) + c
        high = lambda a, b, c: (value(a, type) * value(b, type) >> width & mask) + c
        yield chain(f"add.cc.{type}", lambda a, b: a + b, False, False, True, 2)
        yield chain(f"addc.{type}", lambda a, b: a + b, False, True, False, 2)
        yield chain(f"addc.cc.{type}", lambda a, b: a + b, False, True, True, 2)
        yield chain(f"sub.cc.{type}", lambda a, b: a - b, True, False, True, 2)
        yield chain(f"subc.{type}", lambda a, b: a - b, True, True, False, 2)
        yield chain(f"subc.cc.{type}", lambda a, b: a - b, True, True, True, 2)
        for part, function in (("lo", low), ("hi", high)):
            yield chain(f"mad.{part}.cc.{type}", function, False, False, True, 3)
            yield chain(f"madc.{part}.{type}", function, False, True, False, 3)
            yield chain(f"madc.{part}.cc.{type}", function, False, True, True, 3)


def forms():
    yield from arithmetic()
    yield from dot_products()
    yield from carries()
