#!/usr/bin/env bash
# Packs target/gpu-kit: the tests, examples and benches as a machine needs them that has an NVIDIA driver and a glibc
# not older than this machine's, but no Rust, no MPI and no network. There, target/gpu-kit/run.sh all runs everything.
#
# The programs are linked with the MPICH of PyPI, which runs from any directory and goes into the kit. With the UCX of
# `libucx-cu13`, of which only what is loaded goes with it, that MPICH takes addresses of GPU memory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mpich=5.0.2
ucx=1.22.0
most_mib=60
kit=$PWD/target/gpu-kit
venv=$PWD/target/mpich-venv

if [[ $# != 0 ]]; then
    echo "usage: ci/gpu-kit.sh" >&2
    exit 1
fi

ci/setup.sh
if [[ "$(cat "$venv/version" 2>/dev/null)" != "$mpich $ucx" ]]; then
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv"
    # An environment of a system without ensurepip has no pip, but then the system has.
    for pip in target/venv/bin/python python3; do
        "$pip" -c 'import pip' 2>/dev/null && break
    done
    PIP_ROOT_USER_ACTION=ignore "$pip" -m pip --python "$venv/bin/python" install --quiet --no-input \
        --disable-pip-version-check --only-binary :all: "mpich==$mpich" "libucx-cu13==$ucx"
    echo "$mpich $ucx" >"$venv/version"
fi

# mpi-sys does not notice another MPI: a target directory of its own. The programs look for libraries in the kit before
# anything else, whatever LD_LIBRARY_PATH the other machine has.
target=${CARGO_TARGET_DIR:-$PWD/target}/gpu-kit-build
export CARGO_TARGET_DIR=$target MPICC=$venv/bin/mpicc
export RUSTFLAGS='-C link-arg=-Wl,--disable-new-dtags,-rpath,$ORIGIN/../mpi/lib'
built=$target/built
mkdir -p "$target"
: >"$built"
build() { cargo "$@" --message-format=json-render-diagnostics >>"$built"; }
build build --release --features cli --bin warpcomm --bin warpcomm-rank \
    --example matvec --example sum --example pingpong --example heat2d --example mandelbrot \
    --example gpu_probe
build test --release --no-run --features cli --test ranks
build bench --no-run --features cli --benches
build build --release -p simgpu --lib --example replay

# Prints the file of a program or of a library that cargo has built.
file_of() {
    target/venv/bin/python - "$1" "$built" <<'END'
import json, sys
name, built = sys.argv[1:]
found = set()
for line in open(built):
    message = json.loads(line)
    if message["reason"] == "compiler-artifact":
        files = [message["executable"]] if message["executable"] else message["filenames"]
        found |= {file for file in files if message["target"]["name"] == name and not file.endswith((".rlib", ".rmeta"))}
if len(found) != 1:
    sys.exit(f"cargo has built {len(found)} files of {name}: {sorted(found)}")
print(found.pop())
END
}

# Prints the names of the benches that cargo has built.
benches() {
    target/venv/bin/python - "$built" <<'END'
import json, sys
messages = map(json.loads, open(sys.argv[1]))
targets = [message["target"] for message in messages if message["reason"] == "compiler-artifact"]
print(*sorted({target["name"] for target in targets if target["kind"] == ["bench"]}))
END
}

tree=$target/tree
rm -rf "$tree" "$kit"
mkdir -p "$tree"/{bin,benches,data/replay,mpi/bin,mpi/lib,ucx/modules} "$kit"
for program in warpcomm warpcomm-rank matvec sum pingpong heat2d mandelbrot gpu_probe ranks replay; do
    cp "$(file_of "$program")" "$tree/bin/$program"
done
for bench in $(benches); do
    cp "$(file_of "$bench")" "$tree/benches/$bench"
done
cp "$(file_of simgpu)" "$tree/bin/libsimgpu.so"
strip "$tree"/{bin,benches}/*
cp "$venv"/bin/{mpiexec,hydra_pmi_proxy} "$tree/mpi/bin"
cp "$venv/lib/libmpi.so.12" "$tree/mpi/lib"
cp -r "$venv/lib/mpich" "$tree/mpi/lib"
# Plug-ins for networks, of which the kit needs none.
rm -r "$tree/mpi/lib/mpich/libfabric" "$tree"/mpi/lib/mpich/ucx/*_{ib,rdmacm}*
# Rust's programs need it, and a small system may not have it.
cp "$(cc -print-file-name=libgcc_s.so.1)" "$tree/mpi/lib"
cp -r "$(echo "$venv"/lib/python*/site-packages/mpich-"$mpich".dist-info/licenses)" "$tree/mpi/licenses"
# Of each library the one file that is loaded, of the three that the package has. Its `libucm_cuda` watches allocations for
# the sake of a cache, which can be done without, and brings the runtime library of CUDA, which has another licence.
packages=$(echo "$venv"/lib/python*/site-packages)
cp "$packages"/libucx/lib/lib{ucp,uct,ucs,ucm}.so.0 "$tree/ucx"
cp "$packages"/libucx/lib/ucx/libuct_{cuda,cma}.so.0 "$tree/ucx/modules"
strip "$tree"/ucx/*.so.0 "$tree"/ucx/modules/*
cp -r "$packages/libucx_cu13-$ucx.dist-info/licenses" "$tree/ucx/licenses"
cp ci/gpu-kit/matvec_by_torch.py "$tree/bin"
target/venv/bin/python ci/gpu-kit/data.py "$tree/data"
tar --create --directory tests/simgpu --exclude='*.py' --exclude='*.rs' --exclude=sources opcodes corpus |
    tar --extract --directory "$tree/data/replay"

commit=$(git rev-parse HEAD)
[[ -z $(git status --porcelain) ]] || commit+=' and changes'
printf '{"commit": "%s", "rustc": "%s", "mpi": "MPICH %s", "ucx": "%s", "glibc": "%s"}\n' "$commit" "$(rustc --version)" "$mpich" "$ucx" \
    "$(getconf GNU_LIBC_VERSION)" >"$tree/kit.json"

# Each program has all kernels in it.
tar --create --gzip --file "$kit/kit.tar.gz" --directory "$tree" .
cp ci/gpu-kit/run.sh "$kit/run.sh"

mib=$(($(du -s --apparent-size --block-size=1 "$kit" | cut -f1) / 1048576 + 1))
echo "gpu-kit: $kit, $mib MiB"
if ((mib > most_mib)); then
    echo "gpu-kit: it is larger than $most_mib MiB" >&2
    exit 1
fi
