#!/usr/bin/env bash
# Makes this machine ready to build warpcomm and run its demo; with --tests, also to run its tests.
#
# What is there is used, what is missing is installed with apt-get (as root, or through sudo if it
# asks for no password), and nothing is asked. NumPy goes into target/venv, and with --tests mpi4py too. An MPI
# other than the `mpicc` on PATH is chosen with MPICC=/path/to/mpicc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$PWD/target/venv
needs=(cargo compiler mpi libclang python)
# What pip installs, by the names under which it is imported. The wheel of mpi4py runs on any MPI, which it looks for
# when it is imported.
modules=(numpy)

case "${1-}" in
    '') ;;
    --tests)
        needs+=(openmpi mpich valgrind networks chromium)
        modules+=(mpi4py)
        ;;
    *)
        echo "usage: ci/setup.sh [--tests]" >&2
        exit 1
        ;;
esac

declare -A packages=(
    [cargo]=''
    [compiler]='gcc libc6-dev'
    [mpi]='libopenmpi-dev openmpi-bin'
    [libclang]='libclang-dev'
    [python]='python3 python3-venv'
    [openmpi]='libopenmpi-dev openmpi-bin'
    [mpich]='libmpich-dev mpich'
    [valgrind]='valgrind'
    [networks]='iproute2 util-linux'
    [chromium]='chromium'
)
declare -A meanings=(
    [cargo]='Rust 1.88 or later: https://rustup.rs'
    [compiler]='a C compiler by the name of cc'
    [mpi]='an MPI with its C headers, mpicc and mpirun on PATH (or MPICC=/path/to/mpicc)'
    [libclang]='libclang and the C headers of clang (or LIBCLANG_PATH=/directory/of/libclang.so)'
    [python]='Python 3 with venv, and with ensurepip or pip'
    [openmpi]='Open MPI with its C headers (mpicc.openmpi)'
    [mpich]='MPICH with its C headers (mpicc.mpich)'
    [valgrind]='valgrind'
    [networks]='ip of iproute2, and unshare and nsenter of util-linux'
    [chromium]='the browser Chromium, by the name of chromium'
)

say() { echo "setup: $*"; }

fail() {
    say "$@" >&2
    exit 1
}

# Each of these prints what it found, or fails.

find_cargo() { cargo --version 2>/dev/null; }

find_compiler() { cc --version 2>/dev/null | sed -n 1p; }

find_mpi() { describe_mpi "${MPICC:-mpicc}"; }

find_openmpi() { describe_mpi mpicc.openmpi; }

find_mpich() { describe_mpi mpicc.mpich; }

find_valgrind() { valgrind --version 2>/dev/null; }

find_networks() { command -v unshare nsenter >/dev/null && ip -V 2>/dev/null; }

find_chromium() { chromium --version 2>/dev/null; }

# The compiler wrapper alone proves nothing: Debian has it in another package than the headers.
describe_mpi() {
    local mpicc versions launcher
    mpicc=$(command -v "$1") || return 1
    versions=$(printf '#include <mpi.h>\n@%s\n' 'OMPI_MAJOR_VERSION.OMPI_MINOR_VERSION.OMPI_RELEASE_VERSION MPICH_VERSION' |
        "$mpicc" -E -P -x c - 2>/dev/null | grep '^@') || return 1
    for launcher in "$(dirname "$mpicc")"/mpi{run,exec}; do
        [[ -x $launcher ]] || continue
        case "$versions" in
            @OMPI*MPICH_VERSION) echo "$mpicc" ;;
            @OMPI*) echo "MPICH $(tr -d '"' <<<"${versions##* }"), $mpicc" ;;
            *) echo "Open MPI $(tr -d '@ ' <<<"${versions% *}"), $mpicc" ;;
        esac
        return 0
    done
    return 1
}

