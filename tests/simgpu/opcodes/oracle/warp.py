"""Instructions of a warp (PTX ISA, "shfl", "vote", "match", "redux", "activemask", "elect").

Blocks are one warp; a row is a lane.
"""

from . import integer
from .integer import signed
from .table import Form, bits_of, pick

LANES = range(32)
FULL = 0xFFFFFFFF


def warp(name, code, inputs, outputs, needs="6.0 sm_70", **rest):
    return Form(name, code, inputs, outputs, needs, block=(32, 1, 1), **rest)


def shuffles():
    values = bits_of("lanes", 32, 32)
    for mode in ("up", "down", "bfly", "idx"):
        name = f"shfl.sync.{mode}.b32"
        code = ["{.reg .pred p;", f"{name} $d0|p, $a0, $a1, $a2, -1;", "selp.u32 $d1, 1, 0, p;}"]
        form = warp(name, code, [32] * 3, [32, 32])
        clamps = [0x1F, 0, 0x181F, 0x1F1F, 0x100F] if mode != "up" else [0, 0x1800, 0x1F00, 0x1000, 5]
        for clamp in clamps:
            for distance in (0, 1, 2, 7, 16, 31, 33):
                for lane in LANES:
                    source, inside = shuffle(mode, lane, distance, clamp)
                    form.row([values[lane], distance, clamp], [values[source], int(inside)])
        yield form
        # Each lane asks for its own.
        form = warp(name + " own distances", code, [32] * 3, [32, 32])
        clamp = 0 if mode == "up" else 0x1F
        for lane in LANES:
            distance = (lane * 7 + 3) % 32
            source, inside = shuffle(mode, lane, distance, clamp)
            form.row([values[lane], distance, clamp], [values[source], int(inside)])
        yield form
    # Immediate operands, no predicate, and half of the warp.
    form = warp("shfl.sync.idx.b32 of 16 lanes",
                ["{.reg .pred p;", ".reg .u32 l;", "mov.u32 $d0, 77;", "mov.u32 l, %laneid;",
                 "setp.lt.u32 p, l, 16;", "@p shfl.sync.idx.b32 $d0, $a0, 3, 0x101f, 0x0000ffff;}"], [32], [32])
    for lane in LANES:
        form.row([values[lane]], [values[3] if lane < 16 else 77])
    yield form
    # A mask may name lanes that have left.
    form = warp("shfl.sync.idx.b32 after lanes have left",
                ["{.reg .pred p;", ".reg .u32 l;", "mov.u32 $d0, 77;", "mov.u32 l, %laneid;", "setp.ge.u32 p, l, 20;",
                 "@p st.global.u32 [$out], $d0;", "@p exit;", "shfl.sync.idx.b32 $d0, $a0, 3, 0x1f, -1;}"], [32], [32])
    for lane in LANES:
        form.row([values[lane]], [values[3] if lane < 20 else 77])
    yield form


def shuffle(mode, lane, b, c):
    """The lane read and whether it is in range, as the manual's pseudo-code says."""
    b, segment, limit = b & 0x1F, c >> 8 & 0x1F, c & 0x1F
    highest = (lane & segment) | (limit & ~segment & 0x1F)
    lowest = lane & segment
    if mode == "up":
        source = lane - b
        inside = source >= highest
    elif mode == "down":
        source = lane + b
        inside = source <= highest
    elif mode == "bfly":
        source = lane ^ b
        inside = source <= highest
    else:
        source = lowest | (b & ~segment & 0x1F)
        inside = source <= highest
    return (source if inside else lane), inside


