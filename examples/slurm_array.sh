#!/usr/bin/env bash
#SBATCH --job-name=mardini
#SBATCH --array=1-8
#SBATCH --gpus-per-task=1
#SBATCH --signal=TERM@120
# A job file over a Slurm array: each task takes its shard, and all together do every item once. Two
# minutes before its time is up a task keeps what it has made; given again, the array goes on.
# Usage: sbatch examples/slurm_array.sh JOBS.toml
set -euo pipefail

exec mardini batch "${1:?job file}" --skip-existing \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --log-file "mardini-$SLURM_ARRAY_TASK_ID.log"
