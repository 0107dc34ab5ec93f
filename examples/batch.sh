#!/usr/bin/env bash
# Every clip of a folder and of the folders in it, twice as smooth. A clip that fails is named at the
# end, and does not stop the others; one that is done already is left alone, so that the script can
# simply be run again.
# Usage: examples/batch.sh IN OUT
set -euo pipefail

in=${1:?folder of clips}
out=${2:?folder for the results}

mardini interpolate "$in" --recursive --factor 2 --output-dir "$out" --skip-existing
