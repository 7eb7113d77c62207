"""Has an assembler look at every kernel of the table."""

import collections
import pathlib
import subprocess
import sys
import tempfile

from .template import kernel


def assemble(ptxas, family, forms):
    """One module for each (version, target), since starting the assembler costs more than its work."""
    groups = collections.defaultdict(list)
    for form in forms:
        # Two forms may declare module variables of one name.
        groups[form.needs, len(groups) if form.module else 0].append(form)
    failed = False
    for (needs, _), members in groups.items():
        version, target = needs.split()
        text = f".version {version}\n.target {target}\n.address_size 64\n"
        owner = []
        for i, form in enumerate(members):
            part = kernel(form, f"form_{i}")
            text += part
            owner += [form.name] * part.count("\n")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "forms.ptx"
            path.write_text(text)
            run = subprocess.run([ptxas, "-arch", target, "-o", "/dev/null", path],
                                 capture_output=True, text=True)
        if run.returncode:
            failed = True
            for line in run.stderr.splitlines()[:40]:
                if "line " in line:
                    at = int(line.split("line ")[1].split(";")[0]) - 4
                    line = f"{owner[min(max(at, 0), len(owner) - 1)]}: {line.split(';', 1)[1]}"
                print(f"{family} {needs}: {line}", file=sys.stderr)
    if failed:
        sys.exit(f"{family}: does not assemble")
