"""Atomics and reductions in memory (PTX ISA, "atom", "red")."""

from . import floating, integer
from .floating import Mode
from .floats import BF16, F16, F32, F64
from .integer import value
from .table import Form, pick

INTEGER = {
    "add": lambda old, b: old + b, "min": min, "max": max,
    "and": lambda old, b: old & b, "or": lambda old, b: old | b, "xor": lambda old, b: old ^ b,
    "exch": lambda old, b: b,
    # Wraps at b upwards, and from zero or above b downwards.
    "inc": lambda old, b: 0 if old >= b else old + 1,
    "dec": lambda old, b: b if old == 0 or old > b else old - 1,
}
TYPES = {
    "add": ("u32", "s32", "u64"), "min": ("u32", "s32", "u64", "s64"), "max": ("u32", "s32", "u64", "s64"),
    "and": ("b32", "b64"), "or": ("b32", "b64"), "xor": ("b32", "b64"), "exch": ("b32", "b64"),
    "inc": ("u32",), "dec": ("u32",),
}
SPACES = {"global": ("$m", ()), "": ("$m", ()), "shared": ("cell", ("{.shared .align 16 .b8 cell[16];",))}


def dot(text):
    return f".{text}" if text else ""


def build(name, space, width, middle, arguments, results, rows, needs):
    """`middle` works on a cell that the first input initializes; the last output is what the cell holds then."""
    address, before = SPACES[space]
    code = [*before, f"st{dot(space)}.b{width} [{address}], $a0;", middle.replace("CELL", address),
            f"ld{dot(space)}.b{width} $d{results}, [{address}];", *("}" for _ in before)]
    form = Form(name, code, [width] * (arguments + 1), [width] * (results + 1), needs)
    for left, right in rows:
        form.row(left, right)
    return form


def orders():
    yield "", "6.0 sm_70"
    for scope in (".cta", ".gpu", ".sys"):
        yield scope, "6.0 sm_70"
    for order in (".relaxed", ".acquire", ".release", ".acq_rel"):
        # Without a scope it is the GPU's.
        for scope in ("", ".cta", ".gpu", ".sys"):
            yield order + scope, "6.0 sm_70"


def integers():
    for operation, function in INTEGER.items():
        for type in TYPES[operation]:
            width = int(type[1:])
            numbers = integer.pool(width)
            for space in SPACES:
                for order, needs in orders():
                    # All orders for one type of each operation; the others as compilers write them.
                    if type != TYPES[operation][0] and order not in ("", ".gpu", ".sys", ".relaxed.gpu", ".relaxed.sys"):
                        continue
                    for kind in ("atom", "red") if operation != "exch" else ("atom",):
                        if kind == "red" and order.startswith((".acquire", ".acq_rel")):
                            continue
                        name = f"{kind}{order}{dot(space)}.{operation}.{type}"
                        rows = []
                        for a, b in pick(name, numbers, numbers, count=12 if not order else 4):
                            new = function(value(a, type), value(b, type))
                            rows.append(([a, b], [a, new] if kind == "atom" else [new]))
                        if kind == "atom":
                            yield build(name, space, width, f"{name} $d0, [CELL], $a1;", 1, 1, rows, needs)
                        else:
                            yield build(name, space, width, f"{name} [CELL], $a1;", 1, 0, rows, needs)


def compare_and_swap():
    for width in (16, 32, 64):
        numbers = integer.pool(width)
        for space in SPACES:
            for order, needs in orders():
                name = f"atom{order}{dot(space)}.cas.b{width}"
                rows = []
                for a, b, c, same in pick(name, numbers, numbers, numbers, (0, 1), count=6):
                    compare = a if same else b
                    rows.append(([a, compare, c], [a, c if compare == a else a]))
                needs = "6.3 sm_70" if width == 16 else needs
                yield build(name, space, width, f"{name} $d0, [CELL], $a1, $a2;", 2, 1, rows, needs)


