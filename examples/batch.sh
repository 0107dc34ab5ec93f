#!/usr/bin/env bash
# Every clip of a folder, twice as smooth. A clip that fails is named at the end, and does not stop
# the others; one that is done already is left alone, so that the script can simply be run again.
# Usage: examples/batch.sh IN OUT
set -euo pipefail
shopt -s nullglob nocaseglob

in=${1:?folder of clips}
out=${2:?folder for the results}
mkdir -p "$out"

failed=()
for clip in "$in"/*.mp4 "$in"/*.mov "$in"/*.mkv; do
  name=$(basename "$clip")
  result=$out/${name%.*}.x2.mp4
  [ -e "$result" ] && continue
  mardini interpolate "$clip" --factor 2 --steps 0 --output "$result" --quiet || failed+=("$name")
done

[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}" >&2; exit 1; }
