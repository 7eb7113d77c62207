#!/usr/bin/env bash
# Compares what `warpcomm bench` measures of MPI with the same loops in C, in jobs that take turns: on a quiet machine, by
# hand, because tests judge no times. An argument goes to benches/peers/host/agree.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ci/setup.sh --tests
cargo build --release --features cli --bins
target=$(cargo metadata --format-version 1 --no-deps |
    target/venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
target/venv/bin/python -B benches/peers/host/agree.py --warpcomm "$target/release/warpcomm" "$@"
