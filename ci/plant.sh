#!/usr/bin/env bash
# Plants each bug of tests/planted/ in a copy of the tree and fails unless the test that it names catches it.
#
#     ci/plant.sh [NAME...]    all of them, or those whose file names contain NAME
#
# A patch starts with lines that say what is wrong and how it is caught:
#     bug: min and max are swapped
#     caught by: cargo test --no-default-features --lib device::fold
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

copy=$PWD/target/planted/tree
export CARGO_TARGET_DIR=$PWD/target/planted/build MPICC=${MPICC:-mpicc.openmpi} CARGO_TERM_COLOR=never
# Tests with NumPy or mpi4py look for them in the tree.
export WARPCOMM_TEST_PYTHON=$PWD/target/venv/bin/python WARPCOMM_TEST_REQUIRE_MPI4PY=1
# A bug may well be a hang.
export WARPCOMM_TEST_DEADLINE=${WARPCOMM_TEST_DEADLINE:-20}
limit=600

wanted() {
    [[ $# == 1 ]] && return 0
    local name
    for name in "${@:2}"; do
        [[ $1 == *"$name"* ]] && return 0
    done
    return 1
}

caught=0
missed=()
for patch in tests/planted/*.patch; do
    wanted "$(basename "$patch")" "$@" || continue
    # Files keep their times, so that only what a patch touches is built again.
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard |
        tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory "$copy"
    patch --silent --directory "$copy" --strip 1 <"$patch"
    while read -r file; do touch "$copy/$file"; done < <(sed -n 's|^+++ b/||p' "$patch")
    command=$(sed -n 's/^caught by: //p' "$patch")
    read -r -a words <<<"$command"
    log=target/planted/$(basename "$patch" .patch).log
    build=("${words[@]}")
    for at in "${!build[@]}"; do
        [[ ${build[at]} == -- ]] && build=("${build[@]:0:at}") && break
    done
    if ! (cd "$copy" && "${build[@]}" --no-run) >"$log" 2>&1; then
        missed+=("$(basename "$patch"): it does not compile, see $log")
    elif (cd "$copy" && timeout "$limit" "${words[@]}") >>"$log" 2>&1; then
        missed+=("$(basename "$patch"): $command has passed, see $log")
    else
        caught=$((caught + 1))
        echo "caught: $(sed -n 's/^bug: //p' "$patch")"
    fi
    # The next patch starts from the tree as it is.
    while read -r file; do
        cp "$file" "$copy/$file"
        touch "$copy/$file"
    done < <(sed -n 's|^+++ b/||p' "$patch")
done
for line in "${missed[@]}"; do
    echo "MISSED: $line" >&2
done
echo "$caught caught, ${#missed[@]} missed"
[[ ${#missed[@]} == 0 && $caught -gt 0 ]]
