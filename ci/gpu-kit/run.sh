#!/usr/bin/env bash
# Runs the kit on a machine with an NVIDIA GPU, or on a simulated one.
#
#     run.sh all|STAGE... [--sim[=GPUS]]
#
# Logs and JSON go to the directory $OUT (default: `out` beside this file). The exit status is 0 if all stages have
# passed. Without --sim nothing is ever simulated or skipped: what finds no GPU fails.
#
# First what the driver says and costs (probe), then the tests, then the benches, of which each that is packed is a
# stage, and what they are compared with: copies by hand, a CUDA-aware MPI, which is packed, and what this machine may have
# (NCCL, cuBLAS, PyTorch). What is not there is said, and is no failure.
#
# Needs x86-64, bash, the tools that come with it on the smallest of systems (coreutils, grep, sed, tar, gzip) and
# the driver. What is packed beside this file is unpacked into a directory below $TMPDIR, which may not be `noexec`,
# and goes with it.
set -uo pipefail

beside=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${OUT:-$beside/out}
ranks=3

# Each stage with the most seconds it may take. Of the whole time what comes later keeps a third of that, in which it
# mostly ends.
stages=(probe replay sum matvec heat2d mandelbrot aware ranks pingpong compare)
declare -A limits=([probe]=40 [replay]=40 [sum]=20 [matvec]=30 [heat2d]=40 [mandelbrot]=40 [aware]=90 [ranks]=420 [pingpong]=20
    [compare]=60 [torch]=30)
bench_limit=60
declare -A bench_limits=([targets]=150)
all_limit=530

mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
here=$temporary/kit
mkdir "$here"
tar --extract --gzip --file "$beside/kit.tar.gz" --directory "$here" || exit 1
for bench in "$here"/benches/*; do
    bench=${bench##*/}
    stages+=("$bench")
    limits[$bench]=${bench_limits[$bench]-$bench_limit}
done
stages+=(torch)

usage() {
    echo "usage: run.sh all|STAGE... [--sim[=GPUS]]" >&2
    echo "stages: ${stages[*]}" >&2
    exit 2
}

chosen=()
gpus=''
for word in "$@"; do
    case "$word" in
        --sim) gpus=1 ;;
        --sim=?*) gpus=${word#--sim=} ;;
        all) chosen+=("${stages[@]}") ;;
        *)
            [[ -n ${limits[$word]-} ]] || usage
            chosen+=("$word")
            ;;
    esac
