#!/usr/bin/env bash
# Sets this machine up and runs every test: formatting, lints, each set of features, ranks as threads, and
# ranks as processes under Open MPI and under MPICH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step set-up
ci/setup.sh --tests
export WARPCOMM_TEST_REQUIRE_NUMPY=1 WARPCOMM_TEST_REQUIRE_MPI4PY=1 WARPCOMM_TEST_REQUIRE_CHROMIUM=1
# Nothing is built twice here: what incremental builds keep would only fill the disk.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# Nor does anybody look at it with a debugger.
export CARGO_PROFILE_DEV_DEBUG=none

# mpi-sys does not notice another MPI: one target directory for each. What needs none shares the first one's libraries.
open_mpi() { MPICC=mpicc.openmpi CARGO_TARGET_DIR=target/openmpi "$@"; }
mpich() { MPICC=mpicc.mpich CARGO_TARGET_DIR=target/mpich "$@"; }

step formatting, lints, documentation
cargo fmt --all --check
open_mpi cargo clippy --quiet --workspace --all-targets --features cli -- -D warnings
open_mpi cargo clippy --quiet --lib --examples --no-default-features -- -D warnings
RUSTDOCFLAGS='-D warnings' open_mpi cargo doc --quiet --no-deps

step kernels
ci/kernels.sh --check

step "the simulated GPU"
open_mpi cargo test -p simgpu

step misuse that must not compile
open_mpi cargo test -p misuse

step models of the shared state
LOOM_MAX_PREEMPTIONS=3 open_mpi cargo test -p models

step "threads only: --no-default-features"
open_mpi cargo test --no-default-features --lib --bins
open_mpi cargo test --no-default-features --doc
open_mpi cargo test --no-default-features --test layers --test random_programs
open_mpi cargo test --no-default-features --test ranks -- 'threads np=3'
open_mpi cargo build --no-default-features --features cli --bin warpcomm

step "each of cuda and mpi alone"
# What their tests find out the next step does too.
open_mpi cargo check --no-default-features --features cuda --tests
open_mpi cargo check --no-default-features --features mpi --tests

step "Open MPI: everything, and ranks as threads"
open_mpi cargo test --features cli

step "MPICH: what is linked with MPI"
mpich cargo build --features cli --bins --examples
# Pools have cases of their own below, and no MPI has a part in how files and arguments are read.
mpich cargo test --features cli --test examples -- --skip pool_map:: --skip parameter_scan:: --skip mandelbrot:: \
    --skip bad_input:: --skip npy_files::
mpich cargo test --features cli --test ranks -- --skip 'threads np=' --skip harness::
mpich cargo test --features cli --test interop
mpich cargo test --features cli --test command -- prove:: tune:: info::ranks measured::

step "benches, as a smoke test"
# Unoptimized: what they check is the same, and the tests have built it.
open_mpi cargo test --features cli --benches -- --test
WARPCOMM_SIMGPU=$PWD/target/openmpi/debug/libsimgpu.so open_mpi cargo test --features cli --bench targets -- --test --sim

step "all tests have passed"
