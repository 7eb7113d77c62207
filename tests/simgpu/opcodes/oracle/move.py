"""Moves, packing and addresses (PTX ISA, "mov", "cvta", "isspacep")."""

from .integer import pool
from .table import Form, pick


def plain():
    for type in ("b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"):
        width = int(type[1:])
        form = Form(f"mov.{type}", f"mov.{type} $d0, $a0;", [width], [width])
        for a in pool(width) + ([0x7F812345, 0xFFC00001] if width == 32 else []):
            form.row([a], [a])
        yield form
    form = Form("mov.pred", ["{.reg .pred p, q;", "setp.ne.u32 p, $a0, 0;", "mov.pred q, p;",
                             "selp.u32 $d0, 1, 0, q;}"], [32], [32])
    form.row([0], [0])
    form.row([1], [1])
    yield form


def packs():
    for wide, narrow in ((32, 16), (64, 32), (64, 16), (32, 8)):
        parts = wide // narrow
        if narrow == 8:
            continue
        operands = ", ".join(f"$a{i}" for i in range(parts))
        form = Form(f"mov.b{wide} pack {parts}", f"mov.b{wide} $d0, {{{operands}}};", [narrow] * parts, [wide])
        numbers = pool(narrow)
        for values in pick(form.name, *[numbers] * parts, count=16):
            form.row(list(values), [sum(v << narrow * i for i, v in enumerate(values))])
        yield form
        operands = ", ".join(f"$d{i}" for i in range(parts))
        form = Form(f"mov.b{wide} unpack {parts}", f"mov.b{wide} {{{operands}}}, $a0;", [wide], [narrow] * parts)
        for a in pool(wide):
            form.row([a], [a >> narrow * i & ((1 << narrow) - 1) for i in range(parts)])
        yield form
    form = Form("mov.b64 unpack sink", "mov.b64 {_, $d0}, $a0;", [64], [32], "7.0 sm_70")
    for a in pool(64):
        form.row([a], [a >> 32])
    yield form


def immediates():
    constants = [("mov.u32 $d0, 0xDEADBEEF;", 32, 0xDEADBEEF), ("mov.s32 $d0, -5;", 32, -5),
                 ("mov.u32 $d0, 0b1011;", 32, 11), ("mov.u32 $d0, 017;", 32, 15),
                 ("mov.u32 $d0, 4294967295U;", 32, 0xFFFFFFFF), ("mov.f32 $d0, 0f3F8CCCCD;", 32, 0x3F8CCCCD),
                 ("mov.f32 $d0, 0F7FC00000;", 32, 0x7FC00000), ("mov.f32 $d0, 1.5;", 32, 0x3FC00000),
                 ("mov.f32 $d0, -0.1;", 32, 0xBDCCCCCD), ("mov.f64 $d0, 0d400921FB54442D18;", 64, 0x400921FB54442D18),
                 ("mov.f64 $d0, 0D8000000000000000;", 64, 1 << 63), ("mov.f64 $d0, 1e-3;", 64, 0x3F50624DD2F1A9FC),
                 ("mov.u64 $d0, 0xFEDCBA9876543210;", 64, 0xFEDCBA9876543210), ("mov.s64 $d0, -1;", 64, -1),
                 ("mov.u32 $d0, (1 << 4) | 3;", 32, 19), ("mov.u32 $d0, 7 * (2 + 3) - 1;", 32, 34),
                 ("mov.s32 $d0, -7 / 2;", 32, -3), ("mov.s32 $d0, ~5;", 32, -6), ("mov.u32 $d0, 3 > 2 ? 8 : 9;", 32, 8),
                 ("mov.u32 $d0, WARP_SZ;", 32, 32)]
    for number, (code, width, expected) in enumerate(constants):
        form = Form(f"{code.split()[0]} immediate {number}", code, [32], [width])
        form.row([0], [expected])
        yield form