def votes():
    patterns = [[0] * 32, [1] * 32, [lane & 1 for lane in LANES], [int(lane == 17) for lane in LANES],
                [int(lane != 0) for lane in LANES]]
    for negate in ("", "!"):
        for mode in ("all", "any", "uni", "ballot"):
            result = "b32" if mode == "ballot" else "pred"
            name = f"vote.sync.{mode}.{result}"
            code = ["{.reg .pred p, q;", "setp.ne.u32 p, $a0, 0;"]
            if mode == "ballot":
                code += [f"{name} $d0, {negate}p, -1;}}"]
            else:
                code += [f"{name} q, {negate}p, 0xffffffff;", "selp.u32 $d0, 1, 0, q;}"]
            form = warp(name + " of the opposite" * bool(negate), code, [32], [32])
            for pattern in patterns:
                held = [1 - p for p in pattern] if negate else pattern
                out = {"all": int(all(held)), "any": int(any(held)), "uni": int(len(set(held)) == 1),
                       "ballot": sum(p << lane for lane, p in enumerate(held))}[mode]
                for p in pattern:
                    form.row([p], [out])
            yield form
    form = warp("vote.sync.ballot.b32 of the odd lanes",
                ["{.reg .pred p, odd;", ".reg .u32 l;", "mov.u32 l, %laneid;", "and.b32 l, l, 1;",
                 "setp.ne.u32 odd, l, 0;", "setp.ne.u32 p, $a0, 0;", "mov.u32 $d0, 5;",
                 "@odd vote.sync.ballot.b32 $d0, p, 0xaaaaaaaa;}"], [32], [32])
    for lane in LANES:
        form.row([lane // 4 & 1], [sum((i // 4 & 1) << i for i in LANES if i & 1) if lane & 1 else 5])
    yield form


def matches():
    for width in (32, 64):
        numbers = integer.pool(width)
        patterns = [[numbers[lane % 5] for lane in LANES], [numbers[3]] * 32, [lane for lane in LANES],
                    [numbers[-1] if lane == 9 else numbers[-2] for lane in LANES]]
        name = f"match.any.sync.b{width}"
        form = warp(name, f"{name} $d0, $a0, -1;", [width], [32])
        every = f"match.all.sync.b{width}"
        all_form = warp(every, ["{.reg .pred p;", f"{every} $d0|p, $a0, -1;", "selp.u32 $d1, 1, 0, p;}"],
                        [width], [32, 32])
        for pattern in patterns:
            same = int(len(set(pattern)) == 1)
            for a in pattern:
                form.row([a], [sum((b == a) << lane for lane, b in enumerate(pattern))])
                all_form.row([a], [FULL * same, same])
        yield form
        yield all_form


def reductions():
    numbers = integer.pool(32)
    patterns = [bits_of(f"redux {i}", 32, 32) for i in range(2)] + [[numbers[lane % 24] for lane in LANES]]
    signs = lambda xs: [signed(x, 32) for x in xs]

    def fold(values, function):
        total = values[0]
        for v in values[1:]:
            total = function(total, v)
        return total

    functions = {"add.u32": sum, "add.s32": sum, "min.u32": min, "max.u32": max,
                 "min.s32": lambda xs: min(signs(xs)), "max.s32": lambda xs: max(signs(xs)),
                 "and.b32": lambda xs: fold(xs, lambda a, b: a & b), "or.b32": lambda xs: fold(xs, lambda a, b: a | b),
                 "xor.b32": lambda xs: fold(xs, lambda a, b: a ^ b)}
    for operation, function in functions.items():
        name = f"redux.sync.{operation}"
        form = warp(name, f"{name} $d0, $a0, -1;", [32], [32], "7.0 sm_80")
        for pattern in patterns:
            for a in pattern:
                form.row([a], [function(pattern)])
        yield form


def masks():
    form = warp("activemask.b32", ["{.reg .b32 own;", "activemask.b32 $d0;", "mov.u32 own, %lanemask_eq;",
                                   "and.b32 $d0, $d0, own;}"], [32], [32], "6.2 sm_70")
    # Only this is sure: a lane that asks is active.
    for lane in LANES:
        form.row([1], [1 << lane])
    yield form
    # Which lane is elected is not said, that it is one is.
    form = warp("elect.sync", ["{.reg .pred p;", ".reg .b32 l, b;", "elect.sync l|p, -1;",
                                      "vote.sync.ballot.b32 b, p, -1;", "popc.b32 $d0, b;",
                                      "bfind.u32 b, b;", "sub.u32 $d1, b, l;}"], [32], [32, 32], "8.0 sm_90")
    for lane in LANES:
        form.row([0], [1, 0])
    yield form
    form = warp("bar.warp.sync", ["{.shared .b32 cells[32];", ".reg .u32 l, p, base;", "mov.u32 l, %laneid;",
                                  "mov.u32 base, cells;", "mad.lo.u32 p, l, 4, base;", "st.shared.u32 [p], $a0;",
                                  "bar.warp.sync 0xffffffff;", "xor.b32 l, l, 9;", "mad.lo.u32 p, l, 4, base;",
                                  "ld.shared.u32 $d0, [p];}"], [32], [32])
    values = bits_of("warp barrier", 32, 32)
    for lane in LANES:
        form.row([values[lane]], [values[lane ^ 9]])
    yield form


def forms():
    yield from shuffles()
    yield from votes()
    yield from matches()
    yield from reductions()
    yield from masks()
