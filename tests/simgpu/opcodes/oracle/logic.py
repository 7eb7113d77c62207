"""Logic, shifts and bit fields (PTX ISA, "Logic and Shift Instructions" and integer bit instructions)."""

from .integer import WIDTH, binary, pool, signed, unary, value
from .table import Form, pick

MASK32 = 0xFFFFFFFF


def logic():
    operations = {"and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b}
    for type in ("b16", "b32", "b64"):
        for name, function in operations.items():
            yield binary(f"{name}.{type}", type, function)
        yield unary(f"not.{type}", type, lambda a: ~a)
        yield unary(f"cnot.{type}", type, lambda a: int(a == 0))
    for name, function in operations.items():
        code = ["{.reg .pred p, q, r;", "setp.ne.u32 p, $a0, 0;", "setp.ne.u32 q, $a1, 0;",
                f"{name}.pred r, p, q;", "selp.u32 $d0, 1, 0, r;}"]
        form = Form(f"{name}.pred", code, [32, 32], [32])
        for a in (0, 1):
            for b in (0, 1):
                form.row([a, b], [function(a, b)])
        yield form
    form = Form("not.pred", ["{.reg .pred p;", "setp.ne.u32 p, $a0, 0;", "not.pred p, p;",
                             "selp.u32 $d0, 1, 0, p;}"], [32], [32])
    form.row([0], [1])
    form.row([1], [0])
    yield form
    yield from three_inputs()


def three_inputs():
    """One form; its look-up table is an immediate, so every row tries several."""
    tables = (0x00, 0x01, 0x1E, 0x3C, 0x80, 0x96, 0xAC, 0xC0, 0xCA, 0xD8, 0xE8, 0xF0, 0xFE, 0xFF)
    code = [f"lop3.b32 $d{i}, $a0, $a1, $a2, {table:#x};" for i, table in enumerate(tables)]
    form = Form("lop3.b32", code, [32] * 3, [32] * len(tables))

    def result(table, a, b, c):
        bits = 0
        for i in range(32):
            index = (a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1
            bits |= (table >> index & 1) << i
        return bits

    for a, b, c in pick("lop3", pool(32), pool(32), pool(32), count=12):
        form.row([a, b, c], [result(table, a, b, c) for table in tables])
    yield form


def shifts():
    amounts = {width: [0, 1, 2, width // 2, width - 1, width, width + 1, 63, 64, 255, 256, MASK32, 1 << 31]
               for width in (16, 32, 64)}

    def shift(name, type, function):
        width = WIDTH[type]
        form = Form(name, f"{name} $d0, $a0, $a1;", [width, 32], [width])
        for a, b in pick(name, pool(width), amounts[width], count=39):
            form.row([a, b], [function(value(a, type), min(b, width))])
        return form

    for width in (16, 32, 64):
        yield shift(f"shl.b{width}", f"b{width}", lambda a, b: a << b)
        for kind in "bus":
            yield shift(f"shr.{kind}{width}", f"{kind}{width}", lambda a, b: a >> b)
    for direction in "lr":
        for mode in ("clamp", "wrap"):
            name = f"shf.{direction}.{mode}.b32"
            form = Form(name, f"{name} $d0, $a0, $a1, $a2;", [32] * 3, [32])
            for low, high, amount in pick(name, pool(32), pool(32), amounts[32] + [5, 17, 31], count=32):
                n = amount & 31 if mode == "wrap" else min(amount, 32)
                both = high << 32 | low
                form.row([low, high, amount], [both << n >> 32 if direction == "l" else both >> n])
            yield form


def counts():
    for width in (32, 64):
        yield unary(f"popc.b{width}", f"b{width}", lambda a: a.bit_count(), 32)
        yield unary(f"clz.b{width}", f"b{width}", lambda a: width - a.bit_length(), 32)
        yield unary(f"brev.b{width}", f"b{width}", lambda a: int(f"{a:0{width}b}"[::-1], 2))
        for kind in "us":
            def find(a, amount):
                place = (~a if a < 0 else a).bit_length() - 1
                return width - 1 - place if amount and place >= 0 else place

            yield unary(f"bfind.{kind}{width}", f"{kind}{width}", lambda a: find(a, False), 32)
            yield unary(f"bfind.shiftamt.{kind}{width}", f"{kind}{width}", lambda a: find(a, True), 32)


def find_nth():
    form = Form("fns.b32", "fns.b32 $d0, $a0, $a1, $a2;", [32] * 3, [32])

    def result(mask, base, offset):
        if offset == 0:
            return base if mask >> base & 1 else MASK32
        left, place, step = abs(offset) - 1, base, 1 if offset > 0 else -1
        while 0 <= place < 32:
            if mask >> place & 1:
                if left == 0:
                    return place
                left -= 1
            place += step
        return MASK32

    for mask, base, offset in pick("fns", pool(32), (0, 1, 5, 16, 30, 31), (0, 1, 2, 3, 17, -1, -2, -5, 32),
                                   count=36):
        form.row([mask, base, offset], [result(mask, base, offset)])
    yield form


def fields():
    ends = [0, 1, 4, 8, 15, 16, 31, 32, 33, 63, 64, 65, 128, 255]
    for width in (32, 64):
        for kind in "us":
            name = f"bfe.{kind}{width}"
            form = Form(name, f"{name} $d0, $a0, $a1, $a2;", [width, 32, 32], [width])
            for a, b, c in pick(name, pool(width), ends, ends, count=40):
                position, length = b & 255, c & 255
                sign = 0
                if kind == "s" and length:
                    sign = a >> min(position + length - 1, width - 1) & 1
                bits = 0
                for i in range(width):
                    inside = i < length and position + i < width
                    bits |= (a >> position + i & 1 if inside else sign) << i
                form.row([a, b, c], [bits])
            yield form
        name = f"bfi.b{width}"
        form = Form(name, f"{name} $d0, $a0, $a1, $a2, $a3;", [width, width, 32, 32], [width])
        for a, b, c, d in pick(name, pool(width), pool(width), ends, ends, count=40):
            position, length = c & 255, d & 255
            bits = b
            for i in range(length):
                if position + i < width:
                    bits = bits & ~(1 << position + i) | (a >> i & 1) << position + i
            form.row([a, b, c, d], [bits])
        yield form
    ends += [256, 257, MASK32]
    for mode in ("clamp", "wrap"):
        reach = lambda n: n & 31 if mode == "wrap" else min(n, 32)
        for kind in "us":
            name = f"szext.{mode}.{kind}32"
            form = Form(name, f"{name} $d0, $a0, $a1;", [32, 32], [32], "7.6 sm_70")
            for a, b in pick(name, pool(32), ends, count=36):
                n = reach(b)
                low = a & ((1 << n) - 1)
                form.row([a, b], [signed(low, n) if kind == "s" and n else low])
            yield form
        name = f"bmsk.{mode}.b32"
        form = Form(name, f"{name} $d0, $a0, $a1;", [32, 32], [32], "7.6 sm_70")
        for a, b in pick(name, ends, ends[::-1], count=48):
            form.row([a, b], [((1 << reach(b)) - 1) << reach(a)])
        yield form


def permutes():
    def select(a, b, selectors):
        both = b << 32 | a
        bits = 0
        for i, selector in enumerate(selectors):
            byte = both >> 8 * (selector & 7) & 255
            if selector & 8:
                byte = 255 if byte >> 7 else 0
            bits |= byte << 8 * i
        return bits

    def form(mode, choose, controls):
        name = f"prmt.b32{mode}"
        made = Form(name, f"{name} $d0, $a0, $a1, $a2;", [32] * 3, [32])
        for a, b, c in pick(name, pool(32), pool(32), controls, count=32):
            made.row([a, b, c], [select(a, b, choose(c))])
        return made

    yield form("", lambda c: [c >> 4 * i & 15 for i in range(4)],
               [0x3210, 0x7654, 0x0123, 0x5410, 0x7632, 0xFEDC, 0xBA98, 0x4444, 0x8888, 0x3340, 0xFFFF3210])
    two = (0, 1, 2, 3, 4, 7)
    yield form(".f4e", lambda c: [(c & 3) + i for i in range(4)], two)
    yield form(".b4e", lambda c: [((c & 3) - i) & 7 for i in range(4)], two)
    yield form(".rc8", lambda c: [c & 3] * 4, two)
    yield form(".ecl", lambda c: [max(c & 3, i) for i in range(4)], two)
    yield form(".ecr", lambda c: [min(c & 3, i) for i in range(4)], two)
    yield form(".rc16", lambda c: [2 * (c & 1), 2 * (c & 1) + 1] * 2, two)


def forms():
    yield from logic()
    yield from shifts()
    yield from counts()
    yield from find_nth()
    yield from fields()
    yield from permutes()
