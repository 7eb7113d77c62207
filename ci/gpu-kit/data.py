"""Writes the kit's input with NumPy, and what the programs must make of it.

data.py DIRECTORY

All numbers are integers so small that no product and no sum is rounded, in any order: results have NumPy's bits.
"""

import pathlib
import sys

import numpy as np

ROWS, COLUMNS = 301, 259


def main():
    """Writes the files into the directory that the argument names."""
    directory = pathlib.Path(sys.argv[1])
    random = np.random.default_rng(7)
    matrix = random.integers(-9, 9, (ROWS, COLUMNS), endpoint=True)
    vector = random.integers(1, 9, COLUMNS, endpoint=True)
    # Zeros have a sign, which the order of additions decides.
    matrix[matrix @ vector == 0, 0] += 1
    for dtype in ("float32", "float64"):
        np.save(directory / f"A-{dtype}.npy", matrix.astype(dtype))
        np.save(directory / f"x-{dtype}.npy", vector.astype(dtype))
        # Without a header, which NumPy pads as it likes.
        (matrix @ vector).astype(dtype).tofile(directory / f"y-{dtype}.bytes")
    for dtype in ("float32", "float64", "int32", "int64"):
        numbers = random.integers(-99, 999, 12_345, endpoint=True)
        np.save(directory / f"numbers-{dtype}.npy", numbers.astype(dtype))
        (directory / f"sum-{dtype}.txt").write_text(f"sum = {numbers.sum()}\n")


if __name__ == "__main__":
    main()
