"""How a case is written; `opcodes/replay/case.rs` reads it."""

import numpy

NAMES = {"i": "s", "u": "u", "f": "f"}


def random(seed):
    return numpy.random.Generator(numpy.random.PCG64(seed))


def element(array):
    return f"{NAMES[array.dtype.kind]}{8 * array.dtype.itemsize}"


def cells(array):
    size = array.dtype.itemsize
    words = array.reshape(-1).view(f"u{size}")
    return " ".join(f"{int(word):0{2 * size}x}" for word in words)


def exact(numbers):
    """Cells of inexact results: the f64 nearest to each exact value."""
    return " ".join(f"~{int(numpy.float64(float(x)).view('u8')):016x}" for x in numbers)


def read(array, type=None):
    """A buffer that the kernel reads."""
    return f"argument buffer {type or element(array)} {cells(array)}"


def update(before, after, type=None):
    """A buffer that holds `before` and then `after`, bit for bit."""
    assert before.size == after.size and before.dtype == after.dtype
    return f"argument buffer {type or element(before)} {cells(before)} -> {cells(after)}"


def write(after, type=None):
    """A buffer whose first contents do not matter."""
    before = numpy.full(after.size * after.dtype.itemsize, 0xA5, "u1").view(after.dtype)
    return update(before, after.reshape(-1), type)


def near(values, dtype, bound):
    """A buffer of values within a bound."""
    before = numpy.zeros(len(values), dtype)
    return f"bound {bound}\nargument buffer {element(before)} {cells(before)} -> {exact(values)}"


def scalar(value, dtype="i4"):
    array = numpy.array([value], dtype)
    return f"argument {element(array)} {cells(array)}"


def case(source, entry, arguments, block, grid=(1, 1, 1), shared=0, name=None):
    shape = lambda s: " ".join(map(str, (*s, 1, 1)[:3])) if isinstance(s, tuple) else f"{s} 1 1"
    lines = [f"case {name or source + ' ' + entry}", f"source {source}", f"entry {entry}", f"grid {shape(grid)}",
             f"block {shape(block)}"]
    if shared:
        lines.append(f"shared {shared}")
    return "\n".join(lines + list(arguments)) + "\n"
