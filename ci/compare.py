"""Writes the demo's input with NumPy and compares its results with NumPy's.

compare.py write DIRECTORY ROWS COLUMNS DTYPE
    writes A.npy (ROWS x COLUMNS), x.npy (COLUMNS) and numbers.npy (0 to 4095), the same in each run
compare.py matvec A.npy x.npy y.npy
    fails unless y is A @ x, to 1e-12 (f64) or 1e-5 (f32) of |A| @ |x|
compare.py sum numbers.npy TEXT
    fails unless TEXT is "sum = " and the sum of the integral numbers
"""

import pathlib
import sys

import numpy as np

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def write(directory, rows, columns, dtype):
    """Writes the inputs; the seed depends on nothing, so that every run has the same numbers."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(2024)
    np.save(directory / "A.npy", random.standard_normal((int(rows), int(columns))).astype(dtype))
    np.save(directory / "x.npy", random.standard_normal(int(columns)).astype(dtype))
    np.save(directory / "numbers.npy", np.arange(4096, dtype=np.float64))


def matvec(matrix, vector, product):
    """Compares a product with NumPy's."""
    a, x, y = np.load(matrix), np.load(vector), np.load(product)
    expected = a @ x
    if (y.shape, y.dtype) != (expected.shape, expected.dtype):
        sys.exit(f"{product} is {y.shape} {y.dtype}; NumPy's product is {expected.shape} {expected.dtype}")
    magnitude = np.abs(a.astype(np.float64)) @ np.abs(x.astype(np.float64))
    difference = np.abs(y.astype(np.float64) - expected.astype(np.float64))
    # A row of zeros has no magnitude, and then no difference either.
    relative = np.divide(difference, magnitude, out=difference.copy(), where=magnitude > 0)
    largest = float(relative.max(initial=0.0))
    allowed = TOLERANCE[a.dtype.name]
    shape = "x".join(map(str, a.shape))
    text = f"matvec {shape} {a.dtype}: largest difference from NumPy {largest:.1e} of |A||x|, allowed {allowed:.0e}"
    # Not `largest > allowed`, which is false for NaN.
    if not largest <= allowed:
        sys.exit(text)
    print(text)


def sum_of(numbers, text):
    """Compares a printed sum with NumPy's."""
    expected = f"sum = {int(np.load(numbers).sum())}"
    if text.strip() != expected:
        sys.exit(f"{text.strip()!r} was printed; NumPy has {expected!r}")
    print(f"{expected}, as NumPy has it")


def main():
    """Runs the command that the arguments name."""
    commands = {"write": (write, 4), "matvec": (matvec, 3), "sum": (sum_of, 2)}
    command, *arguments = sys.argv[1:] or [""]
    function, count = commands.get(command, (None, -1))
    if len(arguments) != count:
        sys.exit(__doc__)
    function(*arguments)


if __name__ == "__main__":
    main()
