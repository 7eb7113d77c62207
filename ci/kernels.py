"""Compiles kernels/ to PTX with NVRTC, and assembles the PTX for every architecture. Called by kernels.sh.

kernels.py compile DIRECTORY
    writes every module to DIRECTORY
kernels.py assemble DIRECTORY
    assembles every module in DIRECTORY; fails on an error, on a spill and on local memory, and prints a table
"""

import concurrent.futures
import ctypes
import importlib.util
import multiprocessing
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ROOT / "kernels"
# Every driver from 525 on and every GPU from the V100 on takes the result.
OPTIONS = ["--gpu-architecture=compute_70", "--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true"]
ARCHITECTURES = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]


def package(name, file):
    """The path of a file of a package of NVIDIA's on PyPI."""
    for place in importlib.util.find_spec("nvidia." + name).submodule_search_locations:
        if (pathlib.Path(place) / file).exists():
            return pathlib.Path(place) / file
    sys.exit(f"the package nvidia.{name} has no {file}")


def modules():
    """The name, the source and the macros of each module. What there is to fold is in the tables of src."""
    row = r'^ +(\w+): "(\w+)", ([\w ]+);$'
    ops = re.findall(row, (ROOT / "src/op.rs").read_text(), re.MULTILINE)
    table = r"^ {12}(\w+) \{$(.*?)^ {12}\}$"
    classes = re.findall(table, (ROOT / "src/dtype.rs").read_text(), re.MULTILINE | re.DOTALL)
    for kind, types in classes:
        folds = " ".join(f"FOLD({name}, {functor})" for functor, name, takes in ops if kind in takes.split())
        for dtype in re.findall(r'"(\w+)";', types):
            yield f"fold_{dtype}", "reduce.cu", [f"-DELEMENT={dtype}", f"-DFOLDS={folds}"]
    yield "sum", "sum.cu", []
    yield "matvec", "matvec.cu", []
    yield "heat2d", "heat2d.cu", []
    yield "mandelbrot", "mandelbrot.cu", []


def compile_module(module):
    """Compiles one module; the name, and its PTX or what NVRTC says."""
    name, source, macros = module
    nvrtc = ctypes.CDLL(str(package("cuda_nvrtc", "lib/libnvrtc.so.12")))
    program = ctypes.c_void_p()
    headers = sorted(KERNELS.glob("*.cuh"))
    texts = (ctypes.c_char_p * len(headers))(*[header.read_bytes() for header in headers])
    names = (ctypes.c_char_p * len(headers))(*[header.name.encode() for header in headers])
    text = (KERNELS / source).read_bytes()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.encode(), len(headers), texts, names)
    options = [option.encode() for option in OPTIONS + macros]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))

    def get(what):
        size = ctypes.c_size_t()
        getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
        return buffer.value.decode()

    return name, get("ProgramLog") if failed else without_constants(get("PTX")), bool(failed)


def without_constants(ptx):
    """The text without the variables that no kernel reads: NVRTC writes down every inline constant, also its own."""
    variable = re.compile(r"^\.global [^;]*? (\w+)(?:\[\d+\])?(?: = [^;]*)?;\n", re.MULTILINE)
    return variable.sub(lambda line: "" if ptx.count(line[1]) == 1 else line[0], ptx)


def compile_all(directory):
    """Writes every module to a directory."""
    # NVRTC compiles one program at a time in a process.
    with multiprocessing.Pool() as pool:
        for name, text, failed in pool.imap_unordered(compile_module, list(modules()), chunksize=1):
            if failed:
                sys.exit(f"{name}:\n{text}")
            (pathlib.Path(directory) / f"{name}.ptx").write_text(text)


def assemble_one(job):
    """Assembles a module for an architecture: the most registers that a kernel takes, and what is wrong."""
    path, architecture = job
    command = [package("cuda_nvcc", "bin/ptxas"), "-v", f"-arch={architecture}", path, "-o", "/dev/null"]
    report = subprocess.run(command, capture_output=True, text=True, check=False)
    wrong = [] if report.returncode == 0 else [report.stderr]
    for stack, stores, loads in re.findall(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report.stderr
    ):
        if (stack, stores, loads) != ("0", "0", "0"):
            wrong.append(f"{stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads")
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", report.stderr)]
    return path.stem, architecture, max(registers, default=0), wrong


def assemble_all(directory):
    """Assembles every module for every architecture."""
    paths = sorted(pathlib.Path(directory).glob("*.ptx"))
    jobs = [(path, architecture) for path in paths for architecture in ARCHITECTURES]
    table, failures = {}, []
    with concurrent.futures.ThreadPoolExecutor(multiprocessing.cpu_count()) as pool:
        for name, architecture, registers, wrong in pool.map(assemble_one, jobs):
            table.setdefault(name, []).append(registers)
            failures += [f"{name} for {architecture}: {text}" for text in wrong]
    print(f"{'most registers in a kernel':<28}" + "".join(f"{name:>8}" for name in ARCHITECTURES))
    for name, registers in table.items():
        print(f"{name:<28}" + "".join(f"{number:>8}" for number in registers))
    if failures:
        sys.exit("\n".join(failures))


def main():
    """Runs the command that the arguments name."""
    commands = {"compile": compile_all, "assemble": assemble_all}
    if len(sys.argv) != 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
