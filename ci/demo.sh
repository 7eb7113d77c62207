#!/usr/bin/env bash
# Sets this machine up, builds the examples, and runs matvec and sum on three ranks with files that
# NumPy has written, on the host and on the GPU: that of this machine or else a simulated one. Fails
# unless the results are NumPy's.
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
cargo build --release --features cli --bins --example matvec --example sum --example gpu_probe
cargo build --release -p simgpu

python=target/venv/bin/python
target=$(cargo metadata --format-version 1 --no-deps |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
data=$target/demo
run() { "$target/release/warpcomm" run -n "$ranks" "$@"; }

rm -rf "$data"
"$python" ci/compare.py write "$data" 1000 777 float64
if "$target/release/examples/gpu_probe" --json "$data/gpus.json"; then
    simulated=()
    gpu=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["gpus"][0]["name"])' <"$data/gpus.json")
else
    simulated=(--sim)
    gpu='a simulated GPU'
fi

verdicts=()
for place in host device; do
    options=()
    [[ $place == host ]] || options=("${simulated[@]}")
    y=$data/y-$place.npy
    run "${options[@]}" "$target/release/examples/matvec" --matrix "$data/A.npy" --vector "$data/x.npy" --out "$y" \
        --place "$place"
    sum=$(run "${options[@]}" "$target/release/examples/sum" --vector "$data/numbers.npy" --place "$place")
    echo "$sum"
    verdicts+=("$place: $("$python" ci/compare.py matvec "$data/A.npy" "$data/x.npy" "$y")")
    verdicts+=("$place: $("$python" ci/compare.py sum "$data/numbers.npy" "${sum##*$'\n'}")")
done
echo
echo "demo, $ranks ranks, device buffers on $gpu:"
printf '  %s\n' "${verdicts[@]}"
echo "demo passed"