done
((${#chosen[@]} > 0)) || usage
if [[ -n $gpus ]]; then
    [[ $gpus =~ ^([1-9]|1[0-6])$ ]] || usage
    # Kernels are interpreted, and perhaps on few cores.
    for stage in "${stages[@]}"; do limits[$stage]=$((10 * limits[$stage])); done
    all_limit=$((10 * all_limit))
fi

running=''
trap 'kill $running 2>/dev/null; exit 130' INT TERM

export PATH=$here/mpi/bin:$here/bin:$PATH WARPCOMM_LAUNCHER=$here/mpi/bin/mpiexec
export CRITERION_HOME=$out/criterion
# All ranks are on this machine, whose networks do not matter. What UCX says must not mix with what programs print.
export UCX_TLS=${UCX_TLS:-self,sm} UCX_LOG_FILE=${UCX_LOG_FILE:-stderr}
# Tools that the tests start and that a small machine may lack.
if ! type -P kill >/dev/null; then
    mkdir "$temporary/bin"
    printf '#!/bin/bash\nkill "$@"\n' >"$temporary/bin/kill"
    chmod +x "$temporary/bin/kill"
    PATH=$PATH:$temporary/bin
fi

# Jobs are started by the command, with --sim where it is wanted; single programs find the simulated driver in the
# same way, and the multi-rank suite starts jobs of both kinds itself.
if [[ -n $gpus ]]; then
    export WARPCOMM_SIMGPU=$here/bin/libsimgpu.so
    unset WARPCOMM_REQUIRE_GPU
    mkdir "$temporary/driver"
    for name in libcuda.so.1 libcuda.so libnvidia-ml.so.1; do
        ln -s "$WARPCOMM_SIMGPU" "$temporary/driver/$name"
    done
else
    export WARPCOMM_REQUIRE_GPU=1
fi
job() { warpcomm run ${gpus:+"--sim=$gpus"} "$@"; }
program() {
    if [[ -n $gpus ]]; then
        LD_LIBRARY_PATH=$temporary/driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} SIMGPU_DEVICES=$gpus "$@"
    else
        "$@"
    fi
}

fail() {
    echo "$*"
    exit 1
}

# Stages: each prints what it does, and last the one line that the table shows.

stage_probe() {
    program gpu_probe --json "$out/probe.json" || fail "no GPU can be used"
}

stage_replay() { OUT=$out program replay --data "$here/data/replay"; }

stage_sum() {
    local dtype place sum
    for dtype in float32 float64 int32 int64; do
        for place in host device; do
            sum=$(job -n "$ranks" "$here/bin/sum" --vector "$here/data/numbers-$dtype.npy" --place "$place") ||
                fail "$dtype on the $place: the program has failed"
            grep -qxF -f "$here/data/sum-$dtype.txt" <<<"$sum" || fail "$dtype on the $place: $sum"
        done
    done
    echo "as NumPy has it, for every type, host and device"
}

stage_matvec() {
    local dtype place product expected
    for dtype in float32 float64; do
        for place in host device; do
            product=$out/y-$dtype-$place.npy
            expected=$here/data/y-$dtype.bytes
            job -n "$ranks" "$here/bin/matvec" --matrix "$here/data/A-$dtype.npy" --vector "$here/data/x-$dtype.npy" \
                --out "$product" --place "$place" || fail "$dtype on the $place: the program has failed"
            tail -c "$(stat -c %s "$expected")" "$product" | cmp - "$expected" || fail "$dtype on the $place: not NumPy's"
        done
    done
    job -n "$ranks" "$here/bin/matvec" --place device
}

# same_bits PROGRAM OPTION ARGUMENT...: runs a program, whose option takes the file of its picture, on different numbers of
# ranks and in both places.
same_bits() {
    local program=$1 option=$2 line count place sums=()
    shift 2
    for place in host device; do
        for count in 1 2 3 7; do
            line=$(job -n "$count" "$here/bin/$program" "$@" --place "$place" "$option" "$out/$program-$place.png") ||
                fail "$count ranks on the $place: the program has failed"
            echo "$line"
            line=${line##*checksum }
            sums+=("${line%%,*}")
        done
    done
    [[ $(printf '%s\n' "${sums[@]}" | sort -u | wc -l) == 1 ]] || fail "the bits differ: ${sums[*]}"
    echo "the same bits on 1, 2, 3 and 7 ranks, host and device"
}

stage_heat2d() {
    same_bits heat2d --picture --steps 60
}

stage_mandelbrot() {
    same_bits mandelbrot --out
}

stage_pingpong() {
    local place
    for place in host device; do
        job -n 2 "$here/bin/pingpong" --place "$place" | tee "$out/pingpong-$place.txt" ||
            fail "on the $place: the program has failed"
    done
    echo "largest message, device: $(tail -n 1 "$out/pingpong-device.txt" | tr -s ' ')"
}

# Another UCX in place of MPICH's own, which then takes addresses of GPU memory, as long as it does all itself. Nobody
# asks MPICH, which knows nothing of it.
with_cuda_aware_mpi() {
    LD_LIBRARY_PATH=$here/ucx${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} UCX_MODULE_DIR=$here/ucx/modules \
        UCX_TLS=self,sm,tcp,cuda_copy,cuda_ipc UCX_MEMTYPE_CACHE=n MPIR_CVAR_NOLOCAL=1 MPIR_CVAR_CH4_NETMOD=ucx \
        WARPCOMM_CUDA_AWARE=yes "$@"
}

stage_aware() {
    WARPCOMM_PATHS=cuda-aware with_cuda_aware_mpi job -n 2 "$here/bin/pingpong" --place device |
        tee "$out/pingpong-cuda-aware.txt" || fail "the program has failed"
    # Not all tests: over this UCX, MPICH does not return from cancelling a receive.
    local case
    for case in send_recv::every_type_and_length bcast::every_type_length_and_root; do
        WARPCOMM_TEST_CUDA_AWARE=1 with_cuda_aware_mpi ranks "$case [mpi np=2 place=device paths=cuda-aware" ||
            fail "$case has failed"
    done
    echo "messages and bcast of device buffers, as MPI takes them"
}

# Every way of two ranks on one GPU, or on two: NCCL comes with the machine, if at all.
stage_compare() {
    local sizes=8,4K,64K,1M,16M,64M
    [[ -z $gpus ]] || sizes=8,4K
    warpcomm bench compare -n 2 ${gpus:+"--sim=$gpus"} --sizes "$sizes" --seconds 0.1 --json "$out/compare.json" \
        allreduce bcast || fail "the program has failed"
}

stage_torch() {
    if [[ -n $gpus ]]; then
        echo "torch: not on a simulated GPU"
    elif type -P python3 >/dev/null; then
        python3 "$here/bin/matvec_by_torch.py"
    else
        echo "torch: not there, nor is python3"
    fi
}

# A bench is asked what it can do. A simulated GPU has nothing to be measured.
stage_bench() {
    local name=$1 help arguments=(--bench)
    help=$(program "$here/benches/$name" --help) || fail "it does not say what it can do"
    [[ $help != *--json* ]] || arguments+=(--json "$out/$name.json")
    [[ $help != *--quick* ]] || arguments+=(--quick)
    [[ -z $gpus ]] || arguments=(--test)
    program "$here/benches/$name" "${arguments[@]}"
}

stage_ranks() {
    # The page that the suite compares its findings with is not in the kit.
    ranks --skip support::page
}

export here out ranks gpus temporary
export -f job program fail with_cuda_aware_mpi stage_bench
for stage in "${stages[@]}"; do
    [[ ! -f $here/benches/$stage ]] || eval "stage_$stage() { stage_bench $stage; }"
    export -f "stage_$stage"
done

# In a JSON string.
text() { printf '%s' "$*" | tr -d '\\"' | tr -c '[:print:]' ' '; }

started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
rows=()
json=()
failed=0
for at in "${!chosen[@]}"; do
    stage=${chosen[at]}
    log=$out/$stage.log
    begin=$SECONDS
    status=0
    left=$((all_limit - SECONDS))
    for later in "${chosen[@]:at+1}"; do left=$((left - limits[$later] / 3)); done
    limit=$((limits[$stage] < left ? limits[$stage] : left))
    if ((limit <= 0)); then
        outcome=FAILED
        echo "no time is left for it" >"$log"
    else
        printf '== %s\n' "$stage"
        timeout --kill-after=10 "$limit" bash -o pipefail -c "stage_$stage" >"$log" 2>&1 </dev/null &
        running=$!
        wait "$running"
        status=$?
        running=''
        outcome=passed
        ((status == 0)) || outcome=FAILED
        [[ $outcome == passed ]] || tail -n 40 "$log"
    fi
    [[ $outcome != FAILED ]] || failed=$((failed + 1))
    seconds=$((SECONDS - begin))
    last=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1)
    ((status != 124 && status != 137)) || last="not done within $limit s"
    rows+=("$(printf '%-11s %-8s %5s s  %s' "$stage" "$outcome" "$seconds" "${last:0:80}")")
    json+=("$(printf '{"stage": "%s", "outcome": "%s", "seconds": %s, "last": "%s"}' "$stage" "$outcome" "$seconds" \
        "$(text "$last")")")
done

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
{
    printf '{\n"kit": %s,\n' "$(<"$here/kit.json")"
    printf '"started": "%s",\n"simulated_gpus": %s,\n' "$started" "${gpus:-0}"
    printf '"machine": {"processor": "%s", "cores": %s, "system": "%s", "glibc": "%s"},\n' \
        "$(text "$processor")" "$(nproc)" "$(text "$(uname -sr)")" "$(getconf GNU_LIBC_VERSION)"
    (IFS=,$'\n' && printf '"stages": [\n%s\n]\n}\n' "${json[*]}")
} >"$out/results.json"

echo
[[ -z $gpus ]] || echo "on a simulated GPU:"
printf '%s\n' "${rows[@]}"
echo "$((${#chosen[@]} - failed)) of ${#chosen[@]} have passed; logs and JSON are in $out"
((failed == 0))
