#!/usr/bin/env python3
"""Compiles the sources to the PTX beside them, by several compilers for several targets.

`compile.py PACKAGES`, where PACKAGES is what this filled:

    pip install --no-deps --target PACKAGES \\
        nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-runtime-cu12==12.0.146 \\
        nvidia-cuda-nvrtc==13.5.37 nvidia-cuda-runtime==13.5.37 \\
        nvidia-cuda-nvcc==13.5.37 nvidia-nvvm==13.5.37 nvidia-cuda-crt==13.5.37 \\
        nvidia-cuda-cccl==13.3.5.0.6
"""

import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

# (source, what is added to the options, the name of what is made)
SOURCES = [
    ("reduce", [], "reduce"), ("atomics", [], "atomics"), ("language", [], "language"), ("half", [], "half"),
    ("groups", [], "groups"), ("printing", [], "printing"), ("math", [], "math"),
    ("math", ["-DFAST", "--use_fast_math"], "math_fast"),
]
# The mathematical functions are long and the same for every target: a few are enough.
TARGETS = {
    "nvrtc-12.0": {"all": (70, 80, 90), "reduce": (70, 75, 80, 86, 90), "math": (70,)},
    "nvrtc-13.5": {"all": (75, 90), "math": (90,)},
    "nvcc-13.5": {"all": (80,), "math": (80,)},
}


class Nvrtc:
    """NVRTC through its C interface."""

    def __init__(self, library, include):
        # Its builtins are looked up by name: they must be loaded first.
        for builtins in sorted(library.parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        self.library, self.include = ctypes.CDLL(str(library)), include

    def __call__(self, path, target, options):
        lib, program = self.library, ctypes.c_void_p()
        given = [f"--gpu-architecture=compute_{target}", f"-I{self.include}", f"-I{self.include}/cccl", "-default-device", "-device-int128", *options]
        given = [o.encode() for o in given]
        array = (ctypes.c_char_p * len(given))(*given)
        lib.nvrtcCreateProgram(ctypes.byref(program), path.read_bytes(), path.name.encode(), 0, None, None)
        failed = lib.nvrtcCompileProgram(program, len(given), array)
        size = ctypes.c_size_t()
        if failed:
            lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            lib.nvrtcGetProgramLog(program, log)
            raise RuntimeError(log.value.decode())
        lib.nvrtcGetPTXSize(program, ctypes.byref(size))
        ptx = ctypes.create_string_buffer(size.value)
        lib.nvrtcGetPTX(program, ptx)
        lib.nvrtcDestroyProgram(ctypes.byref(program))
        return ptx.value.decode()


class Nvcc:
    """nvcc, which wants the libraries of its packages where it looks for them."""

    def __init__(self, root):
        self.root = root

    def __call__(self, path, target, options):
        with tempfile.TemporaryDirectory() as folder:
            made = pathlib.Path(folder) / "made.ptx"
            for program in (self.root / "bin", self.root / "nvvm" / "bin"):
                for file in program.iterdir():
                    file.chmod(0o755)
            command = [self.root / "bin" / "nvcc", "-ptx", f"-arch=compute_{target}", *options, path, "-o", made]
            run = subprocess.run(command, capture_output=True, text=True, env=os.environ)
            if run.returncode:
                raise RuntimeError(run.stderr)
            return made.read_text()


def main(packages):
    nvidia = pathlib.Path(packages).resolve() / "nvidia"
    compilers = {
        "nvrtc-12.0": Nvrtc(nvidia / "cuda_nvrtc/lib/libnvrtc.so.12", nvidia / "cuda_runtime/include"),
        "nvrtc-13.5": Nvrtc(nvidia / "cu13/lib/libnvrtc.so.13", nvidia / "cu13/include"),
        "nvcc-13.5": Nvcc(nvidia / "cu13"),
    }
    for compiler, compile in compilers.items():
        for source, options, name in SOURCES:
            targets = TARGETS[compiler].get(source, TARGETS[compiler]["all"])
            for target in targets:
                folder = HERE / "ptx" / f"{compiler}-sm_{target}"
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    ptx = compile(HERE / "sources" / f"{source}.cu", target, options)
                except RuntimeError as error:
                    sys.exit(f"{compiler} compute_{target} {source}: {error}")
                # What a compiler says of its build, and blanks at line ends, are no part of the text.
                lines = [line.rstrip() for line in ptx.splitlines()]
                (folder / f"{name}.ptx").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