def floats():
    for format, names, needs in ((F32, ("add.f32",), "6.0 sm_70"), (F64, ("add.f64",), "6.0 sm_70"),
                                 (F16, ("add.noftz.f16",), "6.3 sm_70"), (BF16, ("add.noftz.bf16",), "7.8 sm_90")):
        for operation in names:
            numbers = floating.pool(format)
            for space in SPACES:
                for order, first in orders():
                    if order not in ("", ".gpu", ".sys", ".relaxed.gpu", ".cta"):
                        continue
                    for kind in ("atom", "red"):
                        name = f"{kind}{order}{dot(space)}.{operation}"
                        rows = []
                        for a, b in pick(name, numbers, numbers, count=24 if not order else 6):
                            # On global memory f32 flushes subnormals, on shared memory it does not, and a
                            # generic address may be either.
                            tiny = format is F32 and (F32.is_subnormal(a) or F32.is_subnormal(b))
                            new = floating.add(Mode(format), a, b)
                            tiny = tiny or (format is F32 and new != "nan" and F32.is_subnormal(new))
                            if not tiny:
                                rows.append(([a, b], [a, new] if kind == "atom" else [new]))
                        text = f"{name} $d0, [CELL], $a1;" if kind == "atom" else f"{name} [CELL], $a1;"
                        yield build(name, space, format.bits, text, 1, int(kind == "atom"), rows, needs)
    for format, operation, needs in ((F16, "add.noftz.f16x2", "6.2 sm_70"), (BF16, "add.noftz.bf16x2", "7.8 sm_90")):
        numbers = [x for x in floating.pool(format) if not format.is_nan(x) and not format.is_infinite(x)]
        for space in SPACES:
            for kind in ("atom", "red"):
                name = f"{kind}{dot(space)}.{operation}"
                rows = []
                for a, b, c, d in pick(name, numbers, numbers[::-1], numbers[3:], numbers[5:], count=16):
                    new = floating.add(Mode(format), a, c) | floating.add(Mode(format), b, d) << 16
                    rows.append(([a | b << 16, c | d << 16], [a | b << 16, new] if kind == "atom" else [new]))
                text = f"{name} $d0, [CELL], $a1;" if kind == "atom" else f"{name} [CELL], $a1;"
                yield build(name, space, 32, text, 1, int(kind == "atom"), rows, needs)


def contended():
    """All threads of two blocks at one cell."""
    for operation in ("add", "max", "or"):
        code = ["{.reg .pred q;", ".shared .u32 mine;", ".reg .u32 t;", "mov.u32 t, %tid.x;", "setp.eq.u32 q, t, 0;", "@q st.shared.u32 [mine], 0;",
                "bar.sync 0;", f"atom.shared.{operation}.{'b32' if operation == 'or' else 'u32'} t, [mine], $a0;",
                "bar.sync 0;", "ld.shared.u32 $d0, [mine];}"]
        form = Form(f"atom.shared.{operation} contended", code, [32], [32], block=(64, 1, 1))
        values = integer.bits_of(form.name, 20, 128)
        for block in (values[:64], values[64:]):
            total = 0
            for v in block:
                total = INTEGER[operation](total, v)
            for v in block:
                form.row([v], [total])
        yield form


def spellings():
    """The scope after the space, as nvcc writes it."""
    for scope in ("cta", "sys"):
        for space in ("global", "shared"):
            for operation, types in TYPES.items():
                for type in types:
                    width = int(type[1:])
                    numbers = integer.pool(width)
                    name = f"atom.{space}.{scope}.{operation}.{type}"
                    rows = []
                    for a, b in pick(name, numbers, numbers, count=3):
                        rows.append(([a, b], [a, INTEGER[operation](value(a, type), value(b, type))]))
                    yield build(name, space, width, f"{name} $d0, [CELL], $a1;", 1, 1, rows, "6.0 sm_70")
            for width in (32, 64):
                name = f"atom.{space}.{scope}.cas.b{width}"
                rows = [([5, 5, 9], [5, 9]), ([5, 6, 9], [5, 5])]
                yield build(name, space, width, f"{name} $d0, [CELL], $a1, $a2;", 2, 1, rows, "6.0 sm_70")


def forms():
    yield from spellings()
    yield from integers()
    yield from compare_and_swap()
    yield from floats()
    yield from contended()
