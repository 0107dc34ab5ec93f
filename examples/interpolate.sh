#!/usr/bin/env bash
# One clip with four times as many frames. The result's path comes on standard output.
# Usage: examples/interpolate.sh [CLIP]
set -euo pipefail

here=$(dirname "$0")
clip=${1:-$here/cat.mp4}

mkdir -p "$here/out"
mardini interpolate "$clip" --factor 4 --output "$here/out" --overwrite