# Looks where bindgen looks. clang's own headers (stddef.h) come in another package.
find_libclang() {
    local directory file
    if [[ -f ${LIBCLANG_PATH-} ]]; then
        echo "$LIBCLANG_PATH"
        return 0
    fi
    for directory in ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} /usr/lib/llvm-*/lib /usr/local/llvm*/lib* \
        /usr/local/lib* /usr/local/lib*/* /usr/local/lib*/*/* /usr/lib* /usr/lib*/* /usr/lib*/*/*; do
        for file in "$directory"/libclang.so "$directory"/libclang-[0-9]*.so "$directory"/libclang.so.* \
            "$directory"/libclang-[0-9]*.so.*; do
            [[ -e $file ]] || continue
            if [[ -n ${LIBCLANG_PATH-} ]] || command -v clang >/dev/null ||
                compgen -G "$directory/clang/*/include/stddef.h" >/dev/null ||
                compgen -G '/usr/lib*/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
                compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null; then
                echo "$file"
                return 0
            fi
        done
    done
    return 1
}

find_python() {
    find_modules >/dev/null && "$venv/bin/python" --version && return 0
    python3 -c 'import venv, ensurepip' 2>/dev/null || python3 -c 'import venv, pip' 2>/dev/null || return 1
    python3 --version
}

find_modules() {
    [[ -x $venv/bin/python ]] && "$venv/bin/python" - "${modules[@]}" 2>/dev/null <<'END'
import importlib, sys
print(", ".join(f"{name} {importlib.import_module(name).__version__}" for name in sys.argv[1:]))
END
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

install() {
    local names=("$@") reason=''
    if ! command -v apt-get >/dev/null; then
        reason='this machine has no apt-get'
    elif [[ $(id -u) != 0 ]] && ! { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; then
        reason='this is neither root nor a user whose sudo asks for no password'
    fi
    if [[ -n $reason ]]; then
        say "$reason; install these and run ci/setup.sh again:" >&2
        for need in "${missing[@]}"; do
            echo "    ${meanings[$need]}" >&2
        done
        if command -v apt-get >/dev/null; then
            echo "that is: sudo apt-get install -y --no-install-recommends ${names[*]}" >&2
        fi
        exit 1
    fi
    say "installing ${names[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    # An index that cannot be fetched may belong to a source that has none of these packages.
    as_root "${apt[@]}" update || true
    as_root "${apt[@]}" install -y --no-install-recommends "${names[@]}" >/dev/null
}

# An environment without pip is filled by the pip of the system: Debian has venv, pip and what makes
# pip inside a venv in three packages.
make_venv() {
    local pip=("$venv/bin/python" -m pip) arguments=()
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    if python3 -c 'import ensurepip' 2>/dev/null; then
        python3 -m venv "$venv"
    else
        python3 -m venv --without-pip "$venv"
        pip=(python3 -m pip)
        arguments=(--target "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')")
    fi
    PIP_ROOT_USER_ACTION=ignore "${pip[@]}" install --quiet --no-input --disable-pip-version-check --only-binary :all: \
        "${arguments[@]}" "${modules[@]}"
}

missing=()
wanted=()
for need in "${needs[@]}"; do
    if ! find_"$need" >/dev/null; then
        missing+=("$need")
        read -r -a names <<<"${packages[$need]}"
        wanted+=("${names[@]}")
    fi
done
if [[ " ${missing[*]-} " == *' cargo '* ]]; then
    fail "cargo is not on PATH; install ${meanings[cargo]}"
fi
if [[ -n ${MPICC-} && " ${missing[*]-} " == *' mpi '* ]]; then
    fail "MPICC=$MPICC does not compile a program with mpi.h, or has no mpirun or mpiexec beside it"
fi
if ((${#missing[@]} > 0)); then
    install "${wanted[@]}"
fi
for need in "${needs[@]}"; do
    found=$(find_"$need") || fail "still missing: ${meanings[$need]}"
    say "$need: $found"
done
if ! find_modules >/dev/null; then
    say "installing ${modules[*]} into $venv"
    make_venv
fi
found=$(find_modules) || fail "${modules[*]} cannot be imported by $venv/bin/python"
say "modules: $found"
