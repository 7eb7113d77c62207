#!/usr/bin/env bash
# Sets this machine up, builds the examples, and runs matvec and sum on three ranks with files that
# NumPy has written. Fails unless the results are NumPy's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ranks=3

ci/setup.sh
if [[ -n ${MPICC-} ]]; then
    # An MPI outside of the system's directories: the programs do not remember where its library is,
    # and its launcher need not be the one on PATH.
    mpicc=$(command -v "$MPICC")
    directory=$(dirname "$mpicc")
    for word in $("$mpicc" -show); do
        if [[ $word == -L* ]]; then
            export LD_LIBRARY_PATH=${word#-L}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        fi
    done
    if [[ :$PATH: != *":$directory:"* ]]; then
        export PATH=$PATH:$directory WARPCOMM_LAUNCHER=${WARPCOMM_LAUNCHER:-$directory/mpiexec}
    fi
    # The build of the bindings does not notice another MPICC by itself.
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/mpi${mpicc//[^A-Za-z0-9]/-}
fi
cargo build --release --features cli --bins --example matvec --example sum

python=target/venv/bin/python
target=$(cargo metadata --format-version 1 --no-deps |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
data=$target/demo
run() { "$target/release/warpcomm" run -n "$ranks" "$@"; }

rm -rf "$data"
"$python" ci/compare.py write "$data" 1000 777 float64
run "$target/release/examples/matvec" --matrix "$data/A.npy" --vector "$data/x.npy" --out "$data/y.npy"
sum=$(run "$target/release/examples/sum" --vector "$data/numbers.npy")
echo "$sum"

matvec_verdict=$("$python" ci/compare.py matvec "$data/A.npy" "$data/x.npy" "$data/y.npy")
sum_verdict=$("$python" ci/compare.py sum "$data/numbers.npy" "$sum")
echo
echo "demo, $ranks ranks:"
echo "  $matvec_verdict"
echo "  $sum_verdict"
echo "demo passed"
