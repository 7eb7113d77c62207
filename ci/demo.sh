#!/usr/bin/env bash
# Sets this machine up, builds the examples, and runs matvec and sum on three ranks with files that
# NumPy has written. Fails unless the results are NumPy's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ranks=3

ci/setup.sh
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
