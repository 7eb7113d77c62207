#!/usr/bin/env python3
"""Writes the opcode table: what PTX's manual says each instruction form gives, by exact arithmetic.

Nothing here is shared with the interpreter. `generate.py` rewrites the `*.forms` files beside it;
`generate.py --check` fails when they are stale; `generate.py --assemble PTXAS` also has every kernel
assembled, each for the target that its form needs. Needs mpmath for the `.approx` forms.
"""

import importlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

FAMILIES = ["integer", "logic", "floating", "approximate", "compare", "convert", "move", "memory", "atomics",
            "control", "warp", "barrier", "special"]


def tables():
    for family in FAMILIES:
        module = importlib.import_module(f"oracle.{family}")
        forms = list(module.forms())
        names = [form.name for form in forms]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"{family}: listed twice: {sorted(twice)}"
        summary = module.__doc__.strip().splitlines()[0]
        yield family, forms, f"# {summary}\n# Written by generate.py.\n\n" + "\n".join(f.text() for f in forms)


def main(arguments):
    stale = []
    for family, forms, text in tables():
        path = HERE / f"{family}.forms"
        if "--check" in arguments:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
            print(f"{path.name}: {len(forms)} forms, {sum(len(f.rows) for f in forms)} rows, {len(text)} bytes")
        if "--assemble" in arguments:
            from oracle.assemble import assemble
            assemble(arguments[arguments.index("--assemble") + 1], family, forms)
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run {pathlib.Path(__file__).name}")


if __name__ == "__main__":
    main(sys.argv[1:])
