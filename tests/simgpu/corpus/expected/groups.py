"""groups.cu"""

import numpy as np

from .case import case, random, read, write


def cases():
    r = random(4)
    values = r.integers(-100, 100, 64).astype("i4")
    sums = values.reshape(8, 8).sum(1)
    yield case("groups", "tiles", [read(values), write((np.repeat(sums, 8) + np.repeat(np.arange(8), 8)).astype("i4"))], 64)
    values = r.integers(0, 30, 32).astype("i4")
    taking = values % 3 == 0
    out = np.where(taking, (np.cumsum(taking) - 1) * 100 + taking.sum(), -1).astype("i4")
    yield case("groups", "coalesced", [read(values), write(out)], 32)
