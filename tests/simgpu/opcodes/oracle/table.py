"""The rows of the opcode table, and how they are written.

A form is a line-based record:

    form add.rm.ftz.f32                 the full opcode
    needs 6.0 sm_70                     the first PTX version and target that have it
    block 32 1 1                        threads of a block, when not one; rows go to threads in order
    grid 2 1 1                          blocks, when not as many as the rows fill
    module .shared .b32 word;           lines before the kernel
    code add.rm.ftz.f32 $d0, $a0, $a1;  the kernel's body; $a0.. hold the row's inputs, $d0.. its outputs,
                                        $m is the address of 64 zeroed bytes of this row
    bound relative 2^-22                how far an output marked ~ may be
    types b32 b32 -> b32                registers
    row 3f800000 00000001 -> 3f800000   hexadecimal; `nan` any NaN; `~bits` the exact value, within the
                                        bound, as the f64 nearest to it; `-` anything
"""

import random
import zlib


class Form:
    """One full opcode form and its rows."""

    def __init__(self, name, code, inputs, outputs, needs="6.0 sm_70", block=None, grid=None,
                 module=(), bound=None):
        self.name, self.inputs, self.outputs, self.needs = name, inputs, outputs, needs
        self.code = [code] if isinstance(code, str) else list(code)
        self.block, self.grid, self.module, self.bound = block, grid, module, bound
        self.rows = []
        self.seen = set()

    def row(self, inputs, outputs):
        """Adds a row, unless one with these inputs is there (a row's place matters in blocks of many)."""
        key = tuple(inputs)
        if self.block is None and key in self.seen:
            return
        self.seen.add(key)
        assert len(inputs) == len(self.inputs) and len(outputs) == len(self.outputs), self.name
        self.rows.append((inputs, outputs))

    def text(self):
        def cell(value, bits):
            return value if isinstance(value, str) else f"{value & ((1 << bits) - 1):0{bits // 4}x}"

        lines = [f"form {self.name}", f"needs {self.needs}"]
        if self.block:
            lines.append("block " + " ".join(map(str, self.block)))
        if self.grid:
            lines.append("grid " + " ".join(map(str, self.grid)))
        lines += [f"module {line}" for line in self.module]
        lines += [f"code {line}" for line in self.code]
        if self.bound:
            lines.append(f"bound {self.bound}")
        arrow = lambda left, right: " ".join([*left, "->", *right])
        lines.append("types " + arrow((f"b{b}" for b in self.inputs), (f"b{b}" for b in self.outputs)))
        for inputs, outputs in self.rows:
            left = (cell(v, b) for v, b in zip(inputs, self.inputs))
            right = (cell(v, b) for v, b in zip(outputs, self.outputs))
            lines.append("row " + arrow(left, right))
        return "\n".join(lines) + "\n"


def pick(name, *pools, count=32):
    """`count` tuples of the pools: every member of each pool about equally often, the same in every run."""
    generator = random.Random(zlib.crc32(name.encode()))
    columns = []
    for pool in pools:
        column = []
        while len(column) < count:
            part = list(pool)
            generator.shuffle(part)
            column += part
        columns.append(column[:count])
    return list(zip(*columns))


def bits_of(name, width, count=8):
    """Random bit patterns."""
    generator = random.Random(zlib.crc32(("bits " + name).encode()))
    return [generator.getrandbits(width) for _ in range(count)]
