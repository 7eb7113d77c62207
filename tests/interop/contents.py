"""What is in the buffers of a case: the same bytes as contents.rs makes."""

import numpy as np
from mpi4py import MPI

PAIR_OF_64_BITS = MPI.INT64_T.Create_contiguous(2).Commit()
PAIR_OF_32_BITS = MPI.UINT32_T.Create_contiguous(2).Commit()

# Bytes of an element, and what it is to MPI. MPI has no floats of 16 bits.
DTYPES = {
    "i8": (1, MPI.INT8_T),
    "i16": (2, MPI.INT16_T),
    "i32": (4, MPI.INT32_T),
    "i64": (8, MPI.INT64_T),
    "u8": (1, MPI.UINT8_T),
    "u16": (2, MPI.UINT16_T),
    "u32": (4, MPI.UINT32_T),
    "u64": (8, MPI.UINT64_T),
    "f16": (2, MPI.UINT16_T),
    "bf16": (2, MPI.UINT16_T),
    "f32": (4, MPI.FLOAT),
    "f64": (8, MPI.DOUBLE),
    "c32": (8, MPI.C_FLOAT_COMPLEX),
    "c64": (16, MPI.C_DOUBLE_COMPLEX),
    "bool": (1, MPI.C_BOOL),
    "f32loc": (8, MPI.FLOAT_INT),
    "f64loc": (16, PAIR_OF_64_BITS),
    "i32loc": (8, MPI.TWOINT),
    "i64loc": (16, PAIR_OF_64_BITS),
    "u32loc": (8, PAIR_OF_32_BITS),
    "u64loc": (16, PAIR_OF_64_BITS),
}

OPS = {
    "sum": MPI.SUM,
    "prod": MPI.PROD,
    "min": MPI.MIN,
    "max": MPI.MAX,
    "logical_and": MPI.LAND,
    "logical_or": MPI.LOR,
    "logical_xor": MPI.LXOR,
    "bit_and": MPI.BAND,
    "bit_or": MPI.BOR,
    "bit_xor": MPI.BXOR,
    "min_loc": MPI.MINLOC,
    "max_loc": MPI.MAXLOC,
}

# The number of a buffer that nothing was received into yet.
UNTOUCHED = 200


def random(rank, buffer, count):
    """Numbers of 64 bits (splitmix64)."""
    with np.errstate(over="ignore"):
        z = np.uint64((rank << 40) | (buffer << 32)) + np.arange(1, count + 1, dtype=np.uint64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def any_bytes(dtype, rank, buffer, count):
    """Elements of any bits; a truth value is any byte, and even ones become 0."""
    size, _ = DTYPES[dtype]
    words = random(rank, buffer, -(-count * size // 8))
    filled = words.view(np.uint8)[: count * size].copy()
    if dtype == "bool":
        filled[filled % 2 == 0] = 0
    return filled


def numbers(dtype, rank, buffer, count):
    """Elements whose reductions are exact in any order, and do not overflow."""
    words = random(rank, buffer, count)
    small = lambda shift: ((words >> np.uint64(shift)) % np.uint64(4)).astype(np.int64)
    low = 0 if dtype[0] == "u" else 1
    first, second = small(0) - low, small(8) - low
    index = (words >> np.uint64(16)) % np.uint64(50)
    halves = lambda kind: (first * 0.5).astype(kind)
    match dtype:
        case "bool":
            # C leaves it undefined what comes of other truth values than 0 and 1.
            return any_bytes(dtype, rank, buffer, count) % 2
        case "f32" | "f64":
            made = halves("f4" if dtype == "f32" else "f8")
        case "c32" | "c64":
            made = np.column_stack([first * 0.5, second * 0.5]).astype("f4" if dtype == "c32" else "f8")
        case "f32loc":
            made = np.column_stack([halves("f4").view("u4"), index.astype("u4")])
        case "i32loc":
            made = np.column_stack([first.astype("i4"), index.astype("i4")])
        case _:
            made = first.astype(f"{dtype[0]}{DTYPES[dtype][0]}")
    return np.frombuffer(made.tobytes(), np.uint8).copy()


class Contents:
    """The buffers of one case on one rank."""

    def __init__(self, case, rank):
        self.dtype = case.get("dtype", "u8")
        self.size, self.mpi = DTYPES[self.dtype]
        self.rank = rank
        reduce = case.get("reduce", "")
        self.fill = numbers if reduce and not reduce.startswith("bit") else any_bytes

    def full(self, count, buffer=0):
        return self.fill(self.dtype, self.rank, buffer, count)

    def untouched(self, count):
        return any_bytes(self.dtype, self.rank, UNTOUCHED, count)

    def spec(self, array):
        """A whole buffer, which mpi4py divides among the ranks where an operation does."""
        return [array, self.mpi]

    def blocks(self, array, counts, displacements):
        return [array, (counts, displacements), self.mpi]
