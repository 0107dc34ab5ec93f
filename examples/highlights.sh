#!/usr/bin/env bash
# Slow-motion highlights: each stretch of a clip that is named, four times slower, as a file of its
# own. The sound is left out. The results' paths come on standard output.
# Usage: examples/highlights.sh CLIP OUT START-END... (such as 0:01-0:02.5 12-14)
set -euo pipefail

clip=${1:?clip}
out=${2:?folder for the results}
shift 2
[ $# -ge 1 ] || { echo "no stretch is named; needs START-END, such as 0:01-0:02.5" >&2; exit 2; }
mkdir -p "$out"

name=$(basename "${clip%.*}")
number=0
for stretch in "$@"; do
  number=$((number + 1))
  mardini interpolate "$clip" --start "${stretch%-*}" --end "${stretch#*-}" --slow-motion 4 \
    --audio drop --output "$out/$name.highlight-$number.mp4" --overwrite --quiet
done