def addresses():
    module = [".global .align 8 .b32 words[4] = {11, 22, 33, 44};", ".const .align 4 .u32 table[3] = {5, 6, 7};",
              ".global .align 8 .u64 pointer = words + 8;", ".global .align 8 .u64 far[2] = {0, generic(words)};",
              ".global .f32 half[2] = {0.5, 0f3F800000};", ".global .s8 text[4] = {-1, 65, 0x42, 0};",
              ".const .align 8 .f64 real = 0d3FF8000000000000;"]
    cases = [
        ("mov.u64 of .global", ["{.reg .b64 p;", "mov.u64 p, words;", "ld.global.u32 $d0, [p+4];}"], 32, 22),
        ("mov.u64 of .global with offset", ["{.reg .b64 p;", "mov.u64 p, words+8;", "ld.global.u32 $d0, [p];}"], 32, 33),
        ("ld.const.u32 of a variable", ["ld.const.u32 $d0, [table+8];"], 32, 7),
        ("ld.const.f64 of a variable", ["ld.const.f64 $d0, [real];"], 64, 0x3FF8000000000000),
        ("ld.global.u64 of an initial address", ["{.reg .b64 p;", "ld.global.u64 p, [pointer];",
                                                 "ld.global.u32 $d0, [p];}"], 32, 33),
        ("ld.u32 of a generic initial address", ["{.reg .b64 p;", "ld.global.u64 p, [far+8];", "ld.u32 $d0, [p+12];}"],
         32, 44),
        ("ld.global.f32 of an initial value", ["ld.global.f32 $d0, [half];"], 32, 0x3F000000),
        ("ld.global.s8 of an initial value", ["ld.global.s8 $d0, [text];"], 32, -1),
        ("cvta.global.u64", ["{.reg .b64 p;", "mov.u64 p, words;", "cvta.global.u64 p, p;", "ld.u32 $d0, [p];}"], 32, 11),
        ("cvta.const.u64", ["{.reg .b64 p;", "mov.u64 p, table;", "cvta.const.u64 p, p;", "ld.u32 $d0, [p+4];}"], 32, 6),
        ("cvta.to.global.u64", ["{.reg .b64 p;", "mov.u64 p, words;", "cvta.global.u64 p, p;",
                                "cvta.to.global.u64 p, p;", "ld.global.u32 $d0, [p];}"], 32, 11),
        ("cvta.to.const.u64", ["{.reg .b64 p;", "mov.u64 p, table;", "cvta.const.u64 p, p;",
                               "cvta.to.const.u64 p, p;", "ld.const.u32 $d0, [p];}"], 32, 5),
    ]
    for name, code, width, expected in cases:
        form = Form(name, code, [32], [width], module=module)
        form.row([0], [expected])
        yield form
    for space in ("shared", "local"):
        declare = f"{{.{space} .align 4 .u32 cell;"
        code = [declare, ".reg .b64 p, q;", "mov.u64 p, cell;", f"cvta.{space}.u64 q, p;", "st.u32 [q], $a0;",
                f"ld.{space}.u32 $d0, [cell];", f"cvta.to.{space}.u64 q, q;", f"ld.{space}.u32 $d1, [q];}}"]
        form = Form(f"cvta.{space}.u64", code, [32], [32, 32])
        form.row([0x12345678], [0x12345678, 0x12345678])
        yield form
        form = Form(f"cvta.to.{space}.u64", code, [32], [32, 32])
        form.row([0x87654321], [0x87654321, 0x87654321])
        yield form


def spaces():
    """Each address against each space."""
    module = [".global .u32 word;", ".const .u32 fixed = 1;"]
    places = {"global": "word", "const": "fixed", "shared": "near", "local": "own"}
    for asked in places:
        code = ["{.shared .u32 near;", ".local .u32 own;", ".reg .b64 p;", ".reg .pred q;"]
        for i, (space, variable) in enumerate(places.items()):
            code += [f"mov.u64 p, {variable};", f"cvta.{space}.u64 p, p;", f"isspacep.{asked} q, p;",
                     f"selp.u32 $d{i}, 1, 0, q;"]
        code[-1] += "}"
        form = Form(f"isspacep.{asked}", code, [32], [32] * 4, module=module)
        # Constant memory may lie in the window of global memory.
        form.row([0], ["-" if asked == "global" and space == "const" else int(space == asked) for space in places])
        yield form


def parameter_space():
    """The kernel's own parameters, by a generic address."""
    form = Form("isspacep.param", ["{.reg .b64 p;", ".reg .pred q;", "mov.u64 p, inputs;", "cvta.param.u64 p, p;",
                                   "isspacep.param q, p;", "selp.u32 $d0, 1, 0, q;", "isspacep.param::entry q, p;",
                                   "selp.u32 $d1, 1, 0, q;", "isspacep.param q, $m;", "selp.u32 $d2, 1, 0, q;}"],
                [32], [32] * 3, "8.3 sm_70")
    form.row([0], [1, 1, 0])
    yield form
    form = Form("cvta.param.u64", ["{.reg .b64 p;", "mov.u64 p, outputs;", "cvta.param.u64 p, p;", "ld.u64 $d0, [p];",
                                   "cvta.to.param.u64 p, p;", "ld.param.u64 $d1, [p];", "sub.u64 $d0, $d0, $d1;",
                                   "sub.u64 $d1, $d1, $out;}"], [32], [64, 64], "7.7 sm_70")
    # The only row is the first: the parameter is where its output goes.
    form.row([0], [0, 0])
    yield form
    form = Form("ld.param::entry.u64", ["ld.param::entry.u64 $d0, [outputs];", "sub.u64 $d0, $d0, $out;"], [32], [64],
                "8.3 sm_70")
    form.row([0], [0])
    yield form
    form = Form("isspacep.shared::cta", ["{.shared .b32 near;", ".reg .b64 p;", ".reg .pred q;", "mov.u64 p, near;",
                                         "cvta.shared.u64 p, p;", "isspacep.shared::cta q, p;",
                                         "selp.u32 $d0, 1, 0, q;", "isspacep.shared::cta q, $m;",
                                         "selp.u32 $d1, 1, 0, q;}"], [32], [32, 32], "7.8 sm_70")
    form.row([0], [1, 0])
    yield form


def forms():
    yield from parameter_space()
    yield from plain()
    yield from packs()
    yield from immediates()
    yield from addresses()
    yield from spaces()
