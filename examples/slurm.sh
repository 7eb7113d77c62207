#!/bin/bash
# A batch script for Slurm: the examples on all GPUs of two nodes.
#
#   cargo build --release --features cli --bins --examples
#   sbatch examples/slurm.sh
#
# Both in the directory of the sources, which all nodes must see. A site may want an account and a partition, too:
# `sbatch --account=... --partition=... examples/slurm.sh`.

#SBATCH --job-name=warpcomm
#SBATCH --output=warpcomm-%j.out
#SBATCH --time=00:10:00
#SBATCH --nodes=2
# One rank for each GPU of a node, and the cores that its share of the node is.
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
# Not --gpus-per-task: where Slurm keeps ranks from the GPUs of others, they cannot copy from each other's memory either.
#SBATCH --gpus-per-node=4

set -eu

# What was loaded when the programs were built, on clusters with modules:
# module load openmpi

# Slurm from 22.05 on does not hand this on to srun by itself.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

# srun starts MPI programs by the site's default; `srun --mpi=list` prints what there is.
# export SLURM_MPI_TYPE=pmix

bin=target/release

# Every rank on the cores of its GPU's NUMA node; each line with the number of its rank. The limit is shorter than that of
# the allocation, so that a job that hangs leaves a report, and time for what comes next.
WARPCOMM_TIMEOUT=60 "$bin/warpcomm" run -n "$SLURM_NTASKS" --bind numa --tag-output --time-limit 4m \
    "$bin/examples/sum" --place device

"$bin/warpcomm" run -n "$SLURM_NTASKS" --bind numa --time-limit 4m \
    "$bin/examples/matvec" --place device
