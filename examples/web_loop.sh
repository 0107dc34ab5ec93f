#!/usr/bin/env bash
# A clip for the head of a web page: a little longer, then led back to its first frame, without
# sound, as WebM. The result's path comes on standard output. Longer is not better: what lies far
# from every given frame can only be guessed.
# Usage: examples/web_loop.sh CLIP OUT.webm
set -euo pipefail

clip=${1:?clip}
out=${2:?name of the result, ending in .webm}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Lossless in between: the clip's own frames are encoded once, at the end.
mardini extend "$clip" --seconds 0.4 --steps 0 --audio none --codec ffv1 \
  --output "$work/longer.mkv" --quiet >/dev/null
mardini extend "$work/longer.mkv" --loop --seconds 0.4 --steps 0 --audio none \
  --output "$out" --overwrite --quiet
