#!/usr/bin/env bash
# Compiles kernels/ to the PTX that is checked in under kernels/ptx; with --check, compares instead, and assembles it
# for every architecture.
#
# No GPU and no CUDA toolkit is needed: NVRTC and ptxas are packages on PyPI, which go into target/cuda-venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The compiler's version decides the PTX's, and so the oldest driver that takes it.
packages=(nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-nvcc-cu12==12.9.86)
venv=$PWD/target/cuda-venv

case "${1-}" in
    '' | --check) ;;
    *)
        echo "usage: ci/kernels.sh [--check]" >&2
        exit 1
        ;;
esac

if [[ "$(cat "$venv/packages" 2>/dev/null)" != "${packages[*]}" ]]; then
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # An environment of a system without ensurepip has no pip, but then the system has.
    for pip in target/venv/bin/python python3; do
        "$pip" -c 'import pip' 2>/dev/null && break
    done
    PIP_ROOT_USER_ACTION=ignore "$pip" -m pip install --quiet --no-input --disable-pip-version-check \
        --only-binary :all: --target "$site" "${packages[@]}"
    echo "${packages[*]}" >"$venv/packages"
fi

generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
"$venv/bin/python" ci/kernels.py compile "$generated"
if [[ -z ${1-} ]]; then
    rm -rf kernels/ptx
    mkdir kernels/ptx
    cp "$generated"/*.ptx kernels/ptx
    exit
fi
if ! diff -rq kernels/ptx "$generated"; then
    echo "kernels/ptx is not what kernels/ compiles to; run ci/kernels.sh" >&2
    exit 1
fi
"$venv/bin/python" ci/kernels.py assemble kernels/ptx
