#!/usr/bin/env bash
# A job file over several machines that share a folder, one shard each; ends with 1 if any failed.
# Usage: examples/hosts.sh JOBS.toml HOST...
set -euo pipefail

jobs=$(realpath "${1:?job file}")
shift
count=$# shard=0 pids=()
for host in "$@"; do
  shard=$((shard + 1))
  ssh "$host" "mardini batch $(printf %q "$jobs") --shard $shard/$count --skip-existing" &
  pids+=($!)
done

failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
