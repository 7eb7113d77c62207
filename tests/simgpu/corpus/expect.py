#!/usr/bin/env python3
"""Writes the cases: launches of the compiled sources with their inputs, and what must come out.

Outputs are computed here with NumPy and mpmath, from what the sources mean. `expect.py --check` fails when a
`*.cases` file is stale. Bounds of mathematical functions are those of the CUDA programming guide, one half
more, since it counts from the correctly rounded result.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from expected import atomics, groups, half, language, math, printing, reduce  # noqa: E402

SOURCES = {"atomics": atomics, "groups": groups, "half": half, "language": language, "math": math,
           "printing": printing, "reduce": reduce}


def main(arguments):
    stale = []
    for name, module in SOURCES.items():
        cases = list(module.cases())
        path = HERE / f"{name}.cases"
        text = f"# Written by {pathlib.Path(__file__).name}.\n\n" + "\n".join(cases)
        if "--check" not in arguments:
            path.write_text(text)
            print(f"{path.name}: {len(cases)} cases, {len(text)} bytes")
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run {pathlib.Path(__file__).name}")


if __name__ == "__main__":
    main(sys.argv[1:])
