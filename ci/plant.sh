#!/usr/bin/env bash
# Plants each bug of tests/planted/ in a copy of the tree and fails unless the test that it names catches it, which without
# the bug passes.
#
#     ci/plant.sh [NAME...]    all of them, or those whose file names contain NAME
#
# A patch starts with lines that say what is wrong and how it is caught:
#     bug: min and max are swapped
#     caught by: cargo test --no-default-features --lib device::fold
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

copy=$PWD/target/planted/tree
files=$PWD/target/planted/files
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

# Makes the copy what the tree is. Files keep their times, so that only what a patch touches is built again.
renew() {
    local file
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done | LC_ALL=C sort -z >"$files"
    # What the tree has no longer.
    (cd "$copy" && find . ! -type d -printf '%P\0') | LC_ALL=C sort -z | LC_ALL=C comm -z -13 "$files" - |
        (cd "$copy" && xargs --null --no-run-if-empty rm --)
    tar --create --null --files-from="$files" | tar --extract --directory "$copy"
}

# Builds what a command tests.
build() {
    local words at
    read -r -a words <<<"$1"
    for at in "${!words[@]}"; do
        [[ ${words[at]} == -- ]] && words=("${words[@]:0:at}") && break
    done
    (cd "$copy" && "${words[@]}" --no-run)
}

# Runs a command that has been built.
passes() {
    local words
    read -r -a words <<<"$1"
    (cd "$copy" && timeout "$limit" "${words[@]}")
}

patches=()
for patch in tests/planted/*.patch; do
    ! wanted "$(basename "$patch")" "$@" || patches+=("$patch")
done
[[ ${#patches[@]} -gt 0 ]] || { echo "no patch has such a name" >&2 && exit 1; }

# A test that fails anyway catches nothing.
renew
declare -A fails=()
while read -r -u 3 command; do
    log=target/planted/without-a-bug.log
    if ! { build "$command" && passes "$command"; } >"$log" 2>&1; then
        fails[$command]=1
        echo "fails without a bug: $command" >&2
        tail -n 40 "$log" >&2
    fi
done 3< <(sed -n 's/^caught by: //p' "${patches[@]}" | sort -u)

caught=0
missed=()
for patch in "${patches[@]}"; do
    command=$(sed -n 's/^caught by: //p' "$patch")
    if [[ -n ${fails[$command]-} ]]; then
        missed+=("$(basename "$patch"): $command fails without it")
        continue
    fi
    renew
    if ! patch --silent --directory "$copy" --strip 1 <"$patch"; then
        missed+=("$(basename "$patch"): it does not apply")
        continue
    fi
    while read -r file; do touch "$copy/$file"; done < <(sed -n 's|^+++ b/||p' "$patch")
    log=target/planted/$(basename "$patch" .patch).log
    if ! build "$command" >"$log" 2>&1; then
        missed+=("$(basename "$patch"): it does not compile, see $log")
    elif passes "$command" >>"$log" 2>&1; then
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
